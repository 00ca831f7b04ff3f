"""The shape of a target table: how it is created, and how an existing one is compared with its stream."""

from __future__ import annotations

from typing import Any

from pyiceberg.exceptions import ValidationError
from pyiceberg.partitioning import PARTITION_FIELD_ID_START, PartitionField, PartitionSpec
from pyiceberg.schema import Schema, assign_fresh_schema_ids
from pyiceberg.table import TableProperties
from pyiceberg.table.metadata import TableMetadata, new_table_metadata
from pyiceberg.transforms import (
    DayTransform,
    HourTransform,
    MonthTransform,
    Transform,
    YearTransform,
)

from consumer.adapters.iceberg.format_version import FORMAT_VERSION, too_new
from consumer.adapters.iceberg.row_orders import sort_order
from consumer.domain.errors import TargetMismatchError
from consumer.domain.evolution import Evolution
from consumer.domain.file_options import FileOptions
from consumer.domain.mapping import TableMapping
from consumer.domain.schema_change import follow
from consumer.domain.schema_history import SchemaHistory
from consumer.domain.stream import Stream
from consumer.domain.target_schema import check_columns, mismatch
from consumer.domain.window import PartitionBy

STREAM_PROPERTY = "icehaul.stream"
"""Table property that names the stream that owns a table."""

TIME_COLUMN_PROPERTY = "icehaul.time-column"
"""Table property that names the column which windows are on."""

_TRANSFORMS: dict[PartitionBy, type[Transform[Any, Any]]] = {
    PartitionBy.YEAR: YearTransform,
    PartitionBy.MONTH: MonthTransform,
    PartitionBy.DAY: DayTransform,
    PartitionBy.HOUR: HourTransform,
}

_DEFAULTS = {
    TableProperties.WRITE_FILE_FORMAT: "parquet",
    TableProperties.PARQUET_COMPRESSION: "zstd",
    TableProperties.METADATA_DELETE_AFTER_COMMIT_ENABLED: "true",
    TableProperties.METADATA_PREVIOUS_VERSIONS_MAX: "20",
    TableProperties.MANIFEST_MERGE_ENABLED: "true",
    # Small and often: what one merge reads and writes in Python bounds the longest commit, and ten manifests in each
    # tier are few to list.
    TableProperties.MANIFEST_MIN_MERGE_COUNT: "10",
    TableProperties.MANIFEST_TARGET_SIZE_BYTES: str(256 * 1024),
    # For other engines only: our own commits never retry by themselves. A table that is published to every few
    # seconds needs more than the default of 4, or a compaction by hand never gets through.
    TableProperties.COMMIT_NUM_RETRIES: "20",
}


def owned_properties(stream: Stream) -> dict[str, str]:
    """Return the properties that make a table the stream's, whatever stood there before."""
    return {STREAM_PROPERTY: stream.name, TIME_COLUMN_PROPERTY: stream.timestamp_column}


def default_properties(stream: Stream, schema: Schema) -> dict[str, str]:
    """Return the properties that a table gets unless it has other values for them already."""
    return {
        **_DEFAULTS,
        # Other engines' expiry must not be stricter than our own, or it would hide the evidence.
        TableProperties.MIN_SNAPSHOTS_TO_KEEP: str(stream.retain_snapshots),
        TableProperties.DEFAULT_NAME_MAPPING: schema.name_mapping.model_dump_json(),
        **dict(stream.table_properties),
    }


def new_metadata(stream: Stream, mapping: TableMapping, location: str) -> TableMetadata:
    """Return the metadata of a table that does not exist yet.

    Raises:
        TargetMismatchError: if the columns can't be partitioned or sorted as the stream asks.
    """
    schema = assign_fresh_schema_ids(mapping.iceberg_schema())
    try:
        return new_table_metadata(
            schema=schema,
            partition_spec=partition_spec(stream, schema),
            sort_order=sort_order(schema, stream.sort_by),
            location=location,
            properties={
                TableProperties.FORMAT_VERSION: str(FORMAT_VERSION),
                **default_properties(stream, schema),
                **owned_properties(stream),
            },
        )
    except (ValueError, ValidationError) as error:
        raise TargetMismatchError(
            f"stream {stream.name}: the target {stream.target} can't be created: {error}",
            remedy="correct timestamp_column, sort_by or partition_by of the stream",
        ) from error


def partition_spec(stream: Stream, schema: Schema) -> PartitionSpec:
    """Return the partition spec that the stream asks for, over a table's own field ids."""
    if stream.partition_by is PartitionBy.NONE:
        return PartitionSpec()
    column = stream.timestamp_column
    return PartitionSpec(
        PartitionField(
            source_id=_field_id(stream, schema, column),
            field_id=PARTITION_FIELD_ID_START,
            transform=_TRANSFORMS[stream.partition_by](),
            name=f"{column}_{stream.partition_by}",
        )
    )


def _field_id(stream: Stream, schema: Schema, column: str) -> int:
    for field in schema.fields:
        if field.name == column:
            return field.field_id
    raise TargetMismatchError(
        f"stream {stream.name}: the target {stream.target} has no column {column!r}",
        remedy="correct timestamp_column of the stream",
    )


def check_table(metadata: TableMetadata, stream: Stream, mapping: TableMapping, history: SchemaHistory) -> Evolution:
    """Compare an existing table with the stream, and return what its schema becomes.

    The order of columns does not matter: files carry field ids. A table that the stream has not written to, so that
    there is no ``history``, has to have the stream's columns.

    Raises:
        TargetMismatchError: naming the first difference, what is there, what is expected, and what to do.
        SchemaChangeError: if the table can't follow what was changed in the source.
    """
    if metadata.format_version > FORMAT_VERSION:
        raise too_new(stream.target, metadata.format_version)
    if metadata.format_version < FORMAT_VERSION:
        raise mismatch(stream, "format-version", str(metadata.format_version), str(FORMAT_VERSION))
    owner = metadata.properties.get(STREAM_PROPERTY)
    if owner is not None and owner != stream.name:
        raise TargetMismatchError(
            f"stream {stream.name}: the target {stream.target} belongs to the stream {owner!r}",
            remedy=f"give one of the two streams another target, or remove the table property {STREAM_PROPERTY}"
            f" if the stream {owner!r} is gone",
        )
    base = metadata.schema()
    if history:
        evolution = follow(
            stream,
            mapping,
            history,
            base,
            last_column_id=metadata.last_column_id,
            next_schema_id=max(schema.schema_id for schema in metadata.schemas) + 1,
        )
    else:
        check_columns(stream, mapping.iceberg_schema(), base)
        evolution = Evolution(base=base, schema=base)
    wanted = _describe_spec(partition_spec(stream, base), base)
    actual = _describe_spec(metadata.spec(), base)
    if wanted != actual and not (history and divided_by(metadata, stream.timestamp_column)):
        raise mismatch(stream, "partition spec", actual, wanted)
    FileOptions.of(stream.target, metadata.properties)
    return evolution


def divided_by(metadata: TableMetadata, column: str) -> PartitionBy | None:
    """Return how finely a table's present spec divides its time column; ``None`` if it divides by anything else."""
    spec, schema = metadata.spec(), metadata.schema()
    if spec.is_unpartitioned():
        return PartitionBy.NONE
    names = {transform: name for name, transform in _TRANSFORMS.items()}
    found = [
        names.get(type(field.transform)) if schema.find_column_name(field.source_id) == column else None
        for field in spec.fields
    ]
    known = [one for one in found if one is not None]
    return max(known, key=list(PartitionBy).index) if len(known) == len(found) else None


def _describe_spec(spec: PartitionSpec, schema: Schema) -> str:
    if spec.is_unpartitioned():
        return "unpartitioned"
    return ", ".join(f"{field.transform}({schema.find_column_name(field.source_id)})" for field in spec.fields)
