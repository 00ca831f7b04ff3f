"""Which order ClickHouse is asked for on behalf of a table's sort order."""

from __future__ import annotations

from typing import Any

from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.metadata import TableMetadata, new_table_metadata
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER, NullOrder, SortDirection, SortField, SortOrder
from pyiceberg.transforms import BucketTransform, DayTransform, IdentityTransform, Transform
from pyiceberg.types import DoubleType, NestedField, StringType, TimestamptzType

from consumer.adapters.iceberg.row_orders import row_order, sort_order
from consumer.domain.row_order import AS_READ, RowOrder, SortKey

SCHEMA = Schema(
    NestedField(1, "ts", TimestamptzType(), required=True),
    NestedField(2, "symbol", StringType()),
    NestedField(3, "score", DoubleType()),
)
BY_DAY = PartitionSpec(PartitionField(1, 1000, DayTransform(), "ts_day"))


def table(order: SortOrder) -> TableMetadata:
    return new_table_metadata(schema=SCHEMA, partition_spec=BY_DAY, sort_order=order, location="s3://x/y")


def field(source: int, transform: Transform[Any, Any] | None = None, *, down: bool = False) -> SortField:
    return SortField(
        source_id=source,
        transform=transform or IdentityTransform(),
        direction=SortDirection.DESC if down else SortDirection.ASC,
        null_order=NullOrder.NULLS_LAST if down else NullOrder.NULLS_FIRST,
    )


def test_a_table_without_a_sort_order_takes_rows_as_they_are_read() -> None:
    assert row_order(table(UNSORTED_SORT_ORDER)) == AS_READ
    assert AS_READ.applied_to("SELECT 1") == "SELECT 1"


def test_columns_are_sorted_by_direction_and_place_of_nulls() -> None:
    order = row_order(table(SortOrder(field(2, down=True), field(1))))
    assert order == RowOrder(
        keys=(SortKey(column="symbol", descending=True, nulls_first=False), SortKey(column="ts")), id=1
    )
    assert order.applied_to("SELECT x") == "SELECT x ORDER BY `symbol` DESC NULLS LAST, `ts` ASC NULLS FIRST"


def test_what_the_partition_spec_has_is_the_same_for_all_rows_of_a_file() -> None:
    order = row_order(table(SortOrder(field(1, DayTransform()), field(2))))
    assert order == RowOrder(keys=(SortKey(column="symbol"),), id=1)


def test_files_are_not_marked_as_sorted_where_clickhouse_sorts_otherwise() -> None:
    """ClickHouse puts NaN elsewhere, and knows no buckets: the rows are sorted by what stands before."""
    for other in (field(3), field(2, BucketTransform(16))):
        order = row_order(table(SortOrder(field(1), other, field(2))))
        assert order == RowOrder(keys=(SortKey(column="ts"),), id=None)


def test_a_stream_s_columns_become_the_sort_order_of_its_new_table() -> None:
    made = table(sort_order(SCHEMA, ("symbol", "ts")))
    assert row_order(made) == RowOrder(keys=(SortKey(column="symbol"), SortKey(column="ts")), id=1)
    assert sort_order(SCHEMA, ()) == UNSORTED_SORT_ORDER
