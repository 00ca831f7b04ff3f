"""Another writer: an engine or a person that commits to the tables behind icehaul's back."""

from __future__ import annotations

from consumer.domain.batch import Evidence, WrittenFile
from consumer.domain.window import Window
from consumer.testing.memory_table import MemoryTable
from consumer.testing.rows import ROW_BYTES, fingerprint_of
from tests.simulation.servers import Servers

_KEPT = (1, 1, 2, 3)
"""How many snapshots an expiry may keep."""


class Foreign:
    """Commits of others. While a transaction holds a table, they would wait, and so nothing happens."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._saved: dict[str, int] = {}

    def commit(self, stream: str, what: int) -> None:
        """Append a snapshot, compact files (and carry the evidence or not), or expire snapshots."""
        table = self._table(stream)
        if table is None:
            return
        match what % 5:
            case 0 | 1:
                self._servers.catalog.add_foreign(table.name)
                self._count("append")
            case 2 | 3:
                self._compact(table, carry=what % 5 == 2)
            case _:
                if not self._servers.truth.streams[stream].rolled_back:
                    self._servers.catalog.expire(table.name, _KEPT[what % len(_KEPT)])
                    self._count("expire")

    def roll_back(self, stream: str, which: int) -> None:
        """Roll a table back; if that takes rows or evidence away, nothing may be published until it is put back."""
        table, truth = self._table(stream), self._servers.truth.streams[stream]
        if self._servers.catalog.unrecorded(stream):
            # Who rolls back to the very base of a commit on its way may let it land: nothing can be promised then.
            return
        ancestors = [snapshot.id for snapshot in table.ancestry()][1:] if table is not None else []
        if table is None or table.current is None or truth.rolled_back or not ancestors:
            return
        chosen = ancestors[which % len(ancestors)]
        if self._servers.catalog.awaited(table.name, chosen):
            # So may who rolls back to before a seal, while the owner that was sealed off still stands at its commit.
            return
        saved, before = table.current, (_proves(table), self._servers.cold(stream))
        self._servers.catalog.roll_back(table.name, chosen)
        self._saved.pop(stream, None)
        if (_proves(table), self._servers.cold(stream)) != before:
            truth.rolled_back = truth.diverged = True
            self._saved[stream] = saved
            self._count("roll back")

    def put_back(self, stream: str) -> None:
        """Put a table back to the snapshot that it was rolled back from."""
        table, truth = self._table(stream), self._servers.truth.streams[stream]
        if table is not None and truth.rolled_back and stream in self._saved:
            self._servers.catalog.roll_back(table.name, self._saved.pop(stream))
            truth.rolled_back = False
            self._count("put back")

    def _compact(self, table: MemoryTable, *, carry: bool) -> None:
        live, servers = table.live(), self._servers
        if len(live) < 2:
            return
        rows = [row for file, _ in live for row in servers.source.files[file.path]]
        file = WrittenFile(
            unit=0,
            path=f"memory://compacted/{servers.uuid()}.parquet",
            bytes=len(rows) * ROW_BYTES,
            fingerprint=fingerprint_of(rows),
        )
        window = Window(lower=min(each.lower for _, each in live), upper=max(each.upper for _, each in live))
        servers.source.files[file.path] = rows
        servers.written[file.path] = file
        servers.catalog.rewrite(table.name, {each.path for each, _ in live}, [(file, window)], carry=carry)
        self._count("compact")

    def _table(self, stream: str) -> MemoryTable | None:
        name = self._servers.streams[stream].target
        return None if self._servers.database.locked(str(name)) else self._servers.catalog.tables.get(name)

    def _count(self, what: str) -> None:
        self._servers.counts[f"foreign {what}"] += 1


def _proves(table: MemoryTable) -> tuple[object, ...] | None:
    evidence: Evidence | None = table.evidence()
    return None if evidence is None else (evidence.upper, evidence.generation, evidence.batch_id)
