"""What the watches beside the poll loop measure."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from consumer.domain.errors import StoreUnavailableError
from consumer.domain.stream import Stream, TableName
from consumer.domain.table_size import TableSize
from consumer.service.loss_watch import LossWatch
from consumer.service.table_watch import TableWatch
from consumer.testing.ledger import MemoryLedger
from consumer.testing.source import MemorySource
from consumer.testing.telemetry import MemoryMetrics

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
STREAMS = {
    name: Stream(
        name=name,
        source=TableName(database="market", table=name),
        target=TableName(database="market", table=name),
        timestamp_column="ts",
        settle_lag=timedelta(0),
    )
    for name in ("trades", "bars")
}


class Watched:
    """Two streams of which a consumer measures where they stand."""

    def __init__(self) -> None:
        self.source = MemorySource(NOW)
        self.ledger = MemoryLedger(now=lambda: NOW)
        self.metrics = MemoryMetrics()
        for stream in STREAMS.values():
            self.source.create(stream.source, [])
            self.ledger.register(stream.name, NOW - timedelta(days=1))
        self.watch = LossWatch(streams=STREAMS, source=self.source, ledger=self.ledger, metrics=self.metrics)


def test_whether_a_stream_is_halted_is_measured_without_an_event_of_it() -> None:
    watched = Watched()
    watched.ledger.pause("trades", reason="by hand", remedy="resume it")
    watched.watch.look()
    assert watched.metrics.values["halted trades"] == 1
    assert watched.metrics.values["halted bars"] == 0
    watched.ledger.resume("trades")
    watched.watch.look()
    assert watched.metrics.values["halted trades"] == 0


def test_a_stream_of_which_nothing_was_read_has_no_lag() -> None:
    watched = Watched()
    watched.watch.look()
    assert "lag trades" not in watched.metrics.values
    assert "time_to_loss trades" in watched.metrics.values


def test_the_lag_grows_without_events_too() -> None:
    watched = Watched()
    read = replace(watched.ledger.register("trades"), watermark=NOW - timedelta(hours=2))
    watched.ledger._streams["trades"] = read
    for hours in (2, 3):
        watched.source.time = NOW + timedelta(hours=hours - 2)
        watched.watch.look()
        assert watched.metrics.values["lag trades"] == timedelta(hours=hours).total_seconds()


def test_a_stream_that_the_ledger_has_lost_is_forgotten_and_one_that_it_never_had_is_not() -> None:
    watched = Watched()
    watched.watch.look()
    del watched.ledger._streams["bars"]
    watched.watch.look()
    assert not [name for name in watched.metrics.values if "bars" in name.split()]
    assert "halted trades" in watched.metrics.values
    fresh = LossWatch(
        streams=STREAMS, source=watched.source, ledger=watched.ledger, metrics=(metrics := MemoryMetrics())
    )
    fresh.look()
    assert "time_to_loss bars" in metrics.values


class Tables:
    """Of two tables, one can't be looked at."""

    def size(self, table: TableName) -> TableSize | None:
        if table.table == "trades":
            raise StoreUnavailableError("no answer", remedy="start it")
        return TableSize(files=4, bytes=100, small_files=3)


def test_a_table_that_can_not_be_looked_at_hides_no_other() -> None:
    metrics = MemoryMetrics()
    TableWatch(streams=STREAMS, tables=Tables(), metrics=metrics).look(threading.Event())
    assert metrics.values == {"files bars": 4, "bytes bars": 100, "small_files_ratio bars": 0.75}


def test_a_watch_that_is_told_to_stop_looks_at_no_further_table() -> None:
    metrics, stop = MemoryMetrics(), threading.Event()
    stop.set()
    TableWatch(streams=STREAMS, tables=Tables(), metrics=metrics).look(stop)
    assert metrics.values == {}
