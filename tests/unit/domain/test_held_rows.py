"""What files hold, by windows: nothing is counted twice or left out, and nothing is told that was not counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.fingerprint import EMPTY
from consumer.domain.held_rows import HeldRows
from consumer.domain.window import Window
from consumer.testing.rows import Row, file_parts, fingerprint_of

FIRST = datetime(2024, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)

HOURS = st.integers(-30, 100)
FILES = st.lists(st.lists(HOURS, max_size=8), max_size=4)


def files_of(hours: list[list[int]]) -> dict[str, list[Row]]:
    """Files by path, with a row at each of the hours."""
    return {
        f"s3://b/{number}": [Row(ts=FIRST + HOUR * hour, seq=seq) for seq, hour in enumerate(some)]
        for number, some in enumerate(hours)
    }


def held_of(files: dict[str, list[Row]], bounds: list[datetime]) -> HeldRows:
    return HeldRows([part for path, rows in files.items() for part in file_parts(path, rows, bounds)], bounds)


@given(FILES, st.lists(HOURS, min_size=2, max_size=8, unique=True))
def test_windows_of_whatever_was_counted_by_hold_what_the_files_hold_of_them(
    hours: list[list[int]], cuts: list[int]
) -> None:
    files, bounds = files_of(hours), [FIRST + HOUR * cut for cut in sorted(cuts)]
    held = held_of(files, bounds)
    windows = [Window(lower=lower, upper=upper) for lower, upper in pairwise(bounds)]
    rows = [row for some in files.values() for row in some]
    assert held.tally(windows) == [fingerprint_of(row for row in rows if one.contains(row.ts)) for one in windows]
    for window in windows:
        assert held.files(window) == {
            path: fingerprint_of(some) for path, some in files.items() if any(window.contains(row.ts) for row in some)
        }
    times = [row.ts for row in rows]
    assert (held.rows, held.first, held.last) == (len(rows), min(times, default=None), max(times, default=None))


@given(FILES)
def test_days_are_always_counted_by(hours: list[list[int]]) -> None:
    files = files_of(hours)
    days = [Window(lower=FIRST + HOUR * at, upper=FIRST + HOUR * (at + 24)) for at in range(-48, 120, 24)]
    found = held_of(files, [FIRST + HOUR * 7]).tally(days)
    assert sum(found, EMPTY) == fingerprint_of(row for some in files.values() for row in some)


def test_a_window_that_was_not_counted_by_is_refused() -> None:
    held = held_of(files_of([[1, 2, 3]]), [FIRST, FIRST + HOUR * 4])
    with pytest.raises(ValueError, match=r"not counted by 2024-03-01T02:00:00"):
        held.tally([Window(lower=FIRST, upper=FIRST + HOUR * 2)])
    with pytest.raises(ValueError, match=r"not counted by 2024-03-01T02:00:00"):
        held.files(Window(lower=FIRST + HOUR * 2, upper=FIRST + HOUR * 4))
