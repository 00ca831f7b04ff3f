"""Another engine deletes single rows of a table: a position-delete file, and the snapshot that adds it."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

import pyarrow as pa
from pyarrow import parquet
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.manifest import (
    POSITIONAL_DELETE_SCHEMA,
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    ManifestWriterV2,
)
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update.snapshot import _FastAppendFiles

from tests.support.cold_tier import IcebergColdTier


class _Writer(ManifestWriterV2):
    def content(self) -> ManifestContent:
        return ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return {**super()._meta, "content": "deletes"}


class _Deletes(_FastAppendFiles):
    """A snapshot that adds delete files; PyIceberg writes none."""

    deletes: Sequence[DataFile]

    def _process_manifests(self, manifests: list[ManifestFile]) -> list[ManifestFile]:
        metadata = self._transaction.table_metadata
        with _Writer(
            metadata.spec(), self.schema(), self.new_manifest_output(), self.snapshot_id, self._compression
        ) as writer:
            for file in self.deletes:
                entry = ManifestEntry.from_args(
                    status=ManifestEntryStatus.ADDED, snapshot_id=self.snapshot_id, data_file=file
                )
                writer.add(entry)
        return [writer.to_manifest_file(), *manifests]


def delete_rows(tier: IcebergColdTier, path: str, positions: Sequence[int], *, by_value: bool = False) -> str:
    """Delete the rows of a data file at these positions; return the path of the delete file.

    ``by_value`` says that the file deletes rows by their values, which nobody here can apply.
    """
    table = tier.table()
    (file,) = (task.file for task in table.scan().plan_files() if task.file.file_path == path)
    rows = pa.table({"file_path": [path] * len(positions), "pos": list(positions)})
    sink = pa.BufferOutputStream()
    parquet.write_table(rows.cast(schema_to_pyarrow(POSITIONAL_DELETE_SCHEMA)), sink)
    content = sink.getvalue().to_pybytes()
    place = f"{table.location()}/{tier.foreign}/{uuid4()}-deletes.parquet"
    tier.put(place, content)
    deletes = DataFile.from_args(
        content=DataFileContent.EQUALITY_DELETES if by_value else DataFileContent.POSITION_DELETES,
        file_path=place,
        file_format=FileFormat.PARQUET,
        partition=file.partition,
        record_count=len(positions),
        file_size_in_bytes=len(content),
        spec_id=file.spec_id,
        equality_ids=[1] if by_value else None,
        key_metadata=None,
    )
    with table.transaction() as transaction:
        producer = _Deletes(operation=Operation.DELETE, transaction=transaction, io=table.io)
        producer.deletes = [deletes]
        producer.commit()
    return place
