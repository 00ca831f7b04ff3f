"""A run for somebody who waits: the same work as for an event, but failures are raised, and nothing is halted."""

from __future__ import annotations

from datetime import timedelta

import pytest

from consumer.domain.errors import (
    EngineFailedError,
    InvalidEventError,
    LeaseHeldError,
    RetriesExhaustedError,
    SourceMissingError,
    StreamError,
)
from consumer.ports import StreamState
from tests.unit.service.test_offload import NEVER, NOW, World, event, make_stream, rows


@pytest.fixture
def world() -> World:
    return World({"trades": make_stream()})


def test_a_run_does_what_an_event_does_and_a_second_one_nothing(world: World) -> None:
    world.insert(*rows(10))
    for _ in range(2):
        world.offload().run(event(cutoff=NOW - timedelta(days=1)), NEVER)
        assert world.cold() == world.hot()
    world.insert(*rows(3, days_ago=1))
    world.offload().run(event(), NEVER)
    assert world.cold() == world.hot()
    assert sum(world.cold().values()) == 13


def test_what_fails_is_raised_and_the_next_run_goes_on(world: World) -> None:
    world.insert(*rows(10))
    world.engine.failures = [EngineFailedError("x", remedy="y")] * 3
    with pytest.raises(RetriesExhaustedError):
        world.offload().run(event(), NEVER)
    assert world.ledger.read(["trades"])["trades"].state is StreamState.ACTIVE
    assert world.ledger.parked("trades") == []
    world.offload("another process").run(event(), NEVER)
    assert world.cold() == world.hot()


def test_a_missing_source_is_raised_without_halting(world: World) -> None:
    del world.source.tables[world.streams["trades"].source]
    with pytest.raises(SourceMissingError):
        world.offload().run(event(), NEVER)
    assert world.ledger.read(["trades"])["trades"].state is StreamState.ACTIVE


def test_a_halted_stream_is_refused_with_its_reason(world: World) -> None:
    world.ledger.register("trades")
    world.ledger.halt("trades", reason="the disk is full", remedy="empty it", epoch=None)
    with pytest.raises(StreamError, match=r"halted: the disk is full.*empty it; then run `icehaul resume trades`"):
        world.offload().run(event(), NEVER)
    assert world.ledger.parked("trades") == []


def test_a_stream_that_another_owner_works_on_is_refused(world: World) -> None:
    world.ledger.register("trades")
    world.ledger.claim("trades", "other", timedelta(seconds=30))
    with pytest.raises(LeaseHeldError):
        world.offload().run(event(), NEVER)


def test_an_unknown_stream_is_refused(world: World) -> None:
    with pytest.raises(InvalidEventError):
        world.offload().run(event("nobody"), NEVER)
