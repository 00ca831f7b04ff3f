"""Source tables that are read over the shards of a cluster: every shard once, or not at all."""

from __future__ import annotations

import re
import socket
import uuid
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from consumer.adapters.clickhouse.introspection import ClickHouseIntrospection
from consumer.bootstrap import Application
from consumer.domain.batch import BatchKind
from consumer.domain.errors import ConfigurationError, SourceMissingError, SourceUnavailableError
from consumer.domain.event_factory import partition_closed
from consumer.domain.window import END_OF_TIME, EVER, Window
from consumer.embedded.endpoints import ClickHouseEndpoint
from consumer.embedded.stack import EmbeddedStack
from consumer.emitter.closings import find_closings
from tests.support.engine_cluster import DOWN, SHARDS, TWO, cluster_server
from tests.support.local_platform import (
    LocalPlatform,
    deliver,
    judge,
    ledger_database,
    local_platform,
    offload,
    published,
)
from tests.support.platform import day

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "read-a-cluster.md"


def as_on_the_page() -> dict[str, str]:
    """The page's section of the configuration, as far as it is about the cluster, with this server's cluster in it."""
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    given = yaml.safe_load(block)["clickhouse"]
    return {name: TWO for name in given if name not in {"host", "port", "user"}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseEndpoint]:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound, but nobody listens
        with cluster_server(tmp_path_factory.mktemp("cluster"), int(held.getsockname()[1])) as endpoint:
            yield endpoint


@pytest.fixture
def platform(
    stack: EmbeddedStack,
    server: ClickHouseEndpoint,
    unique_name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[LocalPlatform]:
    endpoints = stack.endpoints.model_copy(update={"clickhouse": server})
    with (
        ledger_database(stack.endpoints, f"t_{uuid.uuid4().hex[:12]}") as dsn,
        local_platform(endpoints, unique_name, dsn, tmp_path, monkeypatch) as made,
    ):
        made.sections["clickhouse"] = dict(as_on_the_page())
        yield made


def test_every_row_of_every_shard_is_offloaded_once_and_late_ones_are_found(platform: LocalPlatform) -> None:
    stream = platform.add_stream()
    platform.insert(500)
    with platform.consumer() as application:
        offload(application, stream, day("2024-01-02"))
        judge(application, stream, rows=500 * SHARDS)
        platform.insert(7, first=500)
        offload(application, stream, day("2024-01-02"))
        judge(application, stream, rows=507 * SHARDS)
        assert sorted(batch.rows for batch in published(application, stream)) == [7 * SHARDS, 500 * SHARDS]


def test_of_each_shard_the_latest_versions_are_read(platform: LocalPlatform) -> None:
    stream = platform.add_stream(mode="latest-version")
    table = f"{platform.name}.trades"
    platform.client.command(f"CREATE TABLE {table}_ AS {table} ENGINE = ReplacingMergeTree ORDER BY (ts, seq)")
    platform.client.command(f"DROP TABLE {table} SYNC")
    platform.client.command(f"RENAME TABLE {table}_ TO {table}")
    platform.insert(50)
    platform.insert(20)
    with platform.consumer() as application:
        offload(application, stream, day("2024-01-02"))
        judge(application, stream, rows=50 * SHARDS)
        platform.client.command(f"INSERT INTO {table} SELECT * REPLACE (price + 1 AS price) FROM {table} WHERE seq < 5")
        offload(application, stream, day("2024-01-02"))
        judge(application, stream, rows=50 * SHARDS)
        assert [batch.kind for batch in published(application, stream)].count(BatchKind.REPLACE) == 1


def test_partitions_are_those_of_each_shard_and_their_closes_reconcile_them(platform: LocalPlatform) -> None:
    stream = platform.add_stream()
    platform.insert(10)
    with platform.consumer() as application:
        settings = application.streams[stream]
        assert application.source.survey(settings).contents.keys() == {"shard1-20240101", "shard2-20240101"}
        bounds = application.source.partition_bounds(settings, EVER, 10)
        assert bounds is not None
        assert [one.rows for one in bounds] == [10] * SHARDS
        inventory = application.inventory.inventory(settings)
        closings = find_closings(inventory, sent={}, now=END_OF_TIME, quiet_for=timedelta(0))
        events = [
            partition_closed(stream=stream, table=inventory.table, partition=closing.partition, cutoff=closing.cutoff)
            for closing in closings
        ]
        assert {event.partition_id for event in events} == {"shard1-20240101", "shard2-20240101"}
        for event in events:
            deliver(application, event)
        judge(application, stream, rows=10 * SHARDS)
        compared = application.ledger.partitions(stream)
        assert compared.keys() == {"shard1-20240101", "shard2-20240101"}
        assert {one.span.first for one in compared.values()} == {day("2024-01-01")}


def test_a_shard_that_does_not_answer_is_never_left_out(platform: LocalPlatform) -> None:
    platform.add_stream()
    platform.insert(10)
    platform.sections["clickhouse"] = {"cluster": DOWN}
    with platform.consumer() as application:
        (settings,) = application.streams.values()
        window = Window(lower=day("2024-01-01"), upper=day("2024-01-02"))
        for look in (
            lambda: application.source.describe(settings.source),
            lambda: application.source.survey(settings).contents,
            lambda: application.source.extent(settings, window),
            lambda: application.source.partition_bounds(settings, window, 10),
            lambda: application.source.first(settings, window),
            lambda: application.inventory.inventory(settings),
        ):
            with pytest.raises(SourceUnavailableError, match=r"shard|replica|connection"):
                look()


def test_the_doctor_asks_every_shard(platform: LocalPlatform) -> None:
    def answering() -> Mapping[int, str]:
        look = ClickHouseIntrospection(platform.configuration().clickhouse)
        try:
            return look.answering()
        finally:
            look.close()

    assert answering().keys() == {1, 2}
    platform.sections["clickhouse"] = {"cluster": DOWN}
    with pytest.raises(SourceUnavailableError):
        answering()
    platform.sections["clickhouse"] = {"cluster": "nowhere"}
    with pytest.raises(ConfigurationError, match="'nowhere'"):
        answering()
    del platform.sections["clickhouse"]
    assert answering() == {}


def test_a_cluster_that_the_server_does_not_know_is_named(platform: LocalPlatform) -> None:
    platform.add_stream()
    platform.sections["clickhouse"] = {"cluster": "nowhere"}
    with platform.consumer() as application:
        (settings,) = application.streams.values()
        with pytest.raises(ConfigurationError, match="nowhere"):
            application.source.describe(settings.source)


def test_a_table_that_is_made_anew_on_a_shard_is_another_one(platform: LocalPlatform) -> None:
    stream = platform.add_stream()
    with platform.consumer() as application:
        source = application.streams[stream].source
        before = application.source.describe(source)
        platform.client.command(f"DROP TABLE {platform.name}.trades SYNC")
        with pytest.raises(SourceMissingError):
            application.source.describe(source)
        platform.streams.clear()
        platform.add_stream()
        assert application.source.describe(source).uuid != before.uuid


def test_what_works_on_one_server_only_is_refused(platform: LocalPlatform) -> None:
    platform.add_stream()
    with Application(platform.configuration(), environment={}) as application:
        for build in (
            lambda: application.partitions,
            lambda: application.views("inline"),
            lambda: application.event_objects("events", "collection"),
        ):
            with pytest.raises(ConfigurationError, match="is two-shards, and") as refused:
                build()
            assert refused.value.remedy
