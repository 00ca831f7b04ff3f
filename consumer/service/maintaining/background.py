"""Maintenance beside ingestion: a bounded piece of it after everything live of an event, if nobody waits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from consumer.domain.errors import FencedError, IcehaulError
from consumer.domain.maintenance import TaskName, Urgency
from consumer.failpoints.acting import Failpoints
from consumer.ports import Claim, Metrics
from consumer.service.batch_context import BatchContext
from consumer.service.maintaining.ports import MaintenanceLedger
from consumer.service.maintaining.task import MaintenanceTask

_log = structlog.get_logger(__name__)


class BackgroundMaintenance:
    """Does what is due of a stream on behalf of its events.

    A task is due once the policy's time has passed since it last had nothing more to do. Then each event of the stream
    does one bounded piece of it, after everything live: not while events wait for a worker, but for one that has been
    due for longer than the policy's patience. So neither starves the other.

    Args:
        tasks: every kind of maintenance, the first that is due comes first.
        records: what is known of former looks.
        metrics: told of pieces.
        failpoints: around the effects.
        crowded: whether an event waits for a worker, all of which are taken.
    """

    def __init__(
        self,
        *,
        tasks: Sequence[MaintenanceTask],
        records: MaintenanceLedger,
        metrics: Metrics,
        failpoints: Failpoints,
        crowded: Callable[[], bool] = lambda: False,
    ) -> None:
        self._tasks = tasks
        self._records = records
        self._metrics = metrics
        self._failpoints = failpoints
        self._crowded = crowded

    def step(self, context: BatchContext, claim: Claim) -> None:
        """Do a piece of the first task that is due; whatever fails is told, and tried when it is due again.

        Raises:
            FencedError: if the lease was lost.
        """
        if not context.stream.maintenance.enabled:
            return
        for task in self._tasks:
            try:
                if self._is_due(context, claim, task.name):
                    self._piece(context, claim, task)
                    return
            except FencedError:
                raise
            except IcehaulError as error:
                # The event is done all the same: nothing of it depends on this.
                self._failed(context, claim, task.name, error)
                return

    def _is_due(self, context: BatchContext, claim: Claim, task: TaskName) -> bool:
        looked, now = self._records.looked(context.stream.name, task)
        if looked is None:
            # From now on it is known how long it waits.
            self._note(claim, task)
            return False
        urgency = context.stream.maintenance.urgency(looked, now)
        return urgency is Urgency.OVERDUE or (urgency is Urgency.DUE and not self._crowded())

    def _piece(self, context: BatchContext, claim: Claim, task: MaintenanceTask) -> None:
        performed = task.perform(context, claim)
        files = sum(part.files - part.files_after for part in performed.parts)
        self._metrics.maintained(context.stream.name, task.name, "done" if performed.parts else "idle", files=files)
        if performed.parts:
            _log.info(
                "maintenance.step_done",
                stream=context.stream.name,
                task=task.name.value,
                parts=len(performed.parts),
                files_gone=files,
                more=performed.more,
            )
        if not performed.more:
            self._note(claim, task.name)

    def _note(self, claim: Claim, task: TaskName) -> None:
        with self._failpoints.around("maintenance.note"):
            self._records.note(claim, task)

    def _failed(self, context: BatchContext, claim: Claim, task: TaskName, error: IcehaulError) -> None:
        stream = context.stream.name
        self._metrics.maintained(stream, task, type(error).__name__, files=0)
        _log.warning("maintenance.failed", stream=stream, task=task.value, error=error.message, remedy=error.remedy)
        try:
            # Else each event would try, and fail again.
            self._note(claim, task)
        except FencedError:
            raise
        except IcehaulError as second:
            _log.warning(
                "maintenance.failed", stream=stream, task=task.value, error=second.message, remedy=second.remedy
            )
