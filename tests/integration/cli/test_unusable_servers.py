"""A server that can't be used is told with its address, its cause and the remedy; never a traceback, never a secret."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from psycopg.conninfo import make_conninfo

from consumer.bootstrap import Application
from consumer.domain.type_mapping import map_table
from tests.integration.cli.conftest import Run, spawn
from tests.support.platform import Platform

SECRET = "hunter2-" + uuid.uuid4().hex

UNAVAILABLE, REFUSED, USAGE = 3, 4, 2


@pytest.fixture
def configured(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Change a section of the configuration, which would shorten its time-outs too."""

    def change(section: str, **fields: object) -> None:
        platform.sections[section] = {**platform.sections.get(section, {}), **fields}
        monkeypatch.setenv("ICEHAUL_CONFIG", str(platform.write()))

    change("postgres", connect_timeout_seconds=2)
    return change


def make_target(platform: Platform) -> None:
    with Application(platform.configuration(), environment={}) as application:
        (stream,) = application.streams.values()
        described = application.source.describe(stream.source)
        mapping = map_table(described.columns, timestamp_column="ts", sequence_columns=("seq",))
        application.catalog.ensure(stream, mapping, expected_uuid=None)


@pytest.mark.parametrize("command", ["status", "plan"])
def test_clickhouse_does_not_listen(
    icehaul: Run, stream: str, configured: Callable[..., None], closed_port: int, command: str
) -> None:
    configured("clickhouse", port=closed_port)
    ended = icehaul(command, stream, "-o", "json")
    assert (ended.code, ended.out) == (UNAVAILABLE, "")
    ended.explained(f"ClickHouse at 127.0.0.1:{closed_port}", "clickhouse.port")


@pytest.mark.parametrize("command", ["status", "plan", "verify", "resume"])
def test_postgres_does_not_listen(
    icehaul: Run, stream: str, monkeypatch: pytest.MonkeyPatch, closed_port: int, command: str
) -> None:
    monkeypatch.setenv("ICEHAUL_POSTGRES__DSN", f"postgresql://icehaul:{SECRET}@127.0.0.1:{closed_port}/icehaul")
    ended = icehaul(command, stream)
    assert (ended.code, ended.out) == (UNAVAILABLE, "")
    ended.explained(f"Postgres at 127.0.0.1:{closed_port}/icehaul", "postgres.dsn")
    assert SECRET not in ended.err


def test_migrate_without_postgres(icehaul: Run, stream: str, monkeypatch: pytest.MonkeyPatch, closed_port: int) -> None:
    monkeypatch.setenv("ICEHAUL_POSTGRES__DSN", f"postgresql://icehaul:{SECRET}@127.0.0.1:{closed_port}/icehaul")
    ended = icehaul("migrate")
    assert ended.code == UNAVAILABLE
    ended.explained("does not take connections")


def test_kafka_does_not_listen(icehaul: Run, stream: str, configured: Callable[..., None], closed_port: int) -> None:
    configured("kafka", bootstrap_servers=f"127.0.0.1:{closed_port}")
    ended = icehaul("topics")
    assert (ended.code, ended.out) == (UNAVAILABLE, "")
    ended.explained(f"127.0.0.1:{closed_port}", "kafka.bootstrap_servers")


def test_the_store_does_not_listen(
    icehaul: Run, platform: Platform, stream: str, configured: Callable[..., None], closed_port: int
) -> None:
    make_target(platform)
    configured("store", endpoint=f"http://127.0.0.1:{closed_port}")
    ended = icehaul("plan", stream)
    assert (ended.code, ended.out) == (UNAVAILABLE, "")
    ended.explained("store.endpoint")


@pytest.mark.parametrize("command", ["status", "plan"])
def test_clickhouse_refuses_the_password(
    icehaul: Run, stream: str, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("ICEHAUL_CLICKHOUSE__PASSWORD", SECRET)
    ended = icehaul(command, stream)
    assert (ended.code, ended.out) == (REFUSED, "")
    ended.explained("clickhouse.user and clickhouse.password")
    assert SECRET not in ended.err


def test_postgres_refuses_the_password(
    icehaul: Run, platform: Platform, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ICEHAUL_POSTGRES__DSN", make_conninfo(platform.endpoints.postgres.dsn, password=SECRET))
    ended = icehaul("status")
    assert (ended.code, ended.out) == (REFUSED, "")
    ended.explained("may not log in", "postgres.dsn")
    assert SECRET not in ended.err


def test_the_store_refuses_the_key(
    icehaul: Run, platform: Platform, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_target(platform)
    monkeypatch.setenv("ICEHAUL_STORE__SECRET_KEY", SECRET)
    ended = icehaul("plan", stream)
    assert (ended.code, ended.out) == (REFUSED, "")
    ended.explained("store.access_key and store.secret_key")
    assert SECRET not in ended.err


def test_kafka_without_the_mechanism_that_is_configured(
    icehaul: Run, stream: str, configured: Callable[..., None]
) -> None:
    configured(
        "kafka",
        options={"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "u"},
        secret_options={"sasl.password": SECRET},
    )
    ended = icehaul("topics")
    assert ended.code in {UNAVAILABLE, REFUSED}
    ended.explained("kafka.")
    assert SECRET not in ended.err


def test_an_option_that_the_kafka_client_does_not_know(
    icehaul: Run, stream: str, configured: Callable[..., None]
) -> None:
    configured("kafka", options={"no.such.option": SECRET})
    ended = icehaul("topics")
    assert ended.code == USAGE
    ended.explained("kafka.options", "no.such.option")


@pytest.mark.parametrize("command", ["status", "plan", "verify", "resume"])
def test_a_ledger_that_was_never_migrated(icehaul: Run, stream: str, empty_database: str, command: str) -> None:
    ended = icehaul(command, stream)
    assert (ended.code, ended.out) == (USAGE, "")
    ended.explained("run `icehaul migrate`")


def test_migrating_an_empty_database(icehaul: Run, stream: str, empty_database: str) -> None:
    assert len(icehaul("migrate", "-o", "json").data["applied"]) >= 3
    assert icehaul("status").code == 0


def test_a_database_that_is_not_there(
    icehaul: Run, platform: Platform, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn = make_conninfo(platform.endpoints.postgres.dsn, dbname="nowhere")
    monkeypatch.setenv("ICEHAUL_POSTGRES__DSN", dsn)
    ended = icehaul("migrate")
    assert ended.code == USAGE
    ended.explained("nowhere", "CREATE DATABASE")


def test_a_dsn_that_is_none(icehaul: Run, stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICEHAUL_POSTGRES__DSN", f"postgresql://u:{SECRET}@[::1/x y")
    ended = icehaul("status")
    assert ended.code == USAGE
    ended.explained("postgres.dsn: the value is no connection string")
    assert SECRET not in ended.err


@pytest.mark.thorough
def test_emitting_to_a_topic_that_is_not_there(
    icehaul: Run, stream: str, configured: Callable[..., None], empty_database: str
) -> None:
    configured("emitter", tick="52w")
    assert icehaul("migrate").code == 0
    ended = spawn("emit", "--once", "-o", "json")
    assert (ended.code, ended.out) == (UNAVAILABLE, "")
    assert "remedy: create the topics: icehaul topics" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.thorough
def test_emitting_for_a_source_that_is_not_there(
    icehaul: Run, platform: Platform, stream: str, configured: Callable[..., None], empty_database: str
) -> None:
    configured("emitter", tick="52w")
    assert (icehaul("migrate").code, icehaul("topics").code) == (0, 0)
    platform.client.command(f"DROP TABLE {platform.name}.trades SYNC")
    ended = spawn("emit", "--once", "-o", "json")
    assert ended.code == 1, ended.err
    assert stream in ended.data["failed"]
    assert ended.data["ticks"] == 1
