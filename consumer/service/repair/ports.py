"""What a repair reads of the ledger, and what it changes there at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from consumer.domain.batch import BatchKind
from consumer.domain.event import Event
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.reconcile import ComparedPartition, Finding
from consumer.domain.repair import KnownBatch
from consumer.domain.window import Window
from consumer.ports import Claim


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuiltFile:
    """A live data file that the ledger gives to a window that was counted, with all rows that it holds."""

    path: str
    bytes: int
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuiltWindow:
    """A window that is recorded as the table holds it; batches inside it do not count any more.

    ``kind`` is that of a live window, or of one that was backfilled.
    """

    id: UUID
    kind: BatchKind
    window: Window
    fingerprint: Fingerprint
    files: tuple[RebuiltFile, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """Everything that one repair makes true at once.

    Attributes:
        withdrawn: ids of batches that are done, and are not in the table.
        reinstated: ids of batches that were withdrawn, and are in the table again.
        rebuilt: windows that are recorded anew, as they were counted in the table.
        snapshot_id: the table's snapshot that was looked at.
        watermark: up to where windows lead without a gap.
        last_upper: the table's last non-empty upper.
        last_batch_id: the batch that the table names last.
        source_uuid: the source table.
        target_uuid: the table.
        adopted: rows below this instant were in the table before icehaul.
        backfills: withdrawn windows below the start: the requests that they were backfilled for are open again.
        findings: rows that can't be written again.
        partitions: the source's partitions with what is pending from the watermark on; all others are forgotten.
        event: what wakes the stream up, to write the missing windows again.
    """

    withdrawn: Sequence[UUID]
    reinstated: Sequence[UUID]
    rebuilt: Sequence[RebuiltWindow]
    snapshot_id: int | None
    watermark: datetime
    generation: int
    last_upper: datetime | None
    last_batch_id: UUID | None
    source_uuid: UUID
    target_uuid: UUID
    adopted: datetime | None
    backfills: Sequence[Window]
    findings: Sequence[Finding]
    partitions: Sequence[ComparedPartition]
    event: Event


class RepairLedger(Protocol):
    """The ledger, as a repair sees it."""

    def partitions(self, stream: str) -> Mapping[str, ComparedPartition]:
        """Return the partitions of the source as they were last compared with the record, by id."""
        ...

    def known_batches(self, stream: str) -> Sequence[KnownBatch]:
        """Return every batch of a stream that is published, empty or withdrawn."""
        ...

    def repair(self, claim: Claim, repair: Repair) -> None:
        """Do all of a repair in one transaction, under the fence; a halted stream is active again after it.

        May be repeated after an unknown outcome.

        Raises:
            FencedError: if the epoch has moved on.
            DivergenceError: if the ledger has no row for the stream.
        """
        ...
