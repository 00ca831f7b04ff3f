"""`icehaul init`: the file it writes loads as it is, `plan` works on it, and what can't run says why."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from consumer.settings.load import load
from tests.integration.cli.conftest import Run
from tests.support.platform import Platform

TABLES = (
    """silver_ticks (exchange_timestamp DateTime64(6, 'UTC'), ingested_at DateTime, seq UInt64, symbol String)
    ENGINE = MergeTree PARTITION BY toYYYYMM(exchange_timestamp) ORDER BY (symbol, exchange_timestamp)""",
    "bars (day Date, symbol String, close Float64) ENGINE = ReplacingMergeTree ORDER BY (symbol, day)",
    "short (ts DateTime, id UInt64) ENGINE = MergeTree ORDER BY ts TTL ts + INTERVAL 10 MINUTE",
    "users (id UInt64, name String) ENGINE = MergeTree ORDER BY id",
    "hosts (ts DateTime, seen Int256, load Float32) ENGINE = MergeTree ORDER BY ts",
    "`strange name` (ts DateTime) ENGINE = MergeTree ORDER BY ts",
    "scratch (ts DateTime) ENGINE = Memory",
)


@pytest.fixture
def shop(platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """A database with tables of all kinds; no configuration file, the stack's addresses in the environment."""
    for table in TABLES:
        platform.client.command(f"CREATE TABLE {platform.name}.{table}")
    platform.client.command(f"CREATE VIEW {platform.name}.view_of_users AS SELECT * FROM {platform.name}.users")
    platform.client.command(
        f"INSERT INTO {platform.name}.silver_ticks SELECT now64(6) - toIntervalMinute(number), 0, number, 'x'"
        " FROM numbers(100)"
    )
    monkeypatch.delenv("ICEHAUL_CONFIG")
    monkeypatch.chdir(tmp_path)
    for name, value in platform.endpoints.environment().items():
        monkeypatch.setenv(name, value)
    return platform


def test_the_file_loads_as_it_is_and_plan_and_doctor_work_on_it(
    icehaul: Run, shop: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = icehaul("init", "--database", shop.name)
    assert (ended.code, ended.out) == (0, "")
    streams = {stream.name.removeprefix(f"{shop.name}_"): stream for stream in load(Path("icehaul.yaml")).streams}
    assert streams.keys() == {"bars", "short", "silver_ticks", "trades"}
    ticks = streams["silver_ticks"]
    assert (ticks.timestamp_column, ticks.sequence_columns) == ("exchange_timestamp", ("seq",))
    assert (ticks.target, ticks.layer, ticks.partition_by) == (f"silver.{shop.name}_ticks", "silver", "month")
    assert streams["bars"].row_span.days == 1
    for stream in streams.values():
        planned = icehaul("plan", stream.name, "-o", "json")
        assert planned.code == 0, planned.err
    assert "toIntervalMinute(10)" in ended.err
    monkeypatch.setenv("ICEHAUL_KAFKA__TOPIC", shop.name)
    monkeypatch.setenv("ICEHAUL_KAFKA__DEAD_LETTER_TOPIC", f"{shop.name}_dead")
    assert icehaul("doctor", ticks.name, "-o", "json").data["counts"]["error"] == 2  # both topics are missing


def test_editors_find_the_schema_beside_the_file_and_the_file_fits_it(icehaul: Run, shop: Platform) -> None:
    Path("there").mkdir()
    assert icehaul("init", "-d", shop.name, "--file", "there/mine.yaml").code == 0
    text = Path("there/mine.yaml").read_text(encoding="utf-8")
    (name,) = re.findall(r"\A# yaml-language-server: \$schema=(\S+)\n", text)
    schema = json.loads((Path("there") / name).read_text(encoding="utf-8"))
    Draft202012Validator(schema).validate(yaml.safe_load(text))
    wrong = yaml.safe_load(text.replace("timestamp_column:", "timestamp_colum:"))
    assert not Draft202012Validator(schema).is_valid(wrong)


def test_the_file_tells_the_reasons_and_holds_no_secret(icehaul: Run, shop: Platform) -> None:
    ended = icehaul("init", "-d", shop.name, "--file", "-")
    assert ended.code == 0
    text = " ".join(ended.out.replace("#", " ").split())
    for told in (
        "time column, because: in the partition key; in the sorting key; its name speaks of the event",
        "instead: ingested_at",
        "some values are 1970-01-01",
        "not written, because it can't be offloaded".capitalize(),
        f"{shop.name}.strange name: its name is not made of",
        f"{shop.name}.view_of_users: a view has no rows of its own",
        f"{shop.name}.scratch: a Memory table",
        "no column can be the time column",
        "column 'seen' has the type Int256",
        "choose by columns.seen",
        "symbol String → string, required",
        "mode: latest-version",
        "a date stands for its whole day",
    ):
        assert told in text, told
    for secret in ("clickhouse", "store", "postgres"):
        section = yaml.safe_load(ended.out).get(secret, {})
        assert not section.keys() & {"password", "secret_key", "dsn"}
    assert shop.endpoints.clickhouse.password not in ended.out
    assert shop.endpoints.store.secret_key not in ended.out
    assert yaml.safe_load(ended.out)["clickhouse"]["port"] == shop.endpoints.clickhouse.port
    assert [*Path().glob("icehaul*")] == []


def test_an_existing_file_is_overwritten_only_by_force(icehaul: Run, shop: Platform) -> None:
    Path("icehaul.yaml").write_text("kafka: {topic: mine}\n", encoding="utf-8")
    refused = icehaul("init", "-d", shop.name)
    assert refused.code == 2
    refused.explained("icehaul.yaml exists already", "--force")
    assert Path("icehaul.yaml").read_text(encoding="utf-8") == "kafka: {topic: mine}\n"
    assert icehaul("init", "-d", shop.name, "--force").code == 0
    # What was configured is taken over.
    assert load(Path("icehaul.yaml")).kafka.topic == "mine"


def test_options_win_over_the_environment(icehaul: Run, shop: Platform, closed_port: int) -> None:
    ended = icehaul("init", "-d", shop.name, "--port", str(closed_port), "--file", "-")
    assert (ended.code, ended.out) == (3, "")
    ended.explained(f"127.0.0.1:{closed_port}")


def test_a_database_that_is_not_there(icehaul: Run, shop: Platform) -> None:
    ended = icehaul("init", "-d", "nowhere", "--file", "-")
    assert (ended.code, ended.out) == (4, "")
    ended.explained("there is no database 'nowhere'", shop.name)


def test_a_wrong_password(icehaul: Run, shop: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICEHAUL_CLICKHOUSE__PASSWORD", "wrong-hunter2")
    ended = icehaul("init", "-d", shop.name, "--file", "-")
    assert (ended.code, ended.out) == (4, "")
    ended.explained("clickhouse.password")
    assert "hunter2" not in ended.err


def test_without_a_terminal_nothing_is_asked(icehaul: Run, shop: Platform) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "consumer.entrypoints.cli.main", "init", "-d", shop.name, "-i", "--file", "-"],
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "no terminal: nothing is asked" in done.stderr
    assert len(yaml.safe_load(done.stdout)["streams"]) == 4


def test_on_a_terminal_it_asks_for_what_is_unsure(shop: Platform) -> None:
    main, terminal = pty.openpty()
    # The settle lag, then layer and target of the four tables whose names tell no layer.
    os.write(main, b"soon\n7m\n" + b"gold\n\n" * 6)
    done = subprocess.run(
        [sys.executable, "-m", "consumer.entrypoints.cli.main", "init", "-d", shop.name, "-i", "--file", "-"],
        stdin=terminal,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(main)
    os.close(terminal)
    assert done.returncode == 0, done.stderr
    assert "How long after its timestamp" in done.stderr
    assert "a duration is a number with a unit" in done.stderr
    document = yaml.safe_load(done.stdout)
    assert document["emitter"]["grace"] == "7m"
    assert {stream["settle_lag"] for stream in document["streams"]} == {"7m"}
    layers = {stream["name"].removeprefix(f"{shop.name}_"): stream["layer"] for stream in document["streams"]}
    assert layers == {"bars": "gold", "short": "gold", "silver_ticks": "silver", "trades": "gold"}
