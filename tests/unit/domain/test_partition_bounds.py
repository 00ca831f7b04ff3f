"""What partitions tell of a stretch of time covers every row of it, and counts none that needs counting."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.partition_bounds import PartitionBounds, Told, Uncounted, foretell
from consumer.domain.step import Step
from consumer.domain.window import MICROSECOND, Window

MIDNIGHT = datetime(2024, 1, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
WEEK = Window(lower=MIDNIGHT, upper=MIDNIGHT + 7 * DAY)


def bounds(first: datetime, last: datetime, rows: int = 10) -> PartitionBounds:
    return PartitionBounds(first=first, last=last, rows=rows, bytes=rows * 8)


def day(number: int, rows: int = 10) -> PartitionBounds:
    start = MIDNIGHT + number * DAY
    return bounds(start + HOUR, start + 23 * HOUR, rows)


def window_of(piece: Told | Uncounted) -> Window:
    return piece.slice.window if isinstance(piece, Told) else piece.window


def test_partitions_that_lie_in_a_step_are_told_and_those_of_one_step_are_added_up() -> None:
    pieces = list(foretell([day(3, 5), day(0), day(0, 7)], WEEK, Step.DAY))
    assert all(isinstance(piece, Told) for piece in pieces)
    assert [(window_of(piece).lower, piece.slice.rows) for piece in pieces if isinstance(piece, Told)] == [
        (MIDNIGHT, 17),
        (MIDNIGHT + 3 * DAY, 5),
    ]
    assert all(window_of(piece).upper - window_of(piece).lower == DAY for piece in pieces)


@pytest.mark.parametrize(
    "window",
    [Window(lower=MIDNIGHT + 2 * HOUR, upper=MIDNIGHT + DAY), Window(lower=MIDNIGHT, upper=MIDNIGHT + 23 * HOUR)],
    ids=["read in part", "beyond the cutoff in part"],
)
def test_a_partition_that_crosses_an_end_of_the_window_has_to_be_counted(window: Window) -> None:
    (piece,) = foretell([day(0)], window, Step.DAY)
    assert isinstance(piece, Uncounted)
    assert piece.window == window


def test_a_partition_that_crosses_steps_is_counted_with_everything_that_is_told_inside() -> None:
    month = bounds(MIDNIGHT + HOUR, MIDNIGHT + 3 * DAY, 100)
    pieces = list(foretell([day(1), month, day(5)], WEEK, Step.DAY))
    assert [(type(piece), window_of(piece)) for piece in pieces] == [
        (Uncounted, Window(lower=MIDNIGHT, upper=MIDNIGHT + 4 * DAY)),
        (Told, Window(lower=MIDNIGHT + 5 * DAY, upper=MIDNIGHT + 6 * DAY)),
    ]


def test_partitions_outside_of_the_window_are_left_out() -> None:
    assert list(foretell([day(-1), day(7), bounds(MIDNIGHT - DAY, MIDNIGHT - MICROSECOND)], WEEK, Step.DAY)) == []


instants = st.datetimes(datetime(2023, 12, 1), datetime(2024, 3, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
partitions = st.lists(
    st.tuples(instants, st.one_of(st.timedeltas(timedelta(0), HOUR), st.timedeltas(timedelta(0), 40 * DAY))).map(
        lambda pair: bounds(pair[0], pair[0] + pair[1])
    ),
    max_size=12,
)


@given(partitions, instants, st.timedeltas(MICROSECOND, 60 * DAY), st.sampled_from([Step.MONTH, Step.DAY, Step.HOUR]))
def test_every_instant_of_every_partition_is_in_one_piece_and_pieces_are_cut_at_steps(
    given_: list[PartitionBounds], lower: datetime, length: timedelta, step: Step
) -> None:
    window = Window(lower=lower, upper=lower + length)
    pieces = list(foretell(given_, window, step))
    assert all(window_of(one).upper <= window_of(other).lower for one, other in pairwise(pieces))
    for piece in pieces:
        bound = window_of(piece)
        assert window.lower <= bound.lower < bound.upper <= window.upper
        assert bound.lower == window.lower or step.floor(bound.lower) == bound.lower
        assert bound.upper == window.upper or step.floor(bound.upper) == bound.upper
    for one in given_:
        first, last = max(one.first, window.lower), min(one.last, window.upper - MICROSECOND)
        if first > last:
            continue
        (holder,) = [piece for piece in pieces if window_of(piece).contains(first)]
        assert window_of(holder).contains(last)
        assert isinstance(holder, Uncounted) or one in holder.members
    told = [member for piece in pieces if isinstance(piece, Told) for member in piece.members]
    assert len(told) <= len(given_)
    for piece in pieces:
        if isinstance(piece, Told):
            assert piece.slice.rows == sum(member.rows for member in piece.members)


@given(instants, st.sampled_from(Step))
def test_a_step_holds_the_instants_from_its_start_to_its_end(instant: datetime, step: Step) -> None:
    start = step.floor(instant)
    assert start <= instant < step.end(start)
    assert step.floor(step.end(start) - MICROSECOND) == start
    assert step.floor(step.end(start)) == step.end(start)
    assert step.finer.floor(start) == start
