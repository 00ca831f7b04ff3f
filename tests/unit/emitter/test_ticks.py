from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.emitter.ticks import due_tick

QUARTER = timedelta(minutes=15)
NOON = datetime(2025, 3, 30, 12, 0, tzinfo=UTC)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

instants = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=116_000)).map(lambda age: EPOCH + age)
steps = st.integers(min_value=1, max_value=86_400 * 7).map(lambda seconds: timedelta(seconds=seconds))


@given(instants, steps)
def test_the_first_boundary_is_the_newest_multiple_of_the_step(now: datetime, every: timedelta) -> None:
    boundary = due_tick(now=now, last=None, every=every)
    assert boundary is not None
    assert boundary <= now < boundary + every
    assert (boundary - EPOCH) % every == timedelta(0)


@given(st.lists(instants, min_size=1, max_size=20), steps)
def test_recorded_boundaries_only_rise_whatever_the_clock_does(nows: list[datetime], every: timedelta) -> None:
    last: datetime | None = None
    for now in nows:
        boundary = due_tick(now=now, last=last, every=every)
        assert boundary is None or last is None or boundary > last
        assert due_tick(now=now, last=boundary or last, every=every) is None
        last = boundary or last


@pytest.mark.parametrize(
    ("minutes", "last", "expected"),
    [
        (0, None, 0),
        (14, None, 0),
        (15, 0, 15),
        (14, 0, None),
        (60, 0, 60),  # three were missed
        (-30, 0, None),  # the clock stepped back
    ],
)
def test_quarter_hours(minutes: int, last: int | None, expected: int | None) -> None:
    found = due_tick(
        now=NOON + timedelta(minutes=minutes),
        last=None if last is None else NOON + timedelta(minutes=last),
        every=QUARTER,
    )
    assert found == (None if expected is None else NOON + timedelta(minutes=expected))


def test_a_step_that_is_not_positive_is_an_error() -> None:
    with pytest.raises(ValueError, match="not positive"):
        due_tick(now=NOON, last=None, every=timedelta(0))
