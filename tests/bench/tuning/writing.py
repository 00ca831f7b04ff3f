"""Offloading the same rows into one table for each layout and writer, through icehaul's own path without Spark."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta

from consumer.bootstrap import Application
from consumer.domain.event_factory import tick
from consumer.domain.writer import Writer, WriterPolicy
from consumer.embedded.component import ComponentName
from consumer.settings.connections import SparkSettings
from consumer.settings.model import Configuration
from tests.bench.measure import Measurement, measure
from tests.bench.paths import Bench
from tests.bench.trades import DAY, TABLE
from tests.bench.tuning.candidates import Candidate
from tests.support.local_engine import LocalEngine
from tests.support.platform import day


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One layout by one writer, and the stream and table that it is tried with."""

    candidate: Candidate
    writer: Writer
    stream: str
    table: str


def place(bench: Bench, number: int, candidate: Candidate, writer: Writer) -> Place:
    """Add the stream of a layout to the platform; call it before the application is made."""
    name = f"{TABLE}_{number}_{writer}"
    bench.platform.streams.append(
        {
            "name": f"{bench.platform.name}_{name}",
            "source": bench.table,
            "target": f"{bench.platform.name}.{name}",
            "timestamp_column": "ts",
            "sequence_columns": ["seq"],
            "settle_lag": "0s",
            "sort_by": list(candidate.sort_by),
            "table_properties": dict(candidate.properties),
            "batch": {"rows": bench.rows, "unit_rows": candidate.file_rows or bench.rows, "bytes": "64GiB"},
        }
    )
    return Place(
        candidate=candidate,
        writer=writer,
        stream=f"{bench.platform.name}_{name}",
        table=f"{bench.platform.name}.{name}",
    )


@contextmanager
def applications(configuration: Configuration) -> Iterator[Mapping[Writer, Application]]:
    """Make an application for each writer, which runs its tasks in this process."""
    with ExitStack() as resources:
        made = {}
        for writer in Writer:
            own = configuration.model_copy(update={"spark": SparkSettings(writer=WriterPolicy(writer))})
            made[writer] = resources.enter_context(Application(own, environment={}))
            made[writer].engine = LocalEngine(own)
        made[Writer.STREAM].migrate()
        yield made


def write(bench: Bench, application: Application, to: Place) -> Measurement:
    """Offload all rows: read, write, check by digest, publish; CPU is that of the source, the store and icehaul."""
    groups = bench.groups(ComponentName.CLICKHOUSE, ComponentName.STORE, icehaul=bench.own_pid)

    def run() -> int:
        event = tick(stream=to.stream, boundary=day(DAY) + timedelta(days=1))
        application.offload.handle(event, threading.Event())
        (batch,) = application.ledger.batches(to.stream, 2)
        if batch.rows != bench.rows:
            raise AssertionError(f"{to.stream}: {batch.rows} rows were offloaded of {bench.rows}")
        return bench.stored_bytes(f"icehaul/{to.table.replace('.', '/')}")

    return measure(bench.rows, groups, run)
