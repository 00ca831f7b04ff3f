"""Maintenance on somebody's word: every task is done to its end, under the stream's lease."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from functools import partial

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
from consumer.service.threads import SYSTEM_THREADS, Threads

_log = structlog.get_logger(__name__)


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
                return []
            context = commanded(
                self._preparation, stream, claim, running, threads=self._threads, still_ours=keeper.check
            )
            return [self._run(task, context, claim) for task in self._tasks if task.name in only]

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
