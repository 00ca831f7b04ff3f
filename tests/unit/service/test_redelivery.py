"""Events that come again, tables that move meanwhile, and replies that get lost on the way to an empty window."""

from __future__ import annotations

from datetime import timedelta

import pytest

from consumer.domain.batch import BatchStatus
from consumer.domain.errors import UnknownCommitError
from consumer.failpoints.acting import Failpoints
from consumer.ports import StreamState
from consumer.testing.rows import Row
from tests.unit.service.test_offload import NEVER, NOW, World, event, make_stream, rows


@pytest.fixture
def world() -> World:
    return World({"trades": make_stream()})


def test_an_event_that_is_delivered_again_is_handled_again(world: World) -> None:
    world.insert(*rows(3), Row(ts=NOW - timedelta(minutes=1), seq=9))
    subject = world.offload()
    subject.handle(event(), NEVER)
    assert world.cold().total() == 3, "the newest row is not settled yet"
    world.source.time = NOW + timedelta(minutes=10)
    subject.handle(event(), NEVER)
    assert world.cold() == world.hot()


def test_a_replayed_event_finds_a_table_that_was_rolled_back(world: World) -> None:
    world.insert(*rows(11))
    subject = world.offload()
    done = event(cutoff=NOW - timedelta(days=1))
    subject.handle(done, NEVER)
    first = min(world.catalog.tables[world.streams["trades"].target].snapshots)
    world.catalog.roll_back(world.streams["trades"].target, first)
    subject.handle(done, NEVER)
    assert world.ledger.read(["trades"])["trades"].state is StreamState.HALTED


class MovingTable(Failpoints):
    """Lets another engine commit to the table after a batch was staged, some times."""

    def __init__(self, world: World, times: int) -> None:
        super().__init__()
        self._world = world
        self.times = times

    def hit(self, point: str) -> None:
        if point == "publish.after-stage" and self.times:
            self.times -= 1
            self._world.catalog.add_foreign(self._world.streams["trades"].target)


@pytest.mark.parametrize("times", [1, 9, 10, 25])
def test_a_table_that_moves_while_a_batch_is_staged_is_staged_upon_again(world: World, times: int) -> None:
    world.insert(*rows(3))
    world.failpoints = MovingTable(world, times)
    world.offload().handle(event(), NEVER)
    assert world.cold() == world.hot()
    assert world.engine.jobs == 1 + times // 10, "ten moves are one failed attempt"


@pytest.mark.parametrize("landed", [True, False])
def test_an_advance_whose_commit_got_lost_is_done_again(world: World, landed: bool) -> None:
    real = world.ledger.advance
    replies: list[bool] = []

    def advance(*arguments: object) -> None:
        replies.append(landed)
        if landed or len(replies) > 1:
            real(*arguments)  # type: ignore[arg-type]
        if len(replies) == 1:
            raise UnknownCommitError("the connection broke", remedy="read back")

    world.ledger.advance = advance  # type: ignore[method-assign, assignment]
    world.offload().handle(event(), NEVER)
    reached = world.ledger.read(["trades"])["trades"].watermark
    assert reached == NOW - timedelta(minutes=5)
    assert [batch.status for batch in world.ledger.batches("trades", 10)] == [BatchStatus.EMPTY]
