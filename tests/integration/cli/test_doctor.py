"""`icehaul doctor`: each planted defect is found with its remedy, and stops no other check."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from psycopg import sql
from psycopg.conninfo import make_conninfo

from consumer.bootstrap import Application
from consumer.domain.type_mapping import map_table
from tests.integration.cli.conftest import Ended, Run, spawn
from tests.support.platform import Platform

SECRET = "hunter2-doctor"
Change = Callable[..., None]


@pytest.fixture
def changed(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Change:
    """Change a section of the configuration file."""

    def change(section: str, **fields: object) -> None:
        platform.sections[section] = {**platform.sections.get(section, {}), **fields}
        monkeypatch.setenv("ICEHAUL_CONFIG", str(platform.write()))

    return change


@pytest.fixture
def healthy(icehaul: Run, platform: Platform) -> Platform:
    """A platform with which everything is right."""
    assert icehaul("topics").code == 0
    return platform


def findings(ended: Ended, severity: str, check: str | None = None) -> list[dict[str, Any]]:
    return [one for one in ended.data["findings"] if one["severity"] == severity and check in {None, one["check"]}]


def test_a_healthy_setup(icehaul: Run, healthy: Platform) -> None:
    ended = icehaul("doctor", "--output", "json")
    assert findings(ended, "error") == []
    assert (ended.code, ended.err, ended.data["healthy"]) == (0, "", True)
    checks = {one["check"] for one in ended.data["findings"]}
    servers = {"clickhouse", "postgres", "kafka topics", "kafka group", "kafka offsets", "object store", "clock"}
    assert checks >= {*servers, "configuration", "source", "target", "disk", "java", "spark", "jars", "packages"}
    (store,) = findings(ended, "ok", "object store")
    assert store["message"] == "works: put, get, list, read by ClickHouse's s3(), delete"
    assert all(one["remedy"] for one in ended.data["findings"])
    assert findings(ended, "ok", "commands")
    text = icehaul("doctor")
    assert text.code == 0
    assert "0 errors" in text.out


def test_the_doctor_leaves_nothing_behind(icehaul: Run, healthy: Platform) -> None:
    icehaul("doctor")
    configuration = healthy.configuration()
    with Application(configuration, environment={}) as application:
        (stream,) = application.streams.values()
        assert application.catalog.inspect(stream.target) is None
        assert dict(application.ledger.read([stream.name])) == {}


def test_missing_topics_and_migrations_are_both_told(icehaul: Run, platform: Platform, empty_database: str) -> None:
    ended = icehaul("doctor", "-o", "json")
    assert ended.code == 1
    remedies = [one["remedy"] for one in findings(ended, "error")]
    assert remedies == ["run `icehaul migrate`", "create it: icehaul topics", "create it: icehaul topics"]
    skipped = [one["check"] for one in findings(ended, "info") if "not checked" in one["message"]]
    assert skipped == ["catalog", "kafka group", "kafka offsets", "clock of Postgres", "retention", "start", "targets"]
    assert findings(ended, "ok", "source")
    assert findings(ended, "ok", "object store")


def test_a_wrong_clickhouse_password(icehaul: Run, healthy: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICEHAUL_CLICKHOUSE__PASSWORD", SECRET)
    ended = icehaul("doctor", "-o", "json")
    assert ended.code == 1
    (found,) = findings(ended, "error", "clickhouse")
    assert "clickhouse.password" in found["remedy"]
    assert findings(ended, "ok", "postgres")
    assert findings(ended, "ok", "kafka group")
    assert SECRET not in ended.out + ended.err


def test_servers_that_do_not_listen(
    icehaul: Run, platform: Platform, changed: Change, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ICEHAUL_POSTGRES__DSN", f"postgresql://u:{SECRET}@127.0.0.1:{closed_port}/d")
    changed("clickhouse", port=closed_port)
    changed("kafka", bootstrap_servers=f"127.0.0.1:{closed_port}")
    changed("store", endpoint=f"http://127.0.0.1:{closed_port}")
    ended = spawn("doctor", "-o", "json")
    assert ended.code == 1
    assert {one["check"] for one in findings(ended, "error")} == {
        *("clickhouse", "postgres", "kafka topics", "object store")
    }
    assert "Traceback" not in ended.err
    assert SECRET not in ended.out + ended.err


def test_a_user_without_grants_in_postgres(
    icehaul: Run, healthy: Platform, unique_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn = healthy.endpoints.postgres.dsn
    role = sql.Identifier(unique_name)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(role))
        connection.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}").format(role))
        try:
            monkeypatch.setenv("ICEHAUL_POSTGRES__DSN", make_conninfo(dsn, user=unique_name, password="x"))
            ended = icehaul("doctor", "-o", "json")
        finally:
            connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
            connection.execute(sql.SQL("DROP ROLE {}").format(role))
    (found,) = findings(ended, "error", "postgres")
    assert "UPDATE on offload_batches" in found["message"]
    assert "GRANT" in found["remedy"]


def test_a_ttl_shorter_than_the_settle_lag_and_an_engine_that_replaces(
    icehaul: Run, healthy: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy.client.command(
        f"CREATE TABLE {healthy.name}.short (ts DateTime('UTC'), id UInt64) ENGINE = ReplacingMergeTree"
        " PARTITION BY toDate(ts) ORDER BY id TTL ts + INTERVAL 10 MINUTE"
    )
    other = {"name": f"{healthy.name}_short", "source": f"{healthy.name}.short", "target": f"{healthy.name}.short"}
    healthy.streams.append({**other, "timestamp_column": "ts", "settle_lag": "0s"})
    monkeypatch.setenv("ICEHAUL_CONFIG", str(healthy.write()))
    ended = icehaul("doctor", f"{healthy.name}_short", "-o", "json")
    (ttl,) = findings(ended, "error")
    assert "toIntervalMinute(10)" in ttl["message"]
    assert "MODIFY TTL" in ttl["remedy"]
    (engine,) = findings(ended, "warning", "source")
    assert "ReplacingMergeTree" in engine["message"]
    # Named streams only: the other one was not looked at.
    assert {one["subject"].split()[0] for one in ended.data["findings"] if one["check"] == "source"} == {other["name"]}
    assert icehaul("doctor", f"{healthy.name}_trades").code == 0


def test_a_time_column_that_is_none_and_a_table_that_is_missing(
    icehaul: Run, healthy: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy.streams[0]["timestamp_column"] = "symbol"
    base = {"timestamp_column": "ts", "target": f"{healthy.name}.gone", "settle_lag": "0s"}
    healthy.streams.append({**base, "name": "gone", "source": f"{healthy.name}.gone"})
    monkeypatch.setenv("ICEHAUL_CONFIG", str(healthy.write()))
    ended = icehaul("doctor", "-o", "json")
    messages = [one["message"] for one in findings(ended, "error", "source")]
    assert len(messages) == 2, ended.out
    assert "'symbol'" in messages[0]
    assert "does not exist" in messages[1]


def test_a_target_of_another_shape_with_an_earlier_expiry(
    icehaul: Run, healthy: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy.streams[0]["retain_snapshots"] = 10
    with Application(healthy.configuration(), environment={}) as application:
        (stream,) = application.streams.values()
        mapping = map_table(application.source.describe(stream.source).columns, timestamp_column="ts")
        application.catalog.ensure(stream, mapping, expected_uuid=None)
    assert icehaul("doctor").code == 0
    healthy.streams[0] |= {"retain_snapshots": 50, "partition_by": "month"}
    monkeypatch.setenv("ICEHAUL_CONFIG", str(healthy.write()))
    ended = icehaul("doctor", "-o", "json")
    (shape,) = findings(ended, "error", "target")
    assert "partition spec" in shape["message"]
    (expiry,) = findings(ended, "warning", "target")
    assert "min-snapshots-to-keep" in expiry["message"]


def test_a_halted_stream(icehaul: Run, healthy: Platform, stream: str) -> None:
    with Application(healthy.configuration(), environment={}) as application:
        application.ledger.register(stream)
        application.ledger.halt(stream, reason="the reason of it", remedy="the cure of it", epoch=None)
    (found,) = findings(icehaul("doctor", "-o", "json"), "error")
    assert "the reason of it" in found["message"]
    assert f"icehaul resume {stream}" in found["remedy"]


def test_a_group_of_the_classic_protocol(icehaul: Run, healthy: Platform, changed: Change) -> None:
    changed("kafka", group_protocol="classic")
    ended = icehaul("doctor", "-o", "json")
    assert "'classic'" in findings(ended, "ok", "kafka group")[0]["message"]


def test_topics_that_differ_and_take_no_large_event(icehaul: Run, platform: Platform) -> None:
    client = AdminClient({"bootstrap.servers": platform.endpoints.kafka.bootstrap_servers})
    small = {"max.message.bytes": "1000"}
    topics = [NewTopic(name, 1, 1, config=small) for name in (platform.topic, f"{platform.topic}.dead")]
    for created in client.create_topics(topics).values():
        created.result(30)
    ended = icehaul("doctor", "-o", "json")
    assert any("max.message.bytes is 1000" in one["message"] for one in findings(ended, "error", "kafka topics"))
    (partitions, *_) = findings(ended, "warning", "kafka topics")
    assert "partitions is 1, not 4" in partitions["message"]
    assert "kafka.partitions" in partitions["remedy"]


def test_a_configuration_that_does_not_load_is_a_finding_among_others(
    icehaul: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("consumer: {workers: many, lease_seconds: -1}\n", encoding="utf-8")
    ended = icehaul("doctor", "--config", str(path), "-o", "json")
    assert ended.code == 1
    (found,) = findings(ended, "error", "configuration")
    assert "consumer.workers" in found["message"]
    assert "consumer.lease_seconds" in found["message"]
    assert findings(ended, "ok", "packages")


def test_no_java(icehaul: Run, healthy: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    ended = icehaul("doctor", "-o", "json")
    (found,) = findings(ended, "error")
    assert (found["check"], found["subject"]) == ("java", str(tmp_path))
    assert "JAVA_HOME" in found["remedy"]


def test_a_spark_connect_server_that_does_not_listen_is_found_and_java_is_not_asked_for(
    icehaul: Run,
    healthy: Platform,
    changed: Change,
    closed_port: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    changed("spark", remote=f"sc://127.0.0.1:{closed_port}/;user_id=ops")
    ended = icehaul("doctor", "-o", "json")
    (found,) = findings(ended, "error")
    assert (found["check"], found["subject"]) == ("spark", f"sc://127.0.0.1:{closed_port}")
    assert f"no Spark Connect server answers at sc://127.0.0.1:{closed_port}: " in found["message"]
    assert "spark.remote" in found["remedy"]
    assert not [one for one in ended.data["findings"] if one["check"] in {"java", "jars"}]


def test_a_spark_token_in_the_file_is_warned_of(icehaul: Run, healthy: Platform, changed: Change) -> None:
    changed("spark", remote=f"sc://127.0.0.1:1/;token={SECRET}")
    ended = icehaul("doctor", "-o", "json")
    (found,) = findings(ended, "warning", "configuration")
    assert "spark.remote stands in the file" in found["message"]
    assert SECRET not in ended.out + ended.err


def test_a_stream_that_is_not_configured(icehaul: Run, healthy: Platform) -> None:
    ended = icehaul("doctor", "nobody")
    assert ended.code == 2
    ended.explained("'nobody'")
