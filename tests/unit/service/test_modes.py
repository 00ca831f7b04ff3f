"""The modes in which the cold tier follows the hot one by itself: windows are replaced, and nothing is lost by it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.domain.batch import BatchKind
from consumer.domain.reconcile import FindingKind
from consumer.domain.stream import BatchBounds, Mode, ReplacePolicy
from consumer.domain.window import PartitionBy, Window
from consumer.ports import StreamState
from consumer.testing.rows import Row
from tests.unit.service.test_late_rows import handle, insert, kinds
from tests.unit.service.test_offload import NOW, World, make_stream, rows

DAY = timedelta(days=1)
START = NOW - 20 * DAY
ENGINES = {Mode.LATEST_VERSION: "ReplacingMergeTree", Mode.REPLACE_WINDOW: "MergeTree"}


ADDING = ReplacePolicy()


def world(mode: Mode, policy: ReplacePolicy = ADDING, **changes: timedelta) -> World:
    """A stream in this mode, of ten rows that are offloaded."""
    made = World({"trades": make_stream("trades", mode=mode, replace=policy, **changes)})
    made.source.create(made.streams["trades"].source, engine=ENGINES.get(mode, "MergeTree"))
    insert(made, *rows(10))
    handle(made)
    assert made.cold() == shown(made)
    return made


def shown(made: World) -> Counter[Row]:
    """What a reader of the hot tier sees: with FINAL where the mode says so."""
    stream = made.streams["trades"]
    return Counter(
        made.source.shown(stream.source) if stream.mode is Mode.LATEST_VERSION else made.source.tables[stream.source]
    )


def findings(made: World) -> list[FindingKind]:
    return [finding.kind for finding in made.ledger.findings("trades")]


def again(row: Row, value: int) -> Row:
    return replace(row, value=value)


def numbered(*seqs: int) -> Callable[[Row], bool]:
    return lambda row: row.seq in seqs


def test_another_version_of_a_row_replaces_its_window() -> None:
    made = world(Mode.LATEST_VERSION)
    insert(made, again(rows(10)[3], 77))
    handle(made)
    assert made.cold() == shown(made)
    assert kinds(made).count(BatchKind.REPLACE) == 1
    assert findings(made) == []


def test_merges_change_nothing() -> None:
    made = world(Mode.LATEST_VERSION)
    insert(made, again(rows(10)[3], 77))
    handle(made)
    before = kinds(made)
    made.source.merge(made.streams["trades"].source)
    handle(made)
    assert kinds(made) == before
    assert made.cold() == shown(made)


def test_rows_with_keys_of_their_own_come_by_a_supplement() -> None:
    made = world(Mode.LATEST_VERSION)
    insert(made, replace(rows(10)[3], seq=500))
    handle(made)
    assert kinds(made).count(BatchKind.SUPPLEMENT) == 1
    assert BatchKind.REPLACE not in kinds(made)
    assert made.cold() == shown(made)


def test_an_update_is_followed() -> None:
    made = world(Mode.REPLACE_WINDOW)
    made.source.update(made.streams["trades"].source, lambda row: again(row, 77) if row.seq == 3 else row)
    handle(made)
    assert made.cold() == shown(made)
    assert findings(made) == []


@pytest.mark.parametrize("mode", ENGINES)
def test_deleted_rows_stay_as_a_finding_unless_they_may_go(mode: Mode) -> None:
    for remove, gone in ((False, 0), (True, 2)):
        made = world(mode, ReplacePolicy(remove_rows=remove))
        before = made.cold()
        made.source.delete(made.streams["trades"].source, numbered(3, 4))
        handle(made)
        assert (before - made.cold()).total() == gone
        assert set(findings(made)) == (set() if remove else {FindingKind.DELETED})


@pytest.mark.parametrize("mode", ENGINES)
def test_a_dropped_partition_never_goes_from_the_cold_tier_whatever_comes_into_it_later(mode: Mode) -> None:
    made = world(mode, ReplacePolicy(remove_rows=True))
    before, source = made.cold(), made.streams["trades"].source
    made.source.drop_partition(source, PartitionBy.DAY.floor(rows(10)[0].ts))
    for number in range(3):
        insert(made, *(replace(row, seq=row.seq + 100 * (number + 1)) for row in rows(10)))
        made.source.update(source, lambda row: again(row, row.value + 1) if row.seq == 100 else row)
        handle(made)
        assert before - made.cold() == Counter()


def test_rows_that_drop_hot_has_dropped_never_go() -> None:
    made = world(Mode.REPLACE_WINDOW, ReplacePolicy(remove_rows=True))
    before = made.cold()
    made.dropped_windows.append(Window(lower=START - 400 * DAY, upper=NOW))
    made.source.delete(made.streams["trades"].source, numbered(3, 4))
    handle(made)
    assert made.cold() == before


def test_rows_that_a_ttl_may_have_taken_never_go_and_are_no_finding() -> None:
    made = world(Mode.LATEST_VERSION, ReplacePolicy(remove_rows=True))
    before, source = made.cold(), made.streams["trades"].source
    made.source.clauses[source] = "ts + toIntervalSecond(1)"
    made.source.delete(source, numbered(3, 4))
    handle(made)
    assert made.cold() == before
    assert findings(made) == []


def test_versions_that_come_later_than_late_rows_may_are_not_followed() -> None:
    made = world(Mode.LATEST_VERSION, late_rows_max_age=timedelta(seconds=1))
    before = made.cold()
    insert(made, again(rows(10)[3], 77))
    handle(made)
    assert made.cold() == before
    assert findings(made) == [FindingKind.CHANGED]


def spread(made: World, count: int) -> list[Row]:
    """A row on each of some days, offloaded as a window of its own."""
    found = [Row(ts=NOW - (count + 3 - number) * DAY, seq=1000 + number) for number in range(count)]
    insert(made, *found)
    return found


def many(policy: ReplacePolicy) -> tuple[World, list[Row]]:
    made = World({"trades": make_stream(mode=Mode.LATEST_VERSION, replace=policy, bounds=BatchBounds(window=DAY))})
    made.source.create(made.streams["trades"].source, engine="ReplacingMergeTree")
    found = spread(made, 6)
    handle(made)
    return made, found


def test_one_event_replaces_no_more_windows_than_it_may_and_the_others_follow() -> None:
    made, found = many(ReplacePolicy(windows_per_event=2))
    insert(made, *(again(row, 7) for row in found))
    for replaced in (2, 4, 6):
        handle(made)
        assert kinds(made).count(BatchKind.REPLACE) == replaced
    assert made.cold() == shown(made)
    handle(made)
    assert kinds(made).count(BatchKind.REPLACE) == 6


def test_a_window_that_always_changes_keeps_none_waiting() -> None:
    made, found = many(ReplacePolicy(windows_per_event=1))
    insert(made, *(again(row, 7) for row in found))
    for number in range(12):
        insert(made, again(found[0], 100 + number))
        handle(made)
    rest = {row for row in made.cold() if row.seq != found[0].seq}
    assert rest == {again(row, 7) for row in found[1:]}


def test_new_rows_come_before_windows_are_replaced() -> None:
    made, found = many(ReplacePolicy(windows_per_event=1))
    insert(made, *(again(row, 7) for row in found), Row(ts=NOW + timedelta(minutes=30), seq=1))
    made.source.time = NOW + timedelta(hours=1)
    handle(made)
    assert kinds(made).count(BatchKind.REPLACE) == 1
    assert any(row.seq == 1 for row in made.cold())


def test_a_mode_that_the_source_does_not_allow_halts_the_stream() -> None:
    made = World({"trades": make_stream(mode=Mode.LATEST_VERSION)})
    made.source.create(made.streams["trades"].source)
    insert(made, *rows(3))
    handle(made)
    record = made.ledger.read(["trades"])["trades"]
    assert record.state is StreamState.HALTED
    assert "latest-version is not possible" in (record.halt_reason or "")


def happen(made: World, kind: str, row: Row) -> None:
    """Let something happen to the source, or an event come."""
    source = made.streams["trades"].source

    def same(one: Row) -> bool:
        return (one.ts, one.seq) == (row.ts, row.seq)

    if kind == "insert":
        insert(made, row)
    elif kind == "update":
        made.source.update(source, lambda one: row if same(one) else one)
    elif kind == "delete":
        made.source.delete(source, same)
    elif kind == "merge":
        made.source.merge(source)
    else:
        handle(made)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("insert"), st.integers(0, 5), st.integers(0, 3), st.integers(0, 9)),
        st.tuples(st.just("update"), st.integers(0, 5), st.integers(0, 3), st.integers(10, 19)),
        st.tuples(st.just("delete"), st.integers(0, 5), st.integers(0, 3), st.just(0)),
        st.tuples(st.sampled_from(["merge", "event"]), st.just(0), st.just(0), st.just(0)),
    ),
    max_size=40,
)


@pytest.mark.parametrize("mode", ENGINES)
@settings(max_examples=60, deadline=None)
@given(steps=STEPS, limit=st.integers(1, 3))
def test_whatever_happens_the_cold_tier_comes_to_hold_what_a_reader_of_the_hot_tier_sees(
    mode: Mode, steps: list[tuple[str, int, int, int]], limit: int
) -> None:
    policy = ReplacePolicy(remove_rows=True, windows_per_event=limit)
    made = World({"trades": make_stream(mode=mode, replace=policy, bounds=BatchBounds(window=DAY))})
    source = made.streams["trades"].source
    made.source.create(source, engine=ENGINES[mode])
    # A row that stays on each day: a partition that goes as a whole is not told from one that was dropped.
    days = [NOW - (9 - number) * DAY for number in range(6)]
    insert(made, *(Row(ts=day, seq=9) for day in days))
    handle(made)
    for kind, number, seq, value in steps:
        happen(made, kind, Row(ts=days[number], seq=seq, value=value))
    for _ in range(8):
        handle(made)
    assert made.cold() == shown(made)
    before = kinds(made)
    handle(made)
    assert kinds(made) == before
