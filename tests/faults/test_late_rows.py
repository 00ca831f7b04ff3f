"""Rows that arrive below the watermark of a real table, of any shape: each reaches the cold tier once."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta

import pytest

from consumer.adapters.clickhouse.inventory import ClickHouseInventory
from consumer.bootstrap import Application
from consumer.domain.batch import BatchKind
from consumer.domain.errors import FencedError
from consumer.domain.event_factory import partition_closed
from consumer.domain.reconcile import FindingKind
from consumer.domain.writer import Writer
from consumer.ports import StreamState
from tests.support.cases import few
from tests.support.interruptions import Interrupt
from tests.support.local_platform import LocalPlatform, deliver, judge, offload, published
from tests.support.platform import TRADES, day

CUTOFF = day("2024-01-04")

PARTITION_KEYS = {
    "none": "tuple()",
    "day": "toDate(ts)",
    "month": "toYYYYMM(ts)",
    "hour": "toStartOfHour(ts)",
    "tuple": "(symbol, toDate(ts))",
    "expression": "intHash32(seq) % 3",
}
BLOCK_NUMBERS = "enable_block_number_column = 1, enable_block_offset_column = 1"


def make(platform: LocalPlatform, *, key: str = "toDate(ts)", tail: str = "", columns: str = TRADES) -> str:
    """A stream over a table of two days of trades, already offloaded by nobody."""
    stream = platform.add_stream()
    table = f"{platform.name}.trades"
    platform.client.command(f"DROP TABLE {table} SYNC")
    platform.client.command(
        f"CREATE TABLE {table} ({columns}) ENGINE = MergeTree PARTITION BY {key} ORDER BY ts {tail}"
    )
    for number, date in enumerate(("2024-01-01", "2024-01-02")):
        platform.insert(50, first=number * 50, day=date)
    return stream


def late(platform: LocalPlatform, *days: str, rows: int = 3, first: int = 1_000) -> None:
    for date in days:
        platform.insert(rows, first=first, day=date)


def supplements(consumer: Application, stream: str) -> int:
    return sum(one.kind is BatchKind.SUPPLEMENT for one in published(consumer, stream))


@pytest.mark.thorough
@pytest.mark.parametrize("writer", few(Writer, {Writer.STREAM}))
def test_late_rows_may_be_more_than_a_query_of_the_usual_length_can_name(local: LocalPlatform, writer: Writer) -> None:
    local.sections["spark"] = {"writer": str(writer)}
    stream = make(local)
    with local.consumer() as consumer:
        assert offload(consumer, stream, CUTOFF) == []
        late(local, "2024-01-01", rows=7_000)
        assert offload(consumer, stream, CUTOFF) == []
        judge(consumer, stream, rows=7_100)
        assert supplements(consumer, stream) == 1


@pytest.mark.parametrize(
    ("key", "settings"),
    [
        *(
            pytest.param(key, "", marks=() if key in {"none", "day"} else pytest.mark.thorough, id=f"{key}-plain")
            for key in PARTITION_KEYS
        ),
        *(
            pytest.param(
                key,
                f"SETTINGS {BLOCK_NUMBERS}",
                # What block numbers change is alike for all keys.
                marks=() if key == "tuple" else pytest.mark.thorough,
                id=f"{key}-with-block-numbers",
            )
            for key in PARTITION_KEYS
        ),
    ],
)
def test_late_rows_arrive_whatever_the_partition_key(local: LocalPlatform, key: str, settings: str) -> None:
    stream = make(local, key=PARTITION_KEYS[key], tail=settings)
    with local.consumer() as consumer:
        offload(consumer, stream, CUTOFF)
        judge(consumer, stream, rows=100)
        late(local, "2024-01-01", "2024-01-02", "2023-11-30")
        offload(consumer, stream, CUTOFF)
        judge(consumer, stream, rows=109)
        local.client.command(f"OPTIMIZE TABLE {local.name}.trades FINAL")
        offload(consumer, stream, CUTOFF)
        late(local, "2024-01-02")
        offload(consumer, stream, CUTOFF + timedelta(minutes=15))
        judge(consumer, stream, rows=112)
        assert consumer.ledger.findings(stream) == []


def test_legitimate_duplicates_are_kept_before_and_after_a_compaction_of_the_target(local: LocalPlatform) -> None:
    stream = make(local)
    with local.consumer() as consumer:
        offload(consumer, stream, CUTOFF)
        late(local, "2024-01-01", rows=50, first=0)
        offload(consumer, stream, CUTOFF)
        judge(consumer, stream, rows=150)
        with closing(local.cold_tier(stream)) as tier:
            tier.compact(carry=True)
        late(local, "2024-01-01", rows=2, first=0)
        late(local, "2024-01-01", rows=2, first=0)
        offload(consumer, stream, CUTOFF)
        found = consumer.verifier.verify(consumer.streams[stream])
        assert found.equal
        assert found.cold.rows == 154


@pytest.mark.thorough
def test_a_time_column_of_whole_days_has_late_rows_too(local: LocalPlatform) -> None:
    stream = local.add_stream("bars", columns="ts Date, seq UInt64", partition_by="month")
    insert = f"INSERT INTO {local.name}.bars SELECT toDate('2024-01-01') + number % 20, number FROM numbers"
    local.client.command(f"{insert}(100)")
    with local.consumer() as consumer:
        offload(consumer, stream, day("2024-03-01"))
        local.client.command(f"{insert}(100, 7)")
        offload(consumer, stream, day("2024-03-01"))
        judge(consumer, stream, rows=107)


def test_a_close_finds_what_an_exchange_of_rows_hides_from_the_counts(local: LocalPlatform) -> None:
    """A partition that is replaced holds as many rows, of other content, and no mutation tells."""
    stream = make(local)
    table = f"{local.name}.trades"
    with local.consumer() as consumer:
        offload(consumer, stream, CUTOFF)
        local.client.command(f"CREATE TABLE {local.name}.other AS {table}")
        local.client.command(
            f"INSERT INTO {local.name}.other SELECT * REPLACE (seq + 7000 AS seq) FROM {table} WHERE toDate(ts) ="
            " '2024-01-01'"
        )
        local.client.command(f"ALTER TABLE {table} REPLACE PARTITION '2024-01-01' FROM {local.name}.other")
        settings = consumer.streams[stream]
        source = ClickHouseInventory(consumer.configuration.clickhouse)
        partition = next(each for each in source.inventory(settings).partitions if each.id == "20240101")
        source.close()
        deliver(consumer, partition_closed(stream=stream, table=settings.source, partition=partition, cutoff=CUTOFF))
        found = consumer.verifier.verify(settings)
        assert found.missing == 0
        assert found.surplus == 50


MUTATIONS = {
    "update": (FindingKind.CHANGED, "ALTER TABLE {t} UPDATE price = price + 1 WHERE seq < 10"),
    "delete": (FindingKind.DELETED, "ALTER TABLE {t} DELETE WHERE seq < 10"),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_rows_that_a_mutation_changes_or_deletes_are_reported_and_left_alone(
    local: LocalPlatform, mutation: str
) -> None:
    kind, statement = MUTATIONS[mutation]
    stream = make(local)
    with local.consumer() as consumer:
        offload(consumer, stream, CUTOFF)
        before = consumer.catalog.snapshots(consumer.streams[stream].target)
        local.client.command(statement.replace("{t}", f"{local.name}.trades") + " SETTINGS mutations_sync = 2")
        for _ in range(2):
            offload(consumer, stream, CUTOFF)
        (found,) = consumer.ledger.findings(stream)
        assert (found.kind, found.rows) == (kind, 10)
        assert consumer.catalog.snapshots(consumer.streams[stream].target) == before


def test_rows_that_ttl_takes_before_they_were_read_are_a_gap_not_an_empty_window(local: LocalPlatform) -> None:
    stream = make(local)
    table = f"{local.name}.trades"
    with local.consumer() as consumer:
        offload(consumer, stream, day("2024-01-02"))
        local.client.command(
            f"ALTER TABLE {table} MODIFY TTL toDateTime(ts) + INTERVAL 1 DAY SETTINGS"
            " materialize_ttl_after_modify = 0, mutations_sync = 2"
        )
        local.client.command(f"OPTIMIZE TABLE {table} FINAL")
        assert local.rows() == 0
        offload(consumer, stream, CUTOFF)
        record = consumer.ledger.read([stream])[stream]
        assert record.state is StreamState.HALTED
        assert record.watermark == day("2024-01-02")
        assert "50 rows" in str(record.halt_reason)
        (gap,) = [found for found in consumer.ledger.findings(stream) if found.kind is FindingKind.GAP]
        assert (gap.window.lower, gap.rows) == (day("2024-01-02"), 50)
        consumer.ledger.accept(stream)
        consumer.ledger.resume(stream)
        offload(consumer, stream, CUTOFF)
        assert consumer.ledger.read([stream])[stream].watermark == CUTOFF


@pytest.mark.parametrize(
    "point",
    few(
        [
            "batch.before-begin",
            "batch.after-write",
            "publish.before-commit",
            "publish.after-commit",
            "comparison.before-record",
            "comparison.after-record",
        ],
        {"publish.before-commit", "publish.after-commit", "comparison.before-record"},
    ),
)
def test_a_supplement_that_breaks_off_anywhere_is_there_once_afterwards(local: LocalPlatform, point: str) -> None:
    stream = make(local)
    with local.consumer() as consumer:
        offload(consumer, stream, CUTOFF)
        late(local, "2024-01-01")

        def abandon() -> None:
            raise FencedError("the stream was taken over", remedy="nothing to do")

        with local.consumer(failpoints=Interrupt(point, abandon)) as other:
            assert len(offload(other, stream, CUTOFF)) == 1
        judge(consumer, stream, rows=103)
        assert supplements(consumer, stream) == 1
