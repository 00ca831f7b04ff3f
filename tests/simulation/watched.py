"""The public fakes, watched: each effect is told to the model at the moment when it becomes true."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from consumer.domain.batch import Batch, Rewind, WrittenFile
from consumer.domain.errors import IcehaulError
from consumer.domain.event import Event
from consumer.domain.window import EVER
from consumer.ports import BatchRecord, Claim, Publication, StreamRecord, Trigger
from consumer.service.repair.ports import Repair
from consumer.service.runtime.ports import Partition
from consumer.testing.backfills import MemoryBackfills
from consumer.testing.broker import BrokerMessage, MemoryBroker
from consumer.testing.database import MemoryDatabase
from consumer.testing.group_member import MemoryMember
from consumer.testing.ledger import MemoryLedger
from consumer.testing.repairs import MemoryRepairs
from consumer.testing.rewinds import MemoryRewinds
from consumer.testing.source import MemorySource
from tests.simulation.deliveries import Deliveries
from tests.simulation.kernel import Kernel, SimulatedThreads
from tests.simulation.truth import Truth

_HALTS = ("still failing after", "halted by the operator", "went before they were offloaded")
"""Parts of the reasons that a stream of the simulation may be halted for, while nobody rolls its table back."""


class WatchedBackfills(MemoryBackfills):
    """Backfills that tell what lands."""

    def pass_over(self, claim: Claim, batch: Batch, trigger: Trigger, outbox: Sequence[Event]) -> None:
        ledger = cast("WatchedLedger", self._ledger)
        before = ledger.watermarks()
        super().pass_over(claim, batch, trigger, outbox)
        ledger.passed_over(claim, batch, before)


class WatchedRepairs(MemoryRepairs):
    """Repairs that tell what lands; ``proven`` returns the batch that a stream's table names last."""

    proven: Callable[[str], UUID | None] = staticmethod(lambda _stream: None)

    def repair(self, claim: Claim, repair: Repair) -> None:
        ledger = cast("WatchedLedger", self._ledger)
        before = ledger.known(claim.stream).generation
        super().repair(claim, repair)
        if ledger.known(claim.stream).generation != before:
            ledger.repaired(claim, follows=self.proven(claim.stream) == repair.last_batch_id)


class WatchedRewinds(MemoryRewinds):
    """Rewinds that tell what lands."""

    def set_back(self, claim: Claim, batch: Batch, rewind: Rewind, trigger: Trigger) -> None:
        super().set_back(claim, batch, rewind, trigger)
        cast("WatchedLedger", self._ledger).set_back(claim, batch)

    def apply(self, batch: Batch, rewind: Rewind, record: BatchRecord, known: StreamRecord) -> StreamRecord:
        cast("WatchedLedger", self._ledger).rewound(batch, rewind, known)
        return super().apply(batch, rewind, record, known)


class WatchedLedger(MemoryLedger):
    """A ledger that tells what lands."""

    def __init__(
        self,
        truth: Truth,
        deliveries: Deliveries,
        kernel: Kernel,
        now: Callable[[], datetime],
        database: MemoryDatabase,
    ) -> None:
        super().__init__(now=now, database=database)
        self.backfills = WatchedBackfills(self, self._batches, self._outbox, now)
        self.repairs: WatchedRepairs = WatchedRepairs(self, self._batches, self._comparisons, self._outbox, now)
        self.rewinds = WatchedRewinds(self, self._batches, self._comparisons)
        self._truth = truth
        self._deliveries = deliveries
        self._kernel = kernel

    def passed_over(self, claim: Claim, batch: Batch, before: Mapping[str, datetime]) -> None:
        """Tell that a stretch of history without rows is done."""
        thread = self._kernel.current
        self._truth.passed_over(thread.name if thread else "", claim, batch, before)

    def repaired(self, claim: Claim, *, follows: bool) -> None:
        """Tell that the ledger follows the table."""
        windows = [one.window for one in self.windows(claim.stream, EVER)]
        before = self._truth.streams[claim.stream].watermark
        self._truth.repaired(claim, windows, follows=follows)
        self._deliveries.rewound(claim.stream, self._truth.step, before, self._truth.streams[claim.stream].watermark)

    def pause(self, stream: str, *, reason: str, remedy: str) -> bool:
        paused = super().pause(stream, reason=reason, remedy=remedy)
        if paused:
            self._truth.fenced(stream, self._streams[stream].epoch)
        return paused

    def rewound(self, batch: Batch, rewind: Rewind, known: StreamRecord) -> None:
        """Tell that a stream is set back."""
        self._deliveries.rewound(batch.stream, self._truth.step, known.watermark, rewind.watermark)
        self._truth.rewound(batch, rewind, self.watermarks())

    def set_back(self, claim: Claim, batch: Batch) -> None:
        """Tell by whom a stream was set back without a publish."""
        self._truth.set_back(claim, batch)

    def watermarks(self) -> dict[str, datetime]:
        """Return every stream's watermark."""
        return {name: record.watermark for name, record in self._streams.items()}

    def claim(self, stream: str, owner: str, ttl: timedelta) -> Claim:
        claim = super().claim(stream, owner, ttl)
        self._truth.claimed(claim)
        return claim

    def release(self, claim: Claim) -> None:
        super().release(claim)
        self._truth.released(claim)

    def begin(self, claim: Claim, batch: Batch, trigger: Trigger, prefix: str | None = None) -> None:
        super().begin(claim, batch, trigger, prefix)
        if prefix is not None:
            self._truth.prefixes.add(prefix)
        thread = self._kernel.current
        self._truth.begun(thread.name if thread else "", batch)

    def stage(self, claim: Claim, batch_id: UUID, prefix: str, files: Sequence[WrittenFile]) -> None:
        super().stage(claim, batch_id, prefix, files)
        self._truth.prefixes.add(prefix)
        self._truth.staged.update(file.path for file in files)

    def advance(self, claim: Claim, batch: Batch, trigger: Trigger, outbox: Sequence[Event]) -> None:
        before = self.watermarks()
        super().advance(claim, batch, trigger, outbox)
        thread = self._kernel.current
        self._truth.advanced(thread.name if thread else "", claim, batch, before)

    def landed(self, publication: Publication, snapshot_id: int) -> None:
        before = self.watermarks()
        super().landed(publication, snapshot_id)
        paths = [file.path for file in publication.files]
        self._truth.several_units += len(publication.batch.units) > 1
        self._truth.published(publication.claim, publication.batch, paths, before)

    def park(self, event: Event) -> None:
        super().park(event)
        self._deliveries.parked(event, self._truth.step)

    def halt(self, stream: str, *, reason: str, remedy: str, epoch: int | None) -> bool:
        halted = super().halt(stream, reason=reason, remedy=remedy, epoch=epoch)
        self._truth.halts += halted
        if halted and not any(known in reason for known in _HALTS) and not self._truth.streams[stream].diverged:
            self._truth.violated(f"{stream} is halted without need: {reason}")
        return halted


class WatchedBroker(MemoryBroker):
    """A broker that has every commit judged."""

    def __init__(self, truth: Truth, deliveries: Deliveries, threads: SimulatedThreads, partitions: int) -> None:
        super().__init__(partitions=partitions, threads=threads)
        self._truth = truth
        self._deliveries = deliveries

    def hand_over(self, partition: Partition, member: MemoryMember) -> int:
        offset = super().hand_over(partition, member)
        self._deliveries.handed_over(id(member), partition, offset)
        return offset

    def record(self, member: MemoryMember, partition: Partition, offset: int) -> None:
        super().record(member, partition, offset)
        present = [message.number for message in self.messages(partition)]
        for problem in self._deliveries.committed(id(member), partition, offset, present):
            self._truth.violated(problem)


class WatchedMember(MemoryMember):
    """A member whose messages are known to the model."""

    def __init__(self, broker: MemoryBroker, truth: Truth, deliveries: Deliveries, source: MemorySource) -> None:
        super().__init__(broker)
        self._truth = truth
        self._deliveries = deliveries
        self._source = source

    def poll(self, timeout: float, limit: int) -> Sequence[BrokerMessage]:
        messages = super().poll(timeout, limit)
        for message in messages:
            self._deliveries.delivered(id(self), message, self._truth.step, self._source.time)
        return messages


class WatchedDeadLetters:
    """Dead letters that are known to the model."""

    def __init__(self, truth: Truth, deliveries: Deliveries) -> None:
        self._truth = truth
        self._deliveries = deliveries

    def send(self, message: BrokerMessage, error: IcehaulError) -> None:
        """Keep a dead letter."""
        self._deliveries.buried(message, self._truth.step)
