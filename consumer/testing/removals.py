"""The account of superfluous files, and their deletion, in memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta

from consumer.domain.audit import StoredFile
from consumer.domain.batch import WrittenFile
from consumer.domain.stream import TableName
from consumer.ports import Claim
from consumer.testing.catalog import MemoryCatalog
from consumer.testing.ledger import MemoryLedger


class MemoryRemovals:
    """The port ``RemovalLedger``, with the rules of the real one."""

    def __init__(self, ledger: MemoryLedger, now: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._now = now
        self._noted: dict[str, dict[str, datetime]] = {}

    def found(self, stream: str) -> Mapping[str, timedelta]:
        """Return how long ago each file was found that is on the account, by path."""
        with self._ledger.database.mutex:
            return {path: self._now() - noted for path, noted in self._noted.get(stream, {}).items()}

    def close_attempts(self, claim: Claim) -> int:
        """Record as failed what earlier owners have left as being written; under the fence."""
        with self._ledger.row(claim.stream):
            self._ledger.fenced(claim)
            return self._ledger.recorded.close(claim.stream, claim.epoch, "abandoned")

    def note(self, claim: Claim, files: Sequence[StoredFile], gone: Collection[str]) -> None:
        """Put files on the account, and take others off; under the fence."""
        with self._ledger.row(claim.stream):
            self._ledger.fenced(claim)
            noted = self._noted.setdefault(claim.stream, {})
            for file in files:
                noted.setdefault(file.path, self._now())
            for path in gone:
                noted.pop(path, None)


class MemoryRemover:
    """The port ``Remover``: ``written`` is what lies on the store, ``shared`` names tables in a stream's place."""

    def __init__(self, catalog: MemoryCatalog, written: dict[str, WrittenFile]) -> None:
        self._catalog = catalog
        self._written = written
        self.shared: list[str] = []

    def pointer(self, table: TableName) -> str | None:
        """Return what stands for a table's current metadata file."""
        known = self._catalog.tables.get(table)
        return None if known is None else str(known.version)

    def sharing(self, table: TableName, location: str) -> Sequence[str]:  # noqa: ARG002 - a test says which
        """Return the tables that share a stream's place."""
        return list(self.shared)

    def remove(self, paths: Collection[str]) -> None:
        """Delete files; one that has gone already is no error."""
        for path in paths:
            self._written.pop(path, None)
