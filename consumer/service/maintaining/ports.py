"""What maintenance asks of tables and ledger, besides what a batch does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from consumer.domain.compaction import Layout, TableState
from consumer.domain.maintenance import TaskName
from consumer.domain.stream import Stream
from consumer.ports import Claim


class CompactedTables(Protocol):
    """The data files of target tables."""

    def state(self, stream: Stream, watermark: datetime) -> TableState | None:
        """Return the files of the target's current snapshot; ``None`` where there is no table, or none yet.

        The partition of a table without partitions ends at the ``watermark``.

        Raises:
            TargetMismatchError: if it is no table that can be understood.
            AccessDeniedError, StoreUnavailableError, CatalogUnavailableError, LedgerUnavailableError: if it can't be
                read.
        """
        ...

    def file_bytes(self, stream: Stream) -> int | None:
        """Return how many bytes the target's properties ask a data file to have; ``None`` where they don't.

        Raises:
            TargetMismatchError: if a property can't be followed.
        """
        ...

    def layouts(self, stream: Stream, paths: Sequence[str]) -> Mapping[str, Layout]:
        """Return how data files were written, by path; one is left out that fits none of the table's schemas.

        Raises:
            CheckFailedError: if a file is missing, or no Parquet file.
            AccessDeniedError, StoreUnavailableError: if the store can't be read.
        """
        ...


class MaintenanceLedger(Protocol):
    """The ledger, as maintenance sees it."""

    def looked(self, stream: str, task: TaskName) -> tuple[datetime | None, datetime]:
        """Return when a task last found nothing more to do in a stream's target, and the ledger's clock.

        The former is ``None`` if nobody has looked yet; the latter is one for all consumers.

        Raises:
            LedgerUnavailableError: if the ledger can't be reached.
        """
        ...

    def note(self, claim: Claim, task: TaskName) -> None:
        """Note that a task has nothing more to do now, by the ledger's clock and under the fence.

        Raises:
            FencedError: if the epoch has moved on.
            LedgerUnavailableError: if the ledger can't be reached.
        """
        ...

    def abandon(self, claim: Claim) -> int:
        """Record rewrites as failed that owners before this one have begun, and return how many; under the fence.

        Nobody can publish them any more: the epoch has moved on, and what has landed elsewhere was recorded before.

        Raises:
            FencedError: if the epoch has moved on.
            LedgerUnavailableError: if the ledger can't be reached.
        """
        ...
