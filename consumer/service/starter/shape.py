"""Guessing the rest of a stream: its order within an instant, its layer, its partitions, its names."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from consumer.domain.clickhouse_type import TypeSyntaxError
from consumer.domain.errors import IcehaulError
from consumer.domain.inventory import find_period
from consumer.domain.mapping import SourceColumn
from consumer.domain.stream import IDENTIFIER, Layer
from consumer.domain.table_facts import ColumnFacts, TableFacts
from consumer.domain.type_mapping import map_table
from consumer.domain.window import PartitionBy
from consumer.service.starter.time_column import mentions

_SEQUENCE = re.compile(
    r"(?:^|_)(?:seq|sequence|offset|nonce|counter|lsn|num|number|no|id)(?:$|_)|sequence", re.IGNORECASE
)
_WHOLE = re.compile(r"(?:LowCardinality\()?U?Int(?:8|16|32|64)\)?")
_PREFIXES = {
    Layer.BRONZE: ("bronze", "raw", "landing", "stg", "staging", "src"),
    Layer.SILVER: ("silver", "clean", "cleaned", "core", "dwd", "enriched"),
    Layer.GOLD: ("gold", "mart", "agg", "aggregate", "report", "kpi", "dws", "ads"),
}


def sequence_columns(table: TableFacts, time_column: str) -> tuple[tuple[str, ...], str]:
    """Return the columns that order rows of one instant, and the reason."""
    usable = [column for column in table.columns if column.name != time_column and _orders(column)]
    numbers = [column for column in usable if _WHOLE.fullmatch(column.type) and _SEQUENCE.search(column.name)]
    keyed = [column for column in numbers if mentions(table.sorting_key, column.name)]
    for found, reason in (
        (keyed, "a whole number in the sorting key, by its name a sequence"),
        (numbers, "a whole number, by its name a sequence"),
    ):
        best = sorted(found, key=lambda column: "seq" not in column.name.lower())
        if best:
            return (best[0].name,), reason
    sorted_by = [column.name for column in usable if mentions(table.sorting_key, column.name)]
    if sorted_by:
        return tuple(sorted_by), "the rest of the sorting key"
    return (), "no column orders the rows of one instant; one that holds more than unit_rows rows is one unit then"


def _orders(column: ColumnFacts) -> bool:
    if not column.stored or IDENTIFIER.fullmatch(column.name) is None:
        return False
    time = SourceColumn(name="_" if column.name != "_" else "__", type="Date")
    try:
        map_table(
            [time, SourceColumn(name=column.name, type=column.type)],
            timestamp_column=time.name,
            sequence_columns=(column.name,),
        )
    except IcehaulError:
        return False
    return True


def layer(database: str, table: str) -> tuple[Layer | None, str]:
    """Return the layer that a table's or its database's name tells, and the table's name without that prefix."""
    for name, rest in ((table, None), (database, table)):
        prefix, _, remainder = name.partition("_")
        for found, words in _PREFIXES.items():
            if prefix.lower() in words:
                return found, rest if rest is not None else remainder or table
    return None, table


def partition_by(table: TableFacts, time_column: str, time_type: str, server_zone: str) -> tuple[PartitionBy, str]:
    """Return the target's partition transform, and the reason."""
    try:
        period = find_period(
            partition_key=table.partition_key, time_column=time_column, time_type=time_type, server_zone=server_zone
        )
    except TypeSyntaxError:
        period = None
    if period is not None:
        return period, f"as the source: PARTITION BY {table.partition_key}"
    if table.partition_key:
        return PartitionBy.DAY, f"the default: the source's PARTITION BY {table.partition_key} tells no UTC period"
    return PartitionBy.DAY, "the default: the source has no partition key"


def unused(wanted: Sequence[str], used: Collection[str]) -> str:
    """Return the first of several names that nobody uses yet, or the last one with a number."""
    for name in wanted:
        if name not in used:
            return name
    number = 2
    while f"{wanted[-1]}_{number}" in used:
        number += 1
    return f"{wanted[-1]}_{number}"
