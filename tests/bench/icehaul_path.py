"""icehaul itself: a consumer process as a user starts it, driven by ticks, watched from outside."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from consumer.bootstrap import Application
from consumer.domain.batch import BatchStatus
from consumer.domain.event import Event
from consumer.domain.event_factory import tick
from consumer.domain.writer import Writer
from consumer.embedded.component import ComponentName
from tests.bench.paths import Bench, Contender
from tests.bench.report import Latencies
from tests.bench.trades import COLUMNS, DAY, TABLE
from tests.support.platform import day
from tests.support.processes import Running, icehaul
from tests.support.waiting import wait_until

_DEADLINE_S = 600.0
_SLOWEST = 10_000
"""Rows per second that a large batch is waited for, at least."""
_EXPORT_ROWS_MAX = 5_000_000
_POLL_S = 0.002
_SELDOM_S = 0.05
"""Pause between two looks at the offset while a large batch runs, which would pay for them."""
_WARM_UP = 5
_TICKS_TABLE = "ticks"
_TICK_ROWS = 1000


class Icehaul:
    """A running consumer with one stream for each round, and one for ticks."""

    def __init__(self, bench: Bench, application: Application, consumer: Running, streams: list[str]) -> None:
        self._bench = bench
        self._application = application
        self._consumer = consumer
        self._streams = streams
        kafka = application.configuration.kafka
        self._place = TopicPartition(kafka.topic, 0)
        self._group = kafka.group
        self._admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
        self._sent = 0

    @property
    def pid(self) -> int:
        """The consumer's process, which Spark's driver and workers descend from."""
        return self._consumer.pid

    def contender(self, name: str) -> Contender:
        """Return the path from the tick to its committed offset, planning, check and publish included."""
        groups = self._bench.groups(*ComponentName, icehaul=self._consumer.pid)
        return Contender(name=name, groups=groups, run=self._run)

    def _run(self, number: int) -> int:
        stream = self._streams[number]
        self.handle(tick(stream=stream, boundary=day(DAY) + timedelta(days=1)), pause=_SELDOM_S)
        batches = self._application.ledger.batches(stream, 1000)
        published = [batch for batch in batches if batch.status is BatchStatus.PUBLISHED]
        rows = sum(batch.rows for batch in published)
        if rows != self._bench.rows:
            raise AssertionError(f"{rows} rows were offloaded of {self._bench.rows}:\n{self._consumer.text()[-3000:]}")
        return self._bench.stored_bytes(f"icehaul/{self._bench.platform.name}/{TABLE}_{number}")

    def latencies(self, count: int) -> Latencies:
        """Send ``count`` ticks with rows and ``count`` without, one after the other."""
        stream = self._streams[-1]
        boundary = day(DAY)
        small: list[float] = []
        idle: list[float] = []
        for number in range(_WARM_UP + count):
            self._bench.platform.client.command(
                f"INSERT INTO {self._bench.platform.name}.{_TICKS_TABLE}"
                f" SELECT toDateTime64({{ts:String}}, 6, 'UTC') + toIntervalMicrosecond(rowNumberInAllBlocks()),"
                f" * EXCEPT ts FROM {self._bench.table} LIMIT {_TICK_ROWS}",
                parameters={"ts": _text(boundary)},
            )
            for found in (small, idle):
                boundary += timedelta(seconds=1)
                milliseconds = self.handle(tick(stream=stream, boundary=boundary))
                if number >= _WARM_UP:
                    found.append(milliseconds)
        return Latencies(small=small, idle=idle)

    def handle(self, event: Event, *, pause: float = _POLL_S) -> float:
        """Send an event, wait for its committed offset, and return the milliseconds between."""
        self._sent += 1
        started = time.perf_counter()
        self._application.event_sink.send([event])
        while self.committed() < self._sent:
            if time.perf_counter() - started > max(_DEADLINE_S, self._bench.rows / _SLOWEST):
                raise AssertionError(f"{event} was not handled:\n{self._consumer.text()[-3000:]}")
            time.sleep(pause)
        return (time.perf_counter() - started) * 1e3

    def committed(self) -> int:
        """Return how many events the group has done with."""
        request = ConsumerGroupTopicPartitions(self._group, [self._place])
        answer = self._admin.list_consumer_group_offsets([request])[self._group].result()
        places = answer.topic_partitions
        return max(places[0].offset, 0) if places else 0


@contextmanager
def running_icehaul(
    bench: Bench, rounds: int, log: Path, prefix: str = "", writer: Writer = Writer.STREAM, **settings: object
) -> Iterator[Icehaul]:
    """Start a consumer that has done its first batch, and end it with the block.

    ``prefix`` stands before its streams' names, where another consumer on the same ledger has streams, too;
    ``settings`` are those of its streams.
    """
    platform = bench.platform
    bench.platform.sections |= {
        "kafka": {"partitions": 1},
        "store": {"prefix": "bench/icehaul"},
        "spark": {"master": f"local[{bench.cores}]", "writer": writer.value},
        "consumer": {"http_port": 0},
    }
    streams = []
    for number in range(rounds + 1):
        stream = _stream(platform.name, TABLE, f"{TABLE}_{number}", prefix) | settings
        if writer is Writer.EXPORT:
            # A statement uses all of the server's cores: more of them would read the same blocks again.
            rows = min(bench.rows, _EXPORT_ROWS_MAX)
            stream["batch"] = {"unit_rows": rows, "rows": rows}
        platform.streams.append(stream)
        streams.append(str(stream["name"]))
    platform.client.command(
        f"CREATE TABLE {platform.name}.{_TICKS_TABLE} ({COLUMNS}) ENGINE = MergeTree PARTITION BY toDate(ts)"
        " ORDER BY (symbol, ts, seq)"
    )
    platform.streams.append(_stream(platform.name, _TICKS_TABLE, _TICKS_TABLE, prefix))
    streams.append(f"{prefix}{_TICKS_TABLE}")
    config = platform.write()
    with Application(platform.configuration(), environment={}) as application:
        application.migrate()
        application.topics.ensure()
        with icehaul("run", "-c", str(config), log=log, environment=platform.environment()) as consumer:
            consumer.http_port()
            wait_until(lambda: "consumer.assigned" in consumer.text(), seconds=60, what="the assignment")
            yield Icehaul(bench, application, consumer, streams)
            consumer.terminate()


def _stream(database: str, source: str, target: str, prefix: str) -> dict[str, object]:
    return {
        "name": f"{prefix}{target}",
        "source": f"{database}.{source}",
        "target": f"{database}.{target}",
        "timestamp_column": "ts",
        "sequence_columns": ["seq"],
        "settle_lag": "0s",
    }


def _text(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%d %H:%M:%S.%f")
