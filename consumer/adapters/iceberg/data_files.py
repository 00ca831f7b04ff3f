"""Data files as Iceberg's manifests describe them: exact metrics from the footer, partition from the window."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime

from pyarrow import parquet
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionField
from pyiceberg.schema import Schema
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.typedef import Record
from pyiceberg.types import DateType
from pyiceberg.utils.datetime import date_to_days, datetime_to_micros

from consumer.adapters.iceberg.file_checks import check_window
from consumer.adapters.iceberg.footers import WRITE_AGAIN, Footer
from consumer.domain.batch import Batch, WrittenFile
from consumer.domain.errors import CheckFailedError
from consumer.domain.stream import Stream
from consumer.domain.window import Window


def describe(
    metadata: TableMetadata, stream: Stream, batch: Batch, files: Sequence[WrittenFile], footers: Sequence[Footer]
) -> list[DataFile]:
    """Return the manifest entries of a batch's files.

    Raises:
        CheckFailedError: if a file belongs to no unit of the batch, stands there twice, or holds a row outside of
            its unit's window.
    """
    units = {unit.index: unit for unit in batch.units}
    described = []
    seen: set[str] = set()
    for file, footer in zip(files, footers, strict=True):
        if file.path in seen or file.unit not in units:
            raise CheckFailedError(
                f"{file.path}: unit {file.unit} of batch {batch.id} was reported twice or never planned",
                remedy=WRITE_AGAIN,
            )
        seen.add(file.path)
        unit = units[file.unit]
        check_window(footer, stream.timestamp_column, unit.window)
        written = metadata.schema() if unit.rewriting is None else Schema.model_validate_json(unit.rewriting.schema)
        described.append(_describe(metadata, written, footer, unit.window, file.sort_order))
    return described


def _describe(
    metadata: TableMetadata, schema: Schema, footer: Footer, window: Window, sort_order: int | None
) -> DataFile:
    """Describe a file that was written with ``schema``, which need not be the table's present one."""
    ids = parquet_path_to_id_mapping(schema)
    statistics = data_file_statistics_from_parquet_metadata(
        parquet_metadata=footer.metadata,
        stats_columns=compute_statistics_plan(schema, metadata.properties),
        parquet_column_mapping=ids,
    )
    for field_id in _unbounded(footer.metadata, ids):
        statistics.column_aggregates.pop(field_id, None)
    return DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=footer.path,
        file_format=FileFormat.PARQUET,
        partition=_partition(metadata, window),
        file_size_in_bytes=footer.bytes,
        sort_order_id=sort_order,
        spec_id=metadata.default_spec_id,
        equality_ids=None,
        key_metadata=None,
        **statistics.to_serialized_dict(),
    )


def _unbounded(metadata: parquet.FileMetaData, ids: dict[str, int]) -> set[int]:
    """Return the fields for which some row group has values and no bounds.

    Parquet writers leave bounds out where they would be too long. Bounds that were put together from the other row
    groups alone would make engines skip rows that match.
    """
    found = set()
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for column in (group.column(i) for i in range(metadata.num_columns)):
            statistics = column.statistics
            nulls = statistics.null_count if statistics is not None and statistics.has_null_count else 0
            if nulls < column.num_values and (statistics is None or not statistics.has_min_max):
                found.add(ids[column.path_in_schema])
    return found


def _partition(metadata: TableMetadata, window: Window) -> Record:
    schema = metadata.schema()
    return Record(*(_partition_value(schema, field, window.lower) for field in metadata.spec().fields))


def _partition_value(schema: Schema, field: PartitionField, instant: datetime) -> int | None:
    source = schema.find_type(field.source_id)
    value = _days(instant) if isinstance(source, DateType) else datetime_to_micros(instant.astimezone(UTC))
    return field.transform.transform(source)(value)


def _days(instant: datetime) -> int:
    moment: date = instant.astimezone(UTC).date()
    return date_to_days(moment)
