"""Small files become large ones beside ingestion, whatever fails on the way; no row and no record changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from consumer.domain.batch import BatchKind, BatchStatus
from consumer.domain.errors import EngineFailedError, FencedError, LeaseHeldError, StreamError
from consumer.domain.maintenance import CompactionPolicy, MaintenancePolicy, TaskName, TaskPlan
from consumer.domain.stream import BatchBounds
from consumer.domain.window import BEGINNING, PartitionBy, Window
from consumer.failpoints.acting import Failpoints
from consumer.service.batch_run import BatchRunner
from consumer.service.maintaining.background import BackgroundMaintenance
from consumer.service.maintaining.compaction import Compaction
from consumer.service.maintaining.maintenance import Maintenance
from consumer.service.maintaining.task import MaintenanceTask
from consumer.service.replacing.review import Choice
from consumer.service.rewinding.examined import Verdict
from consumer.service.threads import SYSTEM_THREADS
from consumer.testing.compacted_tables import MemoryCompactedTables
from consumer.testing.rows import Row, fingerprint_of
from tests.unit.service.test_late_rows import handle, insert
from tests.unit.service.test_offload import NEVER, NOW, event
from tests.unit.service.test_rewinding import DAY, FIRST, HOUR, INSIDE, Back, hourly

ONLY = [TaskName.COMPACTION]
EVERY = timedelta(hours=1)
PATIENCE = timedelta(hours=6)
POLICY = MaintenancePolicy(enabled=True, every=EVERY, patience=PATIENCE)


class Kept(Back):
    """A stream that is offloaded in windows of three rows, and compacted on somebody's word or by its consumers."""

    def __init__(self, **changes: object) -> None:
        bounds = BatchBounds(rows=3, unit_rows=100)
        super().__init__(**{"maintenance": POLICY, "bounds": bounds, **changes})  # type: ignore[arg-type]
        self.tables = MemoryCompactedTables(self.catalog)

    def task(self) -> MaintenanceTask:
        runner = BatchRunner(
            source=self.source,
            ledger=self.ledger,
            catalog=self.catalog,
            engine=self.engine,
            metrics=self.metrics,
            failpoints=self.failpoints,
        )
        return Compaction(
            tables=self.tables,
            ledger=self.ledger,
            records=self.ledger.maintenance,
            runner=runner,
            failpoints=self.failpoints,
        )

    def maintenance(self, owner: str = "operator") -> Maintenance:
        return Maintenance(
            tasks=[self.task()],
            source=self.source,
            ledger=self.ledger,
            catalog=self.catalog,
            engine=self.engine,
            owner=owner,
            lease=timedelta(seconds=30),
            failpoints=self.failpoints,
        )

    def compact(self) -> TaskPlan:
        (done,) = self.maintenance().maintain(self.stream, ONLY)
        return done

    def consume(self, *, idles: bool = False) -> BackgroundMaintenance:
        """Handle an event as a process does that maintains tables by itself, and as a consumer if it ``idles``."""
        background = BackgroundMaintenance(
            streams={self.stream.name: self.stream},
            tasks=[self.task()],
            records=self.ledger.maintenance,
            maintenance=self.maintenance("consumer"),
            metrics=self.metrics,
            failpoints=self.failpoints,
            idles=lambda: idles,
        )
        offload = self.offload()
        offload._maintain = background.step
        offload.handle(event(cutoff=self.source.time), NEVER)
        return background

    def pass_time(self, span: timedelta) -> None:
        self.now[0] += span

    def files(self) -> Sequence[str]:
        return self.catalog.data_files(self.stream.target, self.stream.partition_by, None)

    def rewrites(self) -> list[BatchStatus]:
        return [one.status for one in self.ledger.batches("trades", 1_000) if one.kind is BatchKind.MAINTENANCE]


def kept(**changes: object) -> Kept:
    made = Kept(**changes)
    insert(made, *hourly(9))
    handle(made)
    assert len(made.files()) == 3
    return made


def in_pieces(days: int) -> Kept:
    """A stream with so many days in small files, of which a piece of maintenance rewrites one."""
    made = Kept(partition_by=PartitionBy.DAY, maintenance=replace(POLICY, compaction=CompactionPolicy(batch_bytes=1)))
    for number in range(days):
        insert(made, *hourly(9, FIRST.replace(hour=0) - number * DAY))
    handle(made)
    return made


def judged(lake: Kept, files: int) -> None:
    assert lake.cold() == lake.hot()
    assert len(lake.files()) == files
    lake.judge()


def test_a_look_tells_what_would_be_done_and_changes_nothing() -> None:
    lake = kept()
    before = (lake.record, lake.files())
    (plan,) = lake.maintenance().review(lake.stream, ONLY)
    assert [(part.files, part.files_after) for part in plan.parts] == [(3, 1)]
    assert (lake.record, lake.files()) == before
    assert lake.maintenance().review(lake.stream, []) == []


def test_small_files_become_one_and_no_row_changes() -> None:
    lake = kept()
    record = lake.record
    done = lake.compact()
    assert [(part.files, part.files_after) for part in done.parts] == [(3, 1)]
    judged(lake, files=1)
    assert lake.record.position == record.position
    assert lake.compact().parts == ()


def test_only_partitions_below_the_watermark_are_touched() -> None:
    lake = Kept(partition_by=PartitionBy.DAY)
    insert(lake, *hourly(9), *hourly(5, NOW - 5 * HOUR))
    handle(lake)
    young = [path for path in lake.files() if max(row.ts for row in lake.source.files[path]) >= NOW - 12 * HOUR]
    assert len(young) > 1
    lake.compact()
    assert set(young) <= set(lake.files())
    assert lake.cold() == lake.hot()


def test_work_is_done_in_batches_of_bounded_size() -> None:
    lake = in_pieces(days=2)
    lake.compact()
    assert lake.rewrites() == [BatchStatus.PUBLISHED, BatchStatus.PUBLISHED]
    judged(lake, files=2)


def test_late_rows_replacements_and_rewinds_work_on_what_was_compacted() -> None:
    lake = kept()
    lake.compact()
    insert(lake, Row(ts=FIRST + 2 * HOUR, seq=77), Row(ts=FIRST + 7 * HOUR, seq=78))
    handle(lake)
    judged(lake, files=3)
    lake.compact()
    judged(lake, files=1)
    lake.update(lambda row: replace(row, value=row.value + 1) if row.seq == 4 else row)
    lake.replace(Choice(within=Window(lower=BEGINNING, upper=NOW)))
    lake.compact()
    judged(lake, files=1)
    assert lake.rewind(INSIDE).verdict is Verdict.REWOUND
    lake.compact()
    assert lake.cold() == lake.below(INSIDE)
    lake.judge()
    handle(lake)
    lake.compact()
    judged(lake, files=1)


def test_a_rollback_below_a_compaction_is_no_divergence_and_the_files_are_put_together_again() -> None:
    lake = kept()
    before = lake.catalog.tables[lake.stream.target].current
    assert before is not None
    lake.compact()
    lake.catalog.roll_back(lake.stream.target, before)
    handle(lake)
    judged(lake, files=3)
    lake.compact()
    judged(lake, files=1)
    assert lake.rewrites() == [BatchStatus.PUBLISHED, BatchStatus.PUBLISHED]


EFFECTS = (
    "maintenance.abandon",
    "batch.begin",
    "batch.write",
    "attempt.stage",
    "publish.stage",
    "publish.commit",
)
POINTS = [
    f"{subject}.{when}-{verb}"
    for subject, verb in (name.split(".") for name in EFFECTS)
    for when in ("before", "after")
]


@pytest.mark.parametrize("mode", ["raise", "apply-then-raise"])
@pytest.mark.parametrize("point", POINTS)
def test_whatever_fails_once_is_tried_again_and_nothing_is_done_twice(point: str, mode: str) -> None:
    if mode == "apply-then-raise" and "before" in point:
        mode = "raise@2"
    lake = kept()
    lake.arm(f"{point}={mode}")
    lake.compact()
    lake.arm("")
    judged(lake, files=1)
    assert set(lake.rewrites()) == {BatchStatus.PUBLISHED}


class DeadError(BaseException):
    """As a SIGKILL: nothing more is recorded."""


class Dying(Failpoints):
    """A process that ends at a point."""

    def __init__(self, point: str) -> None:
        super().__init__()
        self._point = point

    def hit(self, point: str) -> None:
        if point == self._point:
            raise DeadError


@pytest.mark.parametrize("point", POINTS)
def test_a_consumer_that_dies_anywhere_leaves_nothing_that_its_heir_can_not_end(point: str) -> None:
    lake = kept()
    lake.failpoints = Dying(point)
    with pytest.raises(DeadError):
        lake.compact()
    lake.failpoints = Failpoints()
    lake.pass_time(timedelta(minutes=1))
    lake.compact()
    judged(lake, files=1)
    assert BatchStatus.WRITING not in lake.rewrites()


def test_files_that_another_engine_has_rewritten_meanwhile_are_looked_at_again() -> None:
    lake = kept()

    class Moving(Failpoints):
        done = False

        def hit(self, point: str) -> None:
            if point == "publish.before-stage" and not self.done:
                self.done = True
                table = lake.catalog.tables[lake.stream.target]
                table.deletes[lake.files()[0]] = ("deleted",)

    lake.failpoints = Moving()
    lake.compact()
    (made,) = (one for one in lake.ledger.batches("trades", 100) if one.kind is BatchKind.MAINTENANCE)
    assert (made.status, made.attempts) == (BatchStatus.PUBLISHED, 2)
    judged(lake, files=1)


def test_files_that_hold_other_rows_than_they_stand_for_are_not_published() -> None:
    lake = kept()

    class Mistaken(Failpoints):
        """A task that writes another value, and says so in the footer."""

        done = False

        def hit(self, point: str) -> None:
            if point == "batch.after-write" and not self.done:
                self.done = True
                path, content = list(lake.source.files.items())[-1]
                content[0] = replace(content[0], value=-1)
                lake.engine.written[path] = replace(lake.engine.written[path], fingerprint=fingerprint_of(content))

    lake.failpoints = Mistaken()
    lake.compact()
    (made,) = (one for one in lake.ledger.batches("trades", 100) if one.kind is BatchKind.MAINTENANCE)
    assert made.attempts == 2
    assert made.proof is not None
    assert made.proof.content.rows == 9
    judged(lake, files=1)


def test_a_stream_that_somebody_works_on_is_left_alone() -> None:
    lake = kept()
    lake.ledger.claim("trades", "another", timedelta(minutes=1))
    with pytest.raises(LeaseHeldError):
        lake.compact()
    assert len(lake.files()) == 3


def test_a_halted_stream_is_not_maintained() -> None:
    lake = kept()
    lake.ledger.halt("trades", reason="a reason", remedy="a remedy", epoch=None)
    with pytest.raises(StreamError, match="halted"):
        lake.compact()


def test_a_stream_that_was_never_read_has_nothing_to_maintain() -> None:
    lake = Kept()
    assert lake.maintenance().review(lake.stream, ONLY)[0].parts == ()
    assert lake.maintenance().maintain(lake.stream, ONLY) == []


# ---------------------------------------------------------------------------------------------- in the background


def test_consumers_maintain_what_is_due_after_everything_live_of_an_event() -> None:
    lake = kept()
    lake.consume()
    assert len(lake.files()) == 3, "only now it is known since when it waits"
    lake.pass_time(EVERY)
    insert(lake, Row(ts=NOW - 2 * HOUR, seq=99))
    lake.consume()
    judged(lake, files=1)
    assert lake.metrics.counts["maintained trades compaction done"] == 1


def test_nothing_is_done_before_its_time_or_where_it_was_not_asked_for() -> None:
    lake = kept()
    lake.consume()
    lake.pass_time(EVERY - timedelta(seconds=1))
    lake.consume()
    other = kept(maintenance=replace(POLICY, enabled=False))
    for _ in range(2):
        other.pass_time(2 * EVERY)
        other.consume()
    assert (len(lake.files()), len(other.files())) == (3, 3)


def test_it_gives_way_to_events_but_not_for_ever() -> None:
    lake = kept()
    lake.consume()
    lake.pass_time(EVERY)
    lake.consume(idles=True)
    assert len(lake.files()) == 3
    lake.pass_time(PATIENCE - timedelta(seconds=1))
    lake.consume(idles=True)
    assert len(lake.files()) == 3
    lake.pass_time(timedelta(seconds=1))
    assert not lake.consume(idles=True).leaves("trades")
    judged(lake, files=1)


def test_what_an_event_leaves_is_done_piece_by_piece_when_the_consumer_idles() -> None:
    lake = in_pieces(days=3)
    assert not lake.consume(idles=True).leaves("trades"), "nothing is due yet"
    lake.pass_time(EVERY)
    background = lake.consume(idles=True)
    assert background.leaves("trades")
    assert [background.clear("trades", NEVER) for _ in range(4)] == [True, True, False, False]
    assert not background.leaves("trades")
    assert len(lake.rewrites()) == 3
    judged(lake, files=3)


def test_what_cannot_be_done_in_an_idle_hour_is_told_and_left_again_by_the_next_event() -> None:
    lake = kept()
    lake.consume(idles=True)
    lake.pass_time(EVERY)
    background = lake.consume(idles=True)
    held = lake.ledger.claim("trades", "another", timedelta(minutes=1))
    assert not background.clear("trades", NEVER)
    lake.ledger.release(held)
    background = lake.consume(idles=True)
    assert background.leaves("trades")
    lake.ledger.halt("trades", reason="a reason", remedy="a remedy", epoch=None)
    assert not background.clear("trades", NEVER)
    assert lake.metrics.counts["maintained trades compaction StreamError"] == 1
    assert len(lake.files()) == 3


def test_a_piece_is_given_up_once_the_partition_is_taken_away() -> None:
    lake = kept()
    lake.consume(idles=True)
    lake.pass_time(EVERY)
    background = lake.consume(idles=True)
    taken = SYSTEM_THREADS.signal()
    taken.set()
    assert not background.clear("trades", taken)
    judged(lake, files=3)


def test_each_event_does_one_batch_until_nothing_is_left() -> None:
    lake = in_pieces(days=3)
    lake.consume()
    lake.pass_time(EVERY)
    for done in (1, 2, 3, 3):
        lake.consume()
        assert len(lake.rewrites()) == done
    judged(lake, files=3)


def test_what_fails_is_told_and_does_not_fail_the_event() -> None:
    lake = kept()
    lake.consume()
    lake.pass_time(EVERY)
    lake.engine.failures = [EngineFailedError("no memory", remedy="give it some")]
    lake.consume()
    assert lake.metrics.counts["maintained trades compaction EngineFailedError"] == 1
    judged(lake, files=3)
    lake.consume()
    assert len(lake.files()) == 3, "it is tried again when it is due again"
    lake.pass_time(EVERY)
    lake.consume()
    judged(lake, files=1)


def test_a_lost_lease_ends_the_event() -> None:
    lake = kept()
    lake.consume()
    lake.pass_time(EVERY)

    class Replaced(Failpoints):
        def hit(self, point: str) -> None:
            if point == "publish.before-stage":
                lake.pass_time(timedelta(hours=1))
                lake.ledger.claim("trades", "heir", timedelta(minutes=1))

    lake.failpoints = Replaced()
    with pytest.raises(FencedError):
        lake.consume()
    assert len(lake.files()) == 3
