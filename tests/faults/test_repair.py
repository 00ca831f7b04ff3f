"""Whatever is done to the table or the ledger behind icehaul's back is found before the next publish, and repaired."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from consumer.bootstrap import Application
from consumer.domain.batch import BatchKind, BatchStatus
from consumer.domain.errors import DivergenceError, FencedError, LedgerUnavailableError
from consumer.domain.reconcile import FindingKind
from consumer.domain.window import Window
from consumer.failpoints.acting import Failpoints
from consumer.ports import StreamState
from tests.faults.test_late_rows import CUTOFF, late, make
from tests.support.cases import few
from tests.support.cold_tier import IcebergColdTier
from tests.support.local_platform import LocalPlatform, offload, published
from tests.support.platform import day

NEXT = day("2024-01-05")
THREE_DAYS = Window(lower=day("2024-01-01"), upper=CUTOFF)


@pytest.fixture
def filled(local: LocalPlatform) -> Iterator[tuple[Application, str, IcebergColdTier]]:
    """A stream of three days of fifty rows each, one batch each, and a supplement to the first."""
    stream = make(local)
    with local.consumer() as consumer, closing(local.cold_tier(stream)) as tier:
        for end in ("2024-01-02", "2024-01-03"):
            offload(consumer, stream, day(end))
        local.insert(50, first=100, day="2024-01-03")
        offload(consumer, stream, CUTOFF)
        late(local, "2024-01-01")
        offload(consumer, stream, CUTOFF)
        assert [one.kind for one in published(consumer, stream)].count(BatchKind.SUPPLEMENT) == 1
        yield consumer, stream, tier


def told(consumer: Application, stream: str) -> str:
    """Let the next event find it: the stream is halted, with the command that repairs it."""
    offload(consumer, stream, NEXT)
    record = consumer.ledger.read([stream])[stream]
    assert record.state is StreamState.HALTED
    assert f"icehaul repair {stream}" in str(record.halt_remedy)
    return str(record.halt_reason)


def repaired(consumer: Application, stream: str) -> None:
    """Repair the stream, and let it go on; both tiers hold the same rows after it, and the audit finds nothing."""
    settings = consumer.streams[stream]
    assert consumer.repairs.review(settings).needed
    consumer.repairs.repair(settings)
    offload(consumer, stream, NEXT)
    whole(consumer, stream)
    assert not consumer.repairs.review(settings).needed


def whole(consumer: Application, stream: str) -> None:
    settings = consumer.streams[stream]
    record = consumer.ledger.read([stream])[stream]
    assert record.state is StreamState.ACTIVE, record.halt_reason
    assert consumer.verifier.verify(settings).equal
    audit = consumer.auditor.audit(settings)
    assert audit.clean, [check for check in audit.checks if not check.clean]


def edit(local: LocalPlatform, statement: str) -> None:
    with psycopg.connect(local.dsn, autocommit=True) as connection:
        connection.execute(statement.encode())


def test_a_table_that_was_rolled_back_is_written_again(
    local: LocalPlatform, filled: tuple[Application, str, IcebergColdTier]
) -> None:
    consumer, stream, tier = filled
    tier.roll_back(tier.table().snapshots()[0].snapshot_id)
    late(local, "2024-01-02")
    assert "the target table's current snapshot proves" in told(consumer, stream)
    repaired(consumer, stream)
    withdrawn = [one for one in consumer.ledger.batches(stream, 100) if one.status is BatchStatus.WITHDRAWN]
    assert len(withdrawn) == 3
    assert consumer.ledger.read([stream])[stream].generation == 2


@pytest.mark.thorough
def test_a_supplement_that_was_rolled_back_is_added_again(filled: tuple[Application, str, IcebergColdTier]) -> None:
    consumer, stream, tier = filled
    tier.roll_back(tier.table().snapshots()[-2].snapshot_id)
    told(consumer, stream)
    repaired(consumer, stream)


def test_a_table_that_was_dropped_is_made_anew(filled: tuple[Application, str, IcebergColdTier]) -> None:
    consumer, stream, tier = filled
    tier.drop()
    assert "is not in the catalog any more" in told(consumer, stream)
    repaired(consumer, stream)


@pytest.mark.thorough
def test_a_table_that_was_recreated_is_filled(filled: tuple[Application, str, IcebergColdTier]) -> None:
    consumer, stream, tier = filled
    schema, spec = tier.table().schema(), tier.table().spec()
    tier.drop()
    target = consumer.streams[stream].target
    tier.other.create_table((target.database, target.table), schema=schema, partition_spec=spec)
    assert "is another one now" in told(consumer, stream)
    repaired(consumer, stream)


DELETE_ONE = """
WITH gone AS (
    SELECT batch_id FROM offload_batches WHERE stream = '{0}' AND kind = 'window' ORDER BY lower OFFSET 1 LIMIT 1
), files AS (
    DELETE FROM offload_files WHERE batch_id IN (SELECT * FROM gone)
), attempts AS (
    DELETE FROM offload_attempts WHERE batch_id IN (SELECT * FROM gone)
)
DELETE FROM offload_batches WHERE batch_id IN (SELECT * FROM gone)
"""
DELETE_ALL = """
WITH files AS (DELETE FROM offload_files WHERE stream = '{0}'),
     attempts AS (DELETE FROM offload_attempts WHERE stream = '{0}'),
     partitions AS (DELETE FROM offload_partitions WHERE stream = '{0}'),
     batches AS (DELETE FROM offload_batches WHERE stream = '{0}')
DELETE FROM offload_watermarks WHERE stream = '{0}'
"""
SET = "UPDATE offload_watermarks SET {1} WHERE stream = '{0}'"
TAMPERINGS: dict[str, tuple[str, str]] = {
    "watermark-forward": (
        SET.replace("{1}", "watermark = watermark + interval '1 hour'"),
        "do not lead to its watermark",
    ),
    "watermark-back": (
        SET.replace("{1}", "watermark = watermark - interval '1 day', last_upper = NULL"),
        "the target table's current snapshot proves",
    ),
    "watermark-and-upper-back": (
        SET.replace("{1}", "watermark = watermark - interval '1 day', last_upper = last_upper - interval '1 day'"),
        "the target table's current snapshot proves",
    ),
    "last-batch-forgotten": (SET.replace("{1}", "last_batch_id = NULL"), "has recorded"),
    "a-batch-deleted": (DELETE_ONE, "do not lead to its watermark"),
    "everything-deleted": (DELETE_ALL, "the ledger has recorded nothing"),
}


@pytest.mark.parametrize("tampering", few(TAMPERINGS, {"watermark-forward", "watermark-back", "everything-deleted"}))
def test_a_ledger_that_was_edited_is_found_and_follows_the_table_again(
    local: LocalPlatform, filled: tuple[Application, str, IcebergColdTier], tampering: str
) -> None:
    consumer, stream, _ = filled
    statement, reason = TAMPERINGS[tampering]
    edit(local, statement.format(stream))
    late(local, "2024-01-02")
    assert reason in told(consumer, stream)
    repaired(consumer, stream)


def test_a_watermark_cannot_be_taken_away(
    local: LocalPlatform, filled: tuple[Application, str, IcebergColdTier]
) -> None:
    _, stream, _ = filled
    with pytest.raises(psycopg.errors.NotNullViolation):
        edit(local, f"UPDATE offload_watermarks SET watermark = NULL WHERE stream = '{stream}'")


def test_rows_that_the_source_has_lost_are_told_and_not_taken_for_an_empty_window(
    local: LocalPlatform, filled: tuple[Application, str, IcebergColdTier]
) -> None:
    consumer, stream, tier = filled
    settings = consumer.streams[stream]
    tier.roll_back(tier.table().snapshots()[0].snapshot_id)
    local.client.command(f"ALTER TABLE {local.name}.trades DROP PARTITION '2024-01-02'")
    done = consumer.repairs.repair(settings)
    assert [one.rows for one in done.lost] == [50]
    offload(consumer, stream, NEXT)
    assert [(one.kind, one.rows) for one in consumer.ledger.findings(stream)] == [(FindingKind.GAP, 50)]
    assert consumer.verifier.verify(settings).equal


def test_a_stream_that_heals_needs_nobody(local: LocalPlatform) -> None:
    stream = local.add_stream(on_divergence="heal")
    local.insert(50, first=0, day="2024-01-01")
    local.insert(50, first=50, day="2024-01-02")
    with local.consumer() as consumer, closing(local.cold_tier(stream)) as tier:
        for end in ("2024-01-02", "2024-01-03"):
            offload(consumer, stream, day(end))
        tier.roll_back(tier.table().snapshots()[0].snapshot_id)
        offload(consumer, stream, CUTOFF)
        whole(consumer, stream)
        tier.drop()
        offload(consumer, stream, NEXT)
        whole(consumer, stream)


@pytest.mark.parametrize(
    "failure",
    few(
        ["stream.before-repair=raise", "stream.after-repair=raise", "stream.after-repair=apply-then-raise"],
        {"stream.after-repair=apply-then-raise"},
    ),
)
def test_a_repair_that_breaks_off_is_whole_after_the_next(
    filled: tuple[Application, str, IcebergColdTier], failure: str
) -> None:
    consumer, stream, tier = filled
    tier.roll_back(tier.table().snapshots()[1].snapshot_id)
    repairs = consumer.repairs
    repairs._failpoints = Failpoints(failure)
    with pytest.raises(LedgerUnavailableError):
        repairs.repair(consumer.streams[stream])
    repairs._failpoints = Failpoints()
    repairs.repair(consumer.streams[stream])
    offload(consumer, stream, NEXT)
    whole(consumer, stream)


@pytest.mark.thorough
def test_a_replay_recognises_what_is_in_the_table_and_adds_what_has_arrived(
    local: LocalPlatform, filled: tuple[Application, str, IcebergColdTier]
) -> None:
    consumer, stream, tier = filled
    settings = consumer.streams[stream]
    before = len(tier.table().snapshots())
    first = consumer.replays.replay(settings, THREE_DAYS, threading.Event(), heal=False)
    assert [(one.recognition, one.added) for one in first.windows] == [("recognised", 0)] * 3
    assert len(tier.table().snapshots()) == before
    late(local, "2024-01-02", first=2_000)
    second = consumer.replays.replay(settings, THREE_DAYS, threading.Event(), heal=False)
    assert [one.added for one in second.windows if one.recognition == "supplemented"] == [3]
    whole(consumer, stream)


def test_a_replay_halts_a_stream_whose_table_lacks_rows_and_heals_it_where_that_is_asked_for(
    filled: tuple[Application, str, IcebergColdTier],
) -> None:
    consumer, stream, tier = filled
    settings = consumer.streams[stream]
    tier.table().delete("ts >= '2024-01-02T00:00:00+00:00' and ts < '2024-01-03T00:00:00+00:00'")
    with pytest.raises(DivergenceError, match=r"holds 0 rows of the window .*, 50 are recorded"):
        consumer.replays.replay(settings, THREE_DAYS, threading.Event(), heal=False)
    assert consumer.ledger.read([stream])[stream].state is StreamState.HALTED
    consumer.ledger.resume(stream)
    done = consumer.replays.replay(settings, THREE_DAYS, threading.Event(), heal=True)
    assert done.repaired is not None
    assert consumer.verifier.verify(settings).equal


def test_nothing_is_published_once_a_stream_is_paused(local: LocalPlatform) -> None:
    stream = make(local)
    with local.consumer() as consumer:
        offload(consumer, stream, day("2024-01-02"))
        record = consumer.ledger.read([stream])[stream]
        claim = consumer.ledger.claim(stream, "worker", consumer.lease)
        assert consumer.ledger.pause(stream, reason="paused by me", remedy="ask me")
        with pytest.raises(FencedError):
            consumer.ledger.renew(claim, consumer.lease)
        offload(consumer, stream, CUTOFF)
        assert consumer.ledger.read([stream])[stream].watermark == record.watermark
        assert len(consumer.ledger.parked(stream)) == 1
        consumer.ledger.resume(stream)
        offload(consumer, stream, CUTOFF)
        whole(consumer, stream)
