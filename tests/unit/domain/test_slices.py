"""How a range is cut into slices that both tiers are compared in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.backfill import covered, stretches
from consumer.domain.errors import ConfigurationError
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.reconcile import RecordedWindow
from consumer.domain.slices import DroppedRows, Slice, check_range, runs_of, slices_of
from consumer.domain.window import EVER, Window

ZERO = datetime(2024, 1, 1, tzinfo=UTC)


def at(hour: float) -> datetime:
    return ZERO + timedelta(hours=hour)


def window(lower: float, upper: float) -> Window:
    return Window(lower=at(lower), upper=at(upper))


def recorded(one: Window, rows: int = 10) -> RecordedWindow:
    content = Fingerprint(rows=rows, digest=rows)
    return RecordedWindow(window=one, cold=content, hot=content)


def dropped(one: Window, rows: int = 10) -> DroppedRows:
    return DroppedRows(window=one, fingerprint=Fingerprint(rows=rows, digest=rows))


HOURS = st.lists(st.integers(0, 60), min_size=2, max_size=12, unique=True).map(sorted)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Window, list[Window], list[DroppedRows], int]:
    """A range, windows that are done (some apart), what was dropped, and how many slices are allowed."""
    hours = draw(HOURS)
    done = [window(lower, upper) for lower, upper in pairwise(hours)]
    kept = [one for one in done if draw(st.booleans())] or done
    bounds = draw(st.lists(st.integers(-5, 65), min_size=2, max_size=2, unique=True).map(sorted))
    gone = draw(st.lists(st.sampled_from(kept), max_size=2, unique=True))
    within = draw(st.sampled_from([EVER, window(*bounds)]))
    return within, kept, [dropped(one) for one in gone], draw(st.integers(1, 8))


@given(case=cases())
def test_slices_are_the_range_without_a_gap_and_tell_what_belongs(
    case: tuple[Window, list[Window], list[DroppedRows], int],
) -> None:
    within, done, gone, most = case
    slices = slices_of(
        within, covered=stretches(done), recorded=[recorded(one) for one in done], dropped=gone, most=most
    )
    assert (slices[0].window.lower, slices[-1].window.upper) == (within.lower, within.upper)
    assert all(one.window.upper == other.window.lower for one, other in pairwise(slices))
    for one in slices:
        inside = [each for each in stretches(done) if each.lower <= one.window.lower and one.window.upper <= each.upper]
        outside = all(each.upper <= one.window.lower or one.window.upper <= each.lower for each in done)
        assert (bool(inside), outside) == (one.belongs, not one.belongs)


@given(case=cases())
def test_what_was_dropped_counts_once_and_to_a_slice_that_holds_all_of_it(
    case: tuple[Window, list[Window], list[DroppedRows], int],
) -> None:
    _, done, gone, most = case
    slices = slices_of(EVER, covered=stretches(done), recorded=list(map(recorded, done)), dropped=gone, most=most)
    assert sum((one.dropped for one in slices), EMPTY) == sum((one.fingerprint for one in gone), EMPTY)
    for one in gone:
        (holder,) = [each for each in slices if each.window.contains(one.window.lower)]
        assert one.window.upper <= holder.window.upper
    assert sum(one.recorded for one in slices) == 10 * len(done)


@given(case=cases(), rows=st.integers(1, 40))
def test_runs_are_all_slices_that_belong_each_run_without_a_gap(
    case: tuple[Window, list[Window], list[DroppedRows], int], rows: int
) -> None:
    within, done, gone, most = case
    slices = slices_of(within, covered=stretches(done), recorded=list(map(recorded, done)), dropped=gone, most=most)
    runs = runs_of(slices, rows)
    assert [one for run in runs for one in run] == [one for one in slices if one.belongs]
    for run in runs:
        assert all(one.window.upper == other.window.lower for one, other in pairwise(run))
        assert len(run) == 1 or sum(one.recorded for one in run) <= rows


def test_each_window_is_a_slice_until_there_are_too_many() -> None:
    done = [window(hour, hour + 1) for hour in range(10)]
    within = window(0, 10)
    arguments = {"covered": covered(done, start=at(0), watermark=at(10)), "dropped": []}
    cut = [recorded(one) for one in done]
    assert [one.window for one in slices_of(within, recorded=cut, **arguments)] == done  # type: ignore[arg-type]
    joined = slices_of(within, recorded=cut, most=3, **arguments)  # type: ignore[arg-type]
    assert [(one.window, one.recorded) for one in joined] == [
        (window(0, 4), 40),
        (window(4, 8), 40),
        (window(8, 10), 20),
    ]


def test_a_partition_that_was_dropped_keeps_its_windows_together() -> None:
    done = [window(hour, hour + 1) for hour in range(4)]
    slices = slices_of(
        window(0, 4),
        covered=stretches(done),
        recorded=[recorded(one) for one in done],
        dropped=[dropped(window(0.5, 2.5))],
    )
    assert slices == [
        Slice(window=window(0, 3), belongs=True, recorded=30, dropped=Fingerprint(rows=10, digest=10)),
        Slice(window=window(3, 4), belongs=True, recorded=10),
    ]


@pytest.mark.parametrize(("bounds", "option"), [((1, 5), "--from"), ((-3, 1), "--to")])
def test_a_range_that_cuts_through_what_was_dropped_is_refused(bounds: tuple[int, int], option: str) -> None:
    with pytest.raises(ConfigurationError, match=option) as refused:
        check_range("trades", window(*bounds), [dropped(window(0, 2))])
    assert at(0).isoformat() in refused.value.remedy
    check_range("trades", window(0, 2), [dropped(window(0, 2))])
