"""The live data files of a table as a rewrite sees them: the deletes that apply to each, and how it was written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from pyiceberg.io.pyarrow import parquet_path_to_id_mapping
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat, ManifestContent, ManifestEntry
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.table.delete_file_index import DeleteFileIndex
from pyiceberg.table.metadata import TableMetadata

from consumer.adapters.iceberg.file_checks import field_ids
from consumer.adapters.iceberg.footers import Footer
from consumer.domain.compaction import Layout, TableFile, TableState
from consumer.domain.window import BEGINNING, PartitionBy, Window

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_YEAR = 1970
_MONTHS = 12


class LiveEntries:
    """The entries of a table's current snapshot: data files, and the deletes that apply to them."""

    def __init__(self, table: Table) -> None:
        """Read every manifest of the current snapshot."""
        self.data: list[ManifestEntry] = []
        self.deletes: list[ManifestEntry] = []
        snapshot = table.current_snapshot()
        for manifest in () if snapshot is None else snapshot.manifests(table.io):
            entries = manifest.fetch_manifest_entry(table.io)
            (self.data if manifest.content is ManifestContent.DATA else self.deletes).extend(entries)
        self._index = DeleteFileIndex()
        for entry in self.deletes:
            if entry.data_file.content is DataFileContent.POSITION_DELETES:
                self._index.add_delete_file(entry, partition_key=entry.data_file.partition)

    def applying(self, entry: ManifestEntry) -> tuple[str, ...]:
        """Return the paths of the position-delete files that apply to a data file, ascending."""
        file = entry.data_file
        found = self._index.for_data_file(entry.sequence_number or 0, file, partition_key=file.partition)
        return tuple(sorted(one.file_path for one in found))

    @property
    def obstacle(self) -> str | None:
        """Why no file can be rewritten, in words."""
        for entry in self.deletes:
            file = entry.data_file
            if file.content is DataFileContent.EQUALITY_DELETES:
                return (
                    f"{file.file_path} deletes rows by their values, which can't be applied here: rewrite them with the"
                    " engine that wrote it (Spark: CALL system.rewrite_data_files with delete-file-threshold 1)"
                )
            if file.file_format is not FileFormat.PARQUET:
                return f"{file.file_path} deletes rows and is {file.file_format.value.lower()}, not parquet"
        return None

    def superfluous(self, going: Mapping[str, DataFile]) -> list[ManifestEntry]:
        """Return the position deletes that apply to no data file any more once these have gone."""
        if not self.deletes:
            return []
        needed = {
            path for entry in self.data if entry.data_file.file_path not in going for path in self.applying(entry)
        }
        return [
            entry
            for entry in self.deletes
            if entry.data_file.content is DataFileContent.POSITION_DELETES and entry.data_file.file_path not in needed
        ]


def table_state(table: Table, partition_by: PartitionBy, watermark: datetime) -> TableState | None:
    """Return the files of a table's current snapshot; ``None`` where there is none.

    Args:
        table: the table.
        partition_by: how its present spec divides the time column.
        watermark: where the one partition ends of a table without partitions.
    """
    snapshot = table.current_snapshot()
    if snapshot is None:
        return None
    entries, spec_id = LiveEntries(table), table.metadata.default_spec_id
    own = [entry for entry in entries.data if entry.data_file.spec_id == spec_id]
    return TableState(
        snapshot_id=snapshot.snapshot_id,
        sequence=snapshot.sequence_number or 0,
        files=tuple(_file(entries, entry, partition_by, watermark) for entry in own),
        foreign=len(entries.data) - len(own),
        obstacle=entries.obstacle,
    )


def _file(entries: LiveEntries, entry: ManifestEntry, partition_by: PartitionBy, watermark: datetime) -> TableFile:
    file = entry.data_file
    return TableFile(
        path=file.file_path,
        bytes=file.file_size_in_bytes,
        rows=file.record_count,
        partition=_partition(file, partition_by, watermark),
        sequence=entry.sequence_number or 0,
        deletes=entries.applying(entry),
    )


def _partition(file: DataFile, partition_by: PartitionBy, watermark: datetime) -> Window:
    if partition_by is PartitionBy.NONE:
        return Window(lower=BEGINNING, upper=watermark)
    number = file.partition[0]
    match partition_by:
        case PartitionBy.YEAR:
            lower = datetime(_EPOCH_YEAR + number, 1, 1, tzinfo=UTC)
        case PartitionBy.MONTH:
            years, months = divmod(number, _MONTHS)
            lower = datetime(_EPOCH_YEAR + years, months + 1, 1, tzinfo=UTC)
        case PartitionBy.DAY:
            lower = _EPOCH + timedelta(days=number)
        case _:
            lower = _EPOCH + timedelta(hours=number)
    return Window(lower=lower, upper=partition_by.ceil(lower))


def layout_of(metadata: TableMetadata, footer: Footer) -> Layout | None:
    """Return with which of a table's schemas a data file was written, the newest that fits; ``None`` if none does."""
    parquet = footer.metadata.schema
    leaves = tuple(parquet.column(number).path for number in range(len(parquet)))
    ids = dict(field_ids(parquet.to_arrow_schema()))
    schemas = sorted(metadata.schemas, key=lambda one: one.schema_id, reverse=True)
    newest = [metadata.schema(), *(one for one in schemas if one.schema_id != metadata.current_schema_id)]
    for schema in newest:
        if _fits(schema, leaves, ids):
            part = Schema(*(field for field in schema.fields if field.name in ids))
            # The order of columns in a file does not tell files apart; that of a struct's fields does.
            return Layout(
                schema=part.model_dump_json(exclude={"schema_id"}),
                columns=tuple(sorted(leaves, key=lambda leaf: leaf.partition(".")[0])),
            )
    return None


def _fits(schema: Schema, leaves: Sequence[str], ids: Mapping[str, int | None]) -> bool:
    named = {field.name: field for field in schema.fields}
    return (
        all(name in named and named[name].field_id == number for name, number in ids.items())
        and all(name in ids for name, field in named.items() if field.required)
        and set(leaves) <= parquet_path_to_id_mapping(schema).keys()
    )
