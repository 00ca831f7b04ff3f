"""An event is done when everything it asks for is published, and not before, whatever fails on the way."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from consumer.domain.batch import BatchStatus
from consumer.domain.errors import (
    EngineFailedError,
    FencedError,
    IcehaulError,
    InvalidEventError,
    LeaseHeldError,
    SourceMissingError,
    UnknownCommitError,
)
from consumer.domain.event import Event
from consumer.domain.event_factory import tick
from consumer.domain.stream import BatchBounds, RetryPolicy, Stream, TableName
from consumer.domain.window import BEGINNING, Window
from consumer.failpoints.acting import Failpoints, Mode, refusal
from consumer.failpoints.effects import EFFECTS, POINTS
from consumer.ports import StreamState
from consumer.service.offload import Offload
from consumer.testing.catalog import MemoryCatalog
from consumer.testing.engine import MemoryEngine
from consumer.testing.ledger import MemoryLedger
from consumer.testing.rows import Row
from consumer.testing.source import MemorySource
from consumer.testing.telemetry import MemoryMetrics
from tests.support.interruptions import Interrupt
from tests.support.memory_repairs import memory_repairs

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
FAST = RetryPolicy(attempts=3, initial=timedelta(microseconds=1), maximum=timedelta(microseconds=1))
NEVER = threading.Event()


def make_stream(name: str = "trades", **changes: object) -> Stream:
    fields: dict[str, object] = {
        "name": name,
        "source": TableName(database="market", table=name),
        "target": TableName(database="bronze", table=name),
        "timestamp_column": "ts",
        "sequence_columns": ("seq",),
        "bounds": BatchBounds(rows=4, unit_rows=2),
        "retry": FAST,
    }
    return Stream(**{**fields, **changes})  # type: ignore[arg-type]


@dataclass
class World:
    streams: dict[str, Stream]
    now: list[datetime] = field(default_factory=lambda: [NOW])
    dropped_windows: list[Window] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.source = MemorySource(NOW)
        self.ledger = MemoryLedger(now=lambda: self.now[0])
        self.engine = MemoryEngine(self.source)
        self.metrics = MemoryMetrics()
        self.failpoints = Failpoints()
        self.catalog = MemoryCatalog(self.ledger, self.engine.written, hit=self._hit)
        for stream in self.streams.values():
            self.source.create(stream.source)

    def _hit(self, point: str) -> None:
        self.failpoints.hit(point)

    def arm(self, specification: str) -> None:
        self.failpoints = Failpoints(specification)

    def offload(self, owner: str = "me", *, turn: timedelta | None = None, crowded: bool = False) -> Offload:
        return Offload(
            streams=self.streams,
            source=self.source,
            ledger=self.ledger,
            backfills=self.ledger.backfills,
            catalog=self.catalog,
            engine=self.engine,
            metrics=self.metrics,
            heal=memory_repairs(
                source=self.source, ledger=self.ledger, catalog=self.catalog, engine=self.engine, owner=owner
            ).heal,
            dropped=lambda stream: self.dropped_windows,
            owner=owner,
            lease=timedelta(seconds=30),
            failpoints=self.failpoints,
            turn=turn,
            crowded=lambda: crowded,
        )

    def insert(self, *rows: Row, stream: str = "trades") -> None:
        self.source.tables[self.streams[stream].source].extend(rows)

    def cold(self, stream: str = "trades") -> Counter[Row]:
        target = self.streams[stream].target
        if self.catalog.inspect(target) is None:
            return Counter()
        paths = self.catalog.data_files(target, self.streams[stream].partition_by, None)
        return Counter(row for path in paths for row in self.source.files[path])

    def hot(self, stream: str = "trades") -> Counter[Row]:
        return Counter(self.source.tables[self.streams[stream].source])


def rows(count: int, *, days_ago: float = 2) -> list[Row]:
    start = NOW - timedelta(days=days_ago)
    return [Row(ts=start + timedelta(minutes=17 * n), seq=n, value=n) for n in range(count)]


def event(stream: str = "trades", cutoff: datetime = NOW) -> Event:
    return tick(stream=stream, boundary=cutoff)


@pytest.fixture
def world() -> World:
    return World({"trades": make_stream()})


def test_the_first_acceptance_case_five_rows_then_three_more(world: World) -> None:
    world.insert(*rows(5, days_ago=3))
    world.offload().handle(event(cutoff=NOW - timedelta(days=1)), NEVER)
    assert world.cold().total() == 5
    world.insert(*rows(3, days_ago=0.5))
    world.offload().handle(event(), NEVER)
    assert world.cold() == world.hot()
    assert world.cold().total() == 8
    reached = world.ledger.read(["trades"])["trades"].watermark
    assert world.metrics.values["watermark trades"] == reached.timestamp()
    assert world.metrics.values["lag trades"] == (NOW - reached).total_seconds()
    world.offload().handle(event(), NEVER)
    assert world.cold().total() == 8


def test_the_watermark_stays_a_settle_lag_behind_the_source(world: World) -> None:
    world.offload().handle(event(cutoff=NOW + timedelta(days=1)), NEVER)
    assert world.ledger.read(["trades"])["trades"].watermark == NOW - timedelta(minutes=5)


def test_an_empty_stretch_advances_the_watermark_without_a_snapshot(world: World) -> None:
    world.offload().handle(event(), NEVER)
    target = world.catalog.inspect(world.streams["trades"].target)
    assert target is not None
    assert target.snapshot_id is None


def test_a_thousand_duplicate_triggers_make_one_batch(world: World) -> None:
    world.insert(*rows(3))
    subject = world.offload()
    for _ in range(1000):
        subject.handle(event(), NEVER)
    assert world.engine.jobs == 1


TWICE = ("batch.begin", "batch.write", "attempt.stage", "publish.stage", "publish.commit")
ONCE = ("event.handle", "stream.register", "lease.claim", "stream.bind", "target.create", "batch.advance")
FAILURES = [
    pytest.param(f"{point}={mode}@{occurrence}", id=f"{point}={mode}@{occurrence}")
    for effects, occurrences in ((ONCE, (1,)), (TWICE, (1, 2)))
    for effect in effects
    for point in EFFECTS[effect].points
    for mode in (Mode.RAISE, Mode.APPLY_THEN_RAISE)
    if refusal(POINTS[point], mode) is None
    for occurrence in occurrences
]


@pytest.mark.parametrize("specification", FAILURES)
def test_a_failure_at_any_point_neither_loses_nor_doubles_a_row(
    specification: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = World({"trades": make_stream(retry=replace(FAST, attempts=1))})
    world.insert(*rows(11))
    world.arm(specification)
    # There is no row below the first one's cutoff.
    for trigger in (event(cutoff=NOW - timedelta(days=4)), event()):
        for _ in range(5):
            try:
                world.offload().handle(trigger, NEVER)
            except IcehaulError:
                continue
            if world.ledger.read(["trades"])["trades"].state is StreamState.ACTIVE:
                break
            world.ledger.resume("trades")
        else:
            pytest.fail("the event was never done")
    assert f"failpoint {specification.partition('@')[0]}" in caplog.text
    assert world.cold() == world.hot()
    windows = [batch for batch in world.ledger.batches("trades", 100) if batch.status is BatchStatus.PUBLISHED]
    assert sum(batch.rows for batch in windows) == 11


@pytest.fixture(params=["landed", "not landed"])
def unknown_commit(world: World, request: pytest.FixtureRequest) -> World:
    """The reply to the first publish is lost, whether it has landed or not."""
    real = world.catalog.publish
    lost: list[bool] = []

    def publish(publication: object) -> int:
        if lost:
            return real(publication)  # type: ignore[arg-type]
        lost.append(True)
        if request.param == "landed":
            real(publication)  # type: ignore[arg-type]
        raise UnknownCommitError("the connection broke", remedy="read back")

    world.catalog.publish = publish  # type: ignore[method-assign]
    return world


def test_an_unknown_commit_is_read_back_before_anything_else(unknown_commit: World) -> None:
    unknown_commit.insert(*rows(3))
    unknown_commit.offload().handle(event(), NEVER)
    assert unknown_commit.cold() == unknown_commit.hot()
    assert unknown_commit.engine.jobs == 1, "the files are published again, not written again"
    found = [count for count in unknown_commit.metrics.counts if "unknown" in count]
    assert len(found) == 1, "one look settles it"
    assert unknown_commit.metrics.counts[found[0]] == 1


def spoil(world: World, jobs: int) -> None:
    """Make the first jobs' files hold another value than was read, as a broken disk or a bug might."""
    real = world.engine.write

    def write(**arguments: object) -> object:
        reports = real(**arguments)  # type: ignore[arg-type]
        if world.engine.jobs <= jobs:
            for report in reports:
                first, *others = world.source.files[report.file.path]
                world.source.files[report.file.path] = [replace(first, value=first.value + 1), *others]
        return reports

    world.engine.write = write  # type: ignore[method-assign, assignment]


def test_a_file_that_differs_from_what_was_read_is_never_published(world: World) -> None:
    world.insert(*rows(3))
    spoil(world, jobs=1)
    world.offload().handle(event(), NEVER)
    assert world.engine.jobs == 2
    assert world.cold() == world.hot()


def test_a_difference_that_stays_halts_the_stream(world: World) -> None:
    world.insert(*rows(3))
    spoil(world, jobs=100)
    world.offload().handle(event(), NEVER)
    assert world.cold().total() == 0
    assert "digest" in str(world.ledger.read(["trades"])["trades"].halt_reason)


def test_a_passing_error_is_retried(world: World) -> None:
    world.insert(*rows(3))
    world.engine.failures = [EngineFailedError("spark died", remedy="wait")] * 2
    world.offload().handle(event(), NEVER)
    assert world.cold() == world.hot()


def test_a_stream_that_keeps_failing_is_halted_and_its_event_parked(world: World) -> None:
    world.insert(*rows(3))
    world.engine.failures = [EngineFailedError("spark died", remedy="wait")] * 3
    world.offload().handle(event(), NEVER)
    record = world.ledger.read(["trades"])["trades"]
    assert record.state is StreamState.HALTED
    assert "spark died" in str(record.halt_reason)
    assert [parked.id for parked in world.ledger.parked("trades")] == [event().id]
    assert record.watermark == BEGINNING


def test_a_defect_halts_its_stream_instead_of_blocking_the_partition(world: World) -> None:
    world.insert(*rows(3))
    world.engine.failures = [ZeroDivisionError("oops")]  # type: ignore[list-item]
    world.offload().handle(event(), NEVER)
    record = world.ledger.read(["trades"])["trades"]
    assert record.state is StreamState.HALTED
    assert "unexpected ZeroDivisionError: oops" in str(record.halt_reason)
    assert len(world.ledger.parked("trades")) == 1


def test_events_of_a_halted_stream_are_parked_and_taken_up_by_resume(world: World) -> None:
    world.insert(*rows(3))
    world.ledger.register("trades")
    world.ledger.halt("trades", reason="a reason", remedy="a remedy", epoch=None)
    world.offload().handle(event(), NEVER)
    assert world.cold().total() == 0
    world.ledger.resume("trades")
    (message,) = world.ledger.outbox(10)
    world.offload().handle(message.event, NEVER)
    assert world.cold() == world.hot()


def test_an_event_of_an_unknown_stream_is_invalid(world: World) -> None:
    with pytest.raises(InvalidEventError, match=r"'nobody' is not configured.*trades"):
        world.offload().handle(event("nobody"), NEVER)


def test_a_missing_source_halts_its_stream_only() -> None:
    world = World({"trades": make_stream(), "quotes": make_stream("quotes")})
    world.insert(*rows(3), stream="quotes")
    del world.source.tables[world.streams["trades"].source]
    subject = world.offload()
    subject.handle(event("trades"), NEVER)
    subject.handle(event("quotes"), NEVER)
    assert world.ledger.read(["trades"])["trades"].state is StreamState.HALTED
    assert world.cold("quotes") == world.hot("quotes")


def test_an_event_is_held_while_another_owner_has_the_lease(world: World) -> None:
    world.insert(*rows(3))
    world.ledger.register("trades")
    world.ledger.claim("trades", "somebody else", timedelta(seconds=30))
    with pytest.raises(LeaseHeldError):
        world.offload().handle(event(), NEVER)
    world.now[0] += timedelta(seconds=31)
    world.offload().handle(event(), NEVER)
    assert world.cold() == world.hot()


def test_an_event_that_another_owner_has_covered_is_done(world: World) -> None:
    world.offload().handle(event(), NEVER)
    world.ledger.claim("trades", "somebody else", timedelta(seconds=30))
    world.offload("me").handle(event(cutoff=NOW - timedelta(hours=1)), NEVER)


def test_a_zombie_that_wakes_up_after_its_lease_publishes_nothing(world: World) -> None:
    world.insert(*rows(3))
    real = world.engine.write

    def slow(**arguments: object) -> object:
        reports = real(**arguments)  # type: ignore[arg-type]
        if world.engine.jobs == 1:
            world.now[0] += timedelta(minutes=5)
            world.offload("heir").handle(event(), NEVER)
        return reports

    world.engine.write = slow  # type: ignore[method-assign, assignment]
    with pytest.raises(FencedError):
        world.offload("zombie").handle(event(), NEVER)
    assert world.cold() == world.hot()


def test_a_zombie_that_takes_its_heirs_progress_for_a_divergence_halts_nothing(world: World) -> None:
    world.insert(*rows(3))
    real = world.catalog.ensure
    seen: list[str] = []

    def late(*arguments: object, **named: object) -> object:
        if not seen:
            seen.append("the zombie is about to look at the table")
            world.now[0] += timedelta(minutes=5)
            world.offload("heir").handle(event(), NEVER)
        return real(*arguments, **named)  # type: ignore[arg-type]

    world.catalog.ensure = late  # type: ignore[method-assign, assignment]
    with pytest.raises(FencedError, match="halts nothing"):
        world.offload("zombie").handle(event(), NEVER)
    assert world.metrics.values["halted trades"] == 0
    assert world.ledger.outbox(10) == []
    assert world.cold() == world.hot()


def test_a_revoked_partition_stops_the_work_between_batches(world: World) -> None:
    world.insert(*rows(11))
    abandoned = threading.Event()
    abandoned.set()
    with pytest.raises(FencedError, match="taken away"):
        world.offload().handle(event(), abandoned)
    assert world.cold().total() == 0


def test_a_dropped_target_halts_the_stream_instead_of_being_filled_anew(world: World) -> None:
    world.insert(*rows(3))
    world.offload().handle(event(cutoff=NOW - timedelta(days=1)), NEVER)
    world.catalog.drop(world.streams["trades"].target)
    world.offload().handle(event(), NEVER)
    assert world.ledger.read(["trades"])["trades"].state is StreamState.HALTED


def test_a_table_that_was_rolled_back_halts_the_stream(world: World) -> None:
    world.insert(*rows(11))
    world.offload().handle(event(), NEVER)
    first = min(world.catalog.tables[world.streams["trades"].target].snapshots)
    world.catalog.roll_back(world.streams["trades"].target, first)
    world.offload().handle(event(), NEVER)
    record = world.ledger.read(["trades"])["trades"]
    assert record.state is StreamState.HALTED
    assert "icehaul repair trades" in str(record.halt_remedy)


def test_a_source_that_was_made_anew_halts_the_stream(world: World) -> None:
    world.insert(*rows(3))
    world.offload().handle(event(cutoff=NOW - timedelta(days=1)), NEVER)
    world.source.create(world.streams["trades"].source)
    world.offload().handle(event(), NEVER)
    assert "dropped and made anew" in str(world.ledger.read(["trades"])["trades"].halt_reason)


@pytest.mark.parametrize("point", ["stream.before-bind", "batch.before-begin", "batch.before-write"])
def test_a_source_that_is_made_anew_in_the_middle_is_neither_read_nor_taken_for_empty(world: World, point: str) -> None:
    world.insert(*rows(3))
    world.failpoints = Interrupt(point, lambda: world.source.create(world.streams["trades"].source))
    world.offload().handle(event(), NEVER)
    record = world.ledger.read(["trades"])["trades"]
    assert record.state is StreamState.HALTED
    assert "another table" in str(record.halt_reason)
    assert record.watermark == BEGINNING


def test_a_stream_never_passes_its_upstream_and_is_woken_by_it() -> None:
    world = World({"trades": make_stream(), "bars": make_stream("bars", upstreams=("trades",))})
    world.insert(*rows(3), stream="trades")
    world.insert(*rows(2), stream="bars")
    subject = world.offload()
    subject.handle(event("bars"), NEVER)
    assert world.cold("bars").total() == 0
    subject.handle(event("trades"), NEVER)
    (wake,) = world.ledger.outbox(10)
    assert wake.event.stream == "bars"
    subject.handle(wake.event, NEVER)
    assert world.cold("bars") == world.hot("bars")


def test_a_dependant_is_woken_by_an_upstream_that_moved_on_without_rows() -> None:
    world = World({"trades": make_stream(), "bars": make_stream("bars", upstreams=("trades",))})
    world.offload().handle(event("trades"), NEVER)
    assert [message.event.stream for message in world.ledger.outbox(10)] == ["bars"]


def test_a_source_error_names_the_remedy(world: World) -> None:
    del world.source.tables[world.streams["trades"].source]
    with pytest.raises(SourceMissingError):
        world.source.describe(world.streams["trades"].source)
