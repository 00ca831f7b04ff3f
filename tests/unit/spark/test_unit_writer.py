"""A data file: its row groups, field ids and statistics, and nothing where nothing belongs."""

from __future__ import annotations

import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.schema import Schema
from pyiceberg.types import ListType, LongType, NestedField, StringType

from consumer.domain.errors import ConfigurationError
from spark.unit_task import FileLayout
from spark.unit_writer import UnitWriter

ICEBERG = Schema(
    NestedField(3, "number", LongType(), required=True),
    NestedField(5, "tags", ListType(6, StringType(), element_required=True), required=True),
)
SCHEMA = schema_to_pyarrow(ICEBERG)


def rows(count: int, text: str = "x") -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{"number": n, "tags": [text]} for n in range(count)], schema=SCHEMA)


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    directory = tmp_path / "bucket"
    directory.mkdir()
    return directory


def writer(
    bucket: Path,
    *,
    rows_max: int = 1000,
    bytes_max: int = 1 << 30,
    uri: str = "s3://bucket/f",
) -> UnitWriter:
    layout = FileLayout(
        schema_json=ICEBERG.model_dump_json(),
        row_group_rows=rows_max,
        row_group_bytes=bytes_max,
    )
    return UnitWriter(SubTreeFileSystem(str(bucket.parent), LocalFileSystem()), uri, SCHEMA, layout)


def group_sizes(path: Path) -> list[int]:
    footer = pq.read_metadata(path)
    return [footer.row_group(index).num_rows for index in range(footer.num_row_groups)]


def test_row_groups_are_bounded_by_rows_whatever_the_size_of_the_batches(bucket: Path) -> None:
    with writer(bucket, rows_max=1000) as file:
        for count in (300, 2500, 1, 700):
            file.write(rows(count))
        file.close()

    assert group_sizes(bucket / "f") == [1000, 1000, 1000, 501]
    assert (file.rows, file.bytes) == (3501, (bucket / "f").stat().st_size)


def test_row_groups_are_bounded_by_memory(bucket: Path) -> None:
    with writer(bucket, rows_max=1_000_000, bytes_max=100_000) as file:
        for _ in range(6):
            file.write(rows(50, "y" * 1000))
        file.close()

    # A row takes 1,030 bytes; record batches are cut where a row group is full.
    assert group_sizes(bucket / "f") == [97, 97, 97, 9]


def test_the_footer_carries_field_ids_statistics_and_zstd(bucket: Path) -> None:
    with writer(bucket) as file:
        file.write(rows(10))
        file.close()

    parquet = pq.ParquetFile(bucket / "f")
    assert parquet.schema_arrow.field("number").metadata[b"PARQUET:field_id"] == b"3"
    assert parquet.schema_arrow.field("tags").type.value_field.metadata[b"PARQUET:field_id"] == b"6"
    column = parquet.metadata.row_group(0).column(0)
    assert (column.statistics.min, column.statistics.max, column.statistics.null_count) == (0, 9, 0)
    assert column.compression == "ZSTD"


@pytest.mark.parametrize("count", [1, 2500])
def test_the_checksum_is_that_of_the_footer_which_stands_in_the_file(bucket: Path, count: int) -> None:
    with writer(bucket) as file:
        file.write(rows(count))
        file.close()

    content = (bucket / "f").read_bytes()
    length = int.from_bytes(content[-8:-4], "little")
    assert file.footer_crc == zlib.crc32(content[-8 - length : -8])


def test_without_rows_there_is_no_file(bucket: Path) -> None:
    with writer(bucket) as file:
        file.write(rows(0))
        file.close()

    assert list(bucket.iterdir()) == []
    assert (file.rows, file.bytes) == (0, 0)


@pytest.mark.parametrize("count", [1, 1000, 1001])
def test_a_failure_removes_what_was_written(bucket: Path, count: int) -> None:
    def fail_after_writing() -> None:
        with writer(bucket) as file:
            file.write(rows(count))
            raise KeyError

    with pytest.raises(KeyError):
        fail_after_writing()

    assert list(bucket.iterdir()) == []


@pytest.mark.parametrize("uri", ["file:///etc/x", "bucket/f", "s3:///f", "http://host/f"])
def test_a_location_that_is_on_no_s3_store_is_refused(bucket: Path, uri: str) -> None:
    with pytest.raises(ConfigurationError, match="no S3 store"):
        writer(bucket, rows_max=1, uri=uri).write(rows(1))


def test_many_small_rows_after_large_ones_are_no_row_groups_of_their_own(bucket: Path) -> None:
    with writer(bucket, rows_max=1_000_000, bytes_max=100_000) as file:
        file.write(rows(97, "y" * 1000))
        file.write(pa.concat_batches([rows(1, "y" * 50_000), *(rows(1) for _ in range(99))]))
        file.close()

    assert len(group_sizes(bucket / "f")) <= 3
