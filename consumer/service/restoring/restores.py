"""Restoring: into a staging table, compared there with the cold tier, and only then into the table that was named.

Rows are written and compared without the stream's lease: a snapshot never changes. The lease is held while they go to
their place. Whoever holds it first removes the staging tables of all other runs, so that what a process does that was
taken for dead reaches nothing any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import structlog

from consumer.domain.errors import IcehaulError, StreamError
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.restore import RestoreChoice, RestoreMark, staging_table
from consumer.domain.restore_query import copy_statement, create_statement
from consumer.domain.stream import Stream, TableName
from consumer.failpoints.acting import Failpoints
from consumer.ports import Ledger
from consumer.service.lease import LeaseKeeper
from consumer.service.operator import operator
from consumer.service.restoring.ports import DroppedRows, RestoreServer
from consumer.service.restoring.review import Plan, Review, Standing

_log = structlog.get_logger(__name__)
_AGAIN = "run the same command again: it takes up what is left, and removes what is of no use"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was restored.

    ``plan`` is as it stood before, ``removed`` are staging tables of earlier runs that were of no use.
    """

    plan: Plan
    removed: Sequence[TableName]


class Restores:
    """Restores rows of the cold tier into ClickHouse."""

    def __init__(
        self,
        *,
        review: Review,
        ledger: Ledger,
        drops: DroppedRows,
        server: RestoreServer,
        owner: str,
        lease: timedelta,
        failpoints: Failpoints,
        new_id: Callable[[], UUID] = uuid4,
    ) -> None:
        self._review = review
        self._ledger = ledger
        self._drops = drops
        self._server = server
        self._owner = owner
        self._lease = lease
        self._failpoints = failpoints
        self._new_id = new_id

    def restore(self, stream: Stream, choice: RestoreChoice) -> Restored:
        """Restore rows, none of them twice; may be repeated after any failure.

        Raises:
            LeaseHeldError: if a consumer works on the stream when the rows are to go to their place.
            FencedError: if the lease was lost on the way.
            StreamError: besides what :meth:`Review.review` raises, if the restored rows are not those of the cold tier.
            TransientError: as source, ledger and catalog raise them.
        """
        plan = self._review.review(stream, choice)
        staging = staging_table(choice.into, self._new_id().hex[:12])
        with _left_named(stream, staging):
            if plan.standing is not Standing.RESTORED and not plan.finishing:
                self._stage(plan, staging)
            removed = self._place(plan, staging)
        total = plan.total
        _log.info(
            "restore.ended",
            stream=stream.name,
            into=str(choice.into),
            rows=total.rows,
            digest=total.hex,
            snapshot=plan.origin.past.snapshot_id,
        )
        return Restored(plan=plan, removed=removed)

    # ------------------------------------------------------------------------------------------ staging

    def _stage(self, plan: Plan, staging: TableName) -> None:
        """Write the rows into a staging table, and compare them there."""
        into = plan.choice.into
        comment = RestoreMark(stream=plan.stream.name, into=str(into)).comment()
        if plan.standing is Standing.ABSENT:
            statement = create_statement(staging, plan.mapping, plan.origin.layout, comment=comment)
        else:
            statement = copy_statement(staging, into, comment)
        with self._failpoints.around("staging.create"):
            self._server.create(into, staging, statement)
        with self._failpoints.around("staging.fill"):
            self._server.insert(plan.stream, plan.mapping, staging, plan.choice.within, plan.files)
        staged = self._review.rows_in(plan, staging)
        if list(staged) != list(plan.expected):
            with self._failpoints.around("staging.remove"):
                self._server.remove(staging)
            raise _mismatch(plan, staged, "restored")

    # ------------------------------------------------------------------------------------------ placing

    def _place(self, plan: Plan, staging: TableName) -> Sequence[TableName]:
        """Let the rows go to their place, under the lease; return staging tables that were of no use."""
        with self._failpoints.around("lease.claim"):
            claim = self._ledger.claim(plan.stream.name, self._owner, self._lease)
        with LeaseKeeper(self._ledger, claim, self._lease, on_lost=lambda: None, failpoints=self._failpoints) as keeper:
            useless = list(plan.leftovers)
            if plan.finishing:
                with self._failpoints.around("staging.take"):
                    self._server.rename(useless.pop(0), staging)
            for leftover in useless:
                keeper.check()
                with self._failpoints.around("staging.remove"):
                    self._server.remove(leftover)
            if plan.standing is not Standing.RESTORED:
                self._move(plan, staging, keeper.check)
            if plan.drops:
                with self._failpoints.around("restore.record"):
                    reason = f"icehaul restore brought the rows back for {operator()}"
                    self._drops.restored(claim, [drop.id for drop in plan.drops], reason)
            found = self._review.rows_in(plan, plan.choice.into)
            if list(found) != list(plan.expected):
                raise _mismatch(plan, found, "found there")
            if plan.standing not in {Standing.RESTORED, Standing.ABSENT}:
                keeper.check()
                with self._failpoints.around("staging.remove"):
                    self._server.remove(staging)
        return useless

    def _move(self, plan: Plan, staging: TableName, still_ours: Callable[[], None]) -> None:
        into = plan.choice.into
        here = self._review.rows_in(plan, into)
        if not self._review.completes(plan, here, staging):
            raise StreamError(
                f"stream {plan.stream.name}: {into} or {staging} has changed while rows were restored", remedy=_AGAIN
            )
        if plan.standing is Standing.ABSENT:
            still_ours()
            with self._failpoints.around("table.name"):
                self._server.rename(staging, into)
        else:
            for partition in self._server.partitions(staging):
                still_ours()
                with self._failpoints.around("partition.restore"):
                    self._server.move(partition, staging, into)


@contextmanager
def _left_named(stream: Stream, staging: TableName) -> Iterator[None]:
    """Say which table may be left where something fails."""
    try:
        yield
    except IcehaulError as error:
        _log.warning("restore.interrupted", stream=stream.name, staging=str(staging), error=error.message)
        raise


def _mismatch(plan: Plan, found: Sequence[Fingerprint], what: str) -> StreamError:
    window, wrong, right = next(
        (window, one, other)
        for window, one, other in zip(plan.wanted, found, plan.expected, strict=True)
        if one != other
    )
    defaults = ", ".join(f"{one.name} DEFAULT {one.default_sql}" for one in plan.mapping.columns if one.filled)
    other_each_time = (
        f"if another value comes of a DEFAULT each time ({defaults}), as of now() or rand(), give the column one in"
        f" {plan.stream.source} that stays the same (ALTER TABLE {plan.stream.source} MODIFY COLUMN …), and run the"
        " command again; otherwise "
    )
    return StreamError(
        f"stream {plan.stream.name}: {wrong.rows} rows of {window} with digest {wrong.hex} were {what} in"
        f" {plan.choice.into}, the cold tier holds {right.rows} rows with digest {right.hex}",
        remedy=f"{other_each_time if defaults else ''}report this as a defect, with the columns' types, if"
        f" {sum(found, EMPTY).rows:,} rows were not changed"
        " by somebody else meanwhile; the cold tier can be read by other engines",
    )
