"""What /metrics says, and how many series anybody can make it say."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from consumer.adapters.telemetry.catalogue import METRICS
from consumer.adapters.telemetry.metrics import PrometheusMetrics
from consumer.domain.invalid_reason import InvalidReason
from consumer.domain.table_size import SMALL_FILE_BYTES, TableSize
from consumer.service.runtime.ports import Partition

OPENMETRICS = "application/openmetrics-text;version=1.0.0"
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def series(metrics: PrometheusMetrics, accept: str = "") -> Series:
    body, _ = metrics.render(accept)
    parse = openmetrics_families if accept else text_families
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse(body.decode())
        for sample in family.samples
    }


def without_process(found: Series) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    return {key for key in found if not key[0].startswith("icehaul_process_")}


def everything(metrics: PrometheusMetrics, stream: str, word: str) -> None:
    """Say everything that can be said, of one stream and with one word for all other labels."""
    metrics.event_handled(stream, word, word)
    metrics.step(stream, word, 1)
    metrics.unit(1)
    metrics.batch(stream, word, "published", rows=1, bytes=1, seconds=1)
    metrics.batch(stream, word, word, rows=1, bytes=1, seconds=1)
    metrics.watermark(stream, datetime(2026, 1, 1, tzinfo=UTC), timedelta(seconds=1))
    metrics.state(stream, halted=True)
    metrics.time_to_loss(stream, math.inf)
    metrics.backfill(stream, timedelta(seconds=1))
    metrics.table(stream, TableSize(files=1, bytes=1, small_files=1))
    metrics.unknown_commit(stream, word)
    metrics.conflict(stream)
    metrics.lease(stream)
    metrics.audit_check(stream, word, failed=True)
    metrics.audited(stream)
    metrics.dead_letter(word)
    metrics.retry(stream, word)
    metrics.rebalance(word)
    metrics.offset_incident(word)
    metrics.sent(word, 1)


@pytest.fixture
def metrics() -> PrometheusMetrics:
    made = PrometheusMetrics(["trades", "bars"])
    made.begin("consumer", "1.0")
    return made


@settings(max_examples=25, deadline=None)
@given(streams=st.lists(st.text(max_size=20), max_size=5), words=st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_hostile_names_of_streams_make_no_series_and_all_other_hostile_words_one_at_most(
    streams: list[str], words: list[str]
) -> None:
    metrics = PrometheusMetrics(["a configured stream"])
    metrics.begin("consumer", "1.0")
    everything(metrics, "nobody", "unheard of")
    before = without_process(series(metrics))
    for stream in streams:
        for word in words:
            everything(metrics, stream, f"unheard of {word}")
    assert without_process(series(metrics)) == before
    assert not any(value == "nobody" or "unheard" in value for _, labels in before for _, value in labels)


def test_errors_that_kafka_names_are_64_different_ones_at_most(metrics: PrometheusMetrics) -> None:
    for number in range(1_000):
        metrics.broker_error(f"_ERROR_{number}")
        metrics.commit_error(f"_ERROR_{number}")
    found = series(metrics)
    for name in ("icehaul_kafka_client_errors_total", "icehaul_offset_commit_errors_total"):
        values = {key: value for key, value in found.items() if key[0] == name}
        assert len(values) == 65
        assert sum(values.values()) == 1_000
        assert values[name, frozenset({("reason", "other")})] == 936


def test_a_stream_that_was_removed_loses_its_series_and_no_other_does(metrics: PrometheusMetrics) -> None:
    everything(metrics, "bars", "window")
    before = without_process(series(metrics))
    everything(metrics, "trades", "window")
    metrics.forget("trades")
    assert without_process(series(metrics)) == before


def test_a_partition_that_went_to_another_member_loses_its_series(metrics: PrometheusMetrics) -> None:
    partition = Partition("events", 3)
    metrics.consumer_lag(partition, 7)
    key = ("icehaul_consumer_lag_messages", frozenset({("topic", "events"), ("partition", "3")}))
    assert series(metrics)[key] == 7
    metrics.consumer_lag(partition, None)
    assert key not in series(metrics)


def test_both_formats_say_the_same_in_words_that_a_parser_understands(metrics: PrometheusMetrics) -> None:
    everything(metrics, "trades", "window")
    metrics.time_to_loss("bars", math.nan)
    metrics.watermark("bars", datetime(2026, 1, 1, tzinfo=UTC), timedelta(seconds=0.1))
    text, strict = series(metrics), series(metrics, OPENMETRICS)
    assert without_process(text) == without_process(strict)
    lag, loss = (f"icehaul_{name}_seconds" for name in ("lag", "time_to_loss"))
    for found in (text, strict):
        assert found[lag, frozenset({("stream", "bars")})] == 0.1
        assert found[loss, frozenset({("stream", "trades")})] == math.inf
        assert math.isnan(found[loss, frozenset({("stream", "bars")})])


def test_a_name_with_quotes_and_line_ends_is_escaped() -> None:
    name = 'a "quoted"\\\nname'
    metrics = PrometheusMetrics([name])
    metrics.state(name, halted=True)
    assert series(metrics)["icehaul_stream_halted", frozenset({("stream", name)})] == 1


def test_counters_whose_labels_are_known_begin_at_zero(metrics: PrometheusMetrics) -> None:
    metrics.lease("trades")
    found = series(metrics)
    for reason in InvalidReason:
        assert found["icehaul_dead_letters_total", frozenset({("reason", reason)})] == 0
    for outcome in ("landed", "not_landed"):
        assert found["icehaul_unknown_commits_total", frozenset({("stream", "trades"), ("outcome", outcome)})] == 0


@pytest.mark.parametrize(("role", "other"), [("consumer", "emitter"), ("emitter", "consumer")])
def test_a_process_shows_the_metrics_of_its_role_only(role: str, other: str) -> None:
    metrics = PrometheusMetrics(["trades"])
    metrics.begin(role, "1.0")  # type: ignore[arg-type]
    body, _ = metrics.render()
    shown = {line.split()[2] for line in body.decode().splitlines() if line.startswith("# TYPE")}
    own = {one.name for one in METRICS if one.role in {role, None} and one.kind != "histogram"}
    foreign = {one.name for one in METRICS if one.role == other and one.kind != "histogram"}
    assert own <= shown
    assert not foreign & shown


def test_late_rows_are_those_of_supplements(metrics: PrometheusMetrics) -> None:
    for kind, rows in (("window", 100), ("supplement", 7)):
        metrics.batch("trades", kind, "published", rows=rows, bytes=1, seconds=1)
    assert series(metrics)["icehaul_late_rows_total", frozenset({("stream", "trades")})] == 7


def test_the_size_of_a_table_tells_the_share_of_small_files() -> None:
    sizes = [SMALL_FILE_BYTES - 1, SMALL_FILE_BYTES, SMALL_FILE_BYTES * 2, 1]
    size = TableSize.of(sizes)
    assert (size.files, size.bytes, size.small_files_ratio) == (4, sum(sizes), 0.5)
    assert TableSize.of([]).small_files_ratio == 0


def test_every_metric_is_named_after_its_unit_and_explained() -> None:
    assert len({one.name for one in METRICS}) == len(METRICS)
    for one in METRICS:
        assert one.name.startswith("icehaul_")
        assert one.meaning.endswith(".")
        assert one.name.endswith("_total") is (one.kind == "counter")
        if one.unit in {"seconds", "bytes", "ratio"}:
            assert one.name.removesuffix("_total").endswith(f"_{one.unit}") or one.name == "icehaul_bytes_total"
        if one.unit == "timestamp":
            assert one.name.endswith("_timestamp_seconds") or one.name == "icehaul_process_start_time_seconds"
