"""A stream is set back to an instant: what lies above it leaves the table, and the next event writes it again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.domain.batch import Batch, BatchKind, BatchStatus, Rewind
from consumer.domain.errors import (
    ConfigurationError,
    DivergenceError,
    IcehaulError,
    LeaseHeldError,
    StreamError,
    UnknownCommitError,
)
from consumer.domain.event_factory import tick
from consumer.domain.reconcile import FindingKind
from consumer.domain.stream import BatchBounds, Stream
from consumer.domain.window import BEGINNING, EVER, PartitionBy, Window
from consumer.ports import BatchRecord, Claim, StreamRecord, StreamState, Trigger
from consumer.service.audit.auditor import Auditor
from consumer.service.replacing.review import Choice
from consumer.service.rewinding.examined import Examined, Verdict, Wish
from consumer.service.rewinding.review import Review
from consumer.service.rewinding.rewinds import Rewinds
from consumer.service.verify import Verifier
from consumer.testing.files import MemoryFiles
from consumer.testing.rewinds import MemoryRewinds
from consumer.testing.rows import Row, fingerprint_of
from tests.support.memory_repairs import memory_repairs
from tests.unit.service.test_late_rows import handle, insert
from tests.unit.service.test_offload import NEVER, NOW, make_stream
from tests.unit.service.test_replacing import Lake, compact

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
FIRST = NOW - 3 * DAY
BETWEEN = FIRST + 3 * HOUR
"""A bound of windows: each batch takes three rows, one an hour."""
INSIDE = FIRST + 4 * HOUR + timedelta(minutes=30)
"""An instant inside of a window, whose rows stand in one file on both sides of it."""
REASON = "the vendor's file was wrong"


def hourly(count: int, first: datetime = FIRST) -> list[Row]:
    return [Row(ts=first + number * HOUR, seq=number, value=number) for number in range(count)]


class Back(Lake):
    """A stream that is offloaded in windows of three rows, with the command that rewinds."""

    def __init__(self, dropped: Sequence[Window] = (), **changes: object) -> None:
        super().__init__(dropped)
        fields: dict[str, object] = {
            "bounds": BatchBounds(rows=3, unit_rows=10),
            "settle_lag": timedelta(0),
            "partition_by": PartitionBy.NONE,
        }
        self.stream = self.streams["trades"] = replace(self.stream, **{**fields, **changes})  # type: ignore[arg-type]

    @property
    def record(self) -> StreamRecord:
        return self.ledger.read(["trades"])["trades"]

    def look(self, to: datetime, reason: str | None = None) -> Examined:
        return self._looking().review(self.stream, Wish(to=to, reason=reason))

    def rewind(self, to: datetime, reason: str | None = None, *, name: str = "trades") -> Examined:
        return Rewinds(
            streams=self.streams,
            review=self._looking(),
            rewinds=self.ledger.rewinds,
            source=self.source,
            ledger=self.ledger,
            catalog=self.catalog,
            engine=self.engine,
            metrics=self.metrics,
            owner="operator",
            lease=timedelta(seconds=30),
            failpoints=self.failpoints,
        ).rewind(self.streams[name], Wish(to=to, reason=reason))

    def _looking(self) -> Review:
        return Review(
            streams=self.streams,
            source=self.source,
            ledger=self.ledger,
            rewinds=self.ledger.rewinds,
            catalog=self.catalog,
            dropped=lambda _: list(self.dropped_windows),
        )

    def below(self, instant: datetime) -> Counter[Row]:
        return Counter(row for row in self.hot().elements() if row.ts < instant)

    def done(self) -> list[BatchRecord]:
        return [one for one in self.ledger.batches("trades", 1_000) if one.status in {"published", "empty"}]

    def judge(self) -> None:
        """What every state has to keep to: windows, record, evidence, files, as the audit checks them."""
        verifier = Verifier(source=self.source, ledger=self.ledger, catalog=self.catalog, dropped=lambda _: ())
        auditor = Auditor(
            source=self.source,
            ledger=self.ledger,
            catalog=self.catalog,
            attempts=self.ledger.recorded,
            files=MemoryFiles(self.catalog, self.engine.written),
            verifier=verifier,
        )
        audit = auditor.audit(self.stream)
        assert audit.clean, [check for check in audit.checks if not check.clean]
        windows = sorted(one.window for one in self.done() if one.kind is BatchKind.WINDOW)
        assert all(one.upper == other.lower for one, other in pairwise(windows))
        assert (windows[-1].upper if windows else self.record.start) == self.record.watermark


@pytest.fixture
def back() -> Back:
    return offloaded()


def offloaded(count: int = 9, **changes: object) -> Back:
    made = Back(**changes)  # type: ignore[arg-type]
    insert(made, *hourly(count))
    handle(made)
    assert made.cold() == made.hot()
    made.judge()
    return made


@pytest.mark.parametrize("to", [BETWEEN, INSIDE, FIRST + 6 * HOUR, FIRST, FIRST - HOUR, BEGINNING])
def test_what_lies_above_leaves_the_table_and_comes_back_with_the_next_event(back: Back, to: datetime) -> None:
    before = back.record
    shown = back.look(to)
    assert shown.verdict is Verdict.POSSIBLE
    assert back.record == before, "a look changes nothing"
    done = back.rewind(to)
    assert (done.verdict, done.snapshot_id is not None) == (Verdict.REWOUND, True)
    assert back.cold() == back.below(to)
    after = back.record
    assert (after.watermark, after.generation) == (to, before.generation + 1)
    if to > BEGINNING:
        back.judge()
    handle(back)
    assert back.cold() == back.hot()
    assert back.record.watermark == before.watermark
    back.judge()


def test_the_table_proves_the_rewind_and_keeps_the_snapshots_before_it(back: Back) -> None:
    before = back.catalog.tables[back.stream.target].current
    done = back.rewind(INSIDE)
    target = back.catalog.inspect(back.stream.target)
    assert target is not None
    assert target.evidence is not None
    assert (target.evidence.snapshot_id, target.evidence.upper) == (done.snapshot_id, INSIDE)
    assert target.evidence.generation == back.record.generation == 2
    assert before in back.catalog.tables[back.stream.target].snapshots


def test_the_window_that_straddles_is_cut_and_what_is_done_above_is_withdrawn(back: Back) -> None:
    back.rewind(INSIDE)
    windows = back.ledger.windows("trades", EVER)
    assert [one.window.upper for one in windows] == [BETWEEN, INSIDE]
    assert windows[-1].cold == fingerprint_of(hourly(9)[3:5])
    withdrawn = [one for one in back.ledger.batches("trades", 100) if one.status is BatchStatus.WITHDRAWN]
    assert min(one.window.lower for one in withdrawn) == BETWEEN


def test_only_files_that_straddle_the_instant_are_written_anew(back: Back) -> None:
    files = set(back.catalog.data_files(back.stream.target, back.stream.partition_by, None))
    jobs = back.engine.jobs
    back.rewind(BETWEEN)
    left = set(back.catalog.data_files(back.stream.target, back.stream.partition_by, None))
    assert left < files
    assert back.engine.jobs == jobs + 1
    handle(back)
    back.rewind(INSIDE)
    new = set(back.catalog.data_files(back.stream.target, back.stream.partition_by, None)) - left
    assert len(new) == 1


def test_a_corrected_day_is_offloaded_again(back: Back) -> None:
    back.update(lambda row: replace(row, value=row.value + 100) if row.ts >= BETWEEN else row)
    shown = back.look(BETWEEN)
    assert [(one.missing, one.surplus) for one in shown.removals] == [(3, 3), (3, 3)]
    assert back.rewind(BETWEEN).verdict is Verdict.REWOUND
    handle(back)
    assert back.cold() == back.hot()
    back.judge()


def test_late_rows_and_replacements_above_the_instant_go_with_their_windows(back: Back) -> None:
    late = Row(ts=FIRST + 4 * HOUR + timedelta(minutes=1), seq=77)
    insert(back, late, replace(late, ts=FIRST + 7 * HOUR))
    handle(back)
    back.update(lambda row: replace(row, value=row.value + 1))
    back.replace(Choice(within=Window(lower=BEGINNING, upper=NOW)))
    assert back.cold() == back.hot()
    back.rewind(INSIDE)
    assert back.cold() == back.below(INSIDE)
    back.judge()
    insert(back, replace(late, seq=78))
    handle(back)
    assert back.cold() == back.hot()
    back.judge()


def test_rows_of_other_windows_in_the_same_file_are_kept(back: Back) -> None:
    compact(back)
    back.judge()
    shown = back.look(INSIDE)
    assert (len(shown.files.paths), shown.files.rewritten) == (1, 5)
    back.rewind(INSIDE)
    assert back.cold() == back.below(INSIDE)
    back.judge()
    compact(back)
    back.rewind(BETWEEN)
    assert back.cold() == back.below(BETWEEN)
    back.judge()
    handle(back)
    assert back.cold() == back.hot()
    back.judge()


def test_what_a_withdrawn_replacement_has_kept_of_other_windows_stays(back: Back) -> None:
    compact(back)
    back.update(lambda row: replace(row, value=-1) if row.ts >= FIRST + 6 * HOUR else row)
    back.replace(Choice(within=Window(lower=FIRST + 6 * HOUR, upper=FIRST + 8 * HOUR)))
    back.judge()
    back.rewind(FIRST + 6 * HOUR)
    assert back.cold() == back.below(FIRST + 6 * HOUR)
    back.judge()


def test_windows_without_rows_are_rewound_in_the_ledger_alone(back: Back) -> None:
    reached = back.record.watermark
    back.source.time += 2 * DAY
    back.offload().handle(tick(stream="trades", boundary=back.source.time), NEVER)
    snapshots = len(back.catalog.tables[back.stream.target].snapshots)
    to = reached + HOUR
    done = back.rewind(to)
    assert (done.verdict, done.snapshot_id) == (Verdict.REWOUND, None)
    assert len(back.catalog.tables[back.stream.target].snapshots) == snapshots
    assert (back.record.watermark, back.record.generation) == (to, 2)
    back.judge()
    insert(back, Row(ts=to + HOUR, seq=500))
    back.offload().handle(tick(stream="trades", boundary=back.source.time), NEVER)
    assert back.cold() == back.hot()
    back.judge()


def test_a_window_without_rows_above_the_instant_is_still_proved_by_a_snapshot(back: Back) -> None:
    """Its last row lies below, but the table says that rows reach up to the window's end."""
    to = FIRST + 8 * HOUR + timedelta(minutes=30)
    files = back.catalog.data_files(back.stream.target, back.stream.partition_by, None)
    done = back.rewind(to)
    assert done.snapshot_id is not None
    assert back.catalog.data_files(back.stream.target, back.stream.partition_by, None) == files
    assert back.record.last_upper == to
    back.judge()
    handle(back)
    assert back.cold() == back.hot()


def test_it_may_be_repeated_as_often_as_one_likes(back: Back) -> None:
    for generation, to in enumerate((INSIDE, FIRST + 4 * HOUR, INSIDE, BETWEEN, FIRST), 2):
        back.rewind(to)
        assert back.record.generation == generation
        assert back.rewind(to).verdict is Verdict.THERE
        assert back.cold() == back.below(to)
        handle(back)
        assert back.cold() == back.hot()
        back.judge()


def test_old_events_do_no_harm_after_it(back: Back) -> None:
    old = tick(stream="trades", boundary=BETWEEN)
    back.rewind(INSIDE)
    back.offload().handle(old, NEVER)
    assert back.cold() == back.below(INSIDE)
    handle(back)
    back.offload().handle(old, NEVER)
    assert back.cold() == back.hot()


# ---------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("to", "named"),
    [
        (NOW + HOUR, "in the future"),
        (NOW - timedelta(minutes=1), "has been read up to"),
        (NOW - 31 * DAY, "the stream starts at"),
    ],
)
def test_an_instant_that_means_nothing_is_refused(to: datetime, named: str) -> None:
    back = offloaded(start=NOW - 30 * DAY, settle_lag=HOUR)
    for attempt in (back.look, back.rewind):
        with pytest.raises(ConfigurationError, match=named) as raised:
            attempt(to)
        assert "icehaul status trades" in raised.value.remedy


def test_adopted_rows_are_no_windows_of_icehauls(back: Back) -> None:
    back.ledger.put(replace(back.record, adopted=BETWEEN))
    with pytest.raises(ConfigurationError, match="rows were adopted"):
        back.look(BETWEEN - HOUR)
    assert back.look(BETWEEN).verdict is Verdict.POSSIBLE


def test_a_stream_that_was_never_read_has_nothing_to_rewind() -> None:
    back = Back()
    with pytest.raises(ConfigurationError, match="never read"):
        back.look(NOW - DAY)


def test_rows_that_the_hot_tier_has_lost_stay_unless_somebody_insists_with_a_reason(back: Back) -> None:
    back.delete(lambda row: row.ts >= FIRST + 7 * HOUR)
    before = back.cold()
    refused = back.rewind(BETWEEN)
    assert refused.verdict is Verdict.REFUSED
    (doubt,) = [one.doubt for one in refused.removals if one.doubt is not None]
    assert "3 rows recorded, 1 in the source" in doubt.reason
    assert "--force" in doubt.reason
    assert (back.cold(), back.record.generation) == (before, 1)
    assert back.rewind(BETWEEN, REASON).verdict is Verdict.REWOUND
    handle(back)
    assert back.cold() == back.hot() != before


def test_rows_that_a_ttl_may_have_deleted_are_not_taken_for_changed_ones(back: Back) -> None:
    back.source.clauses[back.stream.source] = "ts + INTERVAL 1 DAY"
    back.delete(lambda row: row.seq == 8)
    insert(back, Row(ts=FIRST + 8 * HOUR, seq=99))
    refused = back.rewind(BETWEEN)
    assert refused.verdict is Verdict.REFUSED
    assert any("TTL may have deleted" in one.doubt.reason for one in refused.removals if one.doubt is not None)


def test_rows_that_a_ttl_is_about_to_delete_are_not_given_up_for_the_moment(back: Back) -> None:
    back.source.clauses[back.stream.source] = "ts + INTERVAL 72 HOUR"
    refused = back.rewind(BETWEEN)
    assert refused.verdict is Verdict.REFUSED
    assert "before they are written again" in refused.objections[0]
    assert back.cold() == back.hot()
    assert back.look(BETWEEN, REASON).verdict is Verdict.POSSIBLE


def test_rows_that_drop_hot_has_dropped_stay_whatever_somebody_insists_on(back: Back) -> None:
    back.dropped_windows.append(Window(lower=BETWEEN, upper=BETWEEN + HOUR))
    back.delete(lambda row: BETWEEN <= row.ts < BETWEEN + HOUR)
    refused = back.rewind(BETWEEN, REASON)
    assert refused.verdict is Verdict.REFUSED
    assert back.cold().total() == 9
    assert back.rewind(FIRST + 6 * HOUR).verdict is Verdict.REWOUND


def test_a_halted_stream_is_resumed_first(back: Back) -> None:
    back.ledger.halt("trades", reason="lost", remedy="find it", epoch=None)
    for step in (back.look, back.rewind):
        with pytest.raises(StreamError, match="is halted: lost"):
            step(BETWEEN)


def test_a_table_that_holds_other_rows_than_recorded_is_left_alone(back: Back) -> None:
    path = back.catalog.data_files(back.stream.target, back.stream.partition_by, Window(lower=BETWEEN, upper=NOW))[0]
    back.source.files[path].append(Row(ts=BETWEEN, seq=500))
    with pytest.raises(DivergenceError, match="are recorded") as raised:
        back.rewind(BETWEEN)
    assert "icehaul repair trades" in raised.value.remedy


def test_nothing_is_rewound_while_somebody_else_works_on_the_stream(back: Back) -> None:
    back.ledger.claim("trades", "a consumer", timedelta(seconds=30))
    with pytest.raises(LeaseHeldError):
        back.rewind(BETWEEN)


# ------------------------------------------------------------------------------------- streams derived from it


def layered() -> Back:
    """Trades, bars of two hours derived from them, and what is derived from these; all read up to now."""
    back = Back()
    lags = {"settle_lag": timedelta(0), "partition_by": PartitionBy.NONE}
    back.streams["bars"] = make_stream("bars", upstreams=("trades",), row_span=2 * HOUR, **lags)
    back.streams["report"] = make_stream("report", upstreams=("bars",), **lags)
    for name in ("bars", "report"):
        back.source.create(back.streams[name].source)
    insert(back, *hourly(9))
    for name in back.streams:
        back.offload().handle(tick(stream=name, boundary=NOW), NEVER)
    return back


def test_streams_that_are_derived_from_it_are_rewound_first() -> None:
    back = layered()
    refused = back.rewind(INSIDE)
    assert refused.verdict is Verdict.REFUSED
    even = FIRST + 4 * HOUR
    assert [(one.stream, one.to) for one in refused.ahead] == [("report", even), ("bars", even)]
    assert f"icehaul rewind bars --to {even.isoformat()}" in refused.objections[1]
    for one in refused.ahead:
        assert back.rewind(one.to, name=one.stream).verdict is Verdict.REWOUND
    assert back.rewind(INSIDE).verdict is Verdict.REWOUND
    for name in back.streams:
        back.offload().handle(tick(stream=name, boundary=NOW), NEVER)
    assert {one.watermark for one in back.ledger.read(list(back.streams)).values()} == {NOW, NOW - 2 * HOUR}


def test_somebody_who_insists_may_leave_them_as_they_are() -> None:
    back = layered()
    before = back.ledger.read(["bars"])["bars"].watermark
    done = back.rewind(INSIDE, REASON)
    assert (done.verdict, len(done.ahead)) == (Verdict.REWOUND, 2)
    assert back.ledger.read(["bars"])["bars"].watermark == before


def test_nothing_is_rewound_while_somebody_works_on_what_is_derived_from_it() -> None:
    """Its owner may have planned up to the watermark that would be set back."""
    back = layered()
    back.ledger.claim("bars", "a consumer", timedelta(seconds=30))
    with pytest.raises(LeaseHeldError, match="bars"):
        back.rewind(INSIDE, REASON)
    assert back.record.owner is None, "the stream's own lease is given back"


# --------------------------------------------------------------------------------- what is known of the source


def test_rows_that_vanish_before_they_are_written_again_are_a_gap(back: Back) -> None:
    back.rewind(FIRST)
    back.source.tables[back.stream.source].clear()
    back.source._parts.forget(back.stream.source)
    back.offload().handle(tick(stream="trades", boundary=NOW), NEVER)
    assert back.record.state is StreamState.HALTED
    assert next(one.kind for one in back.ledger.findings("trades")) is FindingKind.GAP


def test_findings_above_the_instant_are_forgotten_and_those_below_stay(back: Back) -> None:
    back.delete(lambda row: row.seq in {1, 3, 7})
    handle(back)
    assert len(back.ledger.findings("trades")) == 3
    back.ledger.accept("trades")
    back.rewind(INSIDE, REASON)
    left = back.ledger.findings("trades")
    assert [(one.window.upper, one.rows, one.accepted) for one in left] == [(BETWEEN, 1, True), (INSIDE, 1, True)]
    handle(back)
    assert len(back.ledger.findings("trades")) == 2
    back.judge()


def test_a_change_below_the_instant_that_was_not_compared_yet_is_still_found(back: Back) -> None:
    back.update(lambda row: replace(row, value=-1) if row.seq == 3 else row)
    back.rewind(INSIDE)
    handle(back)
    assert [one.kind for one in back.ledger.findings("trades")] == [FindingKind.CHANGED]


def test_rows_that_came_late_and_were_not_compared_yet_still_come(back: Back) -> None:
    late = Row(ts=FIRST + timedelta(minutes=1), seq=77)
    insert(back, late)
    back.rewind(INSIDE)
    handle(back)
    assert back.cold() == back.hot()
    assert back.cold()[late] == 1
    back.judge()


# ------------------------------------------------------------------------------------------------- failures

POINTS = (
    "lease.before-claim",
    "lease.after-claim",
    "batch.before-begin",
    "batch.after-begin",
    "batch.after-write",
    "attempt.after-stage",
    "publish.before-stage",
    "publish.after-stage",
    "publish.before-commit",
    "publish.after-commit",
    "watermark.before-rewind",
    "watermark.after-rewind",
)


@pytest.mark.parametrize("point", POINTS)
def test_a_rewind_that_fails_anywhere_is_done_once_after_the_next_run(back: Back, point: str) -> None:
    back.arm(f"{point}=raise")
    try:
        back.rewind(INSIDE)
    except IcehaulError:
        assert point.startswith("lease"), "the command tries again by itself"
        back.rewind(INSIDE)
    assert back.cold() == back.below(INSIDE)
    assert back.record.generation == 2
    back.judge()
    handle(back)
    assert back.cold() == back.hot()


def test_a_commit_whose_answer_was_lost_is_read_back(back: Back) -> None:
    back.arm("publish.after-commit=apply-then-raise")
    assert back.rewind(INSIDE).verdict is Verdict.REWOUND
    assert back.record.generation == 2
    assert sum(one.kind is BatchKind.REWIND for one in back.done()) == 1


@pytest.mark.parametrize("landed", [True, False])
def test_a_rewind_of_the_ledger_alone_whose_answer_was_lost_is_read_back(
    monkeypatch: pytest.MonkeyPatch, landed: bool
) -> None:
    back = Back()
    handle(back)
    real, calls = MemoryRewinds.set_back, [0]

    def unknown(self: MemoryRewinds, claim: Claim, batch: Batch, rewind: Rewind, trigger: Trigger) -> None:
        calls[0] += 1
        if landed or calls[0] > 1:
            real(self, claim, batch, rewind, trigger)
        if calls[0] == 1:
            raise UnknownCommitError("the connection broke", remedy="none")

    monkeypatch.setattr(MemoryRewinds, "set_back", unknown)
    assert back.rewind(NOW - DAY).verdict is Verdict.REWOUND
    assert (back.record.watermark, back.record.generation) == (NOW - DAY, 2)
    assert calls[0] == (1 if landed else 2)


def test_a_compaction_between_looking_and_publishing_is_met_by_looking_again(back: Back) -> None:
    calls = [0]

    def meddle(point: str) -> None:
        if point == "task.after-close":
            calls[0] += 1
            if calls[0] == 1:
                compact(back)

    back.engine._hit = meddle
    back.rewind(INSIDE)
    assert back.cold() == back.below(INSIDE)
    assert calls[0] > 1
    back.judge()


@pytest.mark.parametrize("point", ["task.after-close", "publish.before-commit"])
def test_a_zombie_rewinds_nothing(back: Back, point: str) -> None:
    def taken(passed: str) -> None:
        if passed == point:
            back.now[0] += timedelta(minutes=5)
            back.ledger.claim("trades", "a consumer", timedelta(seconds=30))

    back.engine._hit = taken
    back.catalog._hit = lambda passed: taken("publish.before-commit") if passed == "publish.before-stage" else None
    before = back.cold()
    with pytest.raises(IcehaulError, match="epoch"):
        back.rewind(INSIDE)
    assert back.cold() == before


def test_what_landed_while_it_was_planned_is_looked_at_again(back: Back) -> None:
    """The predicate of the publish compares what was looked at with what the ledger has then."""
    look: Callable[..., Examined] = Review.examine
    calls = [0]

    def between(self: Review, stream: Stream, record: StreamRecord, wish: Wish) -> Examined:
        found = look(self, stream, record, wish)
        calls[0] += 1
        if calls[0] == 1:
            assert found.rewind is not None
            return replace(found, rewind=replace(found.rewind, windows=found.rewind.windows[:-1]))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Review, "examine", between)
        back.rewind(INSIDE)
    assert calls[0] == 2
    assert back.cold() == back.below(INSIDE)
    back.judge()


def test_evidence_is_found_where_expiry_has_hidden_the_rewinds_snapshot(back: Back) -> None:
    back.rewind(FIRST)
    assert back.record.last_upper is None
    back.catalog.add_foreign(back.stream.target)
    back.catalog.expire(back.stream.target, 1)
    handle(back)
    assert back.cold() == back.hot()
    back.judge()


@pytest.mark.parametrize("compacted", [False, True])
def test_a_table_that_was_rolled_back_below_a_rewind_is_repaired(back: Back, compacted: bool) -> None:
    if compacted:
        compact(back)
        back.update(lambda row: replace(row, value=-1) if row.seq == 8 else row)
        back.replace(Choice(within=Window(lower=FIRST + 6 * HOUR, upper=NOW)))
    before = back.catalog.tables[back.stream.target].current
    assert before is not None
    back.rewind(INSIDE)
    back.catalog.roll_back(back.stream.target, before)
    handle(back)
    assert back.record.state is StreamState.HALTED
    repairs = memory_repairs(
        source=back.source,
        ledger=back.ledger,
        catalog=back.catalog,
        engine=back.engine,
        owner="operator",
        failpoints=back.failpoints,
    )
    repairs.repair(back.stream)
    handle(back)
    assert back.cold() == back.hot()
    back.judge()
    back.rewind(BETWEEN)
    handle(back)
    assert back.cold() == back.hot()
    back.judge()


@settings(max_examples=80, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["insert", "late", "update", "tick", "replace", "compact", "rewind"]), st.integers(0, 40)
        ),
        max_size=14,
    ),
    partition_by=st.sampled_from([PartitionBy.NONE, PartitionBy.HOUR, PartitionBy.DAY]),
)
def test_whatever_happened_before_a_rewind_leaves_what_lies_below_and_the_rest_comes_back(
    steps: list[tuple[str, int]], partition_by: PartitionBy
) -> None:
    back = offloaded(partition_by=partition_by)
    for number, (what, which) in enumerate(steps):
        instant = FIRST + which * timedelta(minutes=15)
        if what == "insert":
            insert(back, Row(ts=NOW + number * HOUR, seq=100 + number))
            back.source.time = back.now[0] = NOW + (number + 1) * HOUR
        elif what == "late":
            insert(back, Row(ts=instant, seq=200 + number))
        elif what == "update":
            seq = which % 9
            back.update(lambda row, seq=seq, number=number: replace(row, value=number) if row.seq == seq else row)  # type: ignore[misc]
        elif what == "tick":
            back.offload().handle(tick(stream="trades", boundary=back.source.time), NEVER)
        elif what == "replace":
            back.replace(Choice(within=Window(lower=BEGINNING, upper=back.source.time), remove_rows=True))
        elif what == "compact" and back.cold() and partition_by is PartitionBy.NONE:
            compact(back)
        elif what == "rewind" and instant <= back.record.watermark:
            below = Counter(row for row in back.cold().elements() if row.ts < instant)
            assert back.rewind(instant, REASON).verdict in {Verdict.REWOUND, Verdict.THERE}
            assert back.cold() == below
    back.rewind(FIRST, REASON)
    assert back.cold() == back.below(FIRST)
    for _ in range(2):
        back.offload().handle(tick(stream="trades", boundary=back.source.time), NEVER)
    assert back.cold() == back.hot()
    back.judge()
