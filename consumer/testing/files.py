"""The files of tables in memory, for audits."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from consumer.domain.audit import Census, LiveFile, StoredFile
from consumer.domain.batch import WrittenFile
from consumer.domain.stream import TableName
from consumer.testing.catalog import MemoryCatalog
from consumer.testing.memory_table import MemoryTable


class MemoryFiles:
    """What :class:`~consumer.adapters.iceberg.census.IcebergFiles` is, for a catalog whose tables have no manifests.

    ``written`` is what a fake engine has put on the store, by path.
    """

    def __init__(self, catalog: MemoryCatalog, written: Mapping[str, WrittenFile]) -> None:
        self._catalog = catalog
        self._written = written

    def census(self, table: TableName, stored: Sequence[StoredFile] = ()) -> Census | None:  # noqa: ARG002 - none is metadata
        """Return every file that the table's snapshots refer to."""
        known = self._catalog.tables.get(table)
        if known is None:
            return None
        return Census(
            snapshot_id=known.current,
            live=[_live(known, file) for file, _ in known.live()],
            referenced={file.path: file.bytes for snapshot in known.snapshots.values() for file, _ in snapshot.files},
            metadata=frozenset(),
            operations={snapshot.id: snapshot.operation for snapshot in known.snapshots.values()},
            current=str(known.version),
        )

    def stored(self, location: str) -> Sequence[StoredFile]:
        """List every file under a table's location."""
        return [
            StoredFile(path=path, bytes=file.bytes, modified=None)
            for path, file in self._written.items()
            if path.startswith(f"{location}/")
        ]

    def sizes(self, paths: Collection[str]) -> Mapping[str, int]:
        """Return the sizes of those files that are there."""
        return {path: self._written[path].bytes for path in paths if path in self._written}


def _live(table: MemoryTable, file: WrittenFile) -> LiveFile:
    """Describe a live file; the oldest snapshot that has it added it, as far as it is retained."""
    having = [one.id for one in table.snapshots.values() if any(each.path == file.path for each, _ in one.files)]
    return LiveFile(
        path=file.path,
        bytes=file.bytes,
        rows=file.fingerprint.rows,
        snapshot_id=min(having),
        sequence=min(having),
    )
