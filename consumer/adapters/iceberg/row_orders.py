"""From a table's sort order to the order in which ClickHouse is asked for the rows of its files."""

from __future__ import annotations

from collections.abc import Iterator

from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER, NullOrder, SortDirection, SortField, SortOrder
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import (
    BooleanType,
    DateType,
    DecimalType,
    IntegerType,
    LongType,
    StringType,
    TimestampType,
    TimestamptzType,
)

from consumer.domain.row_order import AS_READ, RowOrder, SortKey

_ORDERED_ALIKE = (
    BooleanType,
    DateType,
    DecimalType,
    IntegerType,
    LongType,
    StringType,
    TimestampType,
    TimestamptzType,
)
"""Types whose values ClickHouse sorts as Iceberg does: neither floats (NaN, the two zeros) nor UUIDs are."""


def row_order(metadata: TableMetadata) -> RowOrder:
    """Return the order that a table asks for, as far as ClickHouse can bring rows into it.

    What the partition spec has, too, is the same for all rows of a file, and left out. The keys end before the first
    one that ClickHouse would sort otherwise; then files are not marked as sorted.
    """
    order = next((one for one in metadata.sort_orders if one.order_id == metadata.default_sort_order_id), None)
    if order is None or order.is_unsorted:
        return AS_READ
    keys = tuple(_keys(order, metadata.schema(), metadata.spec()))
    whole = len(keys) == sum(not _constant(field, metadata.spec()) for field in order.fields)
    return RowOrder(keys=keys, id=order.order_id if whole else None)


def sort_order(schema: Schema, columns: tuple[str, ...]) -> SortOrder:
    """Return the sort order by columns, ascending.

    Raises:
        ValueError: naming a column that the schema does not have.
    """
    if not columns:
        return UNSORTED_SORT_ORDER
    return SortOrder(
        *(
            SortField(
                source_id=schema.find_field(column).field_id,
                transform=IdentityTransform(),
                direction=SortDirection.ASC,
                null_order=NullOrder.NULLS_FIRST,
            )
            for column in columns
        )
    )


def _keys(order: SortOrder, schema: Schema, spec: PartitionSpec) -> Iterator[SortKey]:
    top = {field.field_id: field for field in schema.fields}
    for field in order.fields:
        if _constant(field, spec):
            continue
        column = top.get(field.source_id)
        plain = isinstance(field.transform, IdentityTransform)
        if column is None or not plain or not isinstance(column.field_type, _ORDERED_ALIKE):
            return
        yield SortKey(
            column=column.name,
            descending=field.direction is SortDirection.DESC,
            nulls_first=field.null_order is NullOrder.NULLS_FIRST,
        )


def _constant(field: SortField, spec: PartitionSpec) -> bool:
    return any(one.source_id == field.source_id and one.transform == field.transform for one in spec.fields)
