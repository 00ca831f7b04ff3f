"""History below a stream's start reaches the cold tier on request, batch by batch beside live events, each row once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.domain.backfill import BackfillRequest, BackfillState, newest_first
from consumer.domain.batch import BatchKind, BatchStatus
from consumer.domain.errors import ConfigurationError, LeaseHeldError
from consumer.domain.event import Event
from consumer.domain.event_factory import tick
from consumer.domain.stream import BatchBounds, Stream
from consumer.domain.window import BEGINNING, PartitionBy, Window
from consumer.failpoints.acting import Failpoints
from consumer.ports import StreamState
from consumer.service.backfill.backfiller import is_hint
from consumer.service.backfill.requests import BackfillRequests
from consumer.testing.rows import Row
from tests.unit.service.test_offload import NEVER, NOW, World, make_stream

START = NOW - timedelta(days=2)
BEFORE = START - timedelta(days=40)
HOUR = timedelta(hours=1)


def rows(first: datetime, count: int, *, step: timedelta = HOUR, seq: int = 0) -> list[Row]:
    return [Row(ts=first + n * step, seq=seq + n, value=n) for n in range(count)]


def start_world(**changes: object) -> World:
    fields: dict[str, object] = {"bounds": BatchBounds(rows=4, unit_rows=2), "start": START, **changes}
    return World({"trades": make_stream("trades", **fields)})


@pytest.fixture
def world() -> World:
    found = start_world()
    insert(found, *rows(START - timedelta(hours=10), 20))
    handle(found)
    return found


def insert(world: World, *new: Row) -> None:
    world.source.insert(world.streams["trades"].source, new)


def handle(world: World, event: Event | None = None) -> None:
    world.offload().handle(event or tick(stream="trades", boundary=world.source.time), NEVER)


def requests(world: World) -> BackfillRequests:
    return BackfillRequests(
        source=world.source, ledger=world.ledger, backfills=world.ledger.backfills, failpoints=Failpoints()
    )


def ask(world: World, lower: datetime = BEFORE, upper: datetime = START) -> BackfillRequest:
    return requests(world).request(world.streams["trades"], lower, upper).request


def relayed(world: World) -> list[Event]:
    """Take every event out of the outbox, as the relay does."""
    messages = world.ledger.outbox(100)
    world.ledger.relayed([message.number for message in messages])
    return [message.event for message in messages]


def work(world: World, limit: int = 100) -> int:
    """Handle what the outbox holds until it is empty; how many events that took."""
    for handled in range(limit):
        events = relayed(world)
        if not events:
            return handled
        for event in events:
            handle(world, event)
    raise AssertionError("the outbox never empties")


def backfilled(world: World, status: BatchStatus = BatchStatus.PUBLISHED) -> list[Window]:
    return sorted(
        one.window
        for one in world.ledger.batches("trades", 1_000)
        if one.kind is BatchKind.BACKFILL and one.status is status
    )


def state_of(world: World, request: BackfillRequest) -> BackfillRequest:
    return next(one for one in world.ledger.backfills.all(["trades"]) if one.id == request.id)


# ------------------------------------------------------------------------------------------------- start


def test_a_stream_with_a_start_reads_nothing_below_it(world: World) -> None:
    assert world.cold() == {row: 1 for row in world.hot() if row.ts >= START}
    record = world.ledger.read(["trades"])["trades"]
    assert (record.start, record.watermark > START) == (START, True)
    first = min(one.window for one in world.ledger.batches("trades", 100))
    assert first.lower == START


def test_rows_below_the_start_are_neither_late_nor_a_gap(world: World) -> None:
    cold = world.cold()
    insert(world, *rows(START - timedelta(days=3), 5, seq=50))
    handle(world)
    world.source.tables[world.streams["trades"].source] = [r for r in world.hot().elements() if r.ts >= START]
    handle(world)
    assert world.cold() == cold
    assert world.ledger.findings("trades") == []
    assert world.ledger.read(["trades"])["trades"].state is StreamState.ACTIVE


def test_a_start_in_the_future_waits_for_its_time() -> None:
    world = start_world(start=NOW + timedelta(days=1))
    insert(world, *rows(NOW - timedelta(days=1), 5), *rows(NOW + timedelta(days=1), 5, seq=50))
    handle(world)
    assert not world.cold()
    world.source.time = NOW + timedelta(days=3)
    handle(world)
    assert {row.seq for row in world.cold()} == set(range(50, 55))


def test_the_start_counts_when_the_stream_is_first_claimed_and_never_again(world: World) -> None:
    reached = world.ledger.read(["trades"])["trades"].watermark
    for other in (None, START - timedelta(days=1), NOW + timedelta(days=9)):
        world.streams["trades"] = make_stream(start=other)
        handle(world)
        record = world.ledger.read(["trades"])["trades"]
        assert record.start == START
        assert record.watermark >= reached


def test_a_stream_that_was_halted_before_anybody_claimed_it_still_starts_where_it_is_configured_to() -> None:
    world = start_world()
    insert(world, *rows(START - HOUR, 5))
    world.ledger.halt("trades", reason="r", remedy="m", epoch=None)
    world.ledger.resume("trades")
    handle(world)
    assert world.ledger.read(["trades"])["trades"].start == START
    assert all(row.ts >= START for row in world.cold())


# ---------------------------------------------------------------------------------------------- backfill


def test_a_range_of_history_arrives_batch_by_batch_and_both_tiers_are_equal(world: World) -> None:
    request = ask(world)
    events = work(world)
    assert world.cold() == world.hot()
    windows = backfilled(world)
    assert len(windows) >= 3
    assert events >= len(windows)
    done = state_of(world, request)
    assert (done.state, done.position, done.rows) == (BackfillState.DONE, START, 10)
    assert done.windows == len(windows) + len(backfilled(world, BatchStatus.EMPTY))


def test_the_watermark_and_the_last_upper_stay_where_they_are(world: World) -> None:
    before = world.ledger.read(["trades"])["trades"]
    ask(world)
    world.source.time = NOW
    work(world)
    after = world.ledger.read(["trades"])["trades"]
    assert (after.watermark, after.last_upper, after.start) == (before.watermark, before.last_upper, START)
    assert after.last_batch_id != before.last_batch_id


def test_live_rows_that_arrive_meanwhile_wait_for_one_batch_of_history_at_most(world: World) -> None:
    ask(world)
    for number in range(3):
        (hint, *_) = relayed(world)
        insert(world, Row(ts=world.source.time - timedelta(minutes=1), seq=900 + number))
        world.source.time += timedelta(minutes=15)
        live = tick(stream="trades", boundary=world.source.time)
        before = len(backfilled(world))
        # The order of the topic: the hint stood there before the live event came.
        handle(world, hint)
        assert len(backfilled(world)) - before <= 1
        handle(world, live)
        assert {row.seq for row in world.cold()} >= {900 + number}


def test_an_old_hint_does_nothing_so_that_hints_never_pile_up(world: World) -> None:
    ask(world)
    (first,) = relayed(world)
    handle(world, first)
    (old,) = relayed(world)
    handle(world)  # a live event goes on, and leaves a hint of its own
    (new,) = relayed(world)
    before = backfilled(world)
    handle(world, old)
    assert backfilled(world) == before
    assert relayed(world) == []
    handle(world, new)
    assert backfilled(world) != before


def test_every_hint_is_for_the_stream_itself_and_has_the_id_of_its_batch(world: World) -> None:
    ask(world)
    handle(world, *relayed(world))
    (hint,) = relayed(world)
    assert is_hint(hint)
    latest = world.ledger.read(["trades"])["trades"].last_backfill_id
    assert hint.batch_id == str(latest)
    assert hint.cutoff <= world.ledger.read(["trades"])["trades"].watermark


def test_a_hint_is_held_while_another_owner_has_the_lease(world: World) -> None:
    ask(world)
    handle(world, *relayed(world))
    (hint,) = relayed(world)
    world.ledger.claim("trades", "somebody else", timedelta(seconds=30))
    with pytest.raises(LeaseHeldError):
        handle(world, hint)


def test_what_is_done_already_is_skipped_exactly(world: World) -> None:
    first, second = START - timedelta(hours=7), START - timedelta(hours=4)
    ask(world, first, second)
    work(world)
    inner = backfilled(world)
    assert (inner[0].lower, inner[-1].upper) == (first, second)
    ask(world)
    work(world)
    assert world.cold() == world.hot()
    assert set(inner) <= set(backfilled(world))


def test_a_stretch_without_rows_is_passed_over_without_a_snapshot_and_watched_for_late_rows() -> None:
    world = start_world()
    insert(world, *rows(START, 3))
    handle(world)
    target = world.streams["trades"].target
    snapshots = len(world.catalog.tables[target].snapshots)
    ask(world, START - timedelta(days=3_000), START)
    assert work(world) <= 3
    assert len(world.catalog.tables[target].snapshots) == snapshots
    late = Row(ts=START - timedelta(days=700), seq=7)
    insert(world, late)
    handle(world)
    assert world.cold()[late] == 1


def test_late_rows_of_a_backfilled_window_arrive_by_a_supplement(world: World) -> None:
    ask(world)
    work(world)
    insert(world, Row(ts=START - timedelta(hours=5), seq=77), Row(ts=BEFORE - HOUR, seq=78))
    handle(world)
    assert {row.seq for row in world.hot() - world.cold()} == {78}


def test_requests_are_done_one_after_the_other(world: World) -> None:
    late = ask(world, START - timedelta(hours=3), START)
    early = ask(world, START - timedelta(hours=10), START - timedelta(hours=6))
    work(world)
    assert {state_of(world, one).state for one in (late, early)} == {BackfillState.DONE}
    assert set(world.hot() - world.cold()) == {
        row for row in world.hot() if START - timedelta(hours=6) <= row.ts < START - timedelta(hours=3)
    }


def test_newest_first_history_arrives_from_its_newest_stretch_back_and_every_row_once() -> None:
    world = start_world(bounds=BatchBounds(rows=4, unit_rows=2, window=timedelta(days=5)))
    insert(world, *rows(START, 3), *rows(BEFORE, 40, step=timedelta(days=1), seq=50))
    handle(world)
    planned = requests(world).request(world.streams["trades"], BEGINNING, START, backwards=True)
    assert planned.order[0].upper == START
    assert all(one.lower == other.upper for one, other in pairwise(planned.order))
    assert planned.order[-1].lower == BEGINNING
    assert len(planned.order) in {8, 9}
    work(world, 200)
    assert world.cold() == world.hot()
    published = {
        one.snapshot_id or 0: one.window.lower
        for one in world.ledger.batches("trades", 1_000)
        if one.kind is BatchKind.BACKFILL and one.status is BatchStatus.PUBLISHED
    }
    done = [
        next(number for number, one in enumerate(planned.order) if one.contains(lower))
        for _, lower in sorted(published.items())
    ]
    assert done == sorted(done)
    assert set(done) == set(range(len(planned.order)))
    assert not world.ledger.backfills.open("trades")


@given(
    st.timedeltas(timedelta(microseconds=1), timedelta(days=4_000)),
    st.timedeltas(timedelta(hours=1), timedelta(days=90)),
    st.sampled_from(PartitionBy),
    st.none() | st.timedeltas(timedelta(days=-10), timedelta(days=4_000)),
)
def test_a_range_that_is_cut_newest_first_stays_whole(
    length: timedelta, span: timedelta, partition_by: PartitionBy, first: timedelta | None
) -> None:
    wanted = Window(lower=START - length, upper=START)
    pieces = newest_first(wanted, span, partition_by, None if first is None else wanted.lower + first)
    assert (pieces[0].upper, pieces[-1].lower) == (wanted.upper, wanted.lower)
    assert all(one.lower == other.upper for one, other in pairwise(pieces))
    assert len(pieces) <= 101


def test_history_waits_for_an_upstream_that_was_set_back_after_it_was_asked_for() -> None:
    streams = {
        "quotes": make_stream("quotes"),
        "trades": make_stream("trades", bounds=BatchBounds(rows=4, unit_rows=2), start=START, upstreams=("quotes",)),
    }
    world = World(streams)
    insert(world, *rows(START - timedelta(hours=10), 20))
    world.offload().handle(tick(stream="quotes", boundary=world.source.time), NEVER)
    handle(world)
    request = ask(world)
    back = START - timedelta(hours=5)
    upstream = world.ledger.read(["quotes"])["quotes"]
    world.ledger.put(replace(upstream, watermark=back))
    work(world)
    assert max(one.upper for one in backfilled(world)) <= back
    assert state_of(world, request).state is BackfillState.OPEN
    world.ledger.put(replace(upstream, watermark=upstream.watermark))
    handle(world)
    work(world)
    assert state_of(world, request).state is BackfillState.DONE
    assert world.cold() == world.hot()


def test_the_beginning_of_time_may_be_asked_for(world: World) -> None:
    ask(world, BEGINNING, START)
    work(world)
    assert world.cold() == world.hot()


def test_a_cancelled_request_stops_and_keeps_what_it_has_done(world: World) -> None:
    request = ask(world)
    handle(world, *relayed(world))
    (hint,) = relayed(world)
    (cancelled,) = requests(world).cancel(world.streams["trades"])
    assert (cancelled.id, cancelled.state) == (request.id, BackfillState.CANCELLED)
    done = backfilled(world)
    handle(world, hint)
    handle(world)
    assert backfilled(world) == done
    ask(world)
    work(world)
    assert world.cold() == world.hot()


def test_a_request_that_is_cancelled_while_its_batch_is_written_publishes_nothing(world: World) -> None:
    ask(world, START - timedelta(hours=10), START)

    def cancel(*_: object, **__: object) -> Sequence[object]:
        world.engine.write = write  # type: ignore[method-assign]
        reports = write(*_, **__)  # type: ignore[arg-type]
        world.ledger.backfills.cancel("trades", None)
        return reports

    write, world.engine.write = world.engine.write, cancel  # type: ignore[method-assign,assignment]
    cold = world.cold()
    handle(world, *relayed(world))
    assert world.cold() == cold
    assert world.ledger.read(["trades"])["trades"].state is StreamState.ACTIVE
    assert relayed(world) == []


def test_rows_that_go_between_the_plan_and_the_read_leave_a_stretch_without_rows(world: World) -> None:
    ask(world, START - timedelta(hours=10), START)
    table = world.streams["trades"].source

    def empty(*arguments: object, **named: object) -> Sequence[object]:
        world.source.tables[table] = [row for row in world.source.tables[table] if row.ts >= START]
        return write(*arguments, **named)  # type: ignore[arg-type]

    write, world.engine.write = world.engine.write, empty  # type: ignore[method-assign,assignment]
    cold = world.cold()
    work(world)
    assert world.cold() == cold
    assert [one.state for one in world.ledger.backfills.all(["trades"])] == [BackfillState.DONE]


def test_a_row_that_arrives_between_two_looks_is_not_passed_over() -> None:
    world = start_world()
    insert(world, *rows(START, 3))
    handle(world)
    ask(world)
    row = Row(ts=BEFORE + HOUR, seq=7)

    def look(stream: Stream, window: Window) -> datetime | None:
        if window.upper <= START:
            insert(world, row)
        return first(stream, window)

    first, world.source.first = world.source.first, look  # type: ignore[method-assign]
    handle(world, *relayed(world))
    assert world.cold()[row] == 1


@pytest.mark.parametrize(
    "point",
    [
        "publish.before-commit=raise@1",
        "publish.after-commit=apply-then-raise@1",
        "batch.after-begin=raise@1",
        "attempt.after-stage=raise@2",
        "backfill.before-advance=raise@1",
        "backfill.after-advance=raise@1",
        "backfill.before-skip=raise@1",
        "backfill.after-skip=raise@1",
    ],
)
def test_whatever_fails_every_row_arrives_once(world: World, point: str) -> None:
    # The end of the range is done before, so that something is left to be skipped.
    ask(world, START - timedelta(hours=3), START)
    work(world)
    ask(world)
    world.arm(point)
    work(world)
    assert world.cold() == world.hot()
    assert {one.state for one in world.ledger.backfills.all(["trades"])} == {BackfillState.DONE}


def test_metrics_tell_the_rows_and_how_much_time_is_left(world: World) -> None:
    ask(world)
    handle(world, *relayed(world))
    assert 0 < world.metrics.values["backfill trades"] <= (START - BEFORE).total_seconds()
    work(world)
    assert world.metrics.values["backfill trades"] == 0
    assert world.metrics.counts["rows trades backfill published"] == 10


# ---------------------------------------------------------------------------------------------- requests


@pytest.mark.parametrize(
    ("lower", "upper", "message"),
    [
        (START, BEFORE, r"--from .* is not before --to"),
        (BEFORE, BEFORE, r"--from .* is not before --to"),
        (BEFORE, NOW + timedelta(days=1), r"--to .*: stream trades has been read up to its watermark"),
        (START, START + HOUR, r"is done already, or belongs to the live windows"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(world: World, lower: datetime, upper: datetime, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ask(world, lower, upper)
    assert world.ledger.backfills.all(["trades"]) == []


def test_a_range_that_is_asked_for_already_is_refused_by_plan_and_by_the_ledger(world: World) -> None:
    known = ask(world)
    with pytest.raises(ConfigurationError, match=f"overlaps the open request {known.id}"):
        ask(world, START - HOUR, START)
    twin = BackfillRequest(
        id=uuid4(),
        stream="trades",
        window=Window(lower=START - HOUR, upper=START),
        position=START - HOUR,
        state=BackfillState.OPEN,
        requested_by="me",
        requested=NOW,
    )
    with pytest.raises(ConfigurationError, match="overlaps"):
        world.ledger.backfills.request(twin, tick(stream="trades", boundary=NOW))


def test_rows_that_may_still_arrive_are_not_backfilled_yet() -> None:
    world = start_world(start=NOW + timedelta(days=1))
    handle(world)
    with pytest.raises(ConfigurationError, match="rows may still arrive below it"):
        ask(world, BEFORE, NOW + HOUR)
    ask(world, BEFORE, NOW - HOUR)


def test_a_bound_that_the_time_column_cannot_hold_is_refused(world: World) -> None:
    world.source.retype(world.streams["trades"].source, "ts", "DateTime('UTC')")
    with pytest.raises(ConfigurationError, match=r"--from 1950-.* is of type DateTime\('UTC'\), which holds instants"):
        ask(world, datetime.fromisoformat("1950-01-01T00:00:00+00:00"), START)


def test_a_plan_changes_nothing_and_tells_what_a_request_would_do(world: World) -> None:
    planned = requests(world).plan(world.streams["trades"], BEFORE, START)
    assert [planned.rows, planned.rest] == [10, [Window(lower=BEFORE, upper=START)]]
    assert planned.seconds is None or planned.seconds >= 0
    assert world.ledger.backfills.all(["trades"]) == []
    assert world.ledger.outbox(10) == []


def test_progress_tells_what_is_left_of_each_request(world: World) -> None:
    ask(world)
    handle(world, *relayed(world))
    (found,) = requests(world).progress([world.streams["trades"]])
    assert found.request.rows + found.rows == 10
    assert found.rest[-1].upper == START


def test_there_has_to_be_something_to_cancel(world: World) -> None:
    with pytest.raises(ConfigurationError, match="no open backfill"):
        requests(world).cancel(world.streams["trades"])


# -------------------------------------------------------------------------------------------- whatever comes


@settings(max_examples=40, deadline=None)
@given(
    history=st.lists(st.integers(0, 24 * 60), max_size=25),
    ranges=st.lists(st.tuples(st.integers(0, 1440), st.integers(1, 1440)), min_size=1, max_size=4),
    late=st.lists(st.integers(0, 24 * 60), max_size=4),
    failure=st.sampled_from(["", "publish.before-commit=raise@2", "publish.after-commit=apply-then-raise@2"]),
)
def test_the_cold_tier_holds_what_was_asked_for_and_nothing_else(
    history: list[int], ranges: list[tuple[int, int]], late: list[int], failure: str
) -> None:
    world = start_world()
    minute = timedelta(minutes=1)
    insert(world, *(Row(ts=START - m * minute, seq=n) for n, m in enumerate(history)), *rows(START, 5, seq=500))
    handle(world)
    world.arm(failure)
    wanted: list[Window] = []
    for before, length in ranges:
        window = Window(lower=START - (before + length) * minute, upper=START - before * minute)
        try:
            ask(world, window.lower, window.upper)
        except ConfigurationError:
            continue
        wanted.append(window)
        work(world)
    insert(world, *(Row(ts=START - m * minute, seq=1_000 + n) for n, m in enumerate(late)))
    world.source.time += timedelta(minutes=15)
    handle(world)
    expected = {
        row: count
        for row, count in world.hot().items()
        if row.ts >= START or any(window.contains(row.ts) for window in wanted)
    }
    assert world.cold() == expected
