"""A ledger that tells another story than its table is made to follow it, and what the table lacks is written again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.domain.batch import BatchKind, BatchStatus, WrittenFile
from consumer.domain.errors import DivergenceError, LeaseHeldError, LedgerUnavailableError
from consumer.domain.event_factory import tick
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.reconcile import FindingKind
from consumer.domain.stream import OnDivergence, Stream
from consumer.domain.window import EVER, Window
from consumer.ports import StreamRecord, StreamState
from consumer.service.backfill.requests import BackfillRequests
from consumer.service.repair.examination import Examination
from consumer.service.repair.repairer import Repairs
from consumer.testing.rows import Row
from tests.support.memory_repairs import memory_repairs
from tests.unit.service.test_late_rows import handle, insert
from tests.unit.service.test_offload import NOW, World, make_stream, rows


class Lake(World):
    """A stream that is offloaded, with the command that repairs it."""

    def __init__(self, **fields: Any) -> None:
        super().__init__({"trades": make_stream(**fields)})
        self.stream: Stream = self.streams["trades"]

    @property
    def repairs(self) -> Repairs:
        return memory_repairs(
            source=self.source,
            ledger=self.ledger,
            catalog=self.catalog,
            engine=self.engine,
            owner="operator",
            failpoints=self.failpoints,
        )

    def review(self) -> Examination:
        return self.repairs.review(self.stream)

    def repair(self) -> Examination:
        return self.repairs.repair(self.stream)

    def snapshots(self) -> list[int]:
        """The ids of the current snapshot and its ancestors, newest first."""
        return [one.id for one in self.catalog.tables[self.stream.target].ancestry()]

    def roll_back(self, by: int) -> None:
        self.catalog.roll_back(self.stream.target, self.snapshots()[by])

    def edit(self, **fields: object) -> None:
        """Change the ledger by hand."""
        self.ledger.put(replace(self.record, **fields))  # type: ignore[arg-type]

    def forget(self, *batches: int) -> None:
        """Delete batches from the ledger by hand, counted from the oldest."""
        self.ledger.repairs.delete("trades", batches)

    @property
    def record(self) -> StreamRecord:
        return self.ledger.read(["trades"])["trades"]

    def statuses(self) -> list[BatchStatus]:
        return [one.status for one in self.ledger.batches("trades", 100)]

    def whole(self) -> bool:
        """Whether both tiers hold the same rows, and the ledger knows each of them."""
        recorded = sum(one.cold.rows for one in self.ledger.windows("trades", EVER))
        return self.cold() == self.hot() and recorded == self.hot().total()


@pytest.fixture
def lake() -> Lake:
    found = Lake()
    insert(found, *rows(11))
    handle(found)
    assert found.whole()
    assert len(found.snapshots()) > 2
    return found


def test_what_agrees_is_left_as_it_is(lake: Lake) -> None:
    before = lake.record
    assert not lake.review().needed
    assert not lake.repair().needed
    assert replace(lake.record, epoch=before.epoch, updated=before.updated) == before


def test_a_table_that_was_rolled_back_is_written_again(lake: Lake) -> None:
    lake.roll_back(2)
    handle(lake)
    assert lake.record.state is StreamState.HALTED
    shown = lake.review()
    assert shown.needed
    assert len(shown.judged.withdrawn) == 2
    assert lake.record.state is StreamState.HALTED, "a review changes nothing"
    done = lake.repair()
    assert done.again == sum(batch.fingerprint.rows for batch in done.judged.withdrawn)
    assert not done.lost
    record = lake.record
    assert (record.state, record.generation) == (StreamState.ACTIVE, 2)
    assert record.watermark == done.watermark < NOW
    assert not lake.ledger.parked("trades")
    handle(lake)
    assert lake.whole()
    assert lake.statuses().count(BatchStatus.WITHDRAWN) == 2
    assert not lake.review().needed


def test_a_supplement_that_was_rolled_back_comes_again_and_its_window_stays(lake: Lake) -> None:
    insert(lake, *rows(2))
    handle(lake)
    assert lake.whole()
    lake.roll_back(1)
    done = lake.repair()
    assert [batch.kind for batch in done.judged.withdrawn] == [BatchKind.SUPPLEMENT]
    assert done.watermark == lake.record.watermark
    handle(lake)
    assert lake.whole()


def test_a_table_that_was_dropped_is_made_anew_and_filled(lake: Lake) -> None:
    lake.catalog.drop(lake.stream.target)
    handle(lake)
    assert "icehaul repair trades" in str(lake.record.halt_remedy)
    shown = lake.review()
    assert shown.target is None
    lake.repair()
    handle(lake)
    assert lake.whole()


def test_an_empty_table_in_the_place_of_the_old_one_is_filled(lake: Lake) -> None:
    known = lake.catalog.tables[lake.stream.target]
    lake.catalog.tables[lake.stream.target] = replace(
        known, uuid=uuid4(), snapshots={}, current=None, repeated=None, version=0
    )
    lake.repair()
    handle(lake)
    assert lake.whole()


def test_a_table_of_somebody_else_is_not_taken_for_the_old_one(lake: Lake) -> None:
    table = lake.catalog.tables[lake.stream.target]
    table.uuid = uuid4()
    table.snapshots = {
        number: replace(snapshot, evidence=None, parent=None) for number, snapshot in table.snapshots.items()
    }
    table.repeated = None
    with pytest.raises(DivergenceError, match="holds rows, and no snapshot of it says that icehaul"):
        lake.repair()


def test_what_the_source_does_not_hold_any_more_is_told_and_stays_told(lake: Lake) -> None:
    lake.roll_back(2)
    gone = lake.hot()
    lake.source.delete(lake.stream.source, lambda row: row.seq == 10)
    done = lake.repair()
    assert [one.rows for one in done.lost] == [1]
    assert [(one.kind, one.rows) for one in lake.ledger.findings("trades")] == [(FindingKind.GAP, 1)]
    handle(lake)
    assert lake.cold() == lake.hot()
    assert (gone - lake.cold()).total() == 1
    assert [one.kind for one in lake.ledger.findings("trades")] == [FindingKind.GAP]


@pytest.mark.parametrize("shift", [timedelta(hours=-7), timedelta(minutes=5)], ids=["back", "forward"])
def test_an_edited_watermark_follows_the_windows_again(lake: Lake, shift: timedelta) -> None:
    before = lake.record.watermark
    lake.edit(watermark=before + shift, **({"last_upper": None} if shift < timedelta(0) else {}))
    done = lake.repair()
    assert done.needed
    assert lake.record.watermark == before
    insert(lake, *rows(3, days_ago=1))
    handle(lake)
    assert lake.whole()


@pytest.mark.parametrize("batch", range(3))
def test_a_batch_that_was_deleted_from_the_ledger_is_counted_in_the_table(lake: Lake, batch: int) -> None:
    lake.forget(batch)
    done = lake.repair()
    assert [one.recorded for one in done.rebuilt] == [None]
    assert lake.whole()
    insert(lake, *rows(2))
    handle(lake)
    assert lake.whole()
    assert not lake.review().needed


def test_a_ledger_whose_batch_was_deleted_publishes_nothing_more(lake: Lake) -> None:
    lake.forget(1)
    insert(lake, *rows(2))
    handle(lake)
    assert lake.record.state is StreamState.HALTED
    assert "do not lead to its watermark" in str(lake.record.halt_reason)
    assert lake.ledger.batches("trades", 1)[0].kind is not BatchKind.SUPPLEMENT


def test_a_watermark_that_was_set_forward_halts_the_stream(lake: Lake) -> None:
    lake.edit(watermark=lake.record.watermark + timedelta(days=1))
    handle(lake)
    assert lake.record.state is StreamState.HALTED
    assert "do not lead to its watermark" in str(lake.record.halt_reason)


def test_a_ledger_that_lost_everything_is_rebuilt_from_the_table(lake: Lake) -> None:
    lake.ledger.repairs.delete("trades")
    lake.edit(watermark=lake.record.start, last_upper=None, last_batch_id=None, source_uuid=None, target_uuid=None)
    handle(lake)
    assert lake.record.state is StreamState.HALTED
    lake.repair()
    assert lake.whole()
    insert(lake, *rows(4, days_ago=1.5))
    handle(lake)
    assert lake.whole()


def test_expired_snapshots_still_prove_their_batches(lake: Lake) -> None:
    insert(lake, *rows(3, days_ago=1))
    handle(lake)
    lake.catalog.expire(lake.stream.target, 2)
    lake.roll_back(1)
    done = lake.repair()
    assert len(done.judged.withdrawn) == 1
    assert not done.rebuilt
    handle(lake)
    assert lake.whole()


def test_a_table_that_is_put_back_after_a_repair_counts_again(lake: Lake) -> None:
    newest = lake.snapshots()[0]
    lake.roll_back(2)
    lake.repair()
    lake.catalog.roll_back(lake.stream.target, newest)
    done = lake.repair()
    assert len(done.judged.reinstated) == 2
    assert lake.whole()
    handle(lake)
    assert lake.whole()


def test_rows_that_somebody_took_out_of_a_window_are_recorded_and_added_again(lake: Lake) -> None:
    table = lake.catalog.tables[lake.stream.target]
    (doomed, _), *_ = table.live()
    lake.catalog.rewrite(lake.stream.target, [doomed.path], [], carry=True)
    done = lake.repair()
    assert [one.found.rows for one in done.rebuilt] != [one.recorded.rows for one in done.rebuilt if one.recorded]
    handle(lake)
    assert lake.whole()


def test_history_that_somebody_took_rows_out_of_stays_history() -> None:
    lake = Lake(start=NOW - timedelta(days=1))
    insert(lake, *rows(6))
    handle(lake)
    requests = BackfillRequests(
        source=lake.source, ledger=lake.ledger, backfills=lake.ledger.backfills, failpoints=lake.failpoints
    )
    requests.request(lake.stream, NOW - timedelta(days=3), NOW - timedelta(days=1))
    while lake.ledger.backfills.open("trades"):
        handle(lake)
    assert lake.whole()
    (doomed, _), *_ = lake.catalog.tables[lake.stream.target].live()
    lake.catalog.rewrite(lake.stream.target, [doomed.path], [], carry=True)
    lake.repair()
    handle(lake)
    assert lake.record.state is StreamState.ACTIVE
    assert lake.whole()


def test_a_table_whose_snapshots_prove_nothing_is_counted(lake: Lake) -> None:
    lake.roll_back(1)
    lake.catalog.add_foreign(lake.stream.target)
    lake.catalog.expire(lake.stream.target, 1)
    table = lake.catalog.tables[lake.stream.target]
    table.repeated = None
    assert table.evidence() is None
    done = lake.repair()
    assert len(done.judged.withdrawn) == 1
    assert not done.rebuilt
    handle(lake)
    assert lake.whole()


def test_rows_outside_of_every_window_stop_a_repair(lake: Lake) -> None:
    stray = Row(ts=NOW + timedelta(days=2), seq=1, value=1)
    window = Window(lower=stray.ts, upper=stray.ts + timedelta(seconds=1))
    lake.source.files["memory://stray"] = [stray]
    file = WrittenFile(unit=0, path="memory://stray", bytes=1, fingerprint=Fingerprint(rows=1, digest=1))
    lake.catalog.rewrite(lake.stream.target, [], [(file, window)], carry=True)
    with pytest.raises(DivergenceError, match="holds 1 row outside of every window"):
        lake.repair()


def test_a_stream_that_heals_goes_on_by_itself() -> None:
    lake = Lake(on_divergence=OnDivergence.HEAL)
    insert(lake, *rows(11))
    handle(lake)
    lake.roll_back(1)
    insert(lake, *rows(2, days_ago=1))
    handle(lake)
    assert lake.record.state is StreamState.ACTIVE
    assert lake.whole()


def test_a_stream_that_cannot_be_healed_is_halted_with_the_reason() -> None:
    lake = Lake(on_divergence=OnDivergence.HEAL)
    insert(lake, *rows(5))
    handle(lake)
    table = lake.catalog.tables[lake.stream.target]
    table.uuid = uuid4()
    table.snapshots = {
        number: replace(snapshot, evidence=None, parent=None) for number, snapshot in table.snapshots.items()
    }
    table.repeated = None
    handle(lake)
    assert lake.record.state is StreamState.HALTED
    assert "no snapshot of it says that icehaul" in str(lake.record.halt_reason)
    assert len(lake.ledger.parked("trades")) == 1


def test_a_repair_waits_for_nobody_who_works_on_the_stream(lake: Lake) -> None:
    lake.roll_back(1)
    lake.ledger.claim("trades", "consumer", timedelta(seconds=30))
    with pytest.raises(LeaseHeldError, match="consumer holds it"):
        lake.repair()


@pytest.mark.parametrize("point", ["stream.before-repair=raise", "stream.after-repair=raise"])
def test_a_repair_that_fails_may_be_repeated(lake: Lake, point: str) -> None:
    lake.roll_back(1)
    lake.arm(point)
    with pytest.raises(LedgerUnavailableError):
        lake.repair()
    lake.arm("")
    lake.repair()
    handle(lake)
    assert lake.whole()


class _Chance:
    """What somebody does to a stream, by a number."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.seq = 0

    def play(self, what: int, how: int) -> None:
        lake = self.lake
        there = lake.stream.target in lake.catalog.tables and bool(lake.snapshots())
        match what:
            case 0 | 1 | 2:
                fresh = [Row(ts=_instant(how, n), seq=self.seq + n, value=how) for n in range(1 + how % 3)]
                self.seq += len(fresh)
                insert(lake, *fresh)
            case 3 | 4:
                handle(lake)
            case 5 if there:
                lake.roll_back(how % len(lake.snapshots()))
            case 6 if there:
                lake.catalog.expire(lake.stream.target, 1 + how % 3)
            case 7 if there:
                lake.catalog.drop(lake.stream.target)
            case 8 if there:
                lake.catalog.roll_back(lake.stream.target, max(lake.catalog.tables[lake.stream.target].snapshots))
            case 9:
                lake.repair()
            case 10 if lake.statuses():
                lake.forget(how % len(lake.statuses()))
            case _:
                pass


def _instant(how: int, n: int) -> datetime:
    return NOW - timedelta(days=3) + timedelta(minutes=97 * (how % 40) + n)


def test_what_was_counted_twice_counts_once() -> None:
    lake = Lake()
    insert(lake, *rows(5))
    handle(lake)
    chance = _Chance(lake)
    for what in (0, 3, 0, 10, 9, 3, 10):
        chance.play(what, 0)
    lake.repair()
    handle(lake)
    assert not lake.review().needed
    assert lake.whole()


def test_what_was_counted_is_not_counted_again_though_the_snapshots_before_it_are_expired() -> None:
    lake = Lake()
    insert(lake, *rows(5))
    handle(lake)
    insert(lake, *rows(1))
    lake.catalog.expire(lake.stream.target, 1)
    handle(lake)
    lake.forget(1)
    assert lake.repair().rebuilt
    assert not lake.review().needed
    handle(lake)
    assert lake.whole()


def test_a_late_row_comes_again_though_its_supplement_is_gone_from_table_and_ledger() -> None:
    lake = Lake()
    insert(lake, *rows(5))
    handle(lake)
    insert(lake, Row(ts=NOW - timedelta(days=3), seq=9, value=9))
    handle(lake)
    lake.roll_back(1)
    lake.forget(0)
    lake.repair()
    handle(lake)
    assert lake.whole()


def test_late_rows_of_a_window_without_rows_of_its_own_are_counted_though_the_window_is_gone() -> None:
    lake = Lake()
    insert(lake, Row(ts=NOW - timedelta(days=5), seq=1, value=1))
    for days_ago in (4, 3):
        handle(lake, tick(stream="trades", boundary=NOW - timedelta(days=days_ago)))
    insert(lake, Row(ts=NOW - timedelta(days=4), seq=2, value=2))
    handle(lake, tick(stream="trades", boundary=NOW - timedelta(days=3)))
    assert lake.statuses().count(BatchStatus.EMPTY) == 1
    lake.forget(2)
    handle(lake)
    lake.repair()
    handle(lake)
    assert lake.whole()


def test_rows_of_withdrawn_windows_in_a_table_that_proves_nothing_are_counted(lake: Lake) -> None:
    table = lake.catalog.tables[lake.stream.target]
    newest = lake.snapshots()[0]
    files = [file for file, _ in table.live()]
    lake.roll_back(2)
    lake.repair()
    assert lake.record.watermark < NOW
    lake.catalog.roll_back(lake.stream.target, newest)
    table.snapshots = {
        number: replace(snapshot, evidence=None, parent=-1) for number, snapshot in table.snapshots.items()
    }
    table.repeated = None
    handle(lake)
    assert lake.record.state is StreamState.HALTED
    assert lake.repair().needed
    handle(lake)
    assert [file for file, _ in table.live()] == files, "nothing was written again"
    assert lake.whole()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10), st.integers(0, 1_000)), max_size=14))
def test_whatever_was_done_to_table_and_ledger_a_repair_brings_every_row_back(
    played: Sequence[tuple[int, int]],
) -> None:
    lake = Lake()
    insert(lake, *rows(5))
    handle(lake)
    chance = _Chance(lake)
    for what, how in played:
        chance.play(what, how)
    if not lake.repair().needed:
        # It was put back by hand after it had been found.
        lake.ledger.resume("trades")
    handle(lake)
    handle(lake)
    assert lake.record.state is StreamState.ACTIVE
    assert lake.cold() == Counter(lake.hot())
    assert lake.whole()
    assert not lake.review().needed
