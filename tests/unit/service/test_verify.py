"""Verification: slices, ranges, progress, the rows that differ, and what a query that fails leaves behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from consumer.domain.differing import Differing
from consumer.domain.errors import ConfigurationError, LedgerUnavailableError
from consumer.domain.event_factory import tick
from consumer.domain.mapping import TableMapping
from consumer.domain.slices import DroppedRows
from consumer.domain.stream import Stream
from consumer.domain.window import BEGINNING, END_OF_TIME, EVER, MICROSECOND, Window
from consumer.service.verify import Verifier
from consumer.service.verifying.comparing import Reading
from consumer.service.verifying.parallel import Progress, Work, run_all
from consumer.testing.rows import Row
from tests.unit.service.test_offload import NEVER, NOW, World, make_stream, rows

STREAM = make_stream()


class Verified(World):
    """A world in which several windows are offloaded."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.dropped: list[DroppedRows] = []
        self.insert(*rows(30, days_ago=3))
        for _ in range(12):
            self.offload().handle(tick(stream="trades", boundary=NOW), NEVER)

    @property
    def verifier(self) -> Verifier:
        return Verifier(source=self.source, ledger=self.ledger, catalog=self.catalog, dropped=lambda _: self.dropped)

    def files(self) -> Iterator[list[Row]]:
        for path in self.catalog.data_files(STREAM.target, STREAM.partition_by, None):
            yield self.source.files[path]

    def windows(self) -> list[Window]:
        return [one.window for one in self.ledger.windows("trades", EVER)]


@pytest.fixture
def world() -> Verified:
    return Verified({"trades": STREAM})


def holder(world: Verified, row: Row) -> Window:
    return next(one for one in world.windows() if one.contains(row.ts))


def test_sound_tiers_are_equal_window_by_window(world: Verified) -> None:
    found = world.verifier.verify(STREAM)
    assert found.equal
    assert (found.hot.rows, found.cold.rows, found.missing, found.surplus) == (30, 30, 0, 0)
    # One more: what lies above the watermark must not be in the cold tier.
    assert found.slices == len(world.windows()) + 1 > 5


def _changed(file: list[Row]) -> None:
    file[0] = replace(file[0], value=file[0].value + 1)


def _exchanged(file: list[Row]) -> None:
    file[0], file[1] = replace(file[0], value=file[1].value), replace(file[1], value=file[0].value)


@pytest.mark.parametrize(
    ("damage", "missing", "surplus"),
    [
        (_changed, 1, 1),
        (lambda file: file.pop(0), 1, 0),
        (lambda file: file.append(file[0]), 0, 1),
        (_exchanged, 2, 2),
    ],
)
def test_what_differs_is_told_with_its_window_and_its_rows(
    world: Verified, damage: Callable[[list[Row]], object], missing: int, surplus: int
) -> None:
    file = next(file for file in world.files() if len(file) > 1)
    window = holder(world, file[0])
    damage(file)
    found = world.verifier.verify(STREAM, reading=Reading(rows=10))
    assert not found.equal
    assert (found.missing, found.surplus) == (missing, surplus)
    assert [one.window for one in found.differences] == [window]
    assert sum(max(row.hot - row.cold, 0) for row in found.rows) == missing
    assert sum(max(row.cold - row.hot, 0) for row in found.rows) == surplus
    for other in world.windows():
        assert world.verifier.verify(STREAM, other).equal == (other != window)


def test_rows_whose_time_was_changed_are_found_wherever_they_are_now(world: Verified) -> None:
    """Also in no window at all: above the watermark, and beyond the years that a window may hold."""
    file = next(world.files())
    for instant in (END_OF_TIME - timedelta(days=1), END_OF_TIME + timedelta(days=1)):
        moved, file[0] = file[0], replace(file[0], ts=instant)
        found = world.verifier.verify(STREAM)
        file[0] = moved
        assert (found.missing, found.surplus, found.cold.rows) == (1, 1, 30)
        assert found.differences[-1].window.upper == END_OF_TIME


def test_two_differences_that_make_up_for_each_other_are_no_equality(world: Verified) -> None:
    one, *_, other = world.files()
    one[0], other[0] = other[0], one[0]
    assert world.verifier.verify(STREAM).equal, "the rows are the same, whichever file holds them"
    here, there = one[0], other[0]
    window = Window(lower=here.ts, upper=here.ts + MICROSECOND)
    world.dropped = [DroppedRows(window=window, fingerprint=there.fingerprint())]
    world.source.delete(STREAM.source, lambda row: row == there)
    found = world.verifier.verify(STREAM)
    assert found.hot + found.dropped == found.cold
    assert len(found.differences) == 2
    assert not found.equal


def test_a_part_of_the_rows_that_differ_is_returned_and_all_are_counted(world: Verified) -> None:
    for file in world.files():
        _changed(file)
    files = len(list(world.files()))
    found = world.verifier.verify(STREAM, reading=Reading(rows=3, threads=4))
    assert (found.missing, found.surplus, len(found.rows)) == (files, files, 3)


def test_windows_that_one_tier_has_nothing_of_are_counted_without_a_closer_look(
    world: Verified, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Window] = []
    closely = world.source.differing

    def differing(stream: Stream, mapping: TableMapping, window: Window, *given: Any, **more: Any) -> Differing:
        looked.append(window)
        return closely(stream, mapping, window, *given, **more)

    monkeypatch.setattr(world.source, "differing", differing)
    first, *_, last = world.files()
    expired = holder(world, first[0])
    world.source.delete(STREAM.source, lambda row: expired.contains(row.ts))
    last.clear()
    found = world.verifier.verify(STREAM)
    assert (found.missing, found.surplus) == (30 - found.cold.rows, 30 - found.hot.rows)
    assert (found.missing > 0, found.surplus > 0, looked) == (True, True, [])

    some = world.verifier.verify(STREAM, reading=Reading(rows=1))
    assert (some.missing, some.surplus, len(some.rows)) == (found.missing, found.surplus, 1)
    assert looked == [expired]


@pytest.mark.parametrize("rows_at_once", [1, 7, 1000])
@pytest.mark.parametrize("threads", [1, 3])
def test_progress_comes_to_its_end_however_the_work_is_cut(world: Verified, threads: int, rows_at_once: int) -> None:
    told: list[Progress] = []
    reading = Reading(threads=threads, rows_at_once=rows_at_once, progress=told.append)
    assert world.verifier.verify(STREAM, reading=reading).equal
    assert [one.queries_done for one in told] == list(range(1, told[-1].queries + 1))
    last = told[-1]
    assert (last.rows_done, last.bytes_done, last.left) == (last.rows, last.bytes, timedelta(0))
    assert last.rows == pytest.approx(60, abs=len(list(world.files())))
    if rows_at_once == 1:
        assert last.queries > 20


def test_a_range_of_which_nothing_was_read_is_refused(world: Verified) -> None:
    reached = world.ledger.read(["trades"])["trades"].watermark
    with pytest.raises(ConfigurationError, match="was offloaded yet"):
        world.verifier.verify(STREAM, Window(lower=reached, upper=END_OF_TIME))
    assert world.verifier.verify(STREAM, Window(lower=BEGINNING, upper=reached)).equal


def test_a_range_that_cuts_through_dropped_rows_is_refused(world: Verified) -> None:
    first, second = world.windows()[1:3]
    world.dropped = [
        DroppedRows(window=Window(lower=first.lower, upper=second.upper), fingerprint=rows(1)[0].fingerprint())
    ]
    with pytest.raises(ConfigurationError, match="--from"):
        world.verifier.verify(STREAM, second)


def test_a_look_during_which_something_is_published_is_taken_again(
    world: Verified, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspect, looks = world.catalog.inspect, count()

    def publishing(table: object) -> object:
        if next(looks) == 0:
            world.insert(*[replace(row, seq=row.seq + 100) for row in rows(2, days_ago=0.2)])
            world.now[0] = world.source.time = NOW + timedelta(days=1)
            monkeypatch.setattr(world.catalog, "inspect", inspect)
            world.offload().handle(tick(stream="trades", boundary=NOW + timedelta(days=1)), NEVER)
            monkeypatch.setattr(world.catalog, "inspect", publishing)
        return inspect(table)  # type: ignore[arg-type]

    monkeypatch.setattr(world.catalog, "inspect", publishing)
    found = world.verifier.verify(STREAM)
    assert found.equal
    assert found.cold.rows == 32
    assert next(looks) == 2


def test_a_stream_that_never_stands_still_is_not_compared(world: Verified, monkeypatch: pytest.MonkeyPatch) -> None:
    read, ages = world.ledger.read, count()

    def moving(streams: list[str]) -> object:
        return {
            name: replace(one, watermark=one.watermark + timedelta(seconds=next(ages)))
            for name, one in read(streams).items()
        }

    monkeypatch.setattr(world.ledger, "read", moving)
    with pytest.raises(LedgerUnavailableError, match="published faster"):
        world.verifier.verify(STREAM)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_error_no_query_begins_and_those_under_way_have_ended(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []
    ended: list[int] = []
    cancelled = threading.Event()
    shutdown = ThreadPoolExecutor.shutdown

    def shut_down(pool: ThreadPoolExecutor, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let those under way go on once the others can't begin any more."""
        shutdown(pool, wait=wait and cancelled.is_set(), cancel_futures=cancel_futures)
        cancelled.set()

    def work(number: int) -> Callable[[], None]:
        def run() -> None:
            begun.append(number)
            if number != 1:
                cancelled.wait(60)
            ended.append(number)

        return run

    def stop(_: Progress) -> None:
        raise error

    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", shut_down)
    with pytest.raises(error):
        run_all([Work(run=work(number), rows=1) for number in range(100)], threads=2, progress=stop)
    assert sorted(begun) == sorted(ended)
    assert len(begun) <= 3
    assert [one for one in threading.enumerate() if one.name.startswith("verify")] == []


def test_results_are_in_the_order_of_the_work() -> None:
    work = [Work(run=lambda number=number: number, rows=0) for number in range(20)]  # type: ignore[misc]
    assert run_all(work, threads=3, progress=lambda _: None) == list(range(20))


def test_the_time_left_goes_by_the_rows_until_now() -> None:
    now = iter([0.0, 10.0, 40.0])
    told: list[Progress] = []
    work = [Work(run=lambda: None, rows=100), Work(run=lambda: None, rows=300)]
    run_all(work, threads=1, progress=told.append, clock=lambda: next(now))
    assert [one.left for one in told] == [timedelta(seconds=30), timedelta(0)]
