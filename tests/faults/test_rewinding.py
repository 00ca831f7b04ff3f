"""A real stream is set back, whatever the instant, whatever fails: the rows above leave once and come back once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import datetime, timedelta

import psycopg
import pytest

from consumer.bootstrap import Application
from consumer.domain.batch import BatchKind, BatchStatus
from consumer.domain.errors import FencedError, IcehaulError
from consumer.domain.window import BEGINNING, PartitionBy
from consumer.failpoints.acting import Failpoints
from consumer.ports import StreamState
from consumer.service.rewinding.examined import Examined, Verdict, Wish
from tests.support.cases import few
from tests.support.interruptions import Interrupt
from tests.support.local_platform import LocalPlatform, judge, offload
from tests.support.platform import day

CUTOFF = day("2024-01-06")
SECOND = day("2024-01-02")
INSIDE = SECOND + timedelta(milliseconds=20)
"""In the middle of the rows of the second day, which stand in one file."""
ROWS = 50


@pytest.fixture
def partition_by() -> str:
    return "day"


@pytest.fixture
def offloaded(local: LocalPlatform, partition_by: str) -> Iterator[tuple[Application, str]]:
    """A stream of three days of fifty rows: the first window holds two, the last one ends later than its day."""
    stream = local.add_stream(partition_by=partition_by, batch={"rows": 2 * ROWS, "window": "10d"})
    for number in range(3):
        local.insert(ROWS, first=number * ROWS, day=f"2024-01-0{number + 1}")
    with local.consumer() as consumer:
        offload(consumer, stream, CUTOFF)
        yield consumer, stream


def rewind(consumer: Application, stream: str, to: datetime, reason: str | None = None) -> Examined:
    return consumer.rewinds.rewind(consumer.streams[stream], Wish(to=to, reason=reason))


def below(platform: LocalPlatform, to: datetime) -> int:
    ((count,),) = platform.client.query(
        f"SELECT count() FROM {platform.name}.trades WHERE ts < toDateTime64(%(to)s, 6, 'UTC')",
        {"to": f"{to:%Y-%m-%d %H:%M:%S.%f}"},
    ).result_rows
    return int(count)


PLACES = {
    "day": (day("2024-01-03"), INSIDE, SECOND, day("2023-06-01")),
    "none": (INSIDE,),
}
"""Between windows, inside a file, inside a window between files, below every row."""


@pytest.mark.parametrize("partition_by", PLACES)
def test_rows_above_the_instant_leave_the_table_and_come_back(
    local: LocalPlatform, offloaded: tuple[Application, str], partition_by: str
) -> None:
    consumer, stream = offloaded
    for generation, to in enumerate(PLACES[partition_by], 2):
        assert rewind(consumer, stream, to).verdict is Verdict.REWOUND
        judge(consumer, stream, rows=below(local, to))
        record = consumer.ledger.read([stream])[stream]
        assert (record.watermark, record.generation) == (to, generation)
        offload(consumer, stream, CUTOFF)
    judge(consumer, stream, rows=3 * ROWS)


@pytest.mark.thorough
def test_a_stream_can_be_set_back_to_its_start(offloaded: tuple[Application, str]) -> None:
    consumer, stream = offloaded
    rewind(consumer, stream, BEGINNING)
    assert consumer.catalog.data_files(consumer.streams[stream].target, PartitionBy.DAY, None) == []
    assert consumer.verifier.verify(consumer.streams[stream]).equal
    offload(consumer, stream, CUTOFF)
    judge(consumer, stream, rows=3 * ROWS)


@pytest.mark.thorough
def test_windows_without_rows_are_rewound_without_a_snapshot(offloaded: tuple[Application, str]) -> None:
    consumer, stream = offloaded
    offload(consumer, stream, day("2024-02-01"))
    before = consumer.catalog.inspect(consumer.streams[stream].target)
    found = rewind(consumer, stream, day("2024-01-20"))
    assert (found.verdict, found.snapshot_id) == (Verdict.REWOUND, None)
    assert consumer.catalog.inspect(consumer.streams[stream].target) == before
    judge(consumer, stream, rows=3 * ROWS)
    offload(consumer, stream, day("2024-02-01"))
    judge(consumer, stream, rows=3 * ROWS)
    assert rewind(consumer, stream, INSIDE).verdict is Verdict.REWOUND
    judge(consumer, stream, rows=ROWS + 20)


@pytest.mark.parametrize("partition_by", ["none"])
def test_rows_of_other_windows_that_a_compaction_has_put_into_the_same_file_are_kept(
    local: LocalPlatform, offloaded: tuple[Application, str]
) -> None:
    consumer, stream = offloaded
    with closing(local.cold_tier(stream)) as tier:
        tier.merge_files()
    for to in (day("2024-01-03"), INSIDE):
        rewind(consumer, stream, to)
        judge(consumer, stream, rows=below(local, to))
    offload(consumer, stream, CUTOFF)
    judge(consumer, stream, rows=3 * ROWS)


@pytest.mark.thorough
def test_a_day_that_was_corrected_in_the_source_is_offloaded_again(
    local: LocalPlatform, offloaded: tuple[Application, str]
) -> None:
    consumer, stream = offloaded
    local.client.command(
        f"ALTER TABLE {local.name}.trades UPDATE price = price + 1 WHERE seq >= {ROWS} SETTINGS mutations_sync = 2"
    )
    assert rewind(consumer, stream, SECOND).verdict is Verdict.REWOUND
    offload(consumer, stream, CUTOFF)
    judge(consumer, stream, rows=3 * ROWS)
    assert consumer.ledger.findings(stream) == []


def test_rows_that_the_hot_tier_has_lost_stay_unless_somebody_insists(
    local: LocalPlatform, offloaded: tuple[Application, str]
) -> None:
    consumer, stream = offloaded
    local.client.command(f"ALTER TABLE {local.name}.trades DROP PARTITION '2024-01-03'")
    refused = rewind(consumer, stream, INSIDE)
    assert refused.verdict is Verdict.REFUSED
    assert "50 rows recorded, 0 in the source" in "".join(one.doubt.reason for one in refused.removals if one.doubt)
    assert consumer.verifier.verify(consumer.streams[stream]).cold.rows == 3 * ROWS
    assert rewind(consumer, stream, INSIDE, "the vendor withdrew that day").verdict is Verdict.REWOUND
    offload(consumer, stream, CUTOFF)
    judge(consumer, stream, rows=2 * ROWS)
    with psycopg.connect(local.dsn) as connection:
        reasons = connection.execute(
            "SELECT reason FROM offload_batches WHERE stream = %s AND kind = 'rewind'", [stream]
        ).fetchall()
    assert reasons == [("the vendor withdrew that day",)]


def test_rows_that_vanish_before_they_are_written_again_halt_the_stream(
    local: LocalPlatform, offloaded: tuple[Application, str]
) -> None:
    consumer, stream = offloaded
    rewind(consumer, stream, INSIDE)
    local.client.command(f"ALTER TABLE {local.name}.trades DROP PARTITION '2024-01-03'")
    offload(consumer, stream, CUTOFF)
    record = consumer.ledger.read([stream])[stream]
    assert record.state is StreamState.HALTED
    assert "50 rows" in str(record.halt_reason)
    assert "went before they were offloaded" in str(record.halt_reason)


POINTS = ["attempt.before-stage", "publish.before-commit", "publish.after-commit"]
"""Where something is left behind; the unit tests have every point, and the crash matrix kills real processes."""


@pytest.mark.parametrize("point", few(POINTS, {"publish.before-commit"}))
def test_a_rewind_that_breaks_off_anywhere_is_there_once_after_the_next_run(
    local: LocalPlatform, offloaded: tuple[Application, str], point: str
) -> None:
    consumer, stream = offloaded

    def abandon() -> None:
        raise FencedError("the stream was taken over", remedy="nothing to do")

    with local.consumer(failpoints=Interrupt(point, abandon)) as other, suppress(IcehaulError):
        rewind(other, stream, INSIDE)
    assert rewind(consumer, stream, INSIDE).verdict in {Verdict.REWOUND, Verdict.THERE}
    judge(consumer, stream, rows=ROWS + 20)
    assert consumer.ledger.read([stream])[stream].generation == 2
    offload(consumer, stream, CUTOFF)
    judge(consumer, stream, rows=3 * ROWS)


def test_whatever_fails_by_itself_is_tried_again_and_an_unknown_commit_is_read_back(
    local: LocalPlatform, offloaded: tuple[Application, str]
) -> None:
    _, stream = offloaded
    failures = "attempt.before-stage=raise,publish.before-commit=raise,publish.after-commit=apply-then-raise"
    with local.consumer(failpoints=Failpoints(failures)) as consumer:
        assert rewind(consumer, stream, INSIDE).verdict is Verdict.REWOUND
        judge(consumer, stream, rows=ROWS + 20)
        done = [one for one in consumer.ledger.batches(stream, 100) if one.kind is BatchKind.REWIND]
    assert [one.status for one in done] == [BatchStatus.PUBLISHED]


def test_an_owner_that_was_taken_for_dead_rewinds_nothing(
    local: LocalPlatform, offloaded: tuple[Application, str]
) -> None:
    consumer, stream = offloaded

    def be_replaced() -> None:
        with psycopg.connect(local.dsn) as connection:
            connection.execute(
                "UPDATE offload_watermarks SET owner = NULL, lease_expires = NULL WHERE stream = %s", [stream]
            )
        local.insert(5, first=900, day="2024-01-02")
        offload(consumer, stream, CUTOFF)

    zombie = Interrupt("publish.after-stage", be_replaced)
    with local.consumer(owner="zombie", failpoints=zombie) as other, pytest.raises(FencedError):
        rewind(other, stream, INSIDE)
    judge(consumer, stream, rows=3 * ROWS + 5)
    assert consumer.ledger.read([stream])[stream].generation == 1


def test_a_rollback_below_the_rewind_is_noticed_and_repaired(
    local: LocalPlatform, offloaded: tuple[Application, str]
) -> None:
    consumer, stream = offloaded
    before = consumer.catalog.inspect(consumer.streams[stream].target)
    assert before is not None
    assert before.snapshot_id is not None
    rewind(consumer, stream, INSIDE)
    with closing(local.cold_tier(stream)) as tier:
        tier.roll_back(before.snapshot_id)
    offload(consumer, stream, CUTOFF)
    assert consumer.ledger.read([stream])[stream].state is StreamState.HALTED
    consumer.repairs.repair(consumer.streams[stream])
    offload(consumer, stream, CUTOFF)
    judge(consumer, stream, rows=3 * ROWS)
