"""A dispatcher under test, and what came of its tasks."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from consumer.domain.errors import TurnOverError
from consumer.domain.event import Event, EventType
from consumer.domain.turns import Rank
from consumer.service.runtime.deadline import Deadline
from consumer.service.runtime.dispatcher import Dispatcher, no_rank, nothing_left
from consumer.service.runtime.failures import Verdict, judge
from consumer.service.runtime.ports import Partition
from consumer.service.runtime.work import Assignment, Task
from consumer.testing.runtime import MemoryMessage

HOME = Partition("events", 0)
NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
Tasks = Sequence[Task[MemoryMessage]]


class Bench:
    """A dispatcher under test: what ran, what finished, what failed."""

    def __init__(
        self,
        run: Callable[[Tasks], None],
        workers: int,
        delay: float = 0.01,
        rank: Callable[[str], Rank | None] = no_rank,
        clear: Callable[[Task[MemoryMessage]], bool] | None = None,
    ) -> None:
        self.finished: list[int] = []
        self.failures: Counter[str] = Counter()
        self.attempts: list[int] = []
        self.assignment = Assignment(HOME)
        self._lock = threading.Lock()
        self._delay = delay
        self._sent = 0
        self.dispatcher = Dispatcher[MemoryMessage](
            workers=workers,
            run=run,
            finished=self._note,
            failed=self._failed,
            rank=rank,
            leaves=lambda _task: clear is not None,
            clear=clear or nothing_left,
        )

    def send(
        self,
        stream: str,
        minutes: int = 0,
        type_: EventType = EventType.TICK,
        partition_id: str | None = None,
        assignment: Assignment | None = None,
    ) -> Task[MemoryMessage]:
        self._sent += 1
        event = Event(
            id=f"e{self._sent}",
            type=type_,
            stream=stream,
            cutoff=NOON + timedelta(minutes=minutes),
            source="test",
            time=NOON,
            partition_id=partition_id,
            content_id=partition_id,
        )
        task = Task(
            number=self._sent,
            lane=stream,
            assignment=assignment or self.assignment,
            offset=self._sent,
            message=MemoryMessage(at=HOME, number=self._sent, value=""),
            event=event,
        )
        self.dispatcher.submit(task)
        return task

    def _note(self, tasks: Tasks) -> None:
        with self._lock:
            self.finished.extend(task.number for task in tasks)

    def _failed(self, tasks: Tasks, error: Exception, attempt: int) -> Verdict:
        with self._lock:
            self.failures[tasks[0].stream] += 1
            self.attempts.append(attempt)
        if isinstance(error, TurnOverError):
            return judge(error, attempt)
        return Verdict(delay=self._delay, outcome="failed", unexpected=False)


Start = Callable[..., Bench]


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as stack:

        @contextmanager
        def running(bench: Bench) -> Iterator[Bench]:
            bench.dispatcher.start()
            yield bench
            assert bench.dispatcher.stop(Deadline.after(5)), "a worker hangs"

        def make(
            run: Callable[[Tasks], None],
            *,
            workers: int = 4,
            delay: float = 0.01,
            rank: Callable[[str], Rank | None] = no_rank,
            clear: Callable[[Task[MemoryMessage]], bool] | None = None,
        ) -> Bench:
            return stack.enter_context(running(Bench(run, workers, delay, rank, clear)))

        yield make
