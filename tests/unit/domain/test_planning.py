"""How far a stream may be read, and how a stretch of time is cut, whatever rows it holds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.planning import CutoffReason, Slice, by_partition, exceeds, find_cutoff, floor_to_span, pack
from consumer.domain.stream import BatchBounds, Stream, TableName
from consumer.domain.window import BEGINNING, PartitionBy, Window

NOON = datetime(2024, 1, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def stream(**fields: object) -> Stream:
    table = TableName(database="m", table="trades")
    return Stream(name="trades", source=table, target=table, timestamp_column="ts", **fields)  # type: ignore[arg-type]


def test_the_event_bounds_what_is_long_settled() -> None:
    cutoff = find_cutoff(stream(), event_cutoff=NOON - HOUR, now=NOON, upstreams={})
    assert (cutoff.instant, cutoff.reason) == (NOON - HOUR, CutoffReason.EVENT)


def test_the_settle_lag_bounds_an_event_that_asks_for_too_much() -> None:
    lagging = stream(settle_lag=timedelta(minutes=7))
    cutoff = find_cutoff(lagging, event_cutoff=NOON, now=NOON, upstreams={})
    assert (cutoff.instant, cutoff.reason) == (NOON - timedelta(minutes=7), CutoffReason.SETTLE_LAG)
    assert "7m" in cutoff.detail


def test_the_row_span_is_subtracted_besides_the_settle_lag() -> None:
    bars = stream(settle_lag=timedelta(minutes=5), row_span=DAY)
    cutoff = find_cutoff(bars, event_cutoff=NOON, now=NOON, upstreams={})
    assert (cutoff.instant, cutoff.reason) == (NOON - DAY - timedelta(minutes=5), CutoffReason.ROW_SPAN)


def test_the_slowest_upstream_bounds_and_is_named() -> None:
    watermarks = {"quick": NOON - HOUR, "slow": NOON - 3 * HOUR}
    cutoff = find_cutoff(stream(upstreams=("quick", "slow")), event_cutoff=NOON, now=NOON, upstreams=watermarks)
    assert (cutoff.instant, cutoff.reason) == (NOON - 3 * HOUR, CutoffReason.UPSTREAM)
    assert "upstream slow" in cutoff.detail


def test_an_upstream_counts_as_far_as_it_covers_whole_spans() -> None:
    bars = stream(row_span=DAY, upstreams=("trades",))
    cutoff = find_cutoff(bars, event_cutoff=NOON, now=NOON + 5 * DAY, upstreams={"trades": NOON})
    assert cutoff.instant == NOON - 12 * HOUR


def test_an_upstream_that_was_never_read_lets_nothing_through() -> None:
    for span in (timedelta(0), DAY, timedelta(days=400)):
        cutoff = find_cutoff(stream(row_span=span), event_cutoff=NOON, now=NOON, upstreams={"trades": BEGINNING})
        assert (cutoff.instant, cutoff.reason) == (BEGINNING, CutoffReason.UPSTREAM)


instants = st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
spans = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=40))


@given(instants, instants, st.dictionaries(st.sampled_from("abc"), instants), spans, spans)
def test_the_cutoff_never_passes_any_bound(
    event: datetime, now: datetime, upstreams: dict[str, datetime], lag: timedelta, span: timedelta
) -> None:
    found = find_cutoff(stream(settle_lag=lag, row_span=span), event_cutoff=event, now=now, upstreams=upstreams).instant
    assert found <= event
    assert found <= now - lag - span
    assert all(found <= watermark for watermark in upstreams.values())


@given(instants, st.timedeltas(min_value=timedelta(microseconds=1), max_value=timedelta(days=400)))
def test_a_floor_is_the_latest_multiple_not_after_the_instant(instant: datetime, span: timedelta) -> None:
    floor = floor_to_span(instant, span)
    assert floor <= instant < floor + span
    assert (floor - datetime(1970, 1, 1, tzinfo=UTC)) % span == timedelta(0)


def cut(start: datetime, hours: Sequence[int], rows: Sequence[int]) -> list[Slice]:
    """Slices of whole hours with gaps between them."""
    slices = []
    for gap, count in zip(hours, rows, strict=False):
        start += gap * HOUR
        slices.append(Slice(window=Window(lower=start, upper=start + HOUR), rows=count, bytes=count * 10))
        start += HOUR
    return slices


slices = st.builds(
    cut,
    st.sampled_from([NOON, datetime(2023, 12, 31, 5, tzinfo=UTC), datetime(2024, 2, 28, tzinfo=UTC)]),
    st.lists(st.integers(min_value=0, max_value=60), min_size=40, max_size=40),
    st.lists(st.integers(min_value=1, max_value=50), max_size=40),
)


@given(slices, st.integers(1, 120), st.integers(1, 1200), st.integers(1, 72))
def test_packing_keeps_every_slice_in_order_and_within_bounds(
    given_: list[Slice], rows: int, bytes_: int, hours: int
) -> None:
    groups = list(pack(given_, rows=rows, bytes_=bytes_, span=hours * HOUR))
    assert [piece for group in groups for piece in group.slices] == given_
    assert [group.following for group in groups] == [
        *(group.slices[0].window.lower for group in groups[1:]),
        *(None for _ in groups[:1]),
    ]
    for group in (packed.slices for packed in groups):
        assert group
        if len(group) > 1:
            assert sum(piece.rows for piece in group) <= rows
            assert sum(piece.bytes for piece in group) <= bytes_
            assert group[-1].window.upper - group[0].window.lower <= hours * HOUR


@given(slices, st.integers(1, 120), st.integers(1, 1200), st.integers(1, 72))
def test_packing_starts_a_group_only_where_it_must(given_: list[Slice], rows: int, bytes_: int, hours: int) -> None:
    for group, following in pairwise(pack(given_, rows=rows, bytes_=bytes_, span=hours * HOUR)):
        more = [*group.slices, following.slices[0]]
        assert (
            sum(piece.rows for piece in more) > rows
            or sum(piece.bytes for piece in more) > bytes_
            or more[-1].window.upper - more[0].window.lower > hours * HOUR
        )


@given(slices, st.sampled_from(PartitionBy))
def test_merging_by_partition_keeps_counts_and_crosses_no_border(given_: list[Slice], kind: PartitionBy) -> None:
    if not given_:
        assert list(by_partition(Window(lower=NOON, upper=NOON + DAY), given_, kind)) == []
        return
    whole = Window(lower=given_[0].window.lower - HOUR, upper=given_[-1].window.upper + HOUR)
    merged = list(by_partition(whole, given_, kind))
    assert sum(piece.rows for piece in merged) == sum(piece.rows for piece in given_)
    assert sum(piece.bytes for piece in merged) == sum(piece.bytes for piece in given_)
    floors = [kind.floor(piece.window.lower) for piece in merged]
    assert floors == sorted(set(floors))
    for piece in merged:
        assert whole.lower <= piece.window.lower
        assert piece.window.upper <= min(whole.upper, kind.ceil(piece.window.lower))
    for piece in given_:
        assert any(one.window.lower <= piece.window.lower < one.window.upper for one in merged)


@pytest.mark.parametrize(
    ("rows", "bytes_", "too_large"), [(10, 100, False), (11, 100, True), (10, 101, True), (0, 0, False)]
)
def test_a_slice_exceeds_the_bounds_by_rows_or_by_bytes(rows: int, bytes_: int, too_large: bool) -> None:
    piece = Slice(window=Window(lower=NOON, upper=NOON + HOUR), rows=rows, bytes=bytes_)
    assert exceeds(piece, BatchBounds(rows=10, bytes=100)) is too_large
