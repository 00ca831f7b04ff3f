"""Rows that arrive below the watermark reach the cold tier by supplements, each once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.domain.batch import BatchKind, BatchStatus
from consumer.domain.event import Event
from consumer.domain.event_factory import partition_closed, tick
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.mapping import TableMapping
from consumer.domain.reconcile import Difference, FindingKind, PartitionSpan
from consumer.domain.stream import Stream
from consumer.domain.window import Window
from consumer.ports import StreamState, Survey
from consumer.testing.catalog import MemoryCatalog
from consumer.testing.engine import MemoryEngine
from consumer.testing.rows import Row
from consumer.testing.source import MemorySource
from tests.unit.service.test_offload import NEVER, NOW, World, make_stream, rows

LATER = NOW + timedelta(minutes=15)
TWO_DAYS_AGO = NOW - timedelta(days=2)


@pytest.fixture
def world() -> World:
    found = World({"trades": make_stream()})
    insert(found, *rows(10))
    handle(found)
    assert found.cold() == found.hot()
    return found


def insert(world: World, *new: Row) -> None:
    world.source.insert(world.streams["trades"].source, new)


def handle(world: World, event: Event | None = None) -> None:
    world.offload().handle(event or tick(stream="trades", boundary=world.source.time), NEVER)


def close(world: World, day: datetime) -> Event:
    stream = world.streams["trades"]
    inventory = world.source.inventory(stream)
    partition = next(each for each in inventory.partitions if each.id == f"{day:%Y%m%d}")
    return partition_closed(stream="trades", table=stream.source, partition=partition, cutoff=NOW)


def kinds(world: World) -> list[BatchKind]:
    return [batch.kind for batch in world.ledger.batches("trades", 100) if batch.status is BatchStatus.PUBLISHED]


def test_a_late_row_arrives_with_the_next_tick_as_a_supplement(world: World) -> None:
    before = world.ledger.read(["trades"])["trades"]
    insert(world, Row(ts=TWO_DAYS_AGO + timedelta(seconds=1), seq=99))
    handle(world)
    assert world.cold() == world.hot()
    assert kinds(world).count(BatchKind.SUPPLEMENT) == 1
    after = world.ledger.read(["trades"])["trades"]
    assert (after.watermark, after.last_upper) == (before.watermark, before.last_upper)


def test_late_rows_of_several_windows_and_partitions_all_arrive(world: World) -> None:
    insert(world, *(Row(ts=NOW - timedelta(days=n, minutes=9), seq=900 + n) for n in range(1, 6)))
    handle(world)
    assert world.cold() == world.hot()


def test_a_late_row_in_a_stretch_without_rows_arrives(world: World) -> None:
    insert(world, Row(ts=NOW - timedelta(days=400), seq=1))
    handle(world)
    assert world.cold() == world.hot()


def test_a_late_row_that_equals_one_that_is_there_already_is_a_row_of_its_own(world: World) -> None:
    twin = rows(10)[3]
    insert(world, twin, twin)
    handle(world)
    assert world.cold()[twin] == 3
    assert world.cold() == world.hot()


def test_rows_of_a_table_that_is_rolled_back_while_it_is_looked_at_are_not_taken_for_late(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody rolls the table back, and puts it back before anything is published: the publish can't know."""
    files = world.catalog.data_files

    def none(*_: object) -> Sequence[str]:
        monkeypatch.setattr(world.catalog, "data_files", files)
        return []

    insert(world, Row(ts=TWO_DAYS_AGO + timedelta(seconds=1), seq=99))
    monkeypatch.setattr(world.catalog, "data_files", none)
    handle(world)
    record = world.ledger.read(["trades"])["trades"]
    assert record.state is StreamState.HALTED
    assert "hold 0 rows of the window" in str(record.halt_reason)
    world.ledger.resume("trades")
    handle(world)
    assert world.cold() == world.hot()


def test_rows_that_come_late_again_and_again_need_a_supplement_each(world: World) -> None:
    for n in range(4):
        insert(world, Row(ts=TWO_DAYS_AGO + timedelta(seconds=1), seq=50 + n))
        handle(world)
        assert world.cold() == world.hot()
    assert kinds(world).count(BatchKind.SUPPLEMENT) == 4


@pytest.mark.parametrize("others", [True, False], ids=["that-is-left", "that-has-gone"])
def test_rows_deleted_at_the_end_of_a_partition_are_told_from_late_ones_as_many_that_follow(
    world: World, others: bool
) -> None:
    """The partition ends earlier without them, so its present span does not reach their window."""
    last = Row(ts=NOW + timedelta(hours=1), seq=60)
    insert(world, last, *([Row(ts=NOW + timedelta(minutes=5), seq=59)] if others else []))
    world.source.time = NOW + timedelta(days=1)
    handle(world)
    table = world.streams["trades"].source
    world.source.delete(table, lambda row: row == last)
    handle(world)
    found = [finding.kind for finding in world.ledger.findings("trades")]
    assert found == ([FindingKind.DELETED] if others else [])
    late = replace(last, seq=61)
    insert(world, late)
    handle(world)
    found = [finding.kind for finding in world.ledger.findings("trades")]
    # A partition that was mutated before it was seen may hold changed rows: an operator decides.
    assert world.cold()[late] == 1 if others else found == [FindingKind.CHANGED]


def test_a_mutation_of_rows_that_were_read_before_their_partition_was_first_seen_is_noticed(world: World) -> None:
    """They came after the look at the partitions and before the plan; nothing says before which mutation."""
    source, table = world.source, world.streams["trades"].source
    late = Row(ts=NOW + timedelta(hours=20), seq=70, value=1)

    def raced(event: Event) -> None:
        survey = source.survey

        def surveyed(stream: Stream) -> Survey:
            seen = survey(stream)
            source.survey = survey  # type: ignore[method-assign]
            insert(world, late)
            return seen

        source.survey = surveyed  # type: ignore[method-assign]
        handle(world, event)

    source.time = NOW + timedelta(days=1)
    insert(world, Row(ts=NOW + timedelta(minutes=1), seq=60))
    raced(tick(stream="trades", boundary=source.time))
    assert late in world.cold()
    source.update(table, lambda row: replace(row, value=2) if row == late else row)
    handle(world)
    assert [finding.kind for finding in world.ledger.findings("trades")] == [FindingKind.CHANGED]


class Watched(MemorySource):
    """A source that remembers how it was compared."""

    def __init__(self) -> None:
        super().__init__(NOW)
        self.asked: list[str] = []
        self.after_counting: Callable[[], None] = lambda: None

    def spans(self, stream: Stream, partitions: Collection[str], watermark: datetime) -> Mapping[str, PartitionSpan]:
        self.asked.append("spans")
        return super().spans(stream, partitions, watermark)

    def tally(
        self, stream: Stream, mapping: TableMapping, windows: Sequence[Window], *, exact: bool
    ) -> Sequence[Fingerprint]:
        self.asked.append("digests" if exact else "counts")
        found = super().tally(stream, mapping, windows, exact=exact)
        self.after_counting()
        return found

    def late_rows(
        self,
        stream: Stream,
        mapping: TableMapping,
        window: Window,
        paths: Sequence[str],
        *,
        not_before: datetime | None = None,
    ) -> Difference:
        self.asked.append("difference")
        return super().late_rows(stream, mapping, window, paths, not_before=not_before)


@pytest.fixture
def watched() -> World:
    found = World({"trades": make_stream()})
    found.source = Watched()
    found.source.create(found.streams["trades"].source)
    found.engine = MemoryEngine(found.source)
    found.catalog = MemoryCatalog(found.ledger, found.engine.written)
    insert(found, *rows(10))
    handle(found)
    asked(found).clear()
    return found


def asked(world: World) -> list[str]:
    assert isinstance(world.source, Watched)
    return world.source.asked


def test_where_nothing_has_changed_nothing_is_counted_or_compared(watched: World) -> None:
    handle(watched)
    assert asked(watched) == []


def test_a_tick_counts_where_rows_were_inserted(watched: World) -> None:
    insert(watched, Row(ts=TWO_DAYS_AGO, seq=99))
    handle(watched)
    assert asked(watched) == ["spans", "counts", "difference"]


def test_a_partition_that_is_closed_is_compared_by_digest_once_for_each_content(watched: World) -> None:
    closed = close(watched, TWO_DAYS_AGO)
    handle(watched, closed)
    assert asked(watched) == ["spans", "digests"]
    handle(watched, closed)
    assert asked(watched) == ["spans", "digests"]


def test_a_tick_finds_a_row_that_was_exchanged_for_another_by_a_mutation_and_reports_it(world: World) -> None:
    old = rows(10)[4]
    world.source.delete(world.streams["trades"].source, lambda row: row == old)
    world.source.tables[world.streams["trades"].source].append(Row(ts=old.ts, seq=old.seq, value=1_000))
    cold = world.cold()
    handle(world)
    assert world.cold() == cold
    (found,) = world.ledger.findings("trades")
    assert (found.kind, found.rows) == (FindingKind.CHANGED, 1)


def test_after_rows_were_changed_a_late_row_of_that_window_is_reported_not_guessed(world: World) -> None:
    old = rows(10)[4]
    world.source.delete(world.streams["trades"].source, lambda row: row == old)
    world.source.tables[world.streams["trades"].source].append(Row(ts=old.ts, seq=old.seq, value=1_000))
    handle(world)
    world.ledger.accept("trades")
    assert all(found.accepted for found in world.ledger.findings("trades"))
    cold = world.cold()
    insert(world, Row(ts=old.ts, seq=77))
    handle(world)
    assert world.cold() == cold
    (found,) = world.ledger.findings("trades")
    assert (found.rows, found.accepted) == (2, False)


def test_rows_that_the_source_deletes_stay_in_the_cold_tier_and_are_reported_once(world: World) -> None:
    cold = world.cold()
    world.source.delete(world.streams["trades"].source, lambda row: row.seq == 2)
    handle(world)
    handle(world)
    assert world.cold() == cold
    assert [(found.kind, found.rows) for found in world.ledger.findings("trades")] == [(FindingKind.DELETED, 1)]


def test_rows_that_ttl_takes_after_they_were_offloaded_are_no_finding_and_late_rows_still_arrive(world: World) -> None:
    table = world.streams["trades"].source
    gone = [row for row in world.source.tables[table] if row.seq < 3]
    world.source.tables[table] = [row for row in world.source.tables[table] if row.seq >= 3]
    handle(world)
    assert world.ledger.findings("trades") == []
    late = Row(ts=gone[0].ts, seq=400)
    insert(world, late)
    handle(world)
    assert world.cold() == world.hot() + type(world.hot())(gone)
    assert world.ledger.findings("trades") == []


def test_a_window_that_ttl_has_thinned_out_is_compared_row_by_row_once(watched: World) -> None:
    table = watched.streams["trades"].source
    watched.source.tables[table] = [row for row in watched.source.tables[table] if row.seq >= 3]
    handle(watched)
    assert asked(watched) == ["spans", "counts", "difference"]
    handle(watched, close(watched, TWO_DAYS_AGO))
    assert asked(watched)[3:] == ["spans", "digests"]


def test_what_arrives_while_the_tiers_are_compared_comes_with_the_next_event(watched: World) -> None:
    insert(watched, Row(ts=TWO_DAYS_AGO, seq=99))
    assert isinstance(watched.source, Watched)
    # Into another window of the same partition, which has been counted already.
    other = Row(ts=TWO_DAYS_AGO + timedelta(minutes=90), seq=100)
    watched.source.after_counting = lambda: insert(watched, other)
    handle(watched)
    watched.source.after_counting = lambda: None
    handle(watched)
    assert watched.cold() == watched.hot()


def test_a_row_that_is_too_late_is_reported_and_not_added() -> None:
    world = World({"trades": make_stream(late_rows_max_age=timedelta(days=10))})
    insert(world, *rows(10))
    handle(world)
    insert(world, Row(ts=NOW - timedelta(days=11), seq=1), Row(ts=NOW - timedelta(days=9), seq=2))
    handle(world)
    assert {row.seq for row in world.cold()} == {*range(10), 2}
    assert [(found.kind, found.rows) for found in world.ledger.findings("trades")] == [(FindingKind.TOO_LATE, 1)]


def test_lateness_is_counted_in_a_histogram(world: World) -> None:
    insert(world, Row(ts=NOW - timedelta(minutes=10), seq=1), Row(ts=NOW - timedelta(days=3), seq=2))
    handle(world)
    assert world.cold() == world.hot()
    assert sum(world.ledger.lateness("trades")) == 2
    assert world.ledger.lateness("trades")[0] == 1


@pytest.mark.parametrize("point", ["publish.before-commit", "batch.after-begin"])
def test_a_supplement_that_fails_is_written_again_and_published_once(world: World, point: str) -> None:
    insert(world, Row(ts=TWO_DAYS_AGO, seq=70))
    world.arm(f"{point}=raise@1")
    handle(world)
    assert world.cold() == world.hot()


def test_a_supplement_whose_commit_is_unknown_is_read_back(world: World) -> None:
    insert(world, Row(ts=TWO_DAYS_AGO, seq=70))
    world.arm("publish.after-commit=apply-then-raise@1")
    handle(world)
    assert world.cold() == world.hot()
    assert kinds(world).count(BatchKind.SUPPLEMENT) == 1


def test_unread_rows_that_have_gone_halt_the_stream_with_bounds_and_the_last_inventory(world: World) -> None:
    unread = [Row(ts=NOW + timedelta(days=3, seconds=n), seq=n) for n in range(5)]
    insert(world, *unread)
    handle(world)
    table = world.streams["trades"].source
    world.source.tables[table] = [row for row in world.source.tables[table] if row not in unread]
    world.source.time = NOW + timedelta(days=5)
    handle(world)
    record = world.ledger.read(["trades"])["trades"]
    assert record.state is StreamState.HALTED
    assert record.watermark < unread[0].ts
    assert "5 rows" in str(record.halt_reason)
    assert "--accept-findings" in str(record.halt_remedy)
    (found,) = world.ledger.findings("trades")
    assert found.kind is FindingKind.GAP
    assert found.window.contains(unread[0].ts)
    world.ledger.accept("trades")
    world.ledger.resume("trades")
    handle(world)
    assert world.ledger.read(["trades"])["trades"].watermark > unread[-1].ts


def test_a_partition_that_was_read_whole_may_be_dropped(world: World) -> None:
    world.source.tables[world.streams["trades"].source].clear()
    world.source.time = LATER
    handle(world)
    assert world.ledger.read(["trades"])["trades"].state is StreamState.ACTIVE
    assert world.ledger.findings("trades") == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 60 * 72), max_size=6), min_size=1, max_size=6))
def test_whatever_arrives_in_whatever_order_the_cold_tier_ends_up_equal(arrivals: list[list[int]]) -> None:
    world = World({"trades": make_stream()})
    insert(world, *rows(3))
    handle(world)
    for number, minutes in enumerate(arrivals):
        insert(world, *(Row(ts=NOW - timedelta(minutes=minute), seq=number) for minute in minutes))
        world.source.time += timedelta(minutes=15)
        handle(world)
    world.source.time += timedelta(minutes=15)
    handle(world)
    assert world.cold() == world.hot()
