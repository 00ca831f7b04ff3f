"""What is restored: which rows, what proves them, whose staging tables are whose."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.batch import BatchKind
from consumer.domain.errors import DivergenceError
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.reconcile import RecordedWindow
from consumer.domain.restore import (
    Change,
    RestoreMark,
    is_staging,
    looks_staged,
    pieces_of,
    prove,
    staging_table,
)
from consumer.domain.stream import Stream, TableName
from consumer.domain.window import EVER, Window
from tests.support.platform import day

START = day("2024-01-01")
TABLE = TableName(database="d", table="t")
STREAM = Stream(name="s", source=TABLE, target=TABLE, timestamp_column="ts")


def hours(lower: int, upper: int) -> Window:
    return Window(lower=START + timedelta(hours=lower), upper=START + timedelta(hours=upper))


def rows(count: int) -> Fingerprint:
    return Fingerprint(rows=count, digest=count * 1_000_003)


def recorded(window: Window, count: int) -> RecordedWindow:
    return RecordedWindow(window=window, cold=rows(count), hot=rows(count))


BOUNDS = st.lists(st.integers(0, 40), min_size=2, max_size=12, unique=True).map(sorted)


@given(bounds=BOUNDS, gaps=st.sets(st.integers(0, 10)), within=st.tuples(st.integers(-5, 44), st.integers(1, 60)))
def test_pieces_are_contiguous_and_each_lies_in_one_window_and_inside_or_outside_of_the_stretch(
    bounds: list[int], gaps: set[int], within: tuple[int, int]
) -> None:
    stretch = hours(within[0], within[0] + within[1])
    every = [hours(lower, upper) for lower, upper in itertools.pairwise(bounds)]
    windows = [
        one
        for number, one in enumerate(every)
        if number not in gaps and one.lower < stretch.upper and stretch.lower < one.upper
    ]
    pieces = pieces_of(stretch, windows)
    assert all(one.window.upper == other.window.lower for one, other in itertools.pairwise(pieces))
    wanted = [one.window for one in pieces if one.wanted]
    assert (wanted[0].lower, wanted[-1].upper) == (stretch.lower, stretch.upper)
    for number, window in enumerate(windows):
        mine = [one.window for one in pieces if one.recorded == number]
        assert (mine[0].lower, mine[-1].upper) == (window.lower, window.upper)
    for one in pieces:
        if one.recorded is None:
            assert not any(window.contains(one.window.lower) for window in windows)


def proved(windows: list[RecordedWindow], within: Window, found: dict[int, int], *changes: Change) -> list[bool]:
    """Prove with so many rows found from these hours on; whether each stretch with rows is proved."""
    pieces = pieces_of(within, [one.window for one in windows])
    contents = [rows(found.get((one.window.lower - START) // timedelta(hours=1), 0)) for one in pieces]
    return [one.proved for one in prove(STREAM, windows, pieces, contents, changes)]


def test_a_window_is_proved_as_a_whole_though_a_part_of_it_is_wanted() -> None:
    assert proved([recorded(hours(0, 4), 5)], hours(1, 2), {0: 2, 1: 2, 2: 1}) == [True]
    with pytest.raises(DivergenceError, match=r"hold 4 rows .* and the ledger has recorded 5 rows"):
        proved([recorded(hours(0, 4), 5)], hours(1, 2), {0: 2, 1: 2})


def test_as_many_rows_with_another_digest_are_refused() -> None:
    pieces = pieces_of(hours(0, 4), [hours(0, 4)])
    other = Fingerprint(rows=5, digest=1)
    with pytest.raises(DivergenceError, match="with digest 0000000000000001"):
        prove(STREAM, [recorded(hours(0, 4), 5)], pieces, [other], ())


def test_rows_of_no_window_are_refused_and_stretches_without_rows_are_not() -> None:
    assert proved([recorded(hours(0, 2), 1)], EVER, {0: 1}) == [True]
    with pytest.raises(DivergenceError, match="has recorded no window there"):
        proved([recorded(hours(0, 2), 1)], EVER, {0: 1, 2: 3})


def test_what_later_snapshots_have_added_is_taken_away_from_the_record() -> None:
    windows = [recorded(hours(0, 2), 7), recorded(hours(2, 4), 9)]
    supplement = Change(kind=BatchKind.SUPPLEMENT, window=hours(0, 2), fingerprint=rows(3))
    later = Change(kind=BatchKind.WINDOW, window=hours(2, 4), fingerprint=rows(9))
    assert proved(windows, EVER, {0: 4}, later, supplement) == [True]
    with pytest.raises(DivergenceError):
        proved(windows, EVER, {0: 7}, later, supplement)


@pytest.mark.parametrize("kind", [BatchKind.REPLACE, BatchKind.REWIND])
def test_what_was_replaced_or_rewound_since_is_not_proved_and_the_rest_is(kind: BatchKind) -> None:
    windows = [recorded(hours(0, 2), 7), recorded(hours(2, 4), 9)]
    change = Change(kind=kind, window=hours(2, 4), fingerprint=rows(9))
    assert proved(windows, EVER, {0: 7, 2: 1}, change) == [True, False]
    with pytest.raises(DivergenceError):
        proved(windows, EVER, {0: 6, 2: 1}, change)


def test_a_rewind_is_about_everything_after_its_instant() -> None:
    change = Change(kind=BatchKind.REWIND, window=hours(2, 3), fingerprint=EMPTY)
    assert proved([recorded(hours(0, 2), 7)], EVER, {0: 7, 2: 4}, change) == [True, False]


def test_a_mark_is_read_back_and_nothing_else_is() -> None:
    mark = RestoreMark(stream="it's", into='d."t')
    assert RestoreMark.parse(mark.comment()) == mark
    for comment in ("", "my table", "icehaul restore: ", "icehaul restore: {}", "icehaul restore: []"):
        assert RestoreMark.parse(comment) is None


@given(st.from_regex(r"[a-z_]{1,127}", fullmatch=True))
def test_a_staging_tables_name_is_a_name_and_leads_back_to_its_table_alone(name: str) -> None:
    into = TableName(database="d", table=name)
    staging = staging_table(into, "0123456789ab")
    assert is_staging(into, staging.table)
    assert looks_staged(staging)
    assert not is_staging(TableName(database="d", table=f"{name[:100]}x"), staging.table)
    assert not is_staging(into, f"{staging.table}0")
