"""`icehaul plan`: how many bytes, and how long by the stream's own latest batches."""

from __future__ import annotations

import threading

import pytest

from consumer.adapters.spark.engine import SparkEngine
from consumer.bootstrap import Application
from consumer.domain.event_factory import tick
from tests.integration.cli.conftest import Run
from tests.support.platform import Platform, day


def test_bytes_are_estimated_and_the_time_of_a_new_stream_is_unknown(
    icehaul: Run, platform: Platform, stream: str
) -> None:
    data = icehaul("plan", stream, "-o", "json").data
    assert data["rows"] == 100
    assert data["estimated_bytes"] == sum(batch["estimated_bytes"] for batch in data["batches"]) > 100 * 8
    assert data["estimated_seconds"] is data["rows_per_second"] is data["batches"][0]["estimated_seconds"] is None
    assert "how long it takes is not known yet" in icehaul("plan", stream).out


@pytest.mark.spark
def test_time_is_estimated_by_the_latest_batches(
    icehaul: Run, platform: Platform, stream: str, spark_engine: SparkEngine
) -> None:
    with Application(platform.configuration(), environment={}) as application:
        application.engine = spark_engine
        application.offload.handle(tick(stream=stream, boundary=day("2024-01-02")), threading.Event())
        (done,) = application.ledger.batches(stream, 10)
    assert done.ended is not None
    rate = done.rows / (done.ended - done.started).total_seconds()
    platform.insert(50, day="2024-01-03", first=100)

    data = icehaul("plan", stream, "-o", "json").data

    assert data["rows_per_second"] == pytest.approx(rate)
    assert data["estimated_seconds"] == pytest.approx(50 / rate)
    assert "of the stream's latest batches" in icehaul("plan", stream).out


def test_the_shares_of_a_split_instant_add_up(icehaul: Run, platform: Platform) -> None:
    stream = platform.add_stream("crowded", batch={"rows": 1000, "unit_rows": 30})
    platform.client.command(
        f"INSERT INTO {platform.name}.crowded (ts, seq) SELECT toDateTime64('2024-01-01 00:00:00', 6, 'UTC'), number"
        " FROM numbers(100)"
    )
    (batch,) = [
        one for one in icehaul("plan", stream, "-c", str(platform.write()), "-o", "json").data["batches"] if one["rows"]
    ]
    assert [unit["rows"] for unit in batch["units"]] == [30, 30, 30, 10]
    assert batch["rows"] == 100
