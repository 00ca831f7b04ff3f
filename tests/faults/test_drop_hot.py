"""Partitions leave the hot tier only if the cold tier holds all of their rows, whatever fails or arrives meanwhile."""

from __future__ import annotations

import threading

import pytest

from consumer.domain.errors import (
    AccessDeniedError,
    ConfigurationError,
    DropRefusedError,
    IcehaulError,
    StreamError,
)
from consumer.domain.event_factory import tick
from consumer.domain.hot_drop import Selection, quarantine_table
from consumer.ports import StreamState
from consumer.service.dropping.review import Place
from tests.support.hot_drops import DAY, ID, ONE, ROWS, Tiers, before
from tests.support.local_platform import LocalPlatform, offload
from tests.support.platform import day

# ------------------------------------------------------------------------------------- what is done


def test_a_partition_that_the_cold_tier_holds_is_dropped_and_recorded(tiers: Tiers) -> None:
    report = tiers.drop()
    (found,) = report.partitions
    assert report.good
    assert found.place is Place.DROPPED
    assert found.comparison.hot == found.comparison.cold
    assert (tiers.hot(), tiers.hot("20240102"), tiers.cold()) == (0, ROWS, 3 * ROWS)
    assert tiers.recorded() == [(ID, "dropped", ROWS)]
    assert tiers.quarantines() == {}


def test_looking_first_changes_nothing(tiers: Tiers) -> None:
    report = tiers.review(Selection(before=day("2024-01-03")))
    assert [(one.partition.id, one.place) for one in report.partitions] == [
        ("20240101", Place.SOURCE),
        ("20240102", Place.SOURCE),
    ]
    assert report.good
    assert (tiers.hot(), tiers.recorded(), tiers.quarantines()) == (ROWS, [], {})


def test_a_row_that_is_in_the_hot_tier_only_brings_the_partition_back(tiers: Tiers) -> None:
    tiers.insert_late()
    assert not tiers.review().good
    report = tiers.drop()
    (found,) = report.partitions
    assert not report.good
    assert (found.place, found.comparison.missing) == (Place.RETURNED, 1)
    assert tiers.hot() == ROWS + 1
    assert tiers.recorded() == [(ID, "returned", ROWS + 1)]
    assert tiers.quarantines() == {}


@pytest.mark.thorough
def test_one_copy_more_than_the_cold_tier_holds_is_missed(tiers: Tiers) -> None:
    tiers.platform.insert(1, day=DAY)
    assert tiers.drop().partitions[0].comparison.missing == 1
    assert tiers.hot() == ROWS + 1


@pytest.mark.parametrize("statement", ["count", "drop"], ids=["after the move", "after the comparison"])
def test_a_row_that_arrives_meanwhile_survives(tiers: Tiers, statement: str) -> None:
    with tiers.platform.consumer() as application, before(application, statement, tiers.insert_late):
        report = application.hot_drops.drop(application.streams[tiers.stream], ONE)
    assert report.good
    assert (tiers.hot(), tiers.cold()) == (1, 3 * ROWS)


@pytest.mark.thorough
def test_partitions_that_are_no_stretches_of_time_are_compared_row_by_row(local: LocalPlatform) -> None:
    stream = local.add_stream()
    local.client.command(f"DROP TABLE {local.name}.trades SYNC")
    local.client.command(
        f"CREATE TABLE {local.name}.trades (ts DateTime64(6, 'UTC'), seq UInt64, symbol String) ENGINE = MergeTree"
        " PARTITION BY symbol ORDER BY ts TTL toDateTime(ts) + INTERVAL 40 YEAR"
    )
    local.client.command(
        f"INSERT INTO {local.name}.trades SELECT toDateTime64('{DAY}', 6, 'UTC') + number, number, 's' ||"
        " toString(number % 3) FROM numbers(90)"
    )
    tiers = Tiers(local, stream)
    with local.consumer() as application:
        offload(application, stream, day("2024-01-04"))
        named = local.client.query(
            f"SELECT DISTINCT _partition_id FROM {tiers.source} WHERE symbol = 's1'"
        ).result_rows[0][0]
        engines: list[str] = []
        with before(application, "move", lambda: engines.extend(engine_of_quarantine(local))):
            report = application.hot_drops.drop(application.streams[stream], Selection(partitions=(named,)))
    (found,) = report.partitions
    assert report.good
    assert (found.comparison.hot.rows, found.comparison.cold.rows) == (30, 90)
    assert local.rows() == 60
    assert len(engines) == 1
    assert "TTL" not in engines[0]


def engine_of_quarantine(platform: LocalPlatform) -> list[str]:
    rows = platform.client.query(
        f"SELECT engine_full FROM system.tables WHERE database = '{platform.name}' AND name LIKE 'icehaul_quarantine%'"
    ).result_rows
    return [str(engine) for (engine,) in rows]


@pytest.mark.thorough
def test_a_ttl_that_an_earlier_run_left_on_a_quarantine_table_is_taken_away(tiers: Tiers) -> None:
    client, name = tiers.platform.client, tiers.platform.name
    client.command(f"ALTER TABLE {tiers.source} MODIFY TTL toDateTime(ts) + INTERVAL 40 YEAR")
    with tiers.platform.consumer() as application:
        stream = application.streams[tiers.stream]
        quarantine = quarantine_table(stream, 7)
        client.command(f"CREATE TABLE {quarantine} AS {name}.trades")
        application.partitions.create(stream, quarantine)
    assert ["TTL" in engine for engine in engine_of_quarantine(tiers.platform)] == [False]


# ---------------------------------------------------------------------------------- what is refused


def test_a_stream_that_was_never_offloaded_is_refused(local: LocalPlatform) -> None:
    stream = local.add_stream()
    local.insert(10)
    with pytest.raises(DropRefusedError, match="was never offloaded"):
        Tiers(local, stream).drop()


def test_a_halted_stream_is_refused_with_the_reason_of_the_halt(tiers: Tiers) -> None:
    with tiers.platform.consumer() as application:
        application.ledger.halt(tiers.stream, reason="the reason of it", remedy="the cure of it", epoch=None)
    for attempt in (tiers.drop, tiers.review):
        with pytest.raises(StreamError, match="is halted: the reason of it"):
            attempt()


def test_a_partition_at_or_above_the_watermark_is_refused(tiers: Tiers) -> None:
    tiers.platform.insert(1, day="2024-01-04")
    for selection in (Selection(partitions=("20240104",)), Selection(before=day("2024-02-01"))):
        with pytest.raises(DropRefusedError, match="20240104"):
            tiers.drop(selection)
    assert tiers.hot() == ROWS


def test_a_partition_that_does_not_exist_is_refused_with_those_that_do(tiers: Tiers) -> None:
    with pytest.raises(ConfigurationError, match="20240101, 20240102, 20240103"):
        tiers.drop(Selection(partitions=("20231231",)))


def test_a_table_without_partitions_is_refused(local: LocalPlatform) -> None:
    stream = local.add_stream()
    local.client.command(f"DROP TABLE {local.name}.trades SYNC")
    local.client.command(
        f"CREATE TABLE {local.name}.trades (ts DateTime('UTC'), seq UInt64) ENGINE = MergeTree ORDER BY ts"
    )
    local.client.command(f"INSERT INTO {local.name}.trades VALUES ('2024-01-01 00:00:00', 1)")
    with local.consumer() as application:
        offload(application, stream, day("2024-01-04"))
    with pytest.raises(DropRefusedError, match="no partition key"):
        Tiers(local, stream).drop(Selection(partitions=("all",)))


def test_missing_grants_are_named(tiers: Tiers) -> None:
    with tiers.platform.consumer() as application:
        stream = application.streams[tiers.stream]
        assert list(application.partitions.lacking(stream)) == []
        application.partitions._granted = lambda right: "ALTER DELETE" not in right  # type: ignore[method-assign]
        with pytest.raises(AccessDeniedError, match=r"grants: ALTER DELETE ON `.*`\.\*\. "):
            application.hot_drops.drop(stream, ONE)


def test_a_target_that_was_rolled_back_is_refused(tiers: Tiers) -> None:
    tier = tiers.platform.cold_tier(tiers.stream)
    try:
        tier.drop()
    finally:
        tier.close()
    with pytest.raises(StreamError):
        tiers.drop()
    assert tiers.hot() == ROWS


def test_while_a_consumer_works_on_the_stream_nothing_is_dropped(tiers: Tiers) -> None:
    with tiers.platform.consumer(owner="busy") as application:
        claim = application.ledger.claim(tiers.stream, "busy", application.lease)
        with pytest.raises(IcehaulError, match="the lease is not free"):
            tiers.drop()
        application.ledger.release(claim)
    assert tiers.drop().good


@pytest.mark.thorough
def test_both_tiers_are_still_compared_after_a_drop(tiers: Tiers) -> None:
    tiers.drop()
    with tiers.platform.consumer() as application:
        stream = application.streams[tiers.stream]
        found = application.verifier.verify(stream)
        assert found.equal
        assert (found.hot.rows, found.dropped.rows, found.cold.rows) == (2 * ROWS, ROWS, 3 * ROWS)
        tiers.platform.client.command(f"ALTER TABLE {tiers.source} DROP PARTITION ID '20240102'")
        found = application.verifier.verify(stream)
    assert (found.equal, found.missing, found.surplus) == (False, 0, ROWS)


@pytest.mark.thorough
def test_offloading_goes_on_after_a_drop(tiers: Tiers) -> None:
    tiers.drop()
    tiers.platform.insert(5, first=5_000, day="2024-01-05")
    with tiers.platform.consumer() as application:
        application.offload.run(tick(stream=tiers.stream, boundary=day("2024-01-06")), threading.Event())
    assert tiers.cold() == 3 * ROWS + 5


def test_a_late_row_of_a_dropped_partition_is_added_alone(tiers: Tiers) -> None:
    tiers.drop()
    tiers.insert_late()
    with tiers.platform.consumer() as application:
        assert offload(application, tiers.stream, day("2024-01-06")) == []
        record = application.ledger.read([tiers.stream])[tiers.stream]
        found = application.verifier.verify(application.streams[tiers.stream])
    assert record.state is StreamState.ACTIVE
    assert (found.cold.rows, found.hot.rows, found.dropped.rows) == (3 * ROWS + 1, 2 * ROWS + 1, ROWS)
    assert found.equal
