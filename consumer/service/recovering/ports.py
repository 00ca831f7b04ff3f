"""What a recovery needs of catalog, store and ledger."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from consumer.domain.recovery import FoundMetadata
from consumer.domain.stream import TableName


class LostTables(Protocol):
    """Tables as the object store holds them, whatever the catalog says of them."""

    def pointer(self, table: TableName) -> str | None:
        """Return the metadata file that the catalog points a table to; ``None`` where it has no such table.

        Raises:
            ConfigurationError: if the catalog is a server that keeps its pointers itself.
        """
        ...

    def metadata_files(self, table: TableName) -> Sequence[str]:
        """List the files beside which a table's metadata lies, where a new table of this name would be made."""
        ...

    def read(self, table: TableName, location: str) -> FoundMetadata | None:
        """Read a metadata file, and look which files of its current snapshot are there.

        ``None`` where the store does not hold the file.

        Raises:
            DivergenceError: if it is no metadata of a table, or its evidence can't be read.
            TargetMismatchError: if its format version is a newer one.
        """
        ...

    def point(self, table: TableName, *, base: str | None, location: str) -> None:
        """Let the catalog point a table to a metadata file.

        Nothing is done unless it still points to ``base``, or has no such table, where that is ``None``.

        Raises:
            BaseMovedError: if somebody else was faster.
            UnknownCommitError: if nobody knows; it may be done again.
        """
        ...


class RecoveryLedger(Protocol):
    """The ledger, as a recovery sees it."""

    def make_room(self, stream: str, start: datetime, epoch: int) -> None:
        """Give a stream without tables a row whose epochs begin above ``epoch``: those before were other owners'."""
        ...
