"""Maintenance under the stream's lease, without an event: on somebody's word, every task to its end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from functools import partial
from typing import TypeVar

import structlog

from consumer.domain.maintenance import Part, TaskName, TaskPlan
from consumer.domain.stream import Stream
from consumer.failpoints.acting import Failpoints
from consumer.ports import BatchEngine, Catalog, Claim, Ledger, Source
from consumer.service.batch_context import BatchContext, RunningBatch
from consumer.service.commanded import commanded
from consumer.service.lease import LeaseKeeper
from consumer.service.maintaining.task import MaintenanceTask
from consumer.service.offload import check_active
from consumer.service.prepare import Preparation
from consumer.service.retrying import retrying
from consumer.service.threads import SYSTEM_THREADS, Signal, Threads

_log = structlog.get_logger(__name__)

T = TypeVar("T")


class Maintenance:
    """Runs tasks of maintenance; safe to repeat after any failure: what is done is not found again."""

    def __init__(
        self,
        *,
        tasks: Sequence[MaintenanceTask],
        source: Source,
        ledger: Ledger,
        catalog: Catalog,
        engine: BatchEngine,
        owner: str,
        lease: timedelta,
        failpoints: Failpoints,
        threads: Threads = SYSTEM_THREADS,
    ) -> None:
        self._tasks = tasks
        self._ledger = ledger
        self._catalog = catalog
        self._engine = engine
        self._owner = owner
        self._lease = lease
        self._failpoints = failpoints
        self._threads = threads
        self._preparation = Preparation(source=source, ledger=ledger, catalog=catalog, failpoints=failpoints)

    def review(self, stream: Stream, only: Collection[TaskName]) -> list[TaskPlan]:
        """Return what the chosen tasks find to do; changes nothing.

        Raises:
            StreamError, TransientError: as ledger, catalog and store raise them.
        """
        return [task.review(stream) for task in self._tasks if task.name in only]

    def maintain(self, stream: Stream, only: Collection[TaskName]) -> list[TaskPlan]:
        """Do all that the chosen tasks find to do, piece by piece; return what was done.

        Raises:
            LeaseHeldError: if a consumer works on the stream at this moment.
            FencedError: if the lease was lost on the way; what was done by then stays done.
            StreamError, TransientError: as the tasks raise them.
        """

        def all_of_it(context: BatchContext, claim: Claim) -> list[TaskPlan]:
            return [self._run(task, context, claim) for task in self._tasks if task.name in only]

        return self.with_lease(stream, all_of_it, self._threads.signal()) or []

    def with_lease(self, stream: Stream, do: Callable[[BatchContext, Claim], T], abandoned: Signal) -> T | None:
        """Do something to a stream's target under its lease; ``None`` if there is no target yet.

        Args:
            stream: the stream.
            do: what runs with the lease.
            abandoned: set when it is to give up.

        Raises:
            LeaseHeldError: if somebody else works on the stream at this moment.
            FencedError: if the lease was lost on the way.
            StreamError: if the stream is halted, or something needs an operator.
            TransientError: if a server can't be asked now.
        """
        check_active(self._ledger.register(stream.name, stream.begins))
        with self._failpoints.around("lease.claim"):
            claim = self._ledger.claim(stream.name, self._owner, self._lease)
        running = RunningBatch(self._engine)
        with LeaseKeeper(
            self._ledger, claim, self._lease, running.cancel, self._threads, failpoints=self._failpoints
        ) as keeper:
            check_active(claim.record)
            claim = self._catalog.heal(stream, claim, final=True)
            if claim.record.target_uuid is None:
                return None
            context = commanded(
                self._preparation,
                stream,
                claim,
                running,
                abandoned=abandoned,
                still_ours=keeper.check_for(abandoned),
            )
            return do(context, claim)

    def _run(self, task: MaintenanceTask, context: BatchContext, claim: Claim) -> TaskPlan:
        parts: list[Part] = []
        left: Sequence[str] = ()
        more = True
        while more:
            performed = retrying(context.stream, context.abandoned, partial(task.perform, context, claim))
            parts += performed.parts
            more, left = performed.more, performed.left
        done = TaskPlan(task=task.name, parts=tuple(parts), left=left)
        _log.info(
            "maintenance.done",
            stream=context.stream.name,
            task=task.name.value,
            files=sum(part.files for part in parts),
            files_after=sum(part.files_after for part in parts),
            bytes=sum(part.bytes for part in parts),
            bytes_after=sum(part.bytes_after for part in parts),
        )
        return done
