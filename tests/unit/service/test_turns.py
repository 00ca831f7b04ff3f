"""A backlog is drained steadily, in turns: others get the worker between two of its batches."""

from __future__ import annotations

from datetime import timedelta

import pytest

from consumer.domain.errors import TurnOverError
from consumer.domain.event_factory import tick
from consumer.domain.stream import BatchBounds
from consumer.domain.turns import StreamOrder
from consumer.service.loss_watch import LossWatch
from consumer.service.runtime.failures import judge
from consumer.testing.rows import Row
from consumer.testing.telemetry import MemoryMetrics
from tests.unit.service.test_offload import NEVER, NOW, World, make_stream

BATCHES = 5


def backlog(world: World) -> None:
    for day in range(BATCHES):
        rows = [Row(ts=NOW - timedelta(days=30 - day, minutes=n), seq=day * 10 + n) for n in range(3)]
        world.source.insert(world.streams["trades"].source, rows)


@pytest.fixture
def world() -> World:
    found = World({"trades": make_stream(bounds=BatchBounds(rows=3))})
    backlog(found)
    return found


def test_a_backlog_goes_on_as_long_as_nobody_waits(world: World) -> None:
    world.offload(turn=timedelta(0), crowded=False).handle(tick(stream="trades", boundary=NOW), NEVER)
    assert world.cold() == world.hot()


def test_a_turn_that_is_not_over_is_not_given_up(world: World) -> None:
    world.offload(turn=timedelta(hours=1), crowded=True).handle(tick(stream="trades", boundary=NOW), NEVER)
    assert world.cold() == world.hot()


def test_where_others_wait_a_backlog_takes_one_batch_a_turn_and_every_row_arrives_once(world: World) -> None:
    event = tick(stream="trades", boundary=NOW)
    offload, turns = world.offload(turn=timedelta(0), crowded=True), 0
    watermarks = []
    for _ in range(3 * BATCHES):
        turns += 1
        try:
            offload.handle(event, NEVER)
        except TurnOverError:
            record = world.ledger.read(["trades"])["trades"]
            watermarks.append(record.watermark)
            assert record.owner is None, "the lease is free between two turns"
            continue
        break
    assert turns == BATCHES
    assert watermarks == sorted(set(watermarks))
    assert world.cold() == world.hot()


def test_a_turn_that_is_over_is_no_failure_and_rests_for_no_time() -> None:
    verdict = judge(TurnOverError("over", remedy="nothing"), 1)
    assert (verdict.delay, verdict.outcome, verdict.unexpected) == (0, "turn over", False)


def test_the_watch_ranks_streams_by_the_order_that_is_configured() -> None:
    streams = {name: make_stream(name) for name in ("backlog", "current")}
    world = World(streams)
    for stream in streams.values():
        world.source.create(stream.source)
    world.offload().handle(tick(stream="current", boundary=NOW), NEVER)
    found = {}
    for order in (StreamOrder.OLDEST, StreamOrder.NEWEST):
        watch = LossWatch(
            streams=streams, source=world.source, ledger=world.ledger, metrics=MemoryMetrics(), order=order
        )
        watch.look()
        ranks = {name: rank for name in streams if (rank := watch.rank(name)) is not None}
        found[order] = sorted(ranks, key=ranks.__getitem__)
    assert found == {StreamOrder.OLDEST: ["backlog", "current"], StreamOrder.NEWEST: ["current", "backlog"]}
