"""A source is asked for rows only where it may hold some that have not been read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.event_factory import tick
from consumer.domain.inventory import PartitionContent
from consumer.domain.partition_bounds import PartitionBounds
from consumer.domain.reconcile import ComparedPartition, PartitionSpan, read_already
from consumer.domain.stream import Stream
from consumer.domain.window import Window
from consumer.ports import Extent, StreamState
from consumer.testing.catalog import MemoryCatalog
from consumer.testing.engine import MemoryEngine
from consumer.testing.rows import Row
from consumer.testing.source import MemorySource
from tests.unit.service.test_offload import NEVER, NOW, World, make_stream, rows

_CONTENT = PartitionContent(rows=3, min_block=1, max_block=2, data_version=0)
_QUARTER = timedelta(minutes=15)


class Asked(MemorySource):
    """A source that remembers which windows were asked for rows."""

    def __init__(self) -> None:
        super().__init__(NOW)
        self.windows: list[Window] = []

    def extent(self, stream: Stream, window: Window) -> Extent:
        self.windows.append(window)
        return super().extent(stream, window)

    def partition_bounds(self, stream: Stream, window: Window, most: int) -> Sequence[PartitionBounds] | None:
        self.windows.append(window)
        return super().partition_bounds(stream, window, most)


@pytest.fixture
def world() -> World:
    found = World({"trades": make_stream()})
    found.source = Asked()
    found.source.create(found.streams["trades"].source)
    found.engine = MemoryEngine(found.source)
    found.catalog = MemoryCatalog(found.ledger, found.engine.written)
    return found


def insert(world: World, *new: Row) -> None:
    world.source.insert(world.streams["trades"].source, new)


def asked(world: World, after: timedelta = _QUARTER) -> int:
    """Handle a tick some time later, and return how often the source was asked for rows."""
    assert isinstance(world.source, Asked)
    world.source.windows.clear()
    world.source.time += after
    world.offload().handle(tick(stream="trades", boundary=world.source.time), NEVER)
    return len(world.source.windows)


def watermark(world: World) -> datetime:
    return world.ledger.read(["trades"])["trades"].watermark


def test_a_tick_moves_the_watermark_of_a_quiet_stream_without_asking_for_rows(world: World) -> None:
    insert(world, *rows(5))
    assert asked(world) == 1
    before = watermark(world)
    assert asked(world) == 0
    assert watermark(world) == before + _QUARTER


def test_rows_that_arrive_above_the_watermark_are_asked_for_and_read(world: World) -> None:
    insert(world, *rows(5))
    asked(world)
    insert(world, Row(ts=world.source.time, seq=99))
    assert asked(world) == 1
    assert world.cold() == world.hot()


def test_rows_that_were_there_but_not_final_are_asked_for_until_they_are_read(world: World) -> None:
    insert(world, *rows(5), Row(ts=NOW + timedelta(days=1), seq=99))
    assert [asked(world, timedelta(hours=5)) for _ in range(6)] == [1, 1, 1, 1, 1, 0]
    assert world.cold() == world.hot()


def test_a_source_without_partitions_proves_nothing(world: World) -> None:
    assert [asked(world) for _ in range(2)] == [1, 1]


def test_who_accepts_a_gap_does_not_give_up_the_unread_rows_of_other_partitions(world: World) -> None:
    lost = [Row(ts=NOW + timedelta(days=1, seconds=n), seq=n) for n in range(3)]
    kept = [Row(ts=NOW + timedelta(days=2, seconds=n), seq=10 + n) for n in range(3)]
    insert(world, *rows(5), *lost, *kept)
    asked(world)
    table = world.streams["trades"].source
    world.source.tables[table] = [row for row in world.source.tables[table] if row not in lost]
    asked(world)
    assert world.ledger.read(["trades"])["trades"].state is StreamState.HALTED
    world.ledger.accept("trades")
    world.ledger.resume("trades")
    asked(world, timedelta(days=5))
    assert world.cold() == world.hot()


instants = st.datetimes(NOW.replace(tzinfo=None), (NOW + 9 * _QUARTER).replace(tzinfo=None)).map(
    lambda naive: naive.replace(tzinfo=NOW.tzinfo)
)


@given(st.dictionaries(st.sampled_from("abc"), st.tuples(instants, st.booleans()), max_size=3), instants)
def test_what_was_read_already_has_its_last_row_below_the_watermark(
    partitions: dict[str, tuple[datetime, bool]], mark: datetime
) -> None:
    recorded = {
        id_: ComparedPartition(
            id=id_,
            content=_CONTENT,
            span=PartitionSpan(first=NOW, last=last, pending=0),
            watermark=NOW,
            exact=False,
        )
        for id_, (last, _) in partitions.items()
    }
    grown = PartitionContent(rows=4, min_block=1, max_block=3, data_version=0)
    contents = {id_: _CONTENT if same else grown for id_, (_, same) in partitions.items()}
    expected = bool(partitions) and all(same and last < mark for last, same in partitions.values())
    assert read_already(recorded, contents, mark) is expected
    assert not read_already(recorded, contents | {"new": _CONTENT}, mark)
