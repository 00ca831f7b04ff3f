"""Every check of an audit passes on a sound stream, and fails for the defect that it is there for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NoReturn
from uuid import uuid4

import pytest

from consumer.domain.audit import Census, Check, CheckName, Outcome, StoredFile, StreamAudit, plain_path
from consumer.domain.batch import BatchKind, BatchStatus, WrittenFile
from consumer.domain.errors import IcehaulError, SourceUnavailableError, StoreUnavailableError
from consumer.domain.event_factory import tick
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.reconcile import Finding, FindingKind
from consumer.domain.slices import DroppedRows
from consumer.domain.stream import BatchBounds
from consumer.domain.window import BEGINNING, MICROSECOND, Window
from consumer.ports import Comparison
from consumer.service.adoption.adoptions import Adoptions
from consumer.service.audit.auditor import Auditor
from consumer.service.backfill.requests import BackfillRequests
from consumer.service.prepare import Preparation
from consumer.service.takeover import Takeovers
from consumer.service.verify import Verifier
from consumer.testing.files import MemoryFiles
from consumer.testing.memory_table import MemorySnapshot
from consumer.testing.rows import Row, fingerprint_of
from tests.unit.service.test_offload import NEVER, NOW, World, make_stream, rows

STREAM = make_stream()
ANYTHING = Fingerprint(rows=1, digest=1)


def instant_of(row: Row) -> Window:
    return Window(lower=row.ts, upper=row.ts + MICROSECOND)


class Audited(World):
    """A world whose stream is audited."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.dropped: list[DroppedRows] = []
        self.files = MemoryFiles(self.catalog, self.engine.written)

    def handle(self) -> None:
        self.offload().handle(tick(stream="trades", boundary=NOW), NEVER)

    def audit(self, *, rows: bool = True) -> StreamAudit:
        auditor = Auditor(
            source=self.source,
            ledger=self.ledger,
            catalog=self.catalog,
            attempts=self.ledger.recorded,
            files=self.files,
            verifier=Verifier(
                source=self.source, ledger=self.ledger, catalog=self.catalog, dropped=lambda _: self.dropped
            ),
        )
        return auditor.audit(STREAM, rows=rows)

    def live(self) -> list[str]:
        return list(self.catalog.data_files(STREAM.target, STREAM.partition_by, None))

    def put(self, path: str) -> None:
        """Put a file on the store that no batch wrote."""
        self.engine.written[path] = WrittenFile(unit=0, path=path, bytes=7, fingerprint=ANYTHING)

    def batch(self, rows_: int) -> None:
        """Edit the ledger: as if the newest window with rows had recorded other ones."""
        stored = next(
            one for one in reversed(list(self.ledger._batches._stored.values())) if one.record.digest is not None
        )
        stored.record = replace(stored.record, rows=rows_)


@pytest.fixture
def world() -> Audited:
    found = Audited({"trades": STREAM})
    found.source.insert(STREAM.source, rows(10))
    found.handle()
    return found


def raising(error: IcehaulError) -> Callable[..., NoReturn]:
    def call(*_: object, **__: object) -> NoReturn:
        raise error

    return call


def bad(audit: StreamAudit) -> dict[CheckName, Outcome]:
    return {check.name: check.outcome for check in audit.checks if not check.clean}


def check(audit: StreamAudit, name: CheckName) -> Check:
    return next(one for one in audit.checks if one.name is name)


def test_a_sound_stream_passes_every_check(world: Audited) -> None:
    audit = world.audit()
    assert [one.name for one in audit.checks] == list(CheckName)
    assert {one.outcome for one in audit.checks} == {Outcome.PASSED}
    assert audit.clean
    assert check(audit, CheckName.TIERS).figures["hot rows"] == 10
    assert check(audit, CheckName.RECORD).figures["recorded rows"] == 10
    assert check(audit, CheckName.REGISTERED).figures["live files"] == len(world.live())
    assert audit.watermark == world.ledger.read(["trades"])["trades"].watermark


def test_a_stream_with_a_supplement_passes_every_check(world: Audited) -> None:
    world.source.insert(STREAM.source, [Row(ts=NOW - timedelta(days=2), seq=99)])
    world.handle()
    assert check(world.audit(), CheckName.RECORD).figures["recorded rows"] == 11
    assert world.audit().clean


def test_of_a_stream_that_nobody_has_worked_on_there_is_nothing_to_check() -> None:
    audit = Audited({"trades": STREAM}).audit()
    assert {one.outcome for one in audit.checks} == {Outcome.NOT_APPLICABLE}
    assert audit.clean


def test_a_late_row_that_was_not_found_yet_is_in_the_hot_tier_only(world: Audited) -> None:
    world.source.insert(STREAM.source, [Row(ts=NOW - timedelta(days=2), seq=99)])
    audit = world.audit()
    assert bad(audit) == {CheckName.TIERS: Outcome.FAILED}
    assert check(audit, CheckName.TIERS).figures["in the hot tier only"] == 1


def test_rows_that_have_gone_and_of_which_the_ledger_knows_are_no_difference(world: Audited) -> None:
    world.source.delete(STREAM.source, lambda row: row.seq == 3)
    assert bad(world.audit()) == {CheckName.TIERS: Outcome.FAILED}
    world.handle()
    world.ledger.accept("trades")
    audit = world.audit()
    assert audit.clean
    assert "as the ledger knows" in check(audit, CheckName.TIERS).message


HOUR = timedelta(hours=1)
FIRST = datetime(2026, 1, 6, tzinfo=UTC)


def days_of_rows() -> Audited:
    """Two days with a row in each fourth hour, one window with five rows, one with three of each day, one with one."""
    stream = make_stream(bounds=BatchBounds(rows=5, unit_rows=5))
    found = Audited({"trades": stream})
    found.source.insert(stream.source, [Row(ts=FIRST + 4 * n * HOUR, seq=n, value=n) for n in range(12)])
    found.handle()
    return found


def test_a_partition_that_has_gone_as_a_whole_is_no_difference_once_the_ledger_knows() -> None:
    world = days_of_rows()
    world.source.drop_partition(STREAM.source, FIRST)
    assert bad(world.audit()) == {CheckName.TIERS: Outcome.FAILED}
    world.handle()
    audit = world.audit()
    assert audit.clean
    assert "as the ledger knows: 6 rows in the cold tier only" in check(audit, CheckName.TIERS).message
    assert not world.ledger.findings("trades")


def test_a_row_that_comes_late_into_a_partition_that_has_gone_is_published_all_the_same() -> None:
    world = days_of_rows()
    world.source.drop_partition(STREAM.source, FIRST)
    world.handle()
    for number, hour in enumerate((1, 21)):
        world.source.insert(STREAM.source, [Row(ts=FIRST + hour * HOUR, seq=100 + number)])
        world.handle()
        assert world.audit().clean
        assert check(world.audit(), CheckName.TIERS).figures["cold rows"] == 13 + number


def test_a_partition_that_comes_back_is_in_both_tiers_again() -> None:
    world = days_of_rows()
    gone = [row for row in world.source.tables[STREAM.source] if row.ts < FIRST + 24 * HOUR]
    world.source.drop_partition(STREAM.source, FIRST)
    world.handle()
    world.source.insert(STREAM.source, gone)
    world.handle()
    audit = world.audit()
    assert audit.clean
    assert check(audit, CheckName.TIERS).figures["cold rows"] == 12
    assert "in both tiers" in check(audit, CheckName.TIERS).message


def test_rows_that_were_dropped_on_purpose_count_as_if_they_were_there(world: Audited) -> None:
    gone = world.source.delete(STREAM.source, lambda row: row.seq == 3)
    world.dropped = [DroppedRows(window=instant_of(gone[0]), fingerprint=gone[0].fingerprint())]
    audit = world.audit()
    assert audit.clean
    assert check(audit, CheckName.TIERS).figures["dropped rows"] == 1


def test_a_window_that_the_ledger_lost_is_a_gap(world: Audited) -> None:
    stored = world.ledger._batches._stored
    victim = sorted(stored, key=lambda one: stored[one].record.window.lower)[1]
    del stored[victim]
    audit = world.audit()
    assert bad(audit)[CheckName.WINDOWS] is Outcome.FAILED
    (gap,) = check(audit, CheckName.WINDOWS).listed
    assert gap.startswith("gap from ")


def test_windows_that_overlap_are_named(world: Audited) -> None:
    stored = world.ledger._batches._stored
    last = max(stored.values(), key=lambda one: one.record.window.lower)
    window = last.record.window
    last.record = replace(last.record, window=Window(lower=window.lower - timedelta(hours=1), upper=window.upper))
    assert [one.split()[0] for one in check(world.audit(), CheckName.WINDOWS).listed] == ["overlap"]


@pytest.mark.parametrize("span", [timedelta(hours=-1), timedelta(hours=1)])
def test_windows_have_to_end_at_the_watermark(world: Audited, span: timedelta) -> None:
    record = world.ledger.read(["trades"])["trades"]
    world.ledger.put(replace(record, watermark=record.watermark + span))
    assert bad(world.audit())[CheckName.WINDOWS] is Outcome.FAILED


def test_a_record_that_was_edited_does_not_add_up(world: Audited) -> None:
    world.batch(99)
    audit = world.audit()
    assert bad(audit) == {CheckName.RECORD: Outcome.FAILED, CheckName.REGISTERED: Outcome.FAILED}
    assert "2 of the 99 rows" in check(audit, CheckName.REGISTERED).listed[0]


def test_a_table_that_was_rolled_back_does_not_prove_what_the_ledger_has_recorded(world: Audited) -> None:
    first = min(world.catalog.tables[STREAM.target].snapshots)
    world.catalog.roll_back(STREAM.target, first)
    audit = world.audit()
    assert bad(audit)[CheckName.EVIDENCE] is Outcome.FAILED
    assert bad(audit)[CheckName.REGISTERED] is Outcome.FAILED
    assert "icehaul repair trades" in (check(audit, CheckName.EVIDENCE).remedy or "")


def test_a_table_that_was_dropped_is_missed(world: Audited) -> None:
    world.catalog.drop(STREAM.target)
    audit = world.audit()
    assert bad(audit)[CheckName.EVIDENCE] is Outcome.FAILED
    assert check(audit, CheckName.STORED).outcome is Outcome.NOT_APPLICABLE


def test_a_table_that_was_made_anew_is_another_one(world: Audited) -> None:
    world.catalog.tables[STREAM.target].uuid = uuid4()
    assert "not the table that the ledger knows" in check(world.audit(), CheckName.EVIDENCE).message


def commit(world: Audited, *added: WrittenFile) -> None:
    """Append files to the table behind icehaul's back, with the evidence of the snapshot below."""
    table = world.catalog.tables[STREAM.target]
    current = table.snapshots[table.current or 0]
    files = (*table.live(), *((file, Window(lower=BEGINNING, upper=NOW)) for file in added))
    world.catalog._commit(table, replace(current, id=99, parent=current.id, files=files))


def test_a_file_of_another_hand_in_the_table_is_named(world: Audited) -> None:
    path = "memory://elsewhere/x"
    world.source.files[path] = [Row(ts=NOW - timedelta(days=2), seq=1)]
    world.put(path)
    commit(world, world.engine.written[path])
    audit = world.audit()
    assert set(bad(audit)) == {CheckName.TIERS, CheckName.RECORD, CheckName.REGISTERED}
    assert check(audit, CheckName.REGISTERED).listed == (f"{path}: live, and no batch of this stream has recorded it",)


def test_a_file_that_is_registered_twice_is_named(world: Audited) -> None:
    path = world.live()[0]
    commit(world, world.engine.written[path])
    audit = world.audit()
    assert set(bad(audit)) == {CheckName.TIERS, CheckName.RECORD, CheckName.REGISTERED}
    assert check(audit, CheckName.REGISTERED).listed == (f"{path}: registered more than once",)


def test_a_published_file_that_is_not_live_is_named(world: Audited) -> None:
    gone = world.live()[0]
    world.catalog.rewrite(STREAM.target, [gone], [], carry=True)
    audit = world.audit()
    assert bad(audit)[CheckName.REGISTERED] is Outcome.FAILED
    (one,) = check(audit, CheckName.REGISTERED).listed
    assert one.endswith(f"rows that it published are live; not live: {gone}")


def rewrite(world: Audited, *, rows_: int) -> None:
    """Compact the two oldest files into one, of which the manifest says that it has so many rows."""
    old = world.live()[:2]
    made = f"{world.catalog.tables[STREAM.target].name}/compacted"
    content = [row for path in old for row in world.source.files[path]]
    total = sum((row.fingerprint() for row in content), Fingerprint(rows=0, digest=0))
    file = WrittenFile(unit=0, path=made, bytes=5, fingerprint=replace(total, rows=rows_ or total.rows))
    world.source.files[made] = content
    world.engine.written[made] = file
    window = Window(lower=BEGINNING, upper=NOW)
    world.catalog.rewrite(STREAM.target, old, [(file, window)], carry=True)


def test_what_another_engine_has_compacted_is_said_and_no_defect(world: Audited) -> None:
    rewrite(world, rows_=0)
    audit = world.audit()
    assert audit.clean
    said = check(audit, CheckName.REGISTERED).message
    assert "the files of 1 batch were rewritten with as many rows: 1 by another engine" in said


def test_a_rewrite_with_other_rows_is_none(world: Audited) -> None:
    rewrite(world, rows_=1)
    assert bad(world.audit())[CheckName.REGISTERED] is Outcome.FAILED


def test_a_file_that_another_engine_put_in_the_place_of_ours_is_no_rewrite(world: Audited) -> None:
    rewrite(world, rows_=0)
    table = world.catalog.tables[STREAM.target]
    table.snapshots[table.current or 0] = replace(table.snapshots[table.current or 0], operation="append")
    assert bad(world.audit()) == {CheckName.REGISTERED: Outcome.FAILED}


def test_a_live_file_has_the_rows_that_its_batch_has_recorded(world: Audited) -> None:
    path = world.live()[0]
    batch, prefix, file = world.ledger.recorded._files[path]
    world.ledger.recorded._files[path] = (batch, prefix, replace(file, fingerprint=replace(file.fingerprint, rows=77)))
    audit = world.audit()
    assert bad(audit) == {CheckName.REGISTERED: Outcome.FAILED}
    assert "77 rows" in check(audit, CheckName.REGISTERED).listed[0]


def test_what_an_earlier_attempt_at_a_batch_has_recorded_is_not_missed(world: Audited) -> None:
    path = world.live()[0]
    batch, prefix, file = world.ledger.recorded._files[path]
    world.put(f"{prefix}/earlier")
    world.ledger.recorded._files[f"{prefix}/earlier"] = (batch, prefix, replace(file, path=f"{prefix}/earlier"))
    audit = world.audit()
    assert audit.clean, bad(audit)
    assert check(audit, CheckName.ORPHANS).figures["left behind"] == 1


def taken_over(world: Audited) -> None:
    """Let a former script have offloaded three rows, and the stream go on from its watermark."""
    before = [Row(ts=NOW - timedelta(days=4), seq=1000 + number) for number in range(3)]
    world.source.insert(STREAM.source, before)
    path = "memory://bronze/trades/data/former.parquet"
    world.source.files[path] = before
    world.put(path)
    former = replace(world.engine.written[path], fingerprint=fingerprint_of(before))
    world.engine.written[path] = former
    _, mapping = Preparation(source=world.source, ledger=world.ledger, catalog=world.catalog).read_source(STREAM, None)
    world.catalog.ensure(STREAM, mapping, expected_uuid=None)
    window = Window(lower=BEGINNING, upper=NOW - timedelta(days=3))
    table = world.catalog.tables[STREAM.target]
    world.catalog._commit(table, MemorySnapshot(id=0, parent=None, files=((former, window),)))
    world.ledger.register("trades")
    adoptions = Adoptions(
        source=world.source,
        ledger=world.ledger,
        catalog=world.catalog,
        owner="me",
        lease=timedelta(seconds=30),
        failpoints=world.failpoints,
    )
    takeovers = Takeovers(ledger=world.ledger, adoptions=adoptions)
    assert takeovers.take_over(STREAM, window.upper) is not None


def test_what_was_there_before_a_takeover_is_told_apart_from_what_was_read() -> None:
    fresh = Audited({"trades": STREAM})
    taken_over(fresh)
    assert fresh.audit().clean
    fresh.source.insert(STREAM.source, rows(10))
    fresh.handle()
    audit = fresh.audit()
    assert audit.clean, bad(audit)
    assert check(audit, CheckName.REGISTERED).figures["there before the takeover"] == 1
    assert check(audit, CheckName.RECORD).figures["recorded rows"] == 13
    assert check(audit, CheckName.TIERS).figures["cold rows"] == 13


def test_a_file_of_another_hand_is_not_taken_for_one_from_before_the_takeover() -> None:
    fresh = Audited({"trades": STREAM})
    taken_over(fresh)
    fresh.source.insert(STREAM.source, rows(10))
    fresh.handle()
    path = "memory://bronze/trades/data/stray.parquet"
    fresh.source.files[path] = [Row(ts=NOW - timedelta(days=4), seq=5)]
    fresh.put(path)
    commit(fresh, fresh.engine.written[path])
    assert bad(fresh.audit())[CheckName.REGISTERED] is Outcome.FAILED


def test_paths_are_compared_without_regard_to_the_name_of_the_scheme() -> None:
    assert {plain_path(f"{scheme}://lake/a/b.parquet") for scheme in ("s3", "s3a", "s3n")} == {"s3://lake/a/b.parquet"}


def test_a_file_that_is_not_on_the_store_is_named(world: Audited) -> None:
    gone = world.live()[0]
    del world.engine.written[gone]
    audit = world.audit()
    assert bad(audit) == {CheckName.STORED: Outcome.FAILED}
    assert check(audit, CheckName.STORED).listed == (f"{gone}: not there",)


def test_a_file_of_another_size_is_named(world: Audited) -> None:
    path = world.live()[0]
    world.engine.written[path] = replace(world.engine.written[path], bytes=1)
    (said,) = check(world.audit(), CheckName.STORED).listed
    assert said.startswith(f"{path}: 1 bytes on the store")


def test_a_file_that_nobody_knows_is_listed(world: Audited) -> None:
    world.put("memory://bronze/trades/stray.parquet")
    audit = world.audit()
    assert bad(audit) == {CheckName.ORPHANS: Outcome.FAILED}
    assert check(audit, CheckName.ORPHANS).listed == ("memory://bronze/trades/stray.parquet",)


def test_what_an_attempt_left_behind_is_counted(world: Audited) -> None:
    folder = world.live()[0].rpartition("/")[0]
    world.put(f"{folder}/0-left.parquet")
    audit = world.audit()
    assert audit.clean
    figures = check(audit, CheckName.ORPHANS).figures
    assert (figures["left behind"], figures["left behind, bytes"], figures["unknown"]) == (1, 7, 0)


def test_what_an_attempt_under_way_has_written_is_spared(world: Audited, monkeypatch: pytest.MonkeyPatch) -> None:
    world.source.insert(STREAM.source, rows(1, days_ago=0.2))
    monkeypatch.setattr(world.catalog, "publish", raising(StoreUnavailableError("the store is away", remedy="wait")))
    world.handle()
    (stored,) = (one for one in world.ledger._batches._stored.values() if one.record.status is BatchStatus.FAILED)
    figures = check(world.audit(), CheckName.ORPHANS).figures
    assert (figures["left behind"], figures["of attempts under way"]) == (STREAM.retry.attempts, 0)
    stored.record = replace(stored.record, status=BatchStatus.WRITING)
    orphans = check(world.audit(), CheckName.ORPHANS)
    assert orphans.outcome is Outcome.PASSED
    figures = orphans.figures
    assert (figures["left behind"], figures["of attempts under way"]) == (0, STREAM.retry.attempts)


def test_an_open_finding_is_reported_until_it_is_accepted(world: Audited) -> None:
    claim = world.ledger.claim("trades", "me", timedelta(seconds=30))
    window = Window(lower=BEGINNING, upper=NOW)
    finding = Finding(kind=FindingKind.DELETED, window=window, rows=3, detail="three were deleted")
    world.ledger.record_comparison(claim, Comparison(findings=[finding]))
    audit = world.audit()
    assert bad(audit) == {CheckName.FINDINGS: Outcome.FAILED}
    assert "three were deleted" in check(audit, CheckName.FINDINGS).listed[0]
    world.ledger.accept("trades")
    assert world.audit().clean


def test_a_halted_stream_says_why(world: Audited) -> None:
    world.ledger.halt("trades", reason="the reason", remedy="the cure", epoch=None)
    audit = world.audit()
    assert bad(audit) == {CheckName.STATE: Outcome.FAILED}
    assert "the reason" in check(audit, CheckName.STATE).message
    assert check(audit, CheckName.STATE).remedy == "the cure"


def test_an_event_that_stays_parked_is_reported(world: Audited) -> None:
    world.ledger._parked["trades", "x"] = tick(stream="trades", boundary=NOW)
    assert bad(world.audit()) == {CheckName.STATE: Outcome.FAILED}


def test_a_check_that_can_not_be_made_is_unchecked_and_stops_no_other(
    world: Audited, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = SourceUnavailableError("ClickHouse is away", remedy="start it")
    monkeypatch.setattr(world.source, "tally", raising(error))
    audit = world.audit()
    assert bad(audit) == {CheckName.TIERS: Outcome.UNCHECKED, CheckName.RECORD: Outcome.UNCHECKED}
    assert not audit.clean
    assert check(audit, CheckName.TIERS).remedy == "start it"


def test_without_rows_the_checks_that_read_them_are_left_out(world: Audited) -> None:
    before = world.source.queries
    audit = world.audit(rows=False)
    assert [one.name for one in audit.checks] == [
        one for one in CheckName if one not in {CheckName.TIERS, CheckName.RECORD}
    ]
    assert world.source.queries == before


def during_the_census(world: Audited, monkeypatch: pytest.MonkeyPatch, times: int, act: Callable[[], None]) -> None:
    """Let something happen while the table is looked at."""
    look = world.files.census
    left = [None] * times

    def census(table: object, stored: Sequence[StoredFile]) -> Census | None:
        found = look(STREAM.target, stored)
        if left:
            left.pop()
            act()
        return found

    monkeypatch.setattr(world.files, "census", census)


def test_what_is_published_during_a_look_makes_no_false_alarm(world: Audited, monkeypatch: pytest.MonkeyPatch) -> None:
    def publish() -> None:
        world.now[0] += timedelta(hours=1)
        world.source.time += timedelta(hours=1)
        world.source.insert(STREAM.source, [Row(ts=world.source.time - timedelta(minutes=30), seq=7)])
        world.offload().handle(tick(stream="trades", boundary=world.source.time), NEVER)

    during_the_census(world, monkeypatch, 3, publish)
    audit = world.audit()
    assert audit.clean, bad(audit)
    assert check(audit, CheckName.TIERS).figures["cold rows"] == 13


def test_a_stream_that_never_stands_still_is_unchecked(world: Audited, monkeypatch: pytest.MonkeyPatch) -> None:
    def move() -> None:
        record = world.ledger.read(["trades"])["trades"]
        world.ledger.put(replace(record, watermark=record.watermark + timedelta(seconds=1)))

    during_the_census(world, monkeypatch, 1_000, move)
    assert {one.outcome for one in world.audit().checks} == {Outcome.UNCHECKED}


def start_late() -> Audited:
    """A stream that starts two days ago, with history of which one day in the middle was backfilled."""
    start = NOW - timedelta(days=2)
    fresh = Audited({"trades": make_stream(start=start)})
    fresh.source.insert(STREAM.source, [Row(ts=start + n * timedelta(hours=6), seq=n) for n in range(-20, 6)])
    fresh.handle()
    requests = BackfillRequests(
        source=fresh.source, ledger=fresh.ledger, backfills=fresh.ledger.backfills, failpoints=fresh.failpoints
    )
    requests.request(fresh.streams["trades"], start - timedelta(days=3), start - timedelta(days=2))
    for _ in range(5):
        fresh.handle()
    return fresh


def test_a_stream_that_starts_late_and_was_backfilled_in_part_is_clean() -> None:
    fresh = start_late()
    audit = fresh.audit()
    assert audit.clean, bad(audit)
    assert check(audit, CheckName.TIERS).figures["cold rows"] == 6 + 4
    assert check(audit, CheckName.WINDOWS).figures["backfilled windows"] == 1
    assert " OR " in str(audit.hot_query)


def test_backfilled_windows_that_overlap_are_named() -> None:
    fresh = start_late()
    stored = next(one for one in fresh.ledger._batches._stored.values() if one.record.kind is BatchKind.BACKFILL)
    window = stored.record.window
    twin = replace(
        stored.record,
        batch_id=uuid4(),
        window=Window(lower=window.lower - timedelta(hours=1), upper=window.lower + timedelta(hours=1)),
    )
    fresh.ledger._batches._stored[twin.batch_id] = replace(stored, record=twin)
    assert [one.split()[0] for one in check(fresh.audit(), CheckName.WINDOWS).listed] == ["overlap"]
