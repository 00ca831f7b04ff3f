"""A real table is compacted, whatever fails: its rows stay as they are, and so does all that is recorded of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import timedelta

import psycopg
import pytest
from pyiceberg.manifest import ManifestContent

from consumer.bootstrap import Application
from consumer.domain.batch import BatchKind, BatchStatus
from consumer.domain.errors import FencedError
from consumer.domain.maintenance import TaskName, TaskPlan
from consumer.failpoints.acting import Failpoints
from consumer.ports import BatchRecord
from consumer.service.replacing.review import Choice
from consumer.service.replacing.review import Verdict as ReplaceVerdict
from consumer.service.rewinding.examined import Verdict, Wish
from tests.support.cases import few
from tests.support.interruptions import Interrupt
from tests.support.local_platform import LocalPlatform, judge, offload
from tests.support.platform import day
from tests.support.position_deletes import delete_rows

CUTOFF = day("2024-01-06")
ROWS = 40
ALL = 2 * ROWS
ONLY = [TaskName.COMPACTION]


@pytest.fixture
def partition_by() -> str:
    return "day"


@pytest.fixture
def offloaded(local: LocalPlatform, partition_by: str) -> Iterator[tuple[Application, str]]:
    """A stream of two days of forty rows, in files of twenty; one batch rewrites one day."""
    stream = local.add_stream(
        partition_by=partition_by,
        batch={"rows": 20, "window": "10d"},
        maintenance={"compaction": {"batch_bytes": 6000}},
    )
    for number in range(2):
        local.insert(ROWS, first=number * ROWS, day=f"2024-01-0{number + 1}")
    with local.consumer() as consumer:
        offload(consumer, stream, CUTOFF)
        yield consumer, stream


def compact(consumer: Application, stream: str) -> TaskPlan:
    (done,) = consumer.maintenance.maintain(consumer.streams[stream], ONLY)
    return done


def files(consumer: Application, stream: str) -> list[str]:
    settings = consumer.streams[stream]
    return list(consumer.catalog.data_files(settings.target, settings.partition_by, None))


def rewrites(consumer: Application, stream: str, status: BatchStatus) -> list[BatchRecord]:
    found = consumer.ledger.batches(stream, 1_000)
    return [one for one in found if (one.kind, one.status) == (BatchKind.MAINTENANCE, status)]


@pytest.mark.parametrize("partition_by", few(["day", "none"], {"day"}))
def test_small_files_become_one_for_each_partition(offloaded: tuple[Application, str], partition_by: str) -> None:
    consumer, stream = offloaded
    before = files(consumer, stream)
    (plan,) = consumer.maintenance.review(consumer.streams[stream], ONLY)
    assert files(consumer, stream) == before
    done = compact(consumer, stream)
    after = files(consumer, stream)
    assert len(after) == (2 if partition_by == "day" else 1)
    assert not set(after) & set(before)
    assert sum(part.files for part in plan.parts) == sum(part.files for part in done.parts) == len(before)
    judge(consumer, stream, rows=ALL)
    assert compact(consumer, stream).parts == ()


def test_a_compaction_in_batches_keeps_evidence_and_record_where_they_were(
    offloaded: tuple[Application, str],
) -> None:
    consumer, stream = offloaded
    before, settings = consumer.ledger.read([stream])[stream], consumer.streams[stream]
    proved = consumer.catalog.inspect(settings.target)
    compact(consumer, stream)
    after, now = consumer.ledger.read([stream])[stream], consumer.catalog.inspect(settings.target)
    assert proved is not None
    assert now is not None
    assert (after.position, after.generation) == (before.position, before.generation)
    assert now.evidence is not None
    assert proved.evidence is not None
    assert (now.evidence.batch_id, now.evidence.upper) == (proved.evidence.batch_id, proved.evidence.upper)
    assert [one.rows for one in rewrites(consumer, stream, BatchStatus.PUBLISHED)] == [ROWS, ROWS]


def test_late_rows_replacements_and_rewinds_on_top_of_a_compaction_change_what_they_have_to(
    local: LocalPlatform, offloaded: tuple[Application, str]
) -> None:
    consumer, stream = offloaded
    compact(consumer, stream)
    local.insert(5, first=900, day="2024-01-02")
    offload(consumer, stream, CUTOFF)
    judge(consumer, stream, rows=ALL + 5)
    assert sum(part.files for part in compact(consumer, stream).parts) == 2
    judge(consumer, stream, rows=ALL + 5)
    local.client.command(
        f"ALTER TABLE {local.name}.trades UPDATE price = price + 1 WHERE seq = 45 SETTINGS mutations_sync = 2"
    )
    offload(consumer, stream, CUTOFF)
    (replaced,) = consumer.replacements.replace(consumer.streams[stream], Choice(within=None))
    assert replaced.verdict is ReplaceVerdict.REPLACED
    judge(consumer, stream, rows=ALL + 5)
    compact(consumer, stream)
    inside = day("2024-01-02") + timedelta(milliseconds=25)
    assert consumer.rewinds.rewind(consumer.streams[stream], Wish(to=inside)).verdict is Verdict.REWOUND
    compact(consumer, stream)
    judge(consumer, stream, rows=ROWS + 30)
    offload(consumer, stream, CUTOFF)
    compact(consumer, stream)
    judge(consumer, stream, rows=ALL + 5)
    assert len(files(consumer, stream)) == 2


def test_a_ledger_that_was_lost_is_made_anew_from_a_compacted_table(
    local: LocalPlatform, offloaded: tuple[Application, str]
) -> None:
    consumer, stream = offloaded
    compact(consumer, stream)
    with psycopg.connect(local.dsn) as connection:
        connection.execute("DELETE FROM offload_files WHERE stream = %s", [stream])
        connection.execute("DELETE FROM offload_attempts WHERE stream = %s", [stream])
        connection.execute("DELETE FROM offload_batches WHERE stream = %s", [stream])
    consumer.repairs.repair(consumer.streams[stream])
    offload(consumer, stream, CUTOFF)
    found = consumer.verifier.verify(consumer.streams[stream])
    assert found.equal
    assert found.cold.rows == ALL


@pytest.mark.thorough
def test_a_rollback_below_a_compaction_is_none_that_matters_and_it_is_compacted_again(
    local: LocalPlatform, offloaded: tuple[Application, str]
) -> None:
    consumer, stream = offloaded
    before = consumer.catalog.inspect(consumer.streams[stream].target)
    assert before is not None
    assert before.snapshot_id is not None
    compact(consumer, stream)
    with closing(local.cold_tier(stream)) as tier:
        tier.roll_back(before.snapshot_id)
    offload(consumer, stream, CUTOFF)
    judge(consumer, stream, rows=ALL)
    assert len(files(consumer, stream)) == 4
    compact(consumer, stream)
    assert len(files(consumer, stream)) == 2
    judge(consumer, stream, rows=ALL)


@pytest.mark.thorough
def test_rows_that_another_engine_has_deleted_are_gone_from_what_is_written_anew(
    local: LocalPlatform, offloaded: tuple[Application, str]
) -> None:
    consumer, stream = offloaded
    compact(consumer, stream)
    with closing(local.cold_tier(stream)) as tier:
        old = sorted(files(consumer, stream))
        delete_rows(tier, old[0], [3, 4, ROWS - 1])
        delete_rows(tier, old[1], range(ROWS))
        seen = sorted(tier.table().scan().to_arrow()["seq"].to_pylist())
        assert len(seen) == ROWS - 3
        compact(consumer, stream)
        table = tier.table()
        assert sorted(table.scan().to_arrow()["seq"].to_pylist()) == seen
        snapshot = table.current_snapshot()
        assert snapshot is not None
        assert {one.content for one in snapshot.manifests(table.io)} == {ManifestContent.DATA}
    assert len(files(consumer, stream)) == 1
    assert not consumer.verifier.verify(consumer.streams[stream]).equal


def test_rows_that_are_deleted_by_their_values_keep_a_table_from_being_rewritten(
    local: LocalPlatform, offloaded: tuple[Application, str]
) -> None:
    consumer, stream = offloaded
    before = sorted(files(consumer, stream))
    with closing(local.cold_tier(stream)) as tier:
        delete_rows(tier, before[0], [3], by_value=True)
    plan = compact(consumer, stream)
    assert not plan.parts
    assert "deletes rows by their values" in plan.left[0]


def test_what_a_dead_owner_has_begun_counts_as_failed_once_another_one_looks(
    local: LocalPlatform, offloaded: tuple[Application, str]
) -> None:
    consumer, stream = offloaded

    class DeadError(BaseException):
        """As a SIGKILL: nothing more is recorded."""

    def die() -> None:
        raise DeadError

    with local.consumer(failpoints=Interrupt("publish.after-stage", die)) as other, suppress(DeadError):
        compact(other, stream)
    assert rewrites(consumer, stream, BatchStatus.WRITING)
    compact(consumer, stream)
    assert not rewrites(consumer, stream, BatchStatus.WRITING)
    judge(consumer, stream, rows=ALL)


def test_an_unknown_commit_is_read_back(local: LocalPlatform, offloaded: tuple[Application, str]) -> None:
    _, stream = offloaded
    failures = "attempt.before-stage=raise,publish.before-commit=raise,publish.after-commit=apply-then-raise"
    with local.consumer(failpoints=Failpoints(failures)) as consumer:
        compact(consumer, stream)
        judge(consumer, stream, rows=ALL)
        assert len(files(consumer, stream)) == 2


def test_an_owner_that_was_taken_for_dead_rewrites_nothing(
    local: LocalPlatform, offloaded: tuple[Application, str]
) -> None:
    consumer, stream = offloaded

    def be_replaced() -> None:
        release(local, stream)
        local.insert(5, first=900, day="2024-01-02")
        offload(consumer, stream, CUTOFF)

    zombie = Interrupt("publish.after-stage", be_replaced)
    with local.consumer(owner="zombie", failpoints=zombie) as other, pytest.raises(FencedError):
        compact(other, stream)
    judge(consumer, stream, rows=ALL + 5)
    assert len(files(consumer, stream)) == 5


def test_files_that_go_while_they_are_rewritten_are_not_brought_back(
    local: LocalPlatform, offloaded: tuple[Application, str]
) -> None:
    consumer, stream = offloaded
    with closing(local.cold_tier(stream)) as tier:

        def move_base() -> None:
            delete_rows(tier, min(files(consumer, stream)), [0])

        with local.consumer(failpoints=Interrupt("publish.before-stage", move_base)) as other:
            compact(other, stream)
        table = tier.table()
        assert table.scan().count() == ALL - 1
        assert len(list(table.scan().plan_files())) == 2


@pytest.mark.thorough
def test_a_foreign_snapshot_that_touches_no_file_is_built_upon(
    local: LocalPlatform, offloaded: tuple[Application, str]
) -> None:
    consumer, stream = offloaded
    with closing(local.cold_tier(stream)) as tier:
        moved = Interrupt("publish.after-stage", tier.append_nothing)
        with local.consumer(failpoints=moved) as other:
            compact(other, stream)
    judge(consumer, stream, rows=ALL)
    assert len(files(consumer, stream)) == 2


def release(local: LocalPlatform, stream: str) -> None:
    with psycopg.connect(local.dsn) as connection:
        connection.execute(
            "UPDATE offload_watermarks SET owner = NULL, lease_expires = NULL WHERE stream = %s", [stream]
        )
