"""Which queued tasks of a stream are run as one: nothing that is not done by it is overtaken."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.errors import InvalidEventError
from consumer.domain.event import Event, EventType
from consumer.service.runtime.ports import Partition
from consumer.service.runtime.work import Assignment, Task, merged
from consumer.testing.runtime import MemoryMessage

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
HOME = Assignment(Partition("events", 0))
Queued = Task[MemoryMessage]
Shape = tuple[EventType, int, bool]

SHAPES = st.lists(
    st.tuples(
        st.sampled_from([EventType.TICK, EventType.TICK, EventType.PARTITION_CLOSED]),
        st.integers(0, 5),
        st.sampled_from([False, False, False, True]),
    ),
    min_size=1,
    max_size=12,
)


def queued(shapes: list[Shape]) -> list[Queued]:
    """Tasks of one stream: kind, cutoff in minutes, and whether it is to become a dead letter."""
    tasks = []
    for number, (kind, minutes, ill) in enumerate(shapes):
        partition = str(minutes) if kind is EventType.PARTITION_CLOSED else None
        event = Event(
            id=f"e{number}",
            type=kind,
            stream="a",
            cutoff=NOON + timedelta(minutes=minutes),
            source="test",
            time=NOON,
            partition_id=partition,
            content_id=partition,
        )
        error = InvalidEventError("ill", remedy="none") if ill else None
        tasks.append(
            Queued(number=number, lane="a", assignment=HOME, offset=number, message=None, event=event, error=error)
        )
    return tasks


@given(SHAPES)
def test_the_one_that_is_run_does_what_all_of_the_others_ask_for(shapes: list[Shape]) -> None:
    run, *others = merged(queued(shapes))
    assert all(run.covers(other) for other in others)


@given(SHAPES)
def test_nothing_stays_behind_that_was_queued_before_the_one_that_is_run(shapes: list[Shape]) -> None:
    tasks = queued(shapes)
    taken = merged(tasks)
    assert {task.number for task in tasks if task.number <= taken[0].number} <= {task.number for task in taken}


@given(SHAPES)
def test_no_later_one_could_be_run_for_all_before_it(shapes: list[Shape]) -> None:
    tasks = queued(shapes)
    run = merged(tasks)[0]
    for task in tasks[run.number + 1 :]:
        assert not all(task.covers(other) for other in tasks[: task.number])


def test_ticks_are_merged_up_to_a_close_which_is_not_overtaken() -> None:
    tick, close = EventType.TICK, EventType.PARTITION_CLOSED
    tasks = queued([(tick, 0, False), (tick, 1, False), (close, 0, False), (tick, 2, False)])
    assert [task.number for task in merged(tasks)] == [1, 0]
    assert [task.number for task in merged(tasks[2:])] == [2]


def test_a_close_brings_the_ticks_before_it_along() -> None:
    tick, close = EventType.TICK, EventType.PARTITION_CLOSED
    tasks = queued([(tick, 0, False), (tick, 1, False), (close, 1, False)])
    assert [task.number for task in merged(tasks)] == [2, 0, 1]
