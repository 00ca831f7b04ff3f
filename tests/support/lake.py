"""Layers of streams on the fakes: one topic, one consumer's poll loop with its workers, and the outbox relay."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from opentelemetry.trace import NoOpTracer

from consumer.adapters.kafka.relay import OutboxRelay
from consumer.domain.errors import SourceUnavailableError
from consumer.domain.event import Event, EventType
from consumer.domain.event_factory import tick
from consumer.domain.partition_bounds import PartitionBounds
from consumer.domain.stream import Layer, RetryPolicy, Stream, TableName
from consumer.domain.window import BEGINNING, Window
from consumer.failpoints.acting import Failpoints
from consumer.ports import Extent, Publication
from consumer.service.offload import Offload
from consumer.service.runtime.loop import EventLoop
from consumer.service.threads import Signal
from consumer.settings.connections import ConsumerSettings
from consumer.testing.broker import BrokerMessage, MemoryBroker, decode
from consumer.testing.catalog import MemoryCatalog
from consumer.testing.engine import MemoryEngine
from consumer.testing.ledger import MemoryLedger
from consumer.testing.rows import Row
from consumer.testing.runtime import MemoryDeadLetters
from consumer.testing.source import MemorySource
from consumer.testing.telemetry import MemoryMetrics
from tests.support.memory_repairs import memory_repairs

NOON = datetime(2026, 1, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def stream(name: str, *upstreams: str, layer: Layer = Layer.BRONZE, **changes: object) -> Stream:
    """A stream that does not wait for late rows, unless told otherwise."""
    fields: dict[str, object] = {
        "name": name,
        "source": TableName(database="market", table=name),
        "target": TableName(database=layer.value, table=name),
        "timestamp_column": "ts",
        "layer": layer,
        "settle_lag": timedelta(0),
        "upstreams": upstreams,
        "retry": RetryPolicy(attempts=3, initial=timedelta(microseconds=1), maximum=timedelta(microseconds=1)),
    }
    return Stream(**{**fields, **changes})  # type: ignore[arg-type]


class PoisonedSource(MemorySource):
    """A hot tier of which single tables can't be read; ``asked`` counts the attempts."""

    def __init__(self, now: datetime) -> None:
        super().__init__(now)
        self.poisoned: set[TableName] = set()
        self.asked: Counter[TableName] = Counter()

    def extent(self, stream: Stream, window: Window) -> Extent:
        """Count the rows of a window, or fail."""
        self._taste(stream)
        return super().extent(stream, window)

    def partition_bounds(self, stream: Stream, window: Window, most: int) -> Sequence[PartitionBounds] | None:
        """Return the bounds of partitions, or fail."""
        self._taste(stream)
        return super().partition_bounds(stream, window, most)

    def _taste(self, stream: Stream) -> None:
        if stream.source in self.poisoned:
            self.asked[stream.source] += 1
            raise SourceUnavailableError(f"{stream.source} is poisoned", remedy="none")


class _WatchedCatalog(MemoryCatalog):
    """A catalog that notes what the watermarks were when a batch was published."""

    def __init__(self, lake: Lake) -> None:
        super().__init__(lake.ledger, lake.engine.written)
        self._lake = lake

    def publish(self, publication: Publication) -> int:
        """Publish a batch."""
        before = self._lake.watermarks()
        snapshot = super().publish(publication)
        self._lake.published.append((publication.stream.name, publication.batch.window.upper, before))
        return snapshot


@dataclass
class Lake:
    """Streams, the servers in memory, and what happened, in the order in which it did.

    ``handled`` are the events whose handling has begun; ``published`` each batch's stream and upper bound, with the
    watermarks of all streams at that moment.
    """

    streams: Mapping[str, Stream]
    partitions: int = 3
    hit: Callable[[str], None] = lambda _: None
    handled: list[tuple[str, EventType]] = field(default_factory=list)
    published: list[tuple[str, datetime, Mapping[str, datetime]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.source = PoisonedSource(NOON)
        self.ledger = MemoryLedger(now=self.source.now)
        self.engine = MemoryEngine(self.source, hit=self._hit)
        self.catalog = _WatchedCatalog(self)
        self.metrics = MemoryMetrics()
        self.broker = MemoryBroker(partitions=self.partitions)
        self.relay = OutboxRelay(self.ledger, self.broker)
        for each in self.streams.values():
            self.source.create(each.source)

    def insert(self, name: str, *at: datetime) -> None:
        """Put rows into a stream's source table."""
        table = self.streams[name].source
        first = len(self.source.tables[table])
        self.source.insert(table, [Row(ts=instant, seq=first + number) for number, instant in enumerate(at)])

    def ticks(self, boundary: datetime, *names: str) -> None:
        """Send a tick to each of these streams."""
        self.broker.send([tick(stream=name, boundary=boundary) for name in names])

    def watermark(self, name: str) -> datetime:
        """The stream's watermark."""
        return self.watermarks()[name]

    def watermarks(self) -> Mapping[str, datetime]:
        """Every stream's watermark."""
        known = self.ledger.read(list(self.streams))
        return {name: known[name].watermark if name in known else BEGINNING for name in self.streams}

    def equal(self, name: str) -> bool:
        """Whether the cold tier holds exactly the rows below the stream's watermark."""
        target, source = self.streams[name].target, self.streams[name].source
        paths = self.catalog.data_files(target, self.streams[name].partition_by, None)
        cold = Counter(row for path in paths for row in self.source.files[path])
        return cold == Counter(row for row in self.source.tables[source] if row.ts < self.watermark(name))

    def events(self, name: str) -> Sequence[EventType]:
        """The types of the stream's events in the topic, all on the stream's own partition."""
        found = [
            (partition, message.event)
            for partition in self.broker.partitions
            for message in self.broker.messages(partition)
            if message.event is not None and message.event.stream == name
        ]
        assert {partition for partition, _ in found} <= {self.broker.partition_of(name)}
        return [event.type for _, event in found]

    def acknowledged(self) -> bool:
        """Whether every event's offset is committed."""
        return all(self.broker.committed.get(one, 0) == self.broker.end(one) for one in self.broker.partitions)

    @contextmanager
    def running(self, *, workers: int, gate: threading.Event | None = None, held: int = 1000) -> Iterator[None]:
        """A consumer at work; its handlers begin once the gate is open."""
        offload = Offload(
            streams=self.streams,
            source=self.source,
            ledger=self.ledger,
            backfills=self.ledger.backfills,
            catalog=self.catalog,
            engine=self.engine,
            metrics=self.metrics,
            heal=memory_repairs(
                source=self.source, ledger=self.ledger, catalog=self.catalog, engine=self.engine, owner="consumer"
            ).heal,
            dropped=lambda stream: (),
            owner="consumer",
            lease=timedelta(seconds=30),
            failpoints=Failpoints(),
        )

        def handle(event: Event, abandoned: Signal) -> None:
            if gate is not None:
                gate.wait(60)
            self.handled.append((event.stream, event.type))
            offload.handle(event, abandoned)

        loop = EventLoop[BrokerMessage](
            settings=ConsumerSettings(workers=workers, events_per_partition=held),
            group="lake",
            source=self.broker.member(),
            decode=decode,
            handler=handle,
            dead_letters=MemoryDeadLetters[BrokerMessage](),
            metrics=self.metrics,
            tracer=NoOpTracer(),
        )
        stop = threading.Event()
        threads = [
            threading.Thread(target=loop.run, name="lake-poll"),
            threading.Thread(target=lambda: self.relay.run(stop, timedelta(milliseconds=5)), name="lake-relay"),
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            loop.stop_now()
            for thread in threads:
                thread.join(20)
            assert not any(thread.is_alive() for thread in threads)

    def _hit(self, point: str) -> None:
        self.hit(point)
