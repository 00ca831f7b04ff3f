"""Three places of a configuration: the environment wins over secret files, and these win over the file."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from consumer.domain.errors import ConfigurationError
from consumer.domain.stream import DigestPolicy, Layer
from consumer.domain.window import PartitionBy
from consumer.settings.load import find_file, load
from consumer.settings.model import Configuration
from tests.unit.settings.conftest import Load

STREAM = """
streams:
  - name: trades
    source: market.trades
    target: bronze.trades
    timestamp_column: ts
"""


def secrets(directory: Path, monkeypatch: pytest.MonkeyPatch, **files: str) -> Path:
    made = directory / "secrets"
    made.mkdir()
    for name, content in files.items():
        (made / name).write_text(content, encoding="utf-8")
    monkeypatch.setenv("ICEHAUL_SECRETS_DIR", str(made))
    return made


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "---\n", "{}", "clickhouse:\nstreams:\n"])
def test_an_empty_file_is_the_defaults(load_text: Load, text: str) -> None:
    assert load_text(text).model_dump() == Configuration().model_dump()


def test_every_field_of_a_stream_is_read(load_text: Load) -> None:
    stream = load_text(
        STREAM
        + """
    sequence_columns: [seq, part]
    layer: gold
    settle_lag: 2m
    row_span: 1d
    batch: {rows: 10, bytes: 1MiB, window: 1h, unit_rows: 5}
    partition_by: month
    on_failure: {attempts: 2, initial: 1ms, maximum: 1s}
    digest: on_demand
    create_target: false
    retain_snapshots: 7
    sort_by: [symbol, ts]
    table_properties: {write.parquet.compression-level: "3", comment: ours}
"""
    ).by_name()["trades"]
    assert str(stream.source) == "market.trades"
    assert str(stream.target) == "bronze.trades"
    assert stream.sequence_columns == ("seq", "part")
    assert stream.layer is Layer.GOLD
    assert (stream.settle_lag, stream.row_span) == (timedelta(minutes=2), timedelta(days=1))
    assert (stream.bounds.rows, stream.bounds.bytes, stream.bounds.unit_rows) == (10, 2**20, 5)
    assert stream.bounds.window == timedelta(hours=1)
    assert stream.partition_by is PartitionBy.MONTH
    assert (stream.retry.attempts, stream.retry.initial) == (2, timedelta(milliseconds=1))
    assert stream.digest is DigestPolicy.ON_DEMAND
    assert not stream.create_target
    assert stream.retain_snapshots == 7
    assert stream.sort_by == ("symbol", "ts")
    assert stream.table_properties == (("comment", "ours"), ("write.parquet.compression-level", "3"))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ('table_properties: {write.parquet.compression-codec: "lzo"}', "write.parquet.compression-codec = 'lzo'"),
        ('table_properties: {write.target-file-size-bytes: "much"}', "a whole number from 1024"),
        ('table_properties: {icehaul.stream: "other"}', "icehaul.stream is set by icehaul itself"),
        ('table_properties: {format-version: "3"}', "format-version is set by icehaul itself"),
        ("format_version: 3", "writes no metadata of format version 3"),
        ("format_version: 1", "Input should be 2"),
        ("sort_by: [ts, ts]", "ts stands there more than once"),
    ],
)
def test_a_layout_that_can_not_be_followed_is_refused_before_a_table_is_made(
    load_text: Load, setting: str, said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        load_text(f"{STREAM}    {setting}\n")


def test_anchors_and_merge_keys_save_repetition(load_text: Load) -> None:
    loaded = load_text(
        "streams:\n"
        "  - &first {name: a, source: m.a, target: b.a, timestamp_column: ts, layer: silver}\n"
        "  - {<<: *first, name: b, target: b.b}\n"
    )
    assert [(one.name, one.source, one.layer) for one in loaded.streams] == [
        ("a", "m.a", Layer.SILVER),
        ("b", "m.a", Layer.SILVER),
    ]


def test_a_secret_file_wins_over_the_file_and_leaves_other_fields_alone(
    load_text: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets(tmp_path, monkeypatch, icehaul_clickhouse__password="from-secret\n", unrelated="x")
    loaded = load_text("clickhouse: {user: reader, password: from-file, port: 9}").clickhouse
    assert (loaded.password.get_secret_value(), loaded.user, loaded.port) == ("from-secret", "reader", 9)


def test_the_environment_wins_over_both(load_text: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets(tmp_path, monkeypatch, icehaul_clickhouse__password="from-secret")
    monkeypatch.setenv("ICEHAUL_CLICKHOUSE__PASSWORD", "from-environment")
    monkeypatch.setenv("icehaul_consumer__workers", "9")
    loaded = load_text("clickhouse: {user: reader, password: from-file}\nconsumer: {lease_seconds: 7}")
    assert loaded.clickhouse.password.get_secret_value() == "from-environment"
    assert loaded.clickhouse.user == "reader"
    assert (loaded.consumer.workers, loaded.consumer.lease_seconds) == (9, 7)


def test_an_empty_variable_counts_as_absent(load_text: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICEHAUL_CLICKHOUSE__USER", "")
    monkeypatch.setenv("ICEHAUL_SECRETS_DIR", "")
    assert load_text("clickhouse: {user: reader}").clickhouse.user == "reader"


def test_lists_and_sections_can_be_given_as_json(load_text: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICEHAUL_KAFKA__SECRET_OPTIONS", '{"sasl.password": "p"}')
    monkeypatch.setenv("ICEHAUL_SPARK__JARS", "a.jar,b.jar")
    loaded = load_text(STREAM)
    assert loaded.kafka.secret_options["sasl.password"].get_secret_value() == "p"
    assert loaded.spark.jars == ("a.jar", "b.jar")
    assert len(loaded.streams) == 1


def test_the_file_is_the_given_one_then_the_variables_then_the_one_here() -> None:
    assert find_file(Path("x.yaml"), {"ICEHAUL_CONFIG": "y.yaml"}) == Path("x.yaml")
    assert find_file(None, {"ICEHAUL_CONFIG": "y.yaml"}) == Path("y.yaml")
    assert find_file(None, {"ICEHAUL_CONFIG": ""}) == find_file(None, {}) == Path("icehaul.yaml")


def test_the_variable_is_used_by_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "other.yaml"
    path.write_text("kafka: {group: other}", encoding="utf-8")
    monkeypatch.setenv("ICEHAUL_CONFIG", str(path))
    assert load().kafka.group == "other"


def test_no_secret_stands_in_the_text_of_a_configuration(load_text: Load) -> None:
    loaded = load_text(
        "clickhouse: {password: hunter2}\npostgres: {dsn: 'postgresql://u:hunter2@h/d'}\n"
        "store: {secret_key: hunter2}\nkafka: {secret_options: {sasl.password: hunter2}}\n"
    )
    assert "hunter2" not in f"{loaded!r} {loaded} {loaded.model_dump()} {loaded.model_dump_json()}"


def test_a_missing_secrets_directory_is_an_error(load_text: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICEHAUL_SECRETS_DIR", "/nowhere/at/all")
    with pytest.raises(ConfigurationError, match=r"ICEHAUL_SECRETS_DIR: .*/nowhere/at/all can't be read: No such file"):
        load_text("")


def test_a_secret_file_that_is_no_text_is_an_error(
    load_text: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = secrets(tmp_path, monkeypatch)
    (made / "icehaul_clickhouse__password").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="UTF-8"):
        load_text("")
