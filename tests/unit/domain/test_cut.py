"""A cut holds every row below one instant, however windows lie and whatever else was committed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.cut import Fit, History, Part, PastSnapshot, bound_of, find_part
from consumer.domain.stream import Stream, TableName
from consumer.domain.window import Window

START = datetime(2024, 1, 1, tzinfo=UTC)


def at(hours: int) -> datetime:
    return START + timedelta(hours=hours)


def window(number: int, lower: int, upper: int) -> PastSnapshot:
    return PastSnapshot(snapshot_id=number, window=Window(lower=at(lower), upper=at(upper)), proved=at(upper))


def other(number: int, proved: int | None = None) -> PastSnapshot:
    return PastSnapshot(snapshot_id=number, window=None, proved=None if proved is None else at(proved))


def rewind(number: int, to: int, proved: int | None) -> PastSnapshot:
    return PastSnapshot(snapshot_id=number, window=None, proved=None if proved is None else at(proved), rewound=at(to))


def history(*oldest_first: PastSnapshot, whole: bool = True) -> History:
    return History(snapshots=oldest_first[::-1], whole=whole)


@dataclass(frozen=True)
class Told:
    """What happened to a table: its snapshots, oldest first, and the windows without rows between them."""

    snapshots: tuple[PastSnapshot, ...]
    watermark: int


@st.composite
def tables(draw: st.DrawFn) -> Told:
    """Windows without gaps; some hold no rows and make no snapshot, some are followed by a compaction."""
    bounds = sorted(draw(st.sets(st.integers(0, 40), min_size=2, max_size=12)))
    snapshots: list[PastSnapshot] = []
    for lower, upper in pairwise(bounds):
        if draw(st.booleans()):
            snapshots.append(window(len(snapshots) + 1, lower, upper))
            if draw(st.booleans()):
                snapshots.append(other(len(snapshots) + 1, draw(st.sampled_from((None, upper)))))
    return Told(tuple(snapshots), bounds[-1])


def hours_in(told: Told, snapshot_id: int | None) -> set[int]:
    """The hours whose rows a snapshot holds: those of every window up to it."""
    held = [one.window for one in told.snapshots if snapshot_id is not None and one.snapshot_id <= snapshot_id]
    return {hour for each in held if each is not None for hour in range(41) if each.contains(at(hour))}


@given(told=tables(), below=st.integers(0, 40))
def test_the_snapshot_holds_exactly_the_rows_below_the_instant_once_they_are_filtered(told: Told, below: int) -> None:
    below = min(below, told.watermark)
    part = find_part(history(*told.snapshots), at(below))
    everything = hours_in(told, len(told.snapshots))

    assert {hour for hour in hours_in(told, part.snapshot_id) if hour < below} == {h for h in everything if h < below}
    if part.fit is Fit.EXACT:
        assert max(hours_in(told, part.snapshot_id)) < below
    if part.fit is Fit.NO_ROWS:
        assert not any(hour < below for hour in everything)


@given(told=tables(), below=st.integers(0, 40), expired=st.integers(1, 12))
def test_after_an_expiry_the_same_snapshot_is_found_or_said_to_be_gone(told: Told, below: int, expired: int) -> None:
    below = min(below, told.watermark)
    before = find_part(history(*told.snapshots), at(below))
    retained = told.snapshots[min(expired, len(told.snapshots) - 1) :]
    if len(retained) == len(told.snapshots):
        return
    after = find_part(history(*retained, whole=False), at(below))

    if after.fit is Fit.NOT_RETAINED:
        # What is right is gone, or nothing that is left says what it is.
        right = [one for one in retained if one.snapshot_id == before.snapshot_id]
        assert all(one.window is None for one in right)
    else:
        assert after.snapshot_id == before.snapshot_id


def test_the_snapshot_that_ends_at_the_instant_is_exact() -> None:
    part = find_part(history(window(1, 0, 4), window(2, 4, 8)), at(4))
    assert part == Part(fit=Fit.EXACT, snapshot_id=1, upper=at(4))


def test_a_window_that_straddles_the_instant_is_in_the_cut_for_the_rows_below_it() -> None:
    part = find_part(history(window(1, 0, 4), window(2, 4, 8)), at(5))
    assert part == Part(fit=Fit.STRADDLES, snapshot_id=2, upper=at(8))


def test_a_stretch_without_rows_up_to_the_instant_needs_no_later_snapshot() -> None:
    part = find_part(history(window(1, 0, 4), window(2, 7, 9)), at(6))
    assert part == Part(fit=Fit.EXACT, snapshot_id=1, upper=at(4))


def test_a_compaction_is_preferred_to_what_it_compacted_as_long_as_no_later_window_is_in_it() -> None:
    assert find_part(history(window(1, 0, 4), other(2, 4), window(3, 4, 8)), at(4)).snapshot_id == 2
    assert find_part(history(window(1, 0, 4), window(2, 4, 8), other(3, 8)), at(4)).snapshot_id == 1


def test_a_supplement_is_in_the_cut_if_no_later_window_was_there_before_it() -> None:
    early, late = other(2, 4), other(4, 8)
    told = history(window(1, 0, 4), early, window(3, 4, 8), late)
    assert find_part(told, at(4)).snapshot_id == early.snapshot_id
    assert find_part(told, at(8)).snapshot_id == late.snapshot_id


def test_without_a_snapshot_there_are_no_rows() -> None:
    assert find_part(History(), at(4)) == Part(fit=Fit.NO_ROWS)
    assert find_part(history(window(1, 4, 8)), at(4)) == Part(fit=Fit.NO_ROWS)


def test_an_expired_snapshot_is_not_taken_for_no_rows() -> None:
    assert find_part(history(window(2, 4, 8), whole=False), at(4)) == Part(fit=Fit.NOT_RETAINED)
    assert find_part(history(other(2), whole=False), at(4)) == Part(fit=Fit.NOT_RETAINED)


def test_rows_of_a_former_writer_are_there_and_nobody_knows_where_they_end() -> None:
    assert find_part(history(other(1), window(2, 4, 8)), at(4)) == Part(fit=Fit.STRADDLES, snapshot_id=1)


def test_a_rewind_holds_the_rows_below_it_and_none_of_the_windows_that_it_has_taken_out() -> None:
    told = history(window(1, 0, 4), window(2, 4, 8), window(3, 8, 9), rewind(4, 6, 6), window(5, 6, 9))
    assert find_part(told, at(6)) == Part(fit=Fit.EXACT, snapshot_id=4, upper=at(6))
    assert find_part(told, at(5)) == Part(fit=Fit.STRADDLES, snapshot_id=4, upper=at(6))
    assert find_part(told, at(4)) == Part(fit=Fit.EXACT, snapshot_id=1, upper=at(4))
    assert find_part(told, at(9)) == Part(fit=Fit.EXACT, snapshot_id=5, upper=at(9))
    assert find_part(history(window(1, 0, 4), rewind(2, 0, None)), at(0)).fit is Fit.EXACT


@st.composite
def rewound_tables(draw: st.DrawFn) -> Told:
    """Windows without gaps, each with rows; now and then the table is rewound, and windows go on from there."""
    reached = 0
    snapshots: list[PastSnapshot] = []
    for _ in range(draw(st.integers(1, 9))):
        number = len(snapshots) + 1
        if reached and draw(st.integers(0, 2)) == 0:
            reached = draw(st.integers(1, reached))
            snapshots.append(rewind(number, reached, reached))
        else:
            lower, reached = reached, reached + draw(st.integers(1, 9))
            snapshots.append(window(number, lower, reached))
    return Told(tuple(snapshots), reached)


def writers_of_hours(told: Told, snapshot_id: int | None) -> dict[int, int]:
    """The hours whose rows a snapshot holds, each with the snapshot that has added them."""
    held: dict[int, int] = {}
    for one in told.snapshots:
        if snapshot_id is None or one.snapshot_id > snapshot_id:
            break
        if one.rewound is not None:
            held = {hour: writer for hour, writer in held.items() if at(hour) < one.rewound}
        elif one.window is not None:
            held |= {hour: one.snapshot_id for hour in range(100) if one.window.contains(at(hour))}
    return held


@given(told=rewound_tables(), below=st.integers(1, 80))
def test_a_cut_through_a_table_that_was_rewound_holds_the_rows_that_are_in_it_now(told: Told, below: int) -> None:
    below = min(below, told.watermark)
    part = find_part(history(*told.snapshots), at(below))
    now, then = (writers_of_hours(told, number) for number in (len(told.snapshots), part.snapshot_id))

    assert {hour: one for hour, one in then.items() if hour < below} == {h: w for h, w in now.items() if h < below}
    if part.fit is Fit.EXACT:
        assert max(then) < below
    last = told.snapshots[-1]
    if last.rewound == at(below):
        assert part == Part(fit=Fit.EXACT, snapshot_id=last.snapshot_id, upper=at(below))


@pytest.mark.parametrize(("span", "bound"), [(0, 30), (1, 30), (24, 24)])
def test_rows_with_a_span_count_as_far_as_the_cut_covers_whole_spans(span: int, bound: int) -> None:
    table = TableName.parse("gold.bars")
    stream = Stream(name="bars", source=table, target=table, timestamp_column="ts", row_span=timedelta(hours=span))
    assert bound_of(stream, at(30)) == at(bound)
