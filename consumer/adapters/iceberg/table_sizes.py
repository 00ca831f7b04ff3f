"""How many data files target tables have, and how large they are: from the manifests, read once for each snapshot."""

from __future__ import annotations

from uuid import UUID

from pyiceberg.io import FileIO
from pyiceberg.table.snapshots import Snapshot

from consumer.adapters.iceberg.placement import Placement
from consumer.adapters.iceberg.store import table_errors
from consumer.domain.stream import TableName
from consumer.domain.table_size import TableSize
from consumer.settings.connections import StoreSettings


class TableSizes:
    """Sizes of tables; a table whose snapshot is the one of the last look is not read again."""

    def __init__(self, placement: Placement, store: StoreSettings) -> None:
        self._io: FileIO = placement.io
        self._bases = placement.bases
        self._store = store
        self._known: dict[TableName, tuple[UUID, int | None, TableSize]] = {}

    def size(self, table: TableName) -> TableSize | None:
        """Return the size of a table; ``None`` where there is none.

        Raises:
            CatalogUnavailableError, LedgerUnavailableError, StoreUnavailableError: if it can't be looked at now.
        """
        base = self._bases.load(table)
        if base is None:
            self._known.pop(table, None)
            return None
        version = (base.metadata.table_uuid, base.metadata.current_snapshot_id)
        known = self._known.get(table)
        if known is not None and known[:2] == version:
            return known[2]
        with table_errors(self._store, table, f"reading the manifests of {table}"):
            size = TableSize.of(task.file.file_size_in_bytes for task in base.table(self._io).scan().plan_files())
        self._known[table] = (*version, size)
        return size


def total_of(snapshot: Snapshot | None, name: str) -> int:
    """Return a total of a snapshot's summary; 0 where its writer did not tell."""
    summary = None if snapshot is None else snapshot.summary
    text = "" if summary is None else summary.additional_properties.get(name, "")
    return int(text) if text.isdecimal() else 0
