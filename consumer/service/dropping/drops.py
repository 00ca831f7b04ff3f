"""Dropping: into quarantine, compare there, and only then drop, or move back.

Inserts go to the source all the while, so a row that arrives after the comparison is in no partition that is dropped.
Every step is recorded before or after it happens, and what stands in a quarantine table is finished by the next run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID, uuid4

import structlog

from consumer.domain.errors import CheckFailedError, FencedError, StreamError
from consumer.domain.hot_drop import DropState, HotDrop, HotPartition, Selection, quarantine_table
from consumer.domain.stream import Stream, TableName
from consumer.failpoints.acting import Failpoints
from consumer.ports import Claim, Ledger
from consumer.service.dropping.ports import DropLog, Partitions
from consumer.service.dropping.review import Examined, Place, Report, Review, without
from consumer.service.lease import LeaseKeeper
from consumer.service.operator import operator

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One run under one claim; ``still_ours`` raises once the lease is lost."""

    stream: Stream
    claim: Claim
    still_ours: Callable[[], None]
    requested_by: str


class HotDrops:
    """Drops partitions of a stream's source; holds the stream's lease meanwhile."""

    def __init__(
        self,
        *,
        review: Review,
        ledger: Ledger,
        log: DropLog,
        partitions: Partitions,
        owner: str,
        lease: timedelta,
        failpoints: Failpoints,
        new_id: Callable[[], UUID] = uuid4,
    ) -> None:
        self._review = review
        self._ledger = ledger
        self._drops = log
        self._partitions = partitions
        self._owner = owner
        self._lease = lease
        self._failpoints = failpoints
        self._new_id = new_id

    def drop(self, stream: Stream, selection: Selection) -> Report:
        """Finish what an earlier run left in quarantine, then drop the chosen partitions, one after the other.

        May be repeated after any failure: a partition is in the source, or in quarantine and found there.

        Raises:
            LeaseHeldError: if a consumer works on the stream at this moment.
            ConfigurationError, DropRefusedError: as :meth:`Review.review` raises them.
            FencedError: if the lease was lost on the way.
            StreamError, TransientError: as source, ledger and catalog raise them.
        """
        self._review.check(stream, self._ledger.read([stream.name]).get(stream.name))
        with self._failpoints.around("lease.claim"):
            claim = self._ledger.claim(stream.name, self._owner, self._lease)
        with LeaseKeeper(self._ledger, claim, self._lease, on_lost=lambda: None, failpoints=self._failpoints) as keeper:
            unproven = self._review.check(stream, claim.record)
            run = _Run(stream=stream, claim=claim, still_ours=keeper.check, requested_by=operator())
            found, finished, empty = self._settle(run)
            dropped = [one.partition.id for one in finished if one.state is DropState.DROPPED]
            rest = without(selection, [*dropped, *(one.partition.id for one in found)])
            there = self._partitions.partitions(stream, stream.source)
            chosen = rest.choose(stream, there, claim.record.watermark)
            self._review.check_views(stream, chosen)
            found += [self._drop(run, one) for one in chosen]
            if chosen:
                self._remove(run, quarantine_table(stream, claim.epoch))
        return Report(
            stream=stream,
            watermark=claim.record.watermark,
            dry=False,
            partitions=found,
            finished=finished,
            empty_quarantines=empty,
            unproven=unproven,
        )

    # ------------------------------------------------------------------------------- one partition

    def _drop(self, run: _Run, partition: HotPartition) -> Examined:
        quarantine = quarantine_table(run.stream, run.claim.epoch)
        drop = self._begin(run, partition, quarantine)
        with self._refused(run, drop):
            run.still_ours()
            with self._failpoints.around("quarantine.create"):
                self._partitions.create(run.stream, quarantine)
            run.still_ours()
            with self._failpoints.around("partition.quarantine"):
                self._partitions.move(partition.id, run.stream.source, quarantine)
        moved = [one for one in self._partitions.partitions(run.stream, quarantine) if one.id == partition.id]
        if not moved:
            self._end(run, drop, DropState.RETURNED, "the partition was gone before it could be moved")
            comparison = self._review.compare(run.stream, run.claim.record, run.stream.source, partition)
            return Examined(partition=partition, comparison=comparison, place=Place.RETURNED)
        return self._judge(run, drop, moved[0])

    def _judge(self, run: _Run, drop: HotDrop, partition: HotPartition) -> Examined:
        """Compare what is in quarantine now, and drop it or move it back."""
        with self._brought_back(run, drop):
            comparison = self._review.compare(run.stream, run.claim.record, drop.quarantine, partition)
        there = [one for one in self._partitions.partitions(run.stream, drop.quarantine) if one.id == partition.id]
        unchanged = [one.content_id for one in there] == [partition.content_id]
        if comparison.contained and unchanged:
            with self._failpoints.around("drop.verify"):
                self._drops.verified(run.claim, drop.id, comparison.hot, comparison.snapshot_id)
            run.still_ours()
            with self._failpoints.around("partition.drop"):
                self._partitions.drop(partition.id, drop.quarantine)
            self._end(run, drop, DropState.DROPPED, None)
            return Examined(partition=partition, comparison=comparison, place=Place.DROPPED)
        reason = f"{comparison.missing} rows are missing in the cold tier" if unchanged else "it changed in quarantine"
        self._bring_back(run, drop, reason)
        return Examined(partition=partition, comparison=comparison, place=Place.RETURNED)

    def _bring_back(self, run: _Run, drop: HotDrop, reason: str) -> None:
        run.still_ours()
        with self._failpoints.around("partition.return"):
            self._partitions.move(drop.partition.id, drop.quarantine, run.stream.source)
        self._end(run, drop, DropState.RETURNED, reason)

    @contextmanager
    def _brought_back(self, run: _Run, drop: HotDrop) -> Iterator[None]:
        """Move a partition back that can't be compared: nobody reads it there, and to repeat that may not help."""
        try:
            yield
        except (StreamError, CheckFailedError) as error:
            self._bring_back(run, drop, error.message)
            raise

    def _begin(self, run: _Run, partition: HotPartition, quarantine: TableName) -> HotDrop:
        drop = HotDrop(
            id=self._new_id(),
            stream=run.stream.name,
            partition=partition,
            quarantine=quarantine,
            requested_by=run.requested_by,
            state=DropState.MOVING,
        )
        with self._failpoints.around("drop.record"):
            self._drops.begin(run.claim, drop)
        return drop

    def _end(self, run: _Run, drop: HotDrop, state: DropState, reason: str | None) -> None:
        with self._failpoints.around("drop.end"):
            self._drops.end(run.claim, drop.id, state, reason)
        _log.info(
            "hot_partition.settled",
            stream=drop.stream,
            partition=drop.partition.id,
            state=state.value,
            reason=reason or "",
        )

    @contextmanager
    def _refused(self, run: _Run, drop: HotDrop) -> Iterator[None]:
        """Record that nothing was moved, where ClickHouse says so for certain."""
        try:
            yield
        except StreamError as error:
            self._end(run, drop, DropState.RETURNED, error.message)
            raise

    # ------------------------------------------------------------------------------ after a failure

    def _settle(self, run: _Run) -> tuple[list[Examined], list[HotDrop], list[TableName]]:
        """Finish what is in quarantine, end the records of what is not, and name tables that are left as they are.

        A table is removed only if its move was answered: one that is still under way in the server may yet land in it.
        """
        known = {(one.quarantine, one.partition.id): one for one in self._drops.open(run.stream.name)}
        found: list[Examined] = []
        empty: list[TableName] = []
        for quarantine in self._partitions.quarantines(run.stream):
            landed = [key for key, one in known.items() if key[0] == quarantine and one.state is DropState.VERIFIED]
            there = self._partitions.partitions(run.stream, quarantine)
            for partition in there:
                drop = known.pop((quarantine, partition.id), None) or self._begin(run, partition, quarantine)
                found.append(self._judge(run, drop, partition))
            pending = any(key[0] == quarantine and one.state is DropState.MOVING for key, one in known.items())
            if (there or landed) and not pending:
                self._remove(run, quarantine)
            else:
                empty.append(quarantine)
        finished = [self._finish(run, drop) for drop in known.values()]
        return found, finished, empty

    def _finish(self, run: _Run, drop: HotDrop) -> HotDrop:
        """End the record of a partition that stands in no quarantine table."""
        gone = drop.state is DropState.VERIFIED
        state = DropState.DROPPED if gone else DropState.RETURNED
        self._end(run, drop, state, None if gone else "it was never moved, or had been moved back")
        return replace(drop, state=state)

    def _remove(self, run: _Run, quarantine: TableName) -> None:
        """Remove a quarantine table, if it is empty."""
        run.still_ours()
        if self._partitions.partitions(run.stream, quarantine):
            raise FencedError(
                f"stream {run.stream.name}: {quarantine} has got rows that this run did not move there",
                remedy="run the same command again: it takes them up",
            )
        with self._failpoints.around("quarantine.remove"):
            self._partitions.remove(quarantine)
