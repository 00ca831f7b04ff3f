"""What the removal of files asks of ledger, catalog and store besides the service's other ports."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Protocol

from consumer.domain.audit import StoredFile
from consumer.domain.stream import TableName
from consumer.ports import Claim


class RemovalLedger(Protocol):
    """The ledger's account of files that nothing refers to: when each was found first."""

    def found(self, stream: str) -> Mapping[str, timedelta]:
        """Return how long ago, by the ledger's clock, each file was found that is on the account, by path."""
        ...

    def close_attempts(self, claim: Claim) -> int:
        """Record as failed what earlier owners of the lease have left as being written; return how many batches.

        Nobody can publish them any more: their epoch has passed.

        Raises:
            FencedError: if the lease has moved on.
        """
        ...

    def note(self, claim: Claim, files: Sequence[StoredFile], gone: Collection[str]) -> None:
        """Put files on the account as of now, where they are not on it yet, and take those off that are ``gone``.

        Raises:
            FencedError: if the lease has moved on.
        """
        ...


class Remover(Protocol):
    """The files of target tables, and who else has some in the same place."""

    def pointer(self, table: TableName) -> str | None:
        """Return a table's current metadata file as the catalog has it now; ``None`` where there is no table."""
        ...

    def sharing(self, table: TableName, location: str) -> Sequence[str]:
        """Return the names of the other tables that have files in a location, or around it, as their metadata says.

        Raises:
            TargetMismatchError: if the metadata of one can't be understood.
        """
        ...

    def remove(self, paths: Collection[str]) -> None:
        """Delete files; one that has gone already is no error.

        Raises:
            AccessDeniedError, StoreUnavailableError: if one could not be deleted; others may have been.
        """
        ...


class RemovalMetrics(Protocol):
    """What the removal of files measures."""

    def removed_files(self, stream: str, files: int, size: int) -> None:
        """Count files that were deleted, and their bytes."""
        ...

    def superfluous_files(self, stream: str, files: int, size: int) -> None:
        """Record how many files of a stream's table wait for their removal, and their bytes."""
        ...
