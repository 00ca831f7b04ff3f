"""Only the contiguous prefix of done offsets may be committed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.service.runtime.offsets import OffsetTracker


def test_nothing_is_committable_before_something_is_done() -> None:
    tracker = OffsetTracker()
    tracker.received(5)
    assert tracker.committable is None
    assert tracker.pending == 1


def test_an_open_offset_holds_back_all_later_ones() -> None:
    tracker = OffsetTracker()
    for offset in (5, 6, 7):
        tracker.received(offset)
    tracker.done(6)
    tracker.done(7)
    assert tracker.committable is None
    tracker.done(5)
    assert tracker.committable == 8


def test_offsets_that_kafka_skips_are_not_waited_for() -> None:
    tracker = OffsetTracker()
    for offset in (5, 9, 12):
        tracker.received(offset)
    tracker.done(5)
    assert tracker.committable == 9
    tracker.done(9)
    tracker.done(12)
    assert tracker.committable == 13


def test_what_is_committed_is_not_committed_again() -> None:
    tracker = OffsetTracker()
    tracker.received(1)
    tracker.done(1)
    tracker.committed(2)
    assert tracker.committable is None
    assert tracker.position == 2


def test_an_offset_is_received_once() -> None:
    tracker = OffsetTracker()
    assert tracker.received(3)
    assert not tracker.received(3)
    assert not tracker.received(2)
    assert tracker.pending == 1


def test_an_offset_that_was_never_received_can_not_be_done() -> None:
    tracker = OffsetTracker()
    with pytest.raises(ValueError, match="never received"):
        tracker.done(0)


@given(
    offsets=st.lists(st.integers(0, 10_000), unique=True, min_size=1).map(sorted),
    data=st.data(),
)
def test_the_position_is_always_the_first_offset_that_is_not_done(offsets: list[int], data: st.DataObject) -> None:
    tracker = OffsetTracker()
    arriving = list(offsets)
    open_offsets: set[int] = set()
    done: set[int] = set()
    while arriving or open_offsets:
        if arriving and (not open_offsets or data.draw(st.booleans())):
            offset = arriving.pop(0)
            assert tracker.received(offset)
            open_offsets.add(offset)
        else:
            offset = data.draw(st.sampled_from(sorted(open_offsets)))
            tracker.done(offset)
            tracker.done(offset)  # twice does no harm
            open_offsets.discard(offset)
            done.add(offset)
        assert tracker.pending == len(open_offsets)
        position = tracker.position
        if position is None:
            assert not done or min(open_offsets) < min(done)
            continue
        assert all(offset in done for offset in offsets if offset < position)
        if tracker.committable is not None and data.draw(st.booleans()):
            tracker.committed(position)
    assert tracker.position == offsets[-1] + 1


@given(st.lists(st.booleans(), max_size=30), st.integers(0, 4))
def test_what_is_held_back_is_not_committable_until_it_was_released_as_often(steps: list[bool], holds: int) -> None:
    tracker = OffsetTracker()
    tracker.begin(10, holds=holds)
    released, following = 0, 10
    for release in steps:
        if release and released < holds:
            tracker.release()
            released += 1
        elif not release:
            assert tracker.received(following)
            tracker.done(following)
            following += 1
        assert tracker.committable == (following if released == holds else None)
