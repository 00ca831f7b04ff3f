from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client

from consumer.adapters.clickhouse.client import ClickHouseConnection, Row
from consumer.adapters.clickhouse.inventory import ClickHouseInventory
from consumer.domain.errors import SourceMissingError, SourceUnavailableError, TimeColumnError
from consumer.domain.inventory import Partition
from consumer.domain.stream import Stream, TableName
from consumer.domain.window import PartitionBy
from consumer.embedded.stack import EmbeddedStack
from consumer.settings.connections import ClickHouseSettings
from tests.support.waiting import wait_until


class HotTier:
    """A database of a test's own."""

    def __init__(self, client: Client, settings: ClickHouseSettings, name: str) -> None:
        self.client, self.settings, self.name = client, settings, name
        self.inventory = ClickHouseInventory(settings)

    def table(self, partition_by: str, *, ts: str = "DateTime64(3, 'UTC')", table: str = "t") -> Stream:
        self.client.command(
            f"CREATE TABLE {self.name}.{table} (ts {ts}, k UInt8) ENGINE = MergeTree {partition_by} ORDER BY k"
        )
        source = TableName(database=self.name, table=table)
        return Stream(name=table, source=source, target=source, timestamp_column="ts")

    def insert(self, *times: str, k: int = 1, table: str = "t") -> None:
        values = ", ".join(f"('{time}', {k})" for time in times)
        self.client.command(f"INSERT INTO {self.name}.{table} VALUES {values}")

    def run(self, statement: str, table: str = "t") -> None:
        self.client.command(statement.replace("$t", f"{self.name}.{table}"), settings={"mutations_sync": 2})


@pytest.fixture
def hot(stack: EmbeddedStack, unique_name: str) -> Iterator[HotTier]:
    server = stack.endpoints.clickhouse
    settings = ClickHouseSettings.model_validate(
        {"host": server.host, "port": server.port, "user": server.user, "password": server.password}
    )
    client = clickhouse_connect.get_client(
        host=server.host, port=server.port, username=server.user, password=server.password
    )
    client.command(f"CREATE DATABASE {unique_name}")
    tier = HotTier(client, settings, unique_name)
    yield tier
    tier.inventory.close()
    client.command(f"DROP DATABASE {unique_name}")
    client.close()


def _only(hot: HotTier, stream: Stream) -> Partition:
    (partition,) = hot.inventory.inventory(stream).partitions
    return partition


def test_partitions_carry_their_rows_and_their_first_and_last_instant(hot: HotTier) -> None:
    stream = hot.table("PARTITION BY toYYYYMM(ts)")
    hot.insert("2025-01-05 10:00:00.123", "2025-01-07 11:00:00")
    hot.insert("2025-01-01 00:00:00", "2025-02-28 23:59:59.999")
    before = hot.inventory.now()
    found = hot.inventory.inventory(stream)
    assert (found.table, found.period, found.precision) == (
        stream.source,
        PartitionBy.MONTH,
        timedelta(milliseconds=1),
    )
    january, february = found.partitions
    assert (january.id, january.content.rows) == ("202501", 3)
    assert january.first == datetime(2025, 1, 1, tzinfo=UTC)
    assert january.last == datetime(2025, 1, 7, 11, tzinfo=UTC)
    assert february.first == february.last == datetime(2025, 2, 28, 23, 59, 59, 999_000, tzinfo=UTC)
    for partition in found.partitions:
        assert timedelta(0) <= before - partition.modified < timedelta(minutes=1)


def test_merges_keep_the_content_and_inserts_and_mutations_change_it(hot: HotTier) -> None:
    stream = hot.table("PARTITION BY toYYYYMM(ts)")
    for day in ("01", "02", "03"):
        hot.insert(f"2025-01-{day} 00:00:00")
    seen = [_only(hot, stream).content]

    def changed_by(statement: str) -> bool:
        hot.run(statement)
        seen.append(_only(hot, stream).content)
        return seen[-1].id not in {content.id for content in seen[:-1]}

    assert not changed_by("OPTIMIZE TABLE $t FINAL")
    assert changed_by("INSERT INTO $t VALUES ('2025-01-09 00:00:00', 2)")
    assert not changed_by("OPTIMIZE TABLE $t FINAL")
    assert changed_by("ALTER TABLE $t DELETE WHERE k = 2")
    assert not changed_by("OPTIMIZE TABLE $t FINAL")
    assert changed_by("INSERT INTO $t VALUES ('2025-01-10 00:00:00', 4)")
    assert not changed_by("OPTIMIZE TABLE $t FINAL")
    assert changed_by("DELETE FROM $t WHERE k = 4")


def test_an_update_that_keeps_every_row_changes_the_content(hot: HotTier) -> None:
    stream = hot.table("PARTITION BY toYYYYMM(ts)")
    hot.run("ALTER TABLE $t ADD COLUMN note String")
    hot.run("INSERT INTO $t VALUES ('2025-01-01 00:00:00', 1, 'a')")
    before = _only(hot, stream).content
    hot.run("ALTER TABLE $t UPDATE note = 'b' WHERE k = 1")
    after = _only(hot, stream).content
    assert before.rows == after.rows
    assert before.id != after.id


def test_a_table_that_stands_still_takes_one_query_and_one_that_was_altered_is_described_anew(
    hot: HotTier, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    rows = ClickHouseConnection.rows

    def counted(connection: ClickHouseConnection, query: str, **more: Any) -> Sequence[Row]:
        asked.append(query)
        return rows(connection, query, **more)

    def queries() -> int:
        asked.clear()
        hot.inventory.inventory(stream)
        return len(asked)

    monkeypatch.setattr(ClickHouseConnection, "rows", counted)
    stream = hot.table("PARTITION BY k")
    hot.insert("2025-01-05 00:00:00")
    wait_until(lambda: queries() == 1, seconds=60, what="a description that is kept")
    hot.run("ALTER TABLE $t MODIFY COLUMN ts DateTime64(6, 'UTC')")
    assert hot.inventory.inventory(stream).precision == timedelta(microseconds=1)


def test_the_extent_of_a_partition_follows_late_rows(hot: HotTier) -> None:
    stream = hot.table("PARTITION BY toYYYYMM(ts)")
    hot.insert("2025-01-05 00:00:00")
    assert _only(hot, stream).last == datetime(2025, 1, 5, tzinfo=UTC)
    hot.insert("2025-01-31 12:00:00", "2025-01-02 00:00:00")
    partition = _only(hot, stream)
    assert (partition.first.day, partition.last.day) == (2, 31)


def test_dropped_partitions_and_partitions_without_rows_are_gone(hot: HotTier) -> None:
    stream = hot.table("PARTITION BY toYYYYMM(ts)")
    hot.insert("2025-01-05 00:00:00", "2025-02-05 00:00:00", "2025-03-05 00:00:00", "2025-03-06 00:00:00", k=1)
    assert len(hot.inventory.inventory(stream).partitions) == 3
    hot.run("ALTER TABLE $t DROP PARTITION 202501")
    hot.run("ALTER TABLE $t DELETE WHERE toYYYYMM(ts) = 202502")
    hot.run("DELETE FROM $t WHERE toYYYYMM(ts) = 202503")
    assert hot.inventory.inventory(stream).partitions == ()


def test_a_table_without_a_partition_key_has_no_partitions_to_close(hot: HotTier) -> None:
    stream = hot.table("")
    hot.insert("2025-01-05 00:00:00")
    assert hot.inventory.inventory(stream).partitions == ()


@pytest.mark.parametrize(
    ("ts", "partition_by", "period", "precision", "value"),
    [
        ("Date", "ts", PartitionBy.DAY, timedelta(days=1), "2025-01-05"),
        ("Date32", "toYYYYMM(ts)", PartitionBy.MONTH, timedelta(days=1), "2025-01-05"),
        ("DateTime", "toDate(ts)", PartitionBy.DAY, timedelta(seconds=1), "2025-01-05 00:00:00"),
        ("DateTime('Asia/Tokyo')", "toDate(ts)", None, timedelta(seconds=1), "2025-01-05 09:00:00"),
        (
            "DateTime64(6, 'UTC')",
            "(k, toStartOfHour(ts))",
            PartitionBy.HOUR,
            timedelta(microseconds=1),
            "2025-01-05 00:00:00",
        ),
        ("DateTime64(0, 'UTC')", "toMonday(ts)", None, timedelta(seconds=1), "2025-01-05 00:00:00"),
        ("DateTime64(3, 'UTC')", "k", None, timedelta(milliseconds=1), "2025-01-05 00:00:00"),
        ("DateTime64(3, 'UTC')", "(k, k + 1)", None, timedelta(milliseconds=1), "2025-01-05 00:00:00"),
    ],
)
def test_every_time_type_and_key(
    *, hot: HotTier, ts: str, partition_by: str, period: PartitionBy | None, precision: timedelta, value: str
) -> None:
    stream = hot.table(f"PARTITION BY {partition_by}", ts=ts)
    hot.insert(value)
    found = hot.inventory.inventory(stream)
    assert (found.period, found.precision) == (period, precision)
    (partition,) = found.partitions
    assert partition.first == partition.last == datetime(2025, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize("ts", ["Nullable(DateTime)", "DateTime64(9, 'UTC')", "String"])
def test_a_column_that_is_no_time_is_named(hot: HotTier, ts: str) -> None:
    stream = hot.table("PARTITION BY k", ts=ts)
    with pytest.raises(TimeColumnError, match="'ts' has the type"):
        hot.inventory.inventory(stream)


def test_a_missing_table_or_column_is_named(hot: HotTier) -> None:
    stream = hot.table("PARTITION BY k")
    with pytest.raises(SourceMissingError, match="nothing"):
        hot.inventory.inventory(replace(stream, source=TableName(database=hot.name, table="nothing")))
    with pytest.raises(SourceMissingError, match="'other' is no column"):
        hot.inventory.inventory(replace(stream, timestamp_column="other"))


def test_a_server_that_does_not_answer_is_an_error_that_passes(hot: HotTier) -> None:
    nowhere = ClickHouseInventory(hot.settings.model_copy(update={"port": 9, "connect_timeout_seconds": 1}))
    with pytest.raises(SourceUnavailableError):
        nowhere.now()


def test_the_server_s_time_is_utc_now(hot: HotTier) -> None:
    assert abs(hot.inventory.now() - datetime.now(UTC)) < timedelta(seconds=5)
