"""Whatever is wrong with a configuration is told with place, field, value and what is allowed; secrets are not told."""

from __future__ import annotations

from pathlib import Path

import pytest

from consumer.domain.errors import ConfigurationError
from consumer.settings.load import load
from tests.unit.settings.conftest import Load, Refused


def stream(name: str = "a", **fields: str) -> str:
    values = {"name": name, "source": "m.a", "target": f"b.{name}", "timestamp_column": "ts"} | fields
    return "  - {" + ", ".join(f"{field}: {value}" for field, value in values.items()) + "}\n"


ONE = "streams:\n  - name: a\n    source: m.a\n    target: b.a\n    timestamp_column: ts\n"

# text, line, and what the message says
WRONG = {
    "misspelt field": (
        "clickhouse:\n  hots: x\n",
        2,
        ["clickhouse.hots", "did you mean host?", "query_timeout_seconds"],
    ),
    "misspelt field of a stream": (ONE + "    sourse: m.a\n", 6, ["streams.0.sourse", "did you mean source?"]),
    "unknown section": ("kafka: {}\nklickhaus: {}\n", 2, ["no section 'klickhaus'", "clickhouse, kafka, postgres"]),
    "section in the wrong place": (ONE + "    clickhouse: {}\n", 6, ["streams.0.clickhouse", "there is no such field"]),
    "section that is a text": ("clickhouse: fast\n", 1, ["clickhouse", "a section with fields", "host, port"]),
    "section that is a list": ("kafka:\n  - topic\n", 1, ["a section with fields is expected, not a list"]),
    "streams that are a mapping": ("streams:\n  a: {}\n", 1, ["streams", "a list is expected"]),
    "duplicate key": ("clickhouse:\n  host: a\n  port: 1\n  host: b\n", 4, ["'host' for a second time"]),
    "duplicate section": ("kafka: {}\nstore: {}\nkafka: {}\n", 3, ["'kafka' for a second time"]),
    "duplicate key by an anchor's side": ("a: &a {x: 1, x: 2}\n", 1, ["'x' for a second time"]),
    "no number": ("clickhouse:\n  port: many\n", 2, ["clickhouse.port", "'many'", "valid integer"]),
    "number out of range": (
        "clickhouse:\n  port: 70000\n",
        2,
        ["clickhouse.port", "70000", "less than or equal to 65535"],
    ),
    "limit of no threads": ("clickhouse:\n  limits: {threads: 0}\n", 2, ["clickhouse.limits.threads, value 0"]),
    "limit below what a query needs": (
        "clickhouse:\n  limits:\n    memory: 1KiB\n",
        3,
        ["clickhouse.limits.memory, value '1KiB'", "greater than or equal to 16777216"],
    ),
    "limit that no server knows": (
        "clickhouse:\n  limits: {bandwidth: 1MiB}\n",
        2,
        ["clickhouse.limits.bandwidth", "read_bandwidth"],
    ),
    "limit that is said twice": (
        "clickhouse:\n  limits: {threads: 2}\n  query_settings: {max_threads: 3}\n",
        1,
        ["query_settings names max_threads, which limits.threads is for"],
    ),
    "number without end": ("clickhouse:\n  connect_timeout_seconds: .inf\n", 2, ["inf", "3600"]),
    "no choice": (ONE + "    layer: copper\n", 6, ["'copper'", "'bronze', 'silver' or 'gold'"]),
    "no name of a cluster": ('clickhouse:\n  cluster: "a\'b"\n', 2, ["clickhouse.cluster", "a'b"]),
    "no yes or no": (ONE + "    create_target: perhaps\n", 6, ["'perhaps'", "boolean"]),
    "missing field": ("streams:\n  - name: a\n    source: m.a\n", 2, ["streams.0.target: this field is required"]),
    "text without quotes": ("kafka:\n  topic: 2024\n", 2, ["kafka.topic", "2024", "write it in quotes"]),
    "duration without a unit": (ONE + "    settle_lag: 5\n", 6, ["streams.0.settle_lag, value 5:", "90s, 5m, 1h30m"]),
    "duration in sixties": (ONE + "    settle_lag: 5:00\n", 6, ["settle_lag", "number with a unit"]),
    "negative duration": (ONE + "    settle_lag: -5m\n", 6, ["'-5m'", "never negative"]),
    "duration of centuries": (ONE + "    row_span: 99999999w\n", 6, ["'99999999w'", "at most 36525d"]),
    "no duration at all": (ONE + "    batch: {window: 0s}\n", 6, ["streams.0.batch.window", "longer than 0"]),
    "size of no unit": (ONE + "    batch:\n      bytes: 12 parsecs\n", 7, ["streams.0.batch.bytes", "'12 parsecs'"]),
    "no rows": (ONE + "    batch: {rows: 0}\n", 6, ["streams.0.batch.rows, value 0", "greater than or equal to 1"]),
    "table without a database": ("streams:\n" + stream(source="trades"), 2, ["'trades'", "database.table"]),
    "table of three parts": ("streams:\n" + stream(target="a.b.c"), 2, ["streams.0.target", "'b.c'"]),
    "repeated column": ("streams:\n" + stream(sequence_columns="[s, s]"), 2, ["s stands there more than once"]),
    "alias that holds itself": ("streams: &s\n  - *s\n", 1, ["an alias that holds itself"]),
    "field that is no word": ("? [a, b]\n: c\n", 1, ["a field whose name is no word"]),
    "impossible date": ("kafka: {group: 2024-13-45}\n", None, ["impossible value"]),
    "list at the top": ("- a\n", None, ["holds a list at the top"]),
    "a lone word": ("hello\n", None, ["holds a str at the top"]),
    "two documents": ("a: 1\n---\nb: 2\n", 2, ["no valid YAML"]),
    "foreign object": ("kafka: !!python/object:os.system {}\n", 1, ["no valid YAML", "python/object"]),
    "open bracket": ("kafka: [a, b\nstore: {\n", 2, ["no valid YAML"]),
}


@pytest.mark.parametrize(("text", "line", "parts"), WRONG.values(), ids=WRONG)
def test_a_wrong_file_is_refused_with_place_and_reason(
    refused: Refused, tmp_path: Path, text: str, line: int | None, parts: list[str]
) -> None:
    message = refused(text)
    place = str(tmp_path / "icehaul.yaml")
    assert (f"{place}, line {line}:" if line is not None else place) in message or f"{place}, line {line}," in message
    for part in parts:
        assert part in message


NAMES = [
    "x; DROP TABLE y",
    "a-b",
    "a b",
    "a`b",
    "a'--",
    'a"b',
    "a/*b*/",
    "a\\b",
    "1a",
    "",
    "a\nb",
    "a\x00b",
    "tr\u0430des",  # a Cyrillic letter
    "tra\u200bdes",  # an invisible space
    "\uff41",  # a full-width letter
    "n\u00e4me",
    "a" * 128,
    "${name}",
    "{name:Identifier}",
]


@pytest.mark.parametrize("field", ["name", "timestamp_column", "sequence_columns", "upstreams", "source", "target"])
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_name_that_could_be_something_else_is_refused(refused: Refused, field: str, name: str) -> None:
    quoted = '"' + name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\x00", "\\0") + '"'
    value = {"sequence_columns": f"[{quoted}]", "upstreams": f"[{quoted}]"}.get(field, quoted)
    if field in {"source", "target"}:
        value = quoted[:1] + "m." + quoted[1:]
    message = refused("streams:\n" + stream(**{"target": "b.a", field: value}))
    assert f"line 2: streams.0.{field}" in message
    assert "is not an allowed name; the letters a to z and A to Z, digits and _ are" in message
    assert ascii(name[:130]) in message


def test_a_name_that_is_no_text_is_refused(refused: Refused) -> None:
    assert "write it in quotes" in refused("streams:\n" + stream(name="12"))


def test_an_unknown_upstream_is_refused_with_the_known_ones(refused: Refused) -> None:
    message = refused("streams:\n" + stream("a") + stream("b", upstreams="[nobody]"))
    assert (
        "line 3: streams.1.upstreams, value 'nobody': there is no stream of this name; the streams are: a, b" in message
    )


def test_a_cycle_of_upstreams_is_refused_from_its_first_member(refused: Refused) -> None:
    message = refused(
        "streams:\n" + stream("c", upstreams="[b]") + stream("b", upstreams="[a]") + stream("a", upstreams="[c]")
    )
    assert "line 2: streams.0.upstreams" in message
    assert "form a cycle: c → " in message


def test_a_stream_is_no_upstream_of_itself(refused: Refused) -> None:
    assert "form a cycle: a → a" in refused("streams:\n" + stream("a", upstreams="[a]"))


def test_two_streams_of_one_name_are_refused(refused: Refused) -> None:
    message = refused("streams:\n" + stream("a") + stream("a", target="b.other"))
    assert "line 3: streams.1.name, value 'a': another stream has this name already" in message
    assert "line 2)" in message


def test_two_streams_with_one_target_are_refused(refused: Refused) -> None:
    message = refused("streams:\n" + stream("a") + stream("b", target="b.a"))
    assert "line 3: streams.1.target, value 'b.a': stream a writes to it already" in message


def test_two_streams_may_read_one_source(load_text: Load) -> None:
    assert len(load_text("streams:\n" + stream("a") + stream("b")).streams) == 2


def test_a_grace_below_a_settle_lag_is_refused(refused: Refused) -> None:
    message = refused("emitter:\n  grace: 1m\nstreams:\n" + stream("a") + stream("b", settle_lag="1h"))
    assert "line 2: emitter.grace, value '1m': shorter than the settle_lag of stream b (1h)" in message
    assert "1h or more is allowed" in message


def test_a_grace_that_equals_the_longest_settle_lag_will_do(load_text: Load) -> None:
    load_text("emitter: {grace: 1h}\nstreams:\n" + stream("b", settle_lag="1h"))


def test_all_wrong_fields_are_told_at_once(refused: Refused) -> None:
    message = refused(
        "clickhouse:\n  port: 0\nkafka:\n  partitions: none\n" + ONE + "    settle_lag: 5\n    layer: tin\n"
    )
    for place in ("line 2: clickhouse.port", "line 4: kafka.partitions", "line 10: streams.0.settle_lag", "line 11:"):
        assert place in message


def test_all_wrong_relations_are_told_at_once(refused: Refused) -> None:
    message = refused("emitter: {grace: 0s}\nstreams:\n" + stream("a", upstreams="[x]") + stream("b", target="b.a"))
    for part in ("streams.0.upstreams", "streams.1.target", "emitter.grace"):
        assert part in message


# Places where a secret may have got into the wrong field, and is not to be repeated.
SECRETS = {
    "a section that is a text": "postgres: postgresql://u:hunter2@h/d\n",
    "a section that is a list": "postgres: ['postgresql://u:hunter2@h/d']\n",
    "a misspelt field": "clickhouse: {passwrd: hunter2}\n",
    "a field in the wrong section": "kafka: {password: hunter2}\n",
    "an unknown section": "password: hunter2\n",
    "a list for a text": "clickhouse: {password: [hunter2]}\n",
    "fields for a text": "postgres: {dsn: {password: hunter2}}\n",
    "options that are a list": "kafka: {options: [sasl.password=hunter2]}\n",
    "an option that is a list": "kafka: {options: {sasl.password: [hunter2]}}\n",
    "secret options that are a text": "kafka: {secret_options: sasl.password=hunter2}\n",
    "a property that is a list": "spark: {conf: {spark.authenticate.secret: [hunter2]}}\n",
    "an open quote": 'clickhouse:\n  password: "hunter2\n',
    "a tab": "clickhouse:\n\tpassword: hunter2\n",
    "an unknown tag": "clickhouse: {password: !vault hunter2}\n",
    "a colon too many": "clickhouse:\n  password: hunter2: x\n",
    "streams that are a text": "streams: hunter2\n",
}


@pytest.mark.parametrize("text", SECRETS.values(), ids=SECRETS)
def test_a_secret_is_not_repeated_even_where_it_is_wrong(refused: Refused, text: str) -> None:
    assert "hunter2" not in refused(text)


def test_a_secret_that_is_a_number_is_to_be_quoted(refused: Refused) -> None:
    message = refused("clickhouse:\n  password: 4711\n")
    assert "line 2: clickhouse.password: a text is expected: write it in quotes" in message
    assert "4711" not in message


@pytest.mark.parametrize(
    ("variable", "value", "parts"),
    [
        ("ICEHAUL_CLICKHOUSE__PORT", "many", ["clickhouse.port, value 'many'"]),
        ("ICEHAUL_CLICKHOUSE__PASSWRD", "hunter2", ["clickhouse.passwrd", "did you mean password?"]),
        ("ICEHAUL_KLICKHAUS__PASSWORD", "hunter2", ["no section 'klickhaus'", "clickhouse, kafka"]),
        ("ICEHAUL_EMITTER__GRACE", "1s", ["emitter.grace, value '1s': shorter than"]),
        ("icehaul_store__path_style", "maybe", ["store.path_style, value 'maybe'"]),
    ],
)
def test_a_wrong_variable_is_named(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, parts: list[str]
) -> None:
    monkeypatch.setenv(variable, value)
    message = refused("clickhouse: {port: 1}\nemitter: {grace: 5m}\n" + ONE)
    assert f"environment variable {variable}: " in message
    assert "hunter2" not in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize("variable", ["ICEHAUL_STREAMS", "ICEHAUL_CLICKHOUSE", "ICEHAUL_KAFKA__SECRET_OPTIONS"])
def test_a_variable_that_ought_to_be_json_is_refused_without_its_value(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "{hunter2")
    message = refused("")
    assert "hunter2" not in message
    assert variable.removeprefix("ICEHAUL_").partition("__")[0].lower() in message


@pytest.mark.parametrize("name", ["icehaul_clickhouse__passwrd", "icehaul_klickhaus__password"])
def test_a_misspelt_secret_file_is_named(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("hunter2", encoding="utf-8")
    monkeypatch.setenv("ICEHAUL_SECRETS_DIR", str(tmp_path))
    message = refused("")
    assert f"secret file {tmp_path / name}: " in message
    assert "hunter2" not in message


def test_a_file_that_is_not_there_is_told_with_the_ways_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere.yaml can't be read.*--config or ICEHAUL_CONFIG"):
        load(tmp_path / "nowhere.yaml")


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't be read"):
        load(tmp_path)


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("kafka: {group: gr\u00fcn}".encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"latin.yaml can't be read: .*utf-8.*UTF-8 file"):
        load(path)


def test_a_file_nested_beyond_reason_is_refused(refused: Refused) -> None:
    assert "too deeply" in refused("a: " + "[" * 5000)


def test_aliases_of_aliases_do_not_fill_the_memory(refused: Refused) -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "more than 100000 values" in refused("\n".join(levels))
