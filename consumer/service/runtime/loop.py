"""The poll loop: the one thread that talks to the consumer group."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from queue import SimpleQueue
from typing import Generic

import structlog
from opentelemetry.trace import Tracer

from consumer.domain.event import Event
from consumer.domain.offset_incident import OffsetIncident
from consumer.domain.turns import Rank
from consumer.failpoints.acting import Failpoints
from consumer.service.runtime.acknowledge import Acknowledger
from consumer.service.runtime.deadline import Deadline
from consumer.service.runtime.dispatcher import Dispatcher, no_rank
from consumer.service.runtime.handling import Handling
from consumer.service.runtime.intake import Intake
from consumer.service.runtime.patience import BUSY_SECONDS, IDLE_SECONDS, Patience
from consumer.service.runtime.ports import DeadLetters, EventSource, Handler, IdleWork, M, Partition, RuntimeMetrics
from consumer.service.runtime.reconciling import Reconciling, no_reconciling
from consumer.service.runtime.spans import MessagingSpans
from consumer.service.runtime.work import Assignment, Task
from consumer.service.threads import SYSTEM_THREADS, Threads
from consumer.settings.connections import ConsumerSettings

_ABANDON_SECONDS = 2.0
"""How long handlers that were told to give up may take before they are left behind."""
_SPARE_SECONDS = 30.0
"""After which a member without an assignment counts as one that the group has no partition for."""
_CONFIRM_SECONDS = 3.0
"""How long the end waits for the broker's answer to the last commits."""

_log = structlog.get_logger(__name__)


class EventLoop(Generic[M]):
    """Polls events, hands them to the workers, and acknowledges those that are done.

    The thread that calls :meth:`run` is the only one that uses the source; partitions with enough work in
    flight are paused, while polling goes on, so that the group never expels a busy member.

    Args:
        source: the consumer group member.
        decode: turns a message into an event; raises InvalidEventError where it can't.
        handler: handles an event; when it returns, the event is done.
        dead_letters: takes the messages that can never be handled.
        threads: where the workers come from.
        rank: which streams' events come first; see :class:`Dispatcher`.
        reconciling: which events to handle because of an incident of a partition's offsets.
        idle: what is done while no event runs or waits.
    """

    def __init__(
        self,
        *,
        settings: ConsumerSettings,
        group: str,
        source: EventSource[M],
        decode: Callable[[M], Event],
        handler: Handler,
        dead_letters: DeadLetters[M],
        metrics: RuntimeMetrics,
        tracer: Tracer,
        failpoints: Failpoints | None = None,
        threads: Threads = SYSTEM_THREADS,
        rank: Callable[[str], Rank | None] = no_rank,
        reconciling: Reconciling = no_reconciling,
        idle: IdleWork | None = None,
    ) -> None:
        self._failpoints = failpoints or Failpoints()
        self._settings = settings
        self._threads = threads
        self._source = source
        self._metrics = metrics
        self._spans = MessagingSpans(tracer, group=group)
        self._acknowledger = Acknowledger(source, metrics, self._spans, self._failpoints, threads)
        self._handling = Handling[M](
            decode=decode,
            handler=handler,
            dead_letters=dead_letters,
            metrics=metrics,
            spans=self._spans,
            failpoints=self._failpoints,
            idle=idle,
        )
        self._intake = Intake[M](self._handling.decode, reconciling, metrics)
        self._completed: SimpleQueue[Sequence[Task[M]]] = SimpleQueue()
        self._dispatcher = Dispatcher[M](
            workers=settings.workers,
            run=self._handling.execute,
            finished=self._completed.put,
            failed=self._handling.failed,
            threads=threads,
            rank=rank,
            leaves=self._handling.leaves,
            clear=self._handling.clear,
        )
        self._assignments: dict[Partition, Assignment] = {}
        self._stop = threads.signal()
        self._stop_now = threads.signal()
        self._shutdown: Deadline | None = None
        self._beat = self._threads.monotonic()
        self._patience = Patience()
        self._joined: float | None = None
        self._was_assigned = False

    # -------------------------------------------------------------------------------- any thread

    def stop(self) -> None:
        """Ask the loop to finish running work within its deadline, and to leave the group."""
        self._stop.set()

    def stop_now(self) -> None:
        """Ask the loop to leave the group at once, without waiting for running work."""
        self._stop_now.set()
        self._stop.set()

    @property
    def silence(self) -> float:
        """Seconds since the loop turned last."""
        return self._threads.monotonic() - self._beat

    @property
    def started(self) -> bool:
        """Whether the group has given this member an assignment once, or has none to give."""
        waited = self._joined is not None and self._threads.monotonic() - self._joined > _SPARE_SECONDS
        return self._was_assigned or waited

    @property
    def partitions(self) -> Collection[Partition]:
        """The partitions that this member owns now."""
        return tuple(self._assignments)

    @property
    def crowded(self) -> bool:
        """Whether an event waits for a worker, all of which are taken."""
        return self._dispatcher.crowded

    # ------------------------------------------------------------------------------- poll thread

    def run(self) -> None:
        """Work until :meth:`stop` is called.

        Raises:
            BrokerUnavailableError: if no broker answered at the start.
            ConfigurationError: if the topic is missing, or the group refuses this member.
        """
        self._dispatcher.start()
        self._beat = self._threads.monotonic()
        try:
            self._source.start(self)
            self._joined = self._threads.monotonic()
            while not self._stop.is_set():
                self._turn()
            self._finish_running()
        finally:
            self._leave()

    def _turn(self) -> None:
        busy = self._dispatcher.busy or self._acknowledger.waiting
        wait = self._patience.wait(busy=busy, now=self._threads.monotonic())
        started_ns = time.time_ns()
        messages = self._source.poll(wait, self._settings.events_per_partition)
        self._beat = self._threads.monotonic()
        self._metrics.heartbeat()
        if messages:
            with self._failpoints.around("event.receive"):
                self._accept(messages, started_ns)
        self._acknowledge()
        self._regulate()

    def _accept(self, messages: Sequence[M], started_ns: int) -> None:
        tasks = [task for message in messages if (task := self._intake.task(message, self._assignments)) is not None]
        by_topic: dict[str, list[Task[M]]] = {}
        for task in tasks:
            by_topic.setdefault(task.assignment.partition.topic, []).append(task)
        for topic, received in by_topic.items():
            self._metrics.polled(topic, len(received))
            self._spans.polled(topic, [task.event for task in received], len(received), started_ns)
        for task in tasks:
            self._dispatcher.submit(task)

    def _acknowledge(self) -> None:
        self._take_completed()
        self._acknowledger.commit(self._assignments.values())

    def _take_completed(self) -> None:
        while not self._completed.empty():
            for task in self._completed.get_nowait():
                if self._assignments.get(task.assignment.partition) is task.assignment:
                    task.acknowledge()
                    self._acknowledger.handled(task)

    def _regulate(self) -> None:
        """Pause partitions with enough work in flight, resume those that are half done."""
        limit = self._settings.events_per_partition
        in_flight = 0
        for partition, assignment in self._assignments.items():
            pending = assignment.tracker.pending
            in_flight += pending
            if not assignment.paused and pending >= limit:
                self._source.pause([partition])
                assignment.paused = True
            elif assignment.paused and pending <= limit // 2 and not assignment.closing:
                self._source.resume([partition])
                assignment.paused = False
        self._metrics.in_flight(in_flight)

    # ----------------------------------------------------------------------------------- the end

    def _finish_running(self) -> None:
        """Let running work finish within the deadline, without starting more, while polling goes on."""
        self._shutdown = self._deadline(self._settings.shutdown_deadline_seconds)
        assignments = list(self._assignments.values())
        self._dispatcher.close(assignments)
        _log.info("consumer.stopping", running=self._dispatcher.running(assignments))
        self._poll_while(lambda: self._dispatcher.running(assignments) > 0, self._shutdown)
        if self._dispatcher.running(assignments):
            _log.warning("consumer.work_abandoned", running=self._dispatcher.running(assignments))
        self._abandon(assignments)
        self._acknowledge()
        self._poll_while(lambda: self._acknowledger.waiting, self._deadline(_CONFIRM_SECONDS))

    def _poll_while(self, condition: Callable[[], bool], deadline: Deadline) -> None:
        while condition() and not deadline.expired and not self._stop_now.is_set():
            for assignment in self._assignments.values():
                if not assignment.paused:
                    self._source.pause([assignment.partition])
                    assignment.paused = True
            self._source.poll(BUSY_SECONDS, 1)
            self._beat = self._threads.monotonic()
            self._acknowledge()

    def _leave(self) -> None:
        self._shutdown = self._shutdown or self._deadline(0)
        self._dispatcher.close(list(self._assignments.values()))
        self._source.close()
        # Closing normally revokes everything; after a fatal error it may not.
        self.lost(list(self._assignments))
        self._dispatcher.stop(self._deadline(IDLE_SECONDS))

    def _abandon(self, assignments: Collection[Assignment]) -> None:
        listening = [assignment for assignment in assignments if not assignment.abandon.is_set()]
        for assignment in listening:
            assignment.abandon.set()
        if not listening:
            return  # they had their time when they were told
        grace = self._deadline(0 if self._stop_now.is_set() else _ABANDON_SECONDS)
        if not self._dispatcher.wait(assignments, grace):
            _log.warning("consumer.work_left_behind", running=self._dispatcher.running(assignments))

    # ------------------------------------------------------------ group listener, in the poll thread

    def assigned(self, partitions: Sequence[Partition], incidents: Sequence[OffsetIncident] = ()) -> None:
        """Take over partitions; one that is assigned again (after a jump of its offset) starts afresh."""
        self._metrics.rebalance("assigned")
        self._was_assigned = True
        again = [self._assignments.pop(partition) for partition in partitions if partition in self._assignments]
        self._dispatcher.close(again)
        for partition in partitions:
            self._assignments[partition] = Assignment(
                partition,
                closing=self._stop.is_set(),
                abandon=self._dispatcher.patient(self._threads.signal()),
                give_way=self._threads.signal(),
            )
        self._metrics.assigned(len(self._assignments))
        _log.info("consumer.assigned", partitions=[str(partition) for partition in partitions])
        for incident in incidents:
            assignment = self._assignments[Partition(incident.topic, incident.partition)]
            for task in self._intake.reconcile(incident, assignment):
                self._dispatcher.submit(task)

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Finish running work within the deadline or abandon it, commit what is done, forget the rest."""
        self._metrics.rebalance("revoked")
        assignments = [self._assignments[partition] for partition in partitions if partition in self._assignments]
        self._dispatcher.close(assignments)
        deadline = self._deadline(0 if self._stop_now.is_set() else self._settings.revoke_deadline_seconds)
        if self._shutdown is not None:
            deadline = deadline.earlier(self._shutdown)
        finished = self._wait(assignments, deadline)
        if not finished:
            self._abandon(assignments)
        self._take_completed()
        # A broker that has not answered while the process was ending will not do so now.
        if self._shutdown is None or not self._acknowledger.waiting:
            self._acknowledger.commit_now(assignments)
        self._forget(partitions)
        _log.info("consumer.revoked", partitions=[str(partition) for partition in partitions], finished=finished)

    def _wait(self, assignments: Collection[Assignment], deadline: Deadline) -> bool:
        """Wait for running work; meanwhile acknowledge what else is done, and show that the loop lives."""
        while not self._dispatcher.wait(assignments, deadline.earlier(self._deadline(BUSY_SECONDS))):
            self._beat = self._threads.monotonic()
            self._acknowledge()
            if deadline.expired or self._stop_now.is_set():
                return False
        return True

    def committed(self, offsets: Mapping[Partition, int], refused: Mapping[Partition, str]) -> None:
        """Take the answer to a commit."""
        self._acknowledger.answered(offsets, refused)

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Abandon everything of these partitions; nothing of it may be committed by this member."""
        if not partitions:
            return
        self._metrics.rebalance("lost")
        assignments = [self._assignments[partition] for partition in partitions if partition in self._assignments]
        self._dispatcher.close(assignments)
        for assignment in assignments:
            assignment.abandon.set()
        self._forget(partitions)
        _log.warning("consumer.lost", partitions=[str(partition) for partition in partitions])

    def _forget(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self._assignments.pop(partition, None)
            self._acknowledger.forget(partition)
        self._metrics.assigned(len(self._assignments))

    def _deadline(self, seconds: float) -> Deadline:
        return Deadline.after(seconds, self._threads.monotonic)
