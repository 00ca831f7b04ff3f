"""Following a tick ends with what is committed, with why a stream is halted, or with what keeps it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from unittest.mock import patch

import pytest

from consumer.domain.batch import BatchKind
from consumer.domain.errors import EngineFailedError, LedgerUnavailableError
from consumer.ports import StreamRecord
from consumer.service.follow import Expectation, Followed, Follower, Outcome
from consumer.service.threads import Signal, SystemThreads
from tests.unit.service.test_late_rows import insert
from tests.unit.service.test_offload import NEVER, NOW, World, event, make_stream, rows
from tests.unit.service.test_repair import Lake

WITHIN = timedelta(minutes=10)
SETTLED = NOW - timedelta(days=1)


class Clock(SystemThreads):
    """A clock that goes on by waiting alone, and at each wait lets something happen first."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.happenings: list[Callable[[], object]] = []

    def monotonic(self) -> float:
        return self.seconds

    def signal(self) -> Signal:
        return self

    def is_set(self) -> bool:
        return False

    def set(self) -> None:
        raise AssertionError

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        assert timeout > 0
        self.seconds += timeout
        if self.happenings:
            self.happenings.pop(0)()
        return False


@pytest.fixture
def world() -> World:
    return World({"trades": make_stream(), "bars": make_stream("bars", upstreams=("trades",))})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def follower(world: World, clock: Clock) -> Follower:
    return Follower(streams=world.streams, source=world.source, ledger=world.ledger, threads=clock)


def followed(follower: Follower, *names: str) -> dict[str, Followed]:
    expectation = follower.expect(names, SETTLED)
    return {one.stream: one for one in follower.follow(expectation, within=WITHIN)}


def test_a_stream_is_committed_as_soon_as_its_watermark_is_where_it_was_due(
    world: World, clock: Clock, follower: Follower
) -> None:
    world.insert(*rows(10))
    clock.happenings = [lambda: None, lambda: world.offload().handle(event(cutoff=SETTLED), NEVER), pytest.fail]
    one = followed(follower, "trades")["trades"]
    assert (one.outcome, one.watermark, one.reason, one.remedy) == (Outcome.COMMITTED, SETTLED, None, None)
    assert (len(one.batches), sum(batch.rows for batch in one.batches)) == (3, 10)
    assert [batch.window.lower for batch in one.batches] == sorted(batch.window.lower for batch in one.batches)


def test_a_stream_that_was_there_before_is_done_without_waiting_and_without_batches(
    world: World, clock: Clock, follower: Follower
) -> None:
    world.insert(*rows(10))
    world.offload().handle(event(cutoff=SETTLED), NEVER)
    one = followed(follower, "trades")["trades"]
    assert (one.outcome, one.batches, clock.seconds) == (Outcome.COMMITTED, [], 0)


def test_rows_of_before_the_tick_are_not_counted_again(world: World, clock: Clock, follower: Follower) -> None:
    world.insert(*rows(4, days_ago=4))
    world.offload().handle(event(cutoff=SETTLED - timedelta(days=2)), NEVER)
    world.insert(*rows(3))
    clock.happenings = [lambda: world.offload().handle(event(cutoff=SETTLED), NEVER)]
    assert sum(batch.rows for batch in followed(follower, "trades")["trades"].batches) == 3


def test_windows_that_a_repair_has_recorded_anew_are_not_counted_again(clock: Clock) -> None:
    lake = Lake()
    insert(lake, *rows(4, days_ago=4))
    lake.offload().handle(event(cutoff=SETTLED - timedelta(days=2)), NEVER)
    lake.ledger.repairs.delete("trades")
    lake.edit(watermark=lake.record.start, last_upper=None, last_batch_id=None, source_uuid=None, target_uuid=None)
    assert lake.repair().rebuilt
    insert(lake, *rows(3))
    clock.happenings = [lambda: lake.offload().handle(event(cutoff=SETTLED), NEVER)]
    follower = Follower(streams=lake.streams, source=lake.source, ledger=lake.ledger, threads=clock)
    assert sum(batch.rows for batch in followed(follower, "trades")["trades"].batches) == 3


def test_late_rows_that_were_published_meanwhile_are_shown_besides(
    world: World, clock: Clock, follower: Follower
) -> None:
    early = SETTLED - timedelta(days=2)
    world.insert(*rows(4, days_ago=4))
    world.offload().handle(event(cutoff=early), NEVER)
    world.insert(*rows(3), *(replace(row, seq=row.seq + 100) for row in rows(2, days_ago=4)))

    def handle() -> None:
        world.now[0] += timedelta(seconds=1)
        world.offload().handle(event(cutoff=SETTLED), NEVER)

    clock.happenings = [handle]
    found = followed(follower, "trades")["trades"].batches
    assert {(batch.kind, batch.rows) for batch in found} == {(BatchKind.WINDOW, 3), (BatchKind.SUPPLEMENT, 2)}


def test_a_dependant_is_followed_until_its_upstreams_commit_has_woken_it(
    world: World, clock: Clock, follower: Follower
) -> None:
    world.insert(*rows(3))
    world.insert(*rows(2), stream="bars")

    def wake() -> None:
        for message in world.ledger.outbox(10):
            world.offload().handle(message.event, NEVER)

    clock.happenings = [
        lambda: world.offload().handle(event("bars", SETTLED), NEVER),
        lambda: world.offload().handle(event("trades", SETTLED), NEVER),
        wake,
        pytest.fail,
    ]
    ends = followed(follower, "bars", "trades")
    assert [*ends] == ["trades", "bars"]
    assert {one.outcome for one in ends.values()} == {Outcome.COMMITTED}
    assert sum(batch.rows for batch in ends["bars"].batches) == 2


def test_a_halted_stream_ends_at_once_with_reason_and_remedy(world: World, clock: Clock, follower: Follower) -> None:
    world.ledger.register("trades")
    world.offload().handle(event(cutoff=SETTLED), NEVER)
    clock.happenings = [
        lambda: world.ledger.halt("trades", reason="the disk is full", remedy="empty it", epoch=None),
        pytest.fail,
    ]
    expectation = follower.expect(["trades"], NOW)
    (one,) = follower.follow(expectation, within=WITHIN)
    assert (one.outcome, one.watermark) == (Outcome.HALTED, SETTLED)
    assert one.reason == "stream trades is halted: the disk is full"
    assert one.remedy == "empty it; then run `icehaul resume trades`"


def test_a_remedy_that_names_the_last_step_itself_is_told_as_it_is(world: World, follower: Follower) -> None:
    world.ledger.register("trades")
    remedy = "mend the cause, then run `icehaul resume trades`; nothing is lost meanwhile"
    world.ledger.halt("trades", reason="still failing", remedy=remedy, epoch=None)
    assert followed(follower, "trades")["trades"].remedy == remedy


def late(follower: Follower, name: str = "trades") -> Followed:
    one = followed(follower, name)[name]
    assert one.outcome is Outcome.LATE
    assert one.reason is not None
    assert one.remedy is not None
    return one


def test_without_a_consumer_a_stream_is_late_when_the_time_is_over(clock: Clock, follower: Follower) -> None:
    one = late(follower)
    assert clock.seconds == WITHIN.total_seconds()
    assert one.reason == (
        "stream trades is late: 10m after its tick nothing has been read, and 2026-01-09 12:00:00 was due:"
        " no consumer has ever seen this stream"
    )
    for what in ("icehaul run", "SIGHUP", "icehaul dlq list"):
        assert what in str(one.remedy)


def test_an_idle_consumer_is_told_from_one_that_writes(world: World, follower: Follower) -> None:
    world.offload().handle(event(cutoff=SETTLED - timedelta(hours=1)), NEVER)
    assert "it is read up to 2026-01-09 11:00:00, and 2026-01-09 12:00:00 was due: no consumer is" in str(
        late(follower).reason
    )
    claim = world.ledger.claim("trades", "machine:17", timedelta(hours=1))
    assert "machine:17 is planning" in str(late(follower).reason)
    world.insert(*rows(3, days_ago=1.02))
    world.ledger.release(claim)
    world.engine.failures = [EngineFailedError("no memory", remedy="more")] * 3
    world.offload().handle(event(cutoff=SETTLED), NEVER)
    world.ledger.resume("trades")
    assert "the latest attempt failed: no memory" in str(late(follower).reason)


def test_a_batch_that_takes_too_long_is_named_with_its_owner(world: World, follower: Follower) -> None:
    world.insert(*rows(3))
    with patch.object(world.engine, "write", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        world.offload("machine:17").handle(event(cutoff=SETTLED), NEVER)
    world.ledger.claim("trades", "machine:17", timedelta(hours=1))
    one = late(follower)
    assert "machine:17 is writing [" in str(one.reason)
    assert "attempt 1" in str(one.reason)
    assert "`icehaul status trades`" in str(one.remedy)


def test_a_dependant_names_the_upstream_that_keeps_it(world: World, follower: Follower) -> None:
    world.ledger.register("bars")
    ends = followed(follower, "trades", "bars")
    assert str(ends["bars"].reason).endswith(": its upstream trades is late")
    assert ends["bars"].remedy == "do what is said of trades"


@contextmanager
def ledger_away(world: World) -> Iterator[None]:
    def read(_streams: Sequence[str]) -> Mapping[str, StreamRecord]:
        raise LedgerUnavailableError("Postgres is away", remedy="start it")

    with patch.object(world.ledger, "read", read):
        yield


def test_a_ledger_that_is_away_for_a_while_is_asked_again(world: World, clock: Clock, follower: Follower) -> None:
    expectation = follower.expect(["trades"], SETTLED)
    world.offload().handle(event(cutoff=SETTLED), NEVER)
    away = ledger_away(world)
    away.__enter__()
    clock.happenings = [lambda: None, lambda: away.__exit__(None, None, None), pytest.fail]
    assert [one.outcome for one in follower.follow(expectation, within=WITHIN)] == [Outcome.COMMITTED]


def test_a_ledger_that_stays_away_makes_every_stream_late_and_is_named(world: World, follower: Follower) -> None:
    expectation: Expectation = follower.expect(["trades", "bars"], SETTLED)
    with ledger_away(world):
        ends = list(follower.follow(expectation, within=WITHIN))
    assert [(one.stream, one.outcome) for one in ends] == [("trades", Outcome.LATE), ("bars", Outcome.LATE)]
    assert all(str(one.reason).endswith(": Postgres is away") and one.remedy == "start it" for one in ends)


def test_what_is_committed_in_the_last_moment_is_not_late(world: World, clock: Clock, follower: Follower) -> None:
    waits = round(WITHIN.total_seconds() / 0.5)
    clock.happenings = [*[lambda: None] * (waits - 1), lambda: world.offload().handle(event(cutoff=SETTLED), NEVER)]
    assert followed(follower, "trades")["trades"].outcome is Outcome.COMMITTED
    assert clock.seconds == WITHIN.total_seconds()
