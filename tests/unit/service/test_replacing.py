"""Rows that were changed or deleted in the source are replaced in the cold tier on request, and only then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.domain.batch import BatchKind, WrittenFile
from consumer.domain.errors import (
    ConfigurationError,
    DivergenceError,
    IcehaulError,
    LeaseHeldError,
    RetriesExhaustedError,
    StreamError,
)
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.reconcile import FindingKind
from consumer.domain.window import BEGINNING, MICROSECOND, Window
from consumer.service.replacing.replacing import Replacements
from consumer.service.replacing.review import Choice, Examined, Review, Verdict
from consumer.testing.files import MemoryFiles
from consumer.testing.rows import Row
from tests.unit.service.test_late_rows import handle, insert, kinds
from tests.unit.service.test_offload import NOW, World, make_stream, rows

EVER = Choice(within=Window(lower=BEGINNING, upper=NOW))
FINDINGS = Choice(within=None)


class Lake(World):
    """A stream that is offloaded, with the command that replaces."""

    def __init__(self, dropped: Sequence[Window] = ()) -> None:
        super().__init__({"trades": make_stream()}, dropped_windows=list(dropped))
        self.stream = self.streams["trades"]

    def review(self, choice: Choice) -> list[Examined]:
        return self._review().review(self.stream, choice)

    def replace(self, choice: Choice, owner: str = "operator") -> list[Examined]:
        return Replacements(
            streams=self.streams,
            review=self._review(),
            source=self.source,
            ledger=self.ledger,
            catalog=self.catalog,
            engine=self.engine,
            metrics=self.metrics,
            owner=owner,
            lease=timedelta(seconds=30),
            failpoints=self.failpoints,
        ).replace(self.stream, choice)

    def _review(self) -> Review:
        return Review(
            source=self.source,
            ledger=self.ledger,
            catalog=self.catalog,
            dropped=lambda stream: list(self.dropped_windows),
        )

    def update(self, changed: Callable[[Row], Row]) -> None:
        self.source.update(self.stream.source, changed)

    def delete(self, doomed: Callable[[Row], bool]) -> None:
        self.source.delete(self.stream.source, doomed)

    def findings(self) -> list[FindingKind]:
        return [finding.kind for finding in self.ledger.findings("trades")]


@pytest.fixture
def lake() -> Lake:
    found = Lake()
    insert(found, *rows(10))
    handle(found)
    assert found.cold() == found.hot()
    return found


def raised(row: Row) -> Row:
    return replace(row, value=row.value + 100) if row.seq == 3 else row


def revalued(row: Row, *, seq: int, value: int) -> Row:
    return replace(row, value=value) if row.seq == seq else row


def numbered(row: Row, *, seq: int) -> bool:
    return row.seq == seq


def verdicts(windows: Sequence[Examined]) -> set[Verdict]:
    return {one.verdict for one in windows}


def test_changed_rows_are_reported_and_replaced_on_request_alone(lake: Lake) -> None:
    lake.update(raised)
    handle(lake)
    assert lake.findings() == [FindingKind.CHANGED]
    assert lake.cold() != lake.hot()
    (shown,) = lake.review(FINDINGS)
    assert (shown.verdict, shown.missing, shown.surplus) == (Verdict.REPLACEABLE, 1, 1)
    assert lake.cold() != lake.hot(), "a review changes nothing"
    (done,) = lake.replace(FINDINGS)
    assert done.verdict is Verdict.REPLACED
    assert done.snapshot_id is not None
    assert lake.cold() == lake.hot()
    assert lake.findings() == []


def test_the_stream_goes_on_as_if_the_replaced_rows_had_been_there_from_the_beginning(lake: Lake) -> None:
    before = lake.ledger.read(["trades"])["trades"]
    lake.update(raised)
    lake.replace(EVER)
    after = lake.ledger.read(["trades"])["trades"]
    assert (after.watermark, after.last_upper) == (before.watermark, before.last_upper)
    published = len(kinds(lake))
    handle(lake)
    assert len(kinds(lake)) == published, "nothing is late, and nothing is found"
    insert(lake, Row(ts=rows(10)[0].ts + timedelta(seconds=1), seq=77))
    handle(lake)
    assert kinds(lake).count(BatchKind.SUPPLEMENT) == 1
    assert lake.cold() == lake.hot()


def test_rows_that_come_late_after_a_replacement_arrive_although_they_came_late_before(lake: Lake) -> None:
    """The window has the content again that the first supplement was computed from; its id must be another one."""
    late = Row(ts=rows(10)[0].ts + timedelta(seconds=1), seq=77)
    insert(lake, late)
    handle(lake)
    lake.delete(lambda row: row.seq == 77)
    lake.replace(replace(EVER, remove_rows=True))
    assert lake.cold() == lake.hot()
    insert(lake, late)
    handle(lake)
    assert lake.cold() == lake.hot()
    assert lake.cold()[late] == 1


def test_a_row_that_changes_to_and_fro_is_replaced_each_time(lake: Lake) -> None:
    first = lake.hot()
    for value in (100, 3, 100, 3):
        lake.update(partial(revalued, seq=3, value=value))
        lake.replace(EVER)
        assert lake.cold() == lake.hot()
    assert lake.cold() == first


def test_a_change_that_was_undone_is_no_finding_any_more_and_late_rows_come_again(lake: Lake) -> None:
    for settle in (handle, lambda found: found.replace(FINDINGS)):
        lake.update(raised)
        handle(lake)
        assert lake.findings() == [FindingKind.CHANGED]
        lake.update(lambda row: replace(row, value=row.value - 100) if row.value >= 100 else row)
        settle(lake)
        assert lake.findings() == []
    insert(lake, Row(ts=rows(10)[0].ts + timedelta(seconds=1), seq=77))
    handle(lake)
    assert lake.cold() == lake.hot()


def test_deleted_rows_stay_unless_their_removal_is_asked_for(lake: Lake) -> None:
    lake.delete(lambda row: row.seq < 2)
    handle(lake)
    assert lake.findings() == [FindingKind.DELETED]
    (refused,) = lake.replace(FINDINGS)
    assert refused.verdict is Verdict.REFUSED
    assert "2 rows more would go than come" in refused.reason
    assert "--remove-rows" in refused.reason
    assert lake.cold().total() == 10
    assert verdicts(lake.replace(replace(FINDINGS, remove_rows=True))) == {Verdict.REPLACED}
    assert lake.cold() == lake.hot()
    assert lake.cold().total() == 8


def test_a_window_all_rows_of_which_were_deleted_becomes_empty(lake: Lake) -> None:
    lake.delete(lambda row: True)
    lake.replace(replace(EVER, remove_rows=True))
    assert lake.cold() == Counter()
    insert(lake, *rows(4))
    handle(lake)
    assert lake.cold() == lake.hot()


def test_rows_that_a_ttl_may_have_deleted_are_not_taken_for_changed_ones(lake: Lake) -> None:
    """As many rows are late as the TTL has taken, so that the numbers alone look like a change."""
    lake.source.clauses[lake.stream.source] = "ts + INTERVAL 1 DAY"
    lake.delete(lambda row: row.seq == 0)
    insert(lake, Row(ts=rows(10)[0].ts + timedelta(seconds=1), seq=77))
    refused = lake.replace(EVER)[0]
    assert refused.verdict is Verdict.REFUSED
    assert "TTL" in refused.reason
    assert rows(10)[0] in lake.cold()


def test_rows_that_drop_hot_has_dropped_are_never_removed(lake: Lake) -> None:
    first = rows(10)[0].ts
    lake.dropped_windows.append(Window(lower=first, upper=first + timedelta(hours=1)))
    lake.delete(lambda row: row.ts < first + timedelta(hours=1))
    refused = lake.replace(replace(EVER, remove_rows=True))[0]
    assert refused.verdict is Verdict.REFUSED
    assert "drop-hot" in refused.reason
    assert lake.cold().total() == 10


def test_windows_that_are_equal_are_left_alone(lake: Lake) -> None:
    assert verdicts(lake.replace(EVER)) == {Verdict.EQUAL}
    assert BatchKind.REPLACE not in kinds(lake)


def test_a_stretch_without_a_window_is_refused(lake: Lake) -> None:
    with pytest.raises(ConfigurationError, match="has offloaded no window"):
        lake.review(Choice(within=Window(lower=NOW + timedelta(days=9), upper=NOW + timedelta(days=10))))
    with pytest.raises(ConfigurationError, match="there is no finding"):
        lake.replace(FINDINGS)


def test_nothing_is_replaced_while_somebody_else_works_on_the_stream(lake: Lake) -> None:
    lake.ledger.claim("trades", "a consumer", timedelta(seconds=30))
    lake.update(raised)
    with pytest.raises(LeaseHeldError):
        lake.replace(EVER)


def test_a_stream_that_was_never_worked_on_keeps_its_start() -> None:
    lake = Lake()
    lake.stream = lake.streams["trades"] = replace(make_stream(), start=NOW - timedelta(days=1))
    lake.ledger.register("trades", lake.stream.begins)
    with pytest.raises(ConfigurationError, match="has offloaded no window"):
        lake.replace(EVER)
    assert lake.ledger.read(["trades"])["trades"].watermark == NOW - timedelta(days=1)


def test_a_halted_stream_is_resumed_first(lake: Lake) -> None:
    lake.ledger.halt("trades", reason="lost", remedy="find it", epoch=None)
    for step in (lake.review, lake.replace):
        with pytest.raises(StreamError, match="is halted: lost"):
            step(EVER)


def test_a_window_whose_files_hold_other_rows_than_recorded_is_not_replaced(lake: Lake) -> None:
    lake.update(raised)
    (path,) = (path for path, content in lake.source.files.items() if rows(10)[0] in content)
    lake.source.files[path].append(Row(ts=rows(10)[0].ts, seq=500))
    before = lake.cold()
    with pytest.raises(DivergenceError, match="are recorded"):
        lake.replace(EVER)
    assert lake.cold() == before


def compact(lake: Lake) -> str:
    """Put all files together, as a compaction does."""
    old = lake.catalog.data_files(lake.stream.target, lake.stream.partition_by, None)
    content = [row for path in old for row in lake.source.files[path]]
    total = sum((row.fingerprint() for row in content), Fingerprint(rows=0, digest=0))
    made = WrittenFile(unit=0, path=f"{lake.stream.target}/compacted", bytes=9, fingerprint=total)
    lake.source.files[made.path] = content
    lake.engine.written[made.path] = made
    lake.catalog.rewrite(
        lake.stream.target, old, [(made, Window(lower=BEGINNING, upper=lake.source.time + MICROSECOND))], carry=True
    )
    return made.path


def test_rows_of_other_windows_in_the_same_file_are_kept(lake: Lake) -> None:
    insert(lake, *(Row(ts=NOW + timedelta(minutes=n), seq=50 + n) for n in range(3)))
    lake.source.time = NOW + timedelta(hours=2)
    handle(lake)
    file = compact(lake)
    first = lake.ledger.windows("trades", Window(lower=BEGINNING, upper=NOW - timedelta(days=1)))[0]
    lake.update(raised)
    lake.replace(Choice(within=first.window))
    assert lake.cold() == lake.hot()
    assert file not in lake.catalog.data_files(lake.stream.target, lake.stream.partition_by, None)
    census = MemoryFiles(lake.catalog, lake.engine.written).census(lake.stream.target)
    assert census is not None
    recorded = {one.path: one for one in lake.ledger.recorded.files("trades")}
    assert any(recorded[one.path].kept for one in census.live)
    lake.update(lambda row: replace(row, value=row.value + 1))
    lake.replace(Choice(within=Window(lower=BEGINNING, upper=lake.source.time)))
    assert lake.cold() == lake.hot()


def test_rows_that_change_between_looking_and_reading_are_looked_at_again(lake: Lake) -> None:
    lake.update(raised)
    reads = [0]

    def once(point: str) -> None:
        if point == "task.before-read":
            reads[0] += 1
            if reads[0] == 1:
                lake.source.insert(lake.stream.source, [Row(ts=rows(10)[0].ts, seq=88)])

    lake.engine._hit = once
    lake.replace(EVER)
    assert lake.cold() == lake.hot()
    assert reads[0] > 1


def test_a_window_that_never_stands_still_is_given_up(lake: Lake) -> None:
    lake.update(raised)
    before = lake.cold()

    def always(point: str) -> None:
        if point == "task.before-read":
            lake.source.insert(lake.stream.source, [Row(ts=rows(10)[0].ts, seq=88)])

    lake.engine._hit = always
    with pytest.raises(RetriesExhaustedError, match="were looked at before"):
        lake.replace(EVER)
    assert lake.cold() == before


def test_a_compaction_between_looking_and_publishing_is_met_by_looking_again(lake: Lake) -> None:
    lake.update(raised)
    calls = [0]

    def meddle(point: str) -> None:
        if point == "task.after-close":
            calls[0] += 1
            if calls[0] == 1:
                compact(lake)

    lake.engine._hit = meddle
    lake.replace(EVER)
    assert lake.cold() == lake.hot()
    assert calls[0] > 1


@pytest.mark.parametrize("point", ["publish.before-stage", "publish.after-stage", "publish.before-commit"])
def test_a_replacement_that_breaks_off_before_its_commit_changes_nothing(lake: Lake, point: str) -> None:
    lake.update(raised)
    before = lake.cold()
    lake.arm(f"{point}=raise")
    lake.replace(EVER)
    assert lake.cold() == lake.hot() != before


def test_a_replacement_whose_commit_is_unknown_is_read_back(lake: Lake) -> None:
    lake.update(raised)
    lake.arm("publish.after-commit=raise")
    lake.replace(EVER)
    assert lake.cold() == lake.hot()
    assert kinds(lake).count(BatchKind.REPLACE) == 1


def test_a_zombie_replaces_nothing(lake: Lake) -> None:
    lake.update(raised)

    def taken(point: str) -> None:
        if point == "task.after-close":
            lake.now[0] += timedelta(minutes=5)
            lake.ledger.claim("trades", "a consumer", timedelta(seconds=30))

    lake.engine._hit = taken
    before = lake.cold()
    with pytest.raises(IcehaulError, match="epoch"):
        lake.replace(EVER)
    assert lake.cold() == before


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["insert", "update", "delete", "tick", "replace", "compact"]), st.integers(0, 9)),
        max_size=14,
    )
)
def test_whatever_happens_to_the_source_a_replacement_ends_in_equal_tiers(steps: list[tuple[str, int]]) -> None:
    lake = Lake()
    insert(lake, *rows(10))
    handle(lake)
    for number, (what, which) in enumerate(steps):
        if what == "insert":
            insert(lake, replace(rows(10)[which], seq=100 + number))
        elif what == "update":
            lake.update(partial(revalued, seq=which, value=number))
        elif what == "delete":
            lake.delete(partial(numbered, seq=which))
        elif what == "tick":
            handle(lake)
        elif what == "compact":
            if lake.cold():
                compact(lake)
        else:
            lake.replace(replace(EVER, remove_rows=True))
            assert lake.cold() == lake.hot()
    lake.replace(replace(EVER, remove_rows=True))
    assert lake.cold() == lake.hot()
    handle(lake)
    assert lake.cold() == lake.hot()
    assert lake.findings() == []
