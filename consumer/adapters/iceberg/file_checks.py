"""Checks of a data file's footer against what its task reported and what the table asks for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time

import pyarrow as pa
from pyarrow import parquet
from pyiceberg.types import NestedField

from consumer.adapters.iceberg.footers import WRITE_AGAIN, Footer
from consumer.domain.batch import WrittenFile
from consumer.domain.errors import CheckFailedError
from consumer.domain.stream import Stream
from consumer.domain.window import Window
from consumer.ports import TargetTable

_FIELD_ID = b"PARQUET:field_id"


def check_footer(footer: Footer, file: WrittenFile, target: TargetTable, stream: Stream) -> None:
    """Compare a footer with the task's report, and with the table's schema and codec.

    Columns that the source has no longer, or never had, may be missing.

    Raises:
        CheckFailedError: naming the file, the field, what is there and what is expected.
    """
    metadata = footer.metadata
    _same(footer.path, "size in bytes", footer.bytes, file.bytes)
    _same(footer.path, "row count", metadata.num_rows, file.fingerprint.rows)
    if file.footer_crc is not None:
        # The bounds of the columns come from here, and engines skip rows by them: no digest of the rows covers them.
        _same(footer.path, "checksum of the footer", f"{footer.crc:08x}", f"{file.footer_crc:08x}")
    _check_field_ids(footer.path, metadata, target)
    codec = target.options.codec
    for found in _codecs(metadata):
        _same(footer.path, "compression codec", found, codec.value.upper())
    lower, upper = time_bounds(footer, stream.timestamp_column)
    partition = stream.partition_by
    if partition.floor(lower) != partition.floor(upper):
        raise CheckFailedError(
            f"{footer.path}: column {stream.timestamp_column} reaches from {lower.isoformat()} to"
            f" {upper.isoformat()}, across partitions by {partition}",
            remedy=WRITE_AGAIN,
        )


def check_window(footer: Footer, column: str, window: Window) -> None:
    """Compare the least and the greatest value of the time column with the window of the file's unit.

    Raises:
        CheckFailedError: if a row lies outside.
    """
    for name, instant in zip(("least", "greatest"), time_bounds(footer, column), strict=True):
        if not window.contains(instant):
            raise CheckFailedError(
                f"{footer.path}: the {name} value of column {column} is {instant.isoformat()},"
                f" outside of the unit's window {window}",
                remedy=WRITE_AGAIN,
            )


def time_bounds(footer: Footer, column: str) -> tuple[datetime, datetime]:
    """Return the least and the greatest instant of the time column.

    Raises:
        CheckFailedError: if the footer does not tell.
    """
    metadata = footer.metadata
    number = next((i for i in range(metadata.num_columns) if metadata.schema.column(i).path == column), None)
    bounds: list[datetime] = []
    if number is not None:
        for group in range(metadata.num_row_groups):
            statistics = metadata.row_group(group).column(number).statistics
            if statistics is None or not statistics.has_min_max:
                bounds.clear()
                break
            bounds += [_instant(statistics.min), _instant(statistics.max)]
    if not bounds:
        raise CheckFailedError(
            f"{footer.path}: the footer has no least and greatest value of the time column {column}",
            remedy=WRITE_AGAIN,
        )
    return min(bounds), max(bounds)


def _instant(value: object) -> datetime:
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo is not None else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime.combine(value, time(), tzinfo=UTC)
    raise CheckFailedError(f"time column: {value!r} is no date or timestamp", remedy=WRITE_AGAIN)


def _check_field_ids(path: str, metadata: parquet.FileMetaData, target: TargetTable) -> None:
    expected = dict(_iceberg_ids(target.schema.fields))
    actual = dict(field_ids(metadata.schema.to_arrow_schema()))
    required = {field.name for field in target.schema.fields if field.required}
    for name in required | target.filled | actual.keys():
        if expected.get(name) != actual.get(name):
            _same(path, f"field id of column {name}", actual.get(name), expected.get(name))


def _iceberg_ids(fields: tuple[NestedField, ...]) -> Iterator[tuple[str, int]]:
    for field in fields:
        yield field.name, field.field_id


def field_ids(schema: pa.Schema) -> Iterator[tuple[str, int | None]]:
    """Yield the name and the Iceberg field id of each column of a data file; ``None`` where it has none."""
    for field in schema:
        number = (field.metadata or {}).get(_FIELD_ID)
        yield field.name, None if number is None else int(number)


def _codecs(metadata: parquet.FileMetaData) -> set[str]:
    return {
        metadata.row_group(group).column(column).compression
        for group in range(metadata.num_row_groups)
        for column in range(metadata.num_columns)
    }


def _same(path: str, what: str, actual: object, expected: object) -> None:
    if actual != expected:
        raise CheckFailedError(f"{path}: {what} is {actual}, expected is {expected}", remedy=WRITE_AGAIN)
