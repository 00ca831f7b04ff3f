"""When an idle consumer does what events have left, and in which order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from consumer.service.runtime.leftovers import QUIET_SECONDS, SHARE, Leftovers
from consumer.service.runtime.ports import Partition
from consumer.service.runtime.work import Assignment, Task
from consumer.testing.runtime import MemoryMessage


def task(lane: str, assignment: Assignment | None = None) -> Task[MemoryMessage]:
    return Task(
        number=1, lane=lane, assignment=assignment or Assignment(Partition("events", 0)), offset=1, message=None
    )


def left(*lanes: str) -> Leftovers[MemoryMessage]:
    leftovers = Leftovers[MemoryMessage]()
    for lane in lanes:
        leftovers.leave(task(lane))
    return leftovers


def test_where_nothing_is_left_nothing_begins() -> None:
    assert left().pause(5) is None
    assert left().take(()) is None


def test_the_first_one_begins_as_soon_as_no_event_runs() -> None:
    leftovers = left("a")
    leftovers.event_ended(100)
    assert leftovers.pause(100) == 0


def test_the_next_one_begins_once_no_event_has_run_for_a_while() -> None:
    leftovers = left("a")
    leftovers.leftover_ended(90, 100)
    leftovers.event_ended(103)
    assert leftovers.pause(103) == QUIET_SECONDS
    assert leftovers.pause(103 + QUIET_SECONDS) == 0


def test_leftovers_follow_each_other_without_a_pause_where_no_events_come() -> None:
    leftovers = left("a")
    leftovers.event_ended(80)
    leftovers.leftover_ended(90, 100)
    assert leftovers.pause(100) == 0


@given(
    st.floats(0.0, 60.0),
    st.lists(st.tuples(st.floats(0.01, 5), st.floats(0, 0.99 * QUIET_SECONDS)), min_size=20, max_size=200),
)
def test_where_events_leave_no_pause_leftovers_take_their_share_and_no_more(
    piece: float, events: list[tuple[float, float]]
) -> None:
    leftovers = left("a")
    now = spent = 0.0
    pieces = 0
    for takes, pause in events:
        now += takes
        leftovers.event_ended(now)
        if leftovers.pause(now) == 0:
            leftovers.leftover_ended(now, now + piece)
            now += piece
            pieces += 1
            spent += piece
        now += pause
    # The last piece is paid for afterwards.
    assert spent <= SHARE * now + piece + 1e-6
    assert pieces >= 1


def test_they_come_in_the_order_in_which_they_were_left_last() -> None:
    leftovers = left("a", "b", "c", "a")
    order = [taken.lane for _ in range(3) if (taken := leftovers.take(())) is not None]
    assert order == ["b", "c", "a"]


def test_one_whose_lane_is_occupied_is_passed_over() -> None:
    leftovers = left("a", "b")
    assert [taken.lane for taken in [leftovers.take({"a"})] if taken is not None] == ["b"]
    assert leftovers.take({"a"}) is None
    assert leftovers.take(()) is not None


def test_what_belongs_to_partitions_that_are_taken_away_is_forgotten() -> None:
    leftovers = left("a")
    gone = Assignment(Partition("events", 1))
    leftovers.leave(task("b", gone))
    gone.closing = True
    leftovers.drop_closing()
    assert [leftovers.take(()) is not None for _ in range(2)] == [True, False]
