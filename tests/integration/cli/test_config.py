"""`icehaul config` and `icehaul streams`: what is configured, whence, and never a secret; no server is needed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from consumer.settings.effective import REDACTED
from consumer.settings.load import load
from tests.integration.cli.conftest import Run

FILE = """\
# yaml-language-server: $schema=icehaul.schema.json
clickhouse: {host: hot.example, user: reader}
kafka:
  options: {sasl.username: me, sasl.password: hunter2, client.rack: a}
  secret_options: {ssl.key.password: hunter2}
telemetry: {otlp_endpoint: "http://me:hunter2@traces.example:4318"}
streams:
  - name: trades
    source: market.trades
    target: bronze.trades
    timestamp_column: ts
    sequence_columns: [seq]
    settle_lag: 90s
  - {name: bars, source: market.bars, target: silver.bars, timestamp_column: t, layer: silver, upstreams: [trades]}
"""


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "icehaul.yaml"
    path.write_text(FILE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ICEHAUL_CLICKHOUSE__PASSWORD", "hunter2")
    monkeypatch.setenv("ICEHAUL_POSTGRES__DSN", "postgresql://me:hunter2@ledger.example/icehaul")
    monkeypatch.setenv("ICEHAUL_STORE__BUCKET", "lake")
    return path


def test_streams_lists_what_is_configured(icehaul: Run) -> None:
    ended = icehaul("streams")
    assert (ended.code, ended.err) == (0, "")
    for part in ("trades", "market.bars", "silver.bars", "1m30s", "day"):
        assert part in ended.out
    first, second = icehaul("streams", "-o", "json").data
    assert (first["name"], first["settle_lag_seconds"], first["sequence_columns"]) == ("trades", 90, ["seq"])
    assert (second["upstreams"], second["layer"]) == (["trades"], "silver")


def test_streams_of_an_empty_file(icehaul: Run, file: Path) -> None:
    file.write_text("", encoding="utf-8")
    assert icehaul("streams").out == "no stream is configured\n"
    assert icehaul("streams", "-o", "json").data == []


@pytest.mark.parametrize("output", ["text", "json"])
def test_config_show_keeps_every_secret(icehaul: Run, output: str) -> None:
    ended = icehaul("config", "show", "-o", output)
    assert (ended.code, ended.err) == (0, "")
    assert "hunter2" not in ended.out
    assert REDACTED in ended.out
    assert "traces.example" in ended.out


def test_config_show_tells_where_a_value_came_from(icehaul: Run) -> None:
    origins = icehaul("config", "show", "-o", "json").data["origins"]
    assert origins["clickhouse.host"] == "icehaul.yaml, line 2"
    assert origins["clickhouse.password"] == "environment variable ICEHAUL_CLICKHOUSE__PASSWORD"
    assert origins["store.bucket"] == "environment variable ICEHAUL_STORE__BUCKET"
    assert origins["clickhouse.port"] == origins["streams.1.settle_lag"] == "default"
    assert origins["streams.0.settle_lag"] == "icehaul.yaml, line 13"


def test_what_config_show_prints_is_a_configuration_that_says_the_same(icehaul: Run, tmp_path: Path) -> None:
    text = icehaul("config", "show").out
    copy = tmp_path / "copy.yaml"
    copy.write_text(text, encoding="utf-8")
    assert load(copy).streams == load(Path("icehaul.yaml")).streams
    assert load(copy).emitter == load(Path("icehaul.yaml")).emitter
    assert yaml.safe_load(text) == icehaul("config", "show", "-o", "json").data["configuration"]


def test_config_schema_is_the_one_that_the_file_fits(icehaul: Run) -> None:
    ended = icehaul("config", "schema")
    assert (ended.code, ended.err) == (0, "")
    schema = json.loads(ended.out)
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(yaml.safe_load(FILE))
    assert "yaml-language-server: $schema=" in icehaul("config", "schema", "--help").out
