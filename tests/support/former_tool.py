"""Tables that another tool has filled from ClickHouse, before icehaul is to go on with them."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import DayTransform
from pyiceberg.types import LongType, NestedField, StringType, TimestamptzType

from tests.support.platform import Platform, day

COLUMNS = "ts DateTime64(6, 'UTC'), seq Int64, note String"
DAYS = [day(f"2024-01-0{number}") for number in (1, 2, 3)]
ROWS = pa.schema(
    [
        pa.field("ts", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("seq", pa.int64(), nullable=False),
        pa.field("note", pa.string(), nullable=False),
    ]
)
TIMES = [start + timedelta(minutes=number) for start in DAYS for number in range(20)]


class Former:
    """Another tool that fills the targets of streams: by PyIceberg, one append a day."""

    def __init__(self, platform: Platform, catalog: SqlCatalog) -> None:
        self._platform = platform
        self._catalog = catalog
        catalog.create_namespace(platform.name)

    def fill(self, table: str, numbers: list[int], *, partitioned: bool = True, note: str = "note") -> str:
        """Make a source of 60 rows with its stream, and a target with those of them; return the stream."""
        stream = self._platform.add_stream(table, columns=COLUMNS)
        self._platform.client.command(
            f"INSERT INTO {self._platform.name}.{table} SELECT toDateTime64('2024-01-01', 6, 'UTC')"
            " + toIntervalDay(intDiv(number, 20)) + toIntervalMinute(number % 20), number, 'note' FROM numbers(60)"
        )
        self._platform.write()
        schema = Schema(
            NestedField(1, "ts", TimestamptzType(), required=True),
            NestedField(2, "seq", LongType(), required=True),
            NestedField(3, "note", StringType(), required=True),
        )
        spec = PartitionSpec(PartitionField(1, 1000, DayTransform(), "day")) if partitioned else PartitionSpec()
        made = self._catalog.create_table(f"{self._platform.name}.{table}", schema, partition_spec=spec)
        for start in range(0, 60, 20):
            chosen = [number for number in numbers if start <= number < start + 20]
            if chosen:
                columns = [[TIMES[n] for n in chosen], chosen, [note] * len(chosen)]
                path = f"{made.location()}/data/{start}.parquet"
                with made.io.new_output(path).create() as stream_:
                    pq.write_table(pa.table(columns, schema=ROWS), stream_)
                made.add_files([path])
        return stream
