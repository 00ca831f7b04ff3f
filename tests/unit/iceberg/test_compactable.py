"""What a rewrite is told of a table's files: their partitions, the deletes that apply, and how they were written."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
)
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata, new_table_metadata
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER
from pyiceberg.transforms import DayTransform, HourTransform, MonthTransform, Transform, YearTransform
from pyiceberg.typedef import Record
from pyiceberg.types import LongType, NestedField, StringType, TimestamptzType
from pyiceberg.utils.datetime import datetime_to_micros

from consumer.adapters.iceberg.compactable import LiveEntries, layout_of, table_state
from consumer.adapters.iceberg.footers import Footer
from consumer.domain.window import END_OF_TIME, PartitionBy

TRANSFORMS: dict[PartitionBy, Transform[Any, int]] = {
    PartitionBy.YEAR: YearTransform(),
    PartitionBy.MONTH: MonthTransform(),
    PartitionBy.DAY: DayTransform(),
    PartitionBy.HOUR: HourTransform(),
}
SCHEMA = Schema(
    NestedField(1, "ts", TimestamptzType(), required=True), NestedField(2, "note", StringType()), schema_id=0
)
NEXT = Schema(*SCHEMA.fields, NestedField(3, "added", LongType()), schema_id=1)


def entry(
    path: str,
    *,
    content: DataFileContent = DataFileContent.DATA,
    number: int | None = 1,
    sequence: int = 1,
    spec_id: int = 0,
    file_format: FileFormat = FileFormat.PARQUET,
) -> ManifestEntry:
    file = DataFile.from_args(
        content=content,
        file_path=path,
        file_format=file_format,
        partition=Record() if number is None else Record(number),
        record_count=3,
        file_size_in_bytes=10,
    )
    file.spec_id = spec_id
    return ManifestEntry.from_args(
        status=ManifestEntryStatus.ADDED, snapshot_id=1, sequence_number=sequence, data_file=file
    )


def table(data: list[ManifestEntry], deletes: list[ManifestEntry], *, spec_id: int = 0) -> Table:
    def manifest(content: ManifestContent, entries: list[ManifestEntry]) -> Any:
        return SimpleNamespace(content=content, fetch_manifest_entry=lambda _: entries)

    listed = [manifest(ManifestContent.DATA, data), manifest(ManifestContent.DELETES, deletes)]
    snapshot = SimpleNamespace(snapshot_id=7, sequence_number=9, manifests=lambda _: listed)
    metadata = SimpleNamespace(default_spec_id=spec_id)
    return cast("Table", SimpleNamespace(io=None, metadata=metadata, current_snapshot=lambda: snapshot))


@given(
    st.datetimes(datetime(1905, 1, 1), datetime(2290, 1, 1)).map(lambda each: each.replace(tzinfo=UTC)),  # noqa: DTZ001
    st.sampled_from(list(TRANSFORMS)),
)
def test_the_partition_of_a_file_is_the_stretch_of_time_that_its_number_stands_for(
    instant: datetime, partition_by: PartitionBy
) -> None:
    number = TRANSFORMS[partition_by].transform(TimestamptzType())(datetime_to_micros(instant))
    state = table_state(table([entry("a", number=number)], []), partition_by, END_OF_TIME)
    assert state is not None
    (file,) = state.files
    assert (file.partition.lower, file.partition.upper) == (partition_by.floor(instant), partition_by.ceil(instant))


def test_the_only_partition_of_a_table_ends_at_the_watermark() -> None:
    watermark = datetime(2024, 1, 1, tzinfo=UTC)
    state = table_state(table([entry("a", number=None)], []), PartitionBy.NONE, watermark)
    assert state is not None
    assert state.files[0].partition.upper == watermark
    assert (state.snapshot_id, state.sequence) == (7, 9)


def test_deletes_apply_to_files_of_their_partition_that_are_not_newer() -> None:
    data = [entry("old"), entry("new", sequence=5), entry("other", number=2)]
    deletes = [entry("d", content=DataFileContent.POSITION_DELETES, sequence=3)]
    state = table_state(table(data, deletes), PartitionBy.DAY, END_OF_TIME)
    assert state is not None
    assert {file.path: file.deletes for file in state.files} == {"old": ("d",), "new": (), "other": ()}
    assert state.obstacle is None


def test_deletes_go_once_no_file_is_left_to_which_they_apply() -> None:
    data = [entry("a"), entry("b"), entry("c", number=2)]
    deletes = [
        entry("first", content=DataFileContent.POSITION_DELETES, sequence=3),
        entry("second", content=DataFileContent.POSITION_DELETES, number=2, sequence=3),
    ]
    live = LiveEntries(table(data, deletes))
    files = {each.data_file.file_path: each.data_file for each in data}

    def gone(*paths: str) -> set[str]:
        return {each.data_file.file_path for each in live.superfluous({path: files[path] for path in paths})}

    assert gone("a") == set()
    assert gone("a", "b") == {"first"}
    assert gone("a", "b", "c") == {"first", "second"}


@pytest.mark.parametrize(
    ("delete", "named"),
    [
        (entry("d", content=DataFileContent.EQUALITY_DELETES), "by their values"),
        (entry("d", content=DataFileContent.POSITION_DELETES, file_format=FileFormat.AVRO), "avro, not parquet"),
    ],
)
def test_deletes_that_can_not_be_applied_are_named(delete: ManifestEntry, named: str) -> None:
    state = table_state(table([entry("a")], [delete]), PartitionBy.DAY, END_OF_TIME)
    assert state is not None
    assert named in str(state.obstacle)


def test_files_of_a_former_partition_spec_are_counted_and_left() -> None:
    state = table_state(table([entry("a"), entry("b", spec_id=1)], [], spec_id=1), PartitionBy.DAY, END_OF_TIME)
    assert state is not None
    assert ([file.path for file in state.files], state.foreign) == (["b"], 1)


def metadata() -> TableMetadata:
    spec = PartitionSpec(PartitionField(source_id=1, field_id=1000, transform=DayTransform(), name="ts_day"))
    made = new_table_metadata(SCHEMA, spec, UNSORTED_SORT_ORDER, "s3://lake/t", {"format-version": "2"})
    return made.model_copy(update={"schemas": [SCHEMA, NEXT], "current_schema_id": 1})


def footer(schema: pa.Schema) -> Footer:
    sink = pa.BufferOutputStream()
    parquet.write_table(schema.empty_table(), sink)
    return Footer(path="a", bytes=1, metadata=parquet.read_metadata(pa.BufferReader(sink.getvalue())), crc=0)


def test_a_file_has_the_newest_schema_that_fits_its_columns() -> None:
    old, new = (layout_of(metadata(), footer(schema_to_pyarrow(schema))) for schema in (SCHEMA, NEXT))
    assert old is not None
    assert new is not None
    assert old.columns == ("note", "ts")
    assert new.columns == ("added", "note", "ts")
    assert [field.name for field in Schema.model_validate_json(old.schema).fields] == ["ts", "note"]
    turned = pa.schema(list(reversed(list(schema_to_pyarrow(SCHEMA)))))
    assert layout_of(metadata(), footer(turned)) == old, "the order of columns does not tell files apart"


@pytest.mark.parametrize(
    "schema",
    [
        Schema(NestedField(1, "ts", TimestamptzType(), required=True), NestedField(9, "note", StringType())),
        Schema(NestedField(2, "note", StringType())),
        Schema(NestedField(1, "ts", TimestamptzType(), required=True), NestedField(4, "odd", StringType())),
    ],
)
def test_a_file_whose_columns_fit_no_schema_is_left_alone(schema: Schema) -> None:
    assert layout_of(metadata(), footer(schema_to_pyarrow(schema))) is None
