"""Maintenance beside ingestion: bounded pieces of it, while nothing else is to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import structlog

from consumer.domain.errors import FencedError, IcehaulError, LeaseHeldError
from consumer.domain.maintenance import TaskName, Urgency
from consumer.domain.stream import Stream
from consumer.failpoints.acting import Failpoints
from consumer.ports import Claim, Metrics
from consumer.service.batch_context import BatchContext
from consumer.service.maintaining.maintenance import Maintenance
from consumer.service.maintaining.ports import MaintenanceLedger
from consumer.service.maintaining.task import MaintenanceTask
from consumer.service.threads import Signal

_log = structlog.get_logger(__name__)


class BackgroundMaintenance:
    """Does what is due of the streams whose events a consumer handles.

    A task is due once the policy's time has passed since it last had nothing more to do. Its stream's next event finds
    that out, and leaves it to the consumer, which does it piece by piece when no event runs or waits. What has been
    due for longer than the policy's patience is not left any more: each event does a piece of it, after everything
    live and before its offset is committed. So neither starves the other.

    Args:
        streams: all configured streams, by name.
        tasks: every kind of maintenance, the first that is due comes first.
        records: what is known of former looks.
        maintenance: gets the lease where no event has it.
        metrics: told of pieces.
        failpoints: around the effects.
        idles: whether there is a consumer that will ask for what is left; without one, an event does what is due.
    """

    def __init__(
        self,
        *,
        streams: Mapping[str, Stream],
        tasks: Sequence[MaintenanceTask],
        records: MaintenanceLedger,
        maintenance: Maintenance,
        metrics: Metrics,
        failpoints: Failpoints,
        idles: Callable[[], bool] = lambda: False,
    ) -> None:
        self._streams = streams
        self._tasks = tasks
        self._records = records
        self._maintenance = maintenance
        self._metrics = metrics
        self._failpoints = failpoints
        self._idles = idles
        self._left: set[str] = set()

    def step(self, context: BatchContext, claim: Claim) -> None:
        """Do a piece for an event, or leave it; whatever fails is told, and tried when it is due again.

        Raises:
            FencedError: if the lease was lost.
        """
        if not context.stream.maintenance.enabled:
            return
        for task in self._tasks:
            urgency = self._urgency(context, claim, task.name)
            if urgency is Urgency.OVERDUE or (urgency is Urgency.DUE and not self._idles()):
                # The event is done whatever comes of it: nothing of the event depends on this.
                self._piece(context, claim, task)
                return
            if urgency is Urgency.DUE:
                self._left.add(context.stream.name)

    def leaves(self, stream: str) -> bool:
        """Tell whether the stream's last event has left something to do."""
        return stream in self._left

    def clear(self, stream: str, abandoned: Signal) -> bool:
        """Do a piece of what was left; tell whether there may be more. Whatever fails is told, and left again."""
        self._left.discard(stream)
        try:
            return bool(self._maintenance.with_lease(self._streams[stream], self._due_piece, abandoned))
        except (FencedError, LeaseHeldError) as error:
            _log.info("maintenance.given_up", stream=stream, why=error.message)
        except IcehaulError as error:
            for task in self._tasks:
                self._metrics.maintained(stream, task.name, type(error).__name__, files=0)
            _log.warning("maintenance.failed", stream=stream, error=error.message, remedy=error.remedy)
        return False

    def _due_piece(self, context: BatchContext, claim: Claim) -> bool:
        for task in self._tasks:
            if self._urgency(context, claim, task.name) is not Urgency.RESTING:
                # Whoever failed rests, and so does who found nothing: the next one's turn comes.
                return self._piece(context, claim, task) or task is not self._tasks[-1]
        return False

    def _urgency(self, context: BatchContext, claim: Claim, task: TaskName) -> Urgency:
        try:
            looked, now = self._records.looked(context.stream.name, task)
            if looked is None:
                # From now on it is known how long it waits.
                self._note(claim, task)
                return Urgency.RESTING
        except FencedError:
            raise
        except IcehaulError as error:
            self._failed(context, claim, task, error)
            return Urgency.RESTING
        return context.stream.maintenance.urgency(looked, now)

    def _piece(self, context: BatchContext, claim: Claim, task: MaintenanceTask) -> bool:
        """Do a piece; tell whether there is more."""
        try:
            performed = task.perform(context, claim)
            files = sum(part.files - part.files_after for part in performed.parts)
            outcome = "done" if performed.parts else "idle"
            self._metrics.maintained(context.stream.name, task.name, outcome, files=files)
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
        except FencedError:
            raise
        except IcehaulError as error:
            self._failed(context, claim, task.name, error)
            return False
        return performed.more

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
