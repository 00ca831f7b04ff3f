"""What is due when a tick was sent: no less than the settled rows, and no more than every later handling reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.due import CLOCKS_APART, find_due
from consumer.domain.planning import CutoffReason, find_cutoff
from consumer.domain.stream import Stream, TableName
from consumer.domain.window import BEGINNING

NOON = datetime(2024, 1, 10, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
NAMES = "abcd"


def stream(name: str, **fields: object) -> Stream:
    table = TableName(database="m", table=name)
    return Stream(name=name, source=table, target=table, timestamp_column="ts", **fields)  # type: ignore[arg-type]


def by_name(*streams: Stream) -> dict[str, Stream]:
    return {one.name: one for one in streams}


def test_a_boundary_that_is_settled_is_due_itself() -> None:
    due = find_due("a", by_name(stream("a")), asked=NOON - 15 * MINUTE, now=NOON, watermarks={})
    assert (due["a"].instant, due["a"].reason) == (NOON - 15 * MINUTE, CutoffReason.EVENT)


def test_younger_rows_than_the_settle_lag_and_the_row_span_are_not_due() -> None:
    streams = by_name(stream("a", settle_lag=5 * MINUTE), stream("b", settle_lag=5 * MINUTE, row_span=DAY))
    due = find_due("ab", streams, asked=NOON, now=NOON, watermarks={})
    assert {name: one.instant for name, one in due.items()} == {
        "a": NOON - 5 * MINUTE - CLOCKS_APART,
        "b": NOON - 5 * MINUTE - DAY - CLOCKS_APART,
    }


def test_an_upstream_without_a_tick_counts_with_the_watermark_that_it_has() -> None:
    streams = by_name(stream("a"), stream("b", upstreams=("a",)))
    due = find_due("b", streams, asked=NOON - DAY, now=NOON, watermarks={"a": NOON - 2 * DAY})
    assert (due["b"].instant, due["b"].reason) == (NOON - 2 * DAY, CutoffReason.UPSTREAM)
    assert find_due("b", streams, asked=NOON, now=NOON, watermarks={})["b"].instant == BEGINNING


def test_an_upstream_with_a_tick_counts_as_having_followed_it_whatever_the_order_of_the_names() -> None:
    streams = by_name(stream("b", upstreams=("a",)), stream("a"))
    due = find_due("ba", streams, asked=NOON - DAY, now=NOON, watermarks={"a": NOON - 2 * DAY})
    assert [*due] == ["b", "a"]
    assert due["b"].instant == NOON - DAY


def test_an_upstream_that_is_further_than_its_tick_asks_for_counts_with_the_watermark_that_it_has() -> None:
    streams = by_name(stream("a", settle_lag=DAY), stream("b", settle_lag=timedelta(0), upstreams=("a",)))
    due = find_due("ab", streams, asked=NOON, now=NOON, watermarks={"a": NOON - MINUTE})
    assert (due["a"].instant, due["b"].instant) == (NOON - DAY - CLOCKS_APART, NOON - MINUTE)


instants = st.datetimes(min_value=datetime(2023, 1, 1), max_value=datetime(2024, 6, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
lags = st.sampled_from([timedelta(0), MINUTE, 7 * MINUTE])
spans = st.sampled_from([timedelta(0), timedelta(0), timedelta(hours=1), DAY])


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, Stream]:
    """Streams whose upstreams stand before them."""
    made: dict[str, Stream] = {}
    for name in NAMES:
        upstreams = tuple(draw(st.sets(st.sampled_from([*made])))) if made else ()
        made[name] = stream(name, settle_lag=draw(lags), row_span=draw(spans), upstreams=upstreams)
    return made


@given(
    streams=graphs(),
    ticked=st.lists(st.sampled_from(NAMES), min_size=1, unique=True),
    asked=instants,
    now=instants,
    watermarks=st.dictionaries(st.sampled_from(NAMES), instants),
    data=st.data(),
)
def test_consumers_reach_what_is_due_in_whatever_order_and_however_late_they_handle_the_ticks(
    streams: Mapping[str, Stream],
    ticked: Sequence[str],
    asked: datetime,
    now: datetime,
    watermarks: dict[str, datetime],
    data: st.DataObject,
) -> None:
    due = find_due(ticked, streams, asked=asked, now=now, watermarks=watermarks)
    assert all(one.instant <= asked for one in due.values())
    reached = {name: watermarks.get(name, BEGINNING) for name in streams}
    events = [(name, asked) for name in ticked]
    clock = now
    while events:
        name, cutoff = events.pop(data.draw(st.integers(0, len(events) - 1)))
        # Another server's clock may be behind the one that was asked at first.
        clock += data.draw(st.sampled_from([timedelta(0), timedelta(hours=1)]))
        server = clock - data.draw(st.sampled_from([timedelta(0), CLOCKS_APART]))
        upstreams = {one: reached[one] for one in streams[name].upstreams}
        allowed = find_cutoff(streams[name], event_cutoff=cutoff, now=server, upstreams=upstreams).instant
        if allowed > reached[name]:
            reached[name] = allowed
            events += [(other, allowed) for other in streams if name in streams[other].upstreams]
    assert all(reached[name] >= one.instant for name, one in due.items())
