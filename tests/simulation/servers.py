"""The servers of the simulation: hot tier, ledger, cold tier and broker in memory, with their clocks."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from consumer.domain.batch import Batch, WrittenFile
from consumer.domain.maintenance import MaintenancePolicy
from consumer.domain.mapping import TableMapping
from consumer.domain.partition_bounds import PartitionBounds
from consumer.domain.reconcile import Difference
from consumer.domain.stream import BatchBounds, OnDivergence, RetryPolicy, Stream, TableName
from consumer.domain.window import PartitionBy, Window
from consumer.ports import Bucket, Extent, Step, TargetTable, UnitReport
from consumer.testing.catalog import MemoryCatalog
from consumer.testing.database import MemoryDatabase
from consumer.testing.emissions import MemoryEmitterStore
from consumer.testing.engine import MemoryEngine
from consumer.testing.files import MemoryFiles
from consumer.testing.rows import Row
from consumer.testing.source import MemorySource
from consumer.testing.telemetry import MemoryMetrics
from consumer.testing.two_step import TwoStepMemoryCatalog
from tests.simulation.deliveries import Deliveries
from tests.simulation.kernel import Kernel, Process, SimulatedThreads
from tests.simulation.orders import Orders
from tests.simulation.truth import Truth
from tests.simulation.watched import WatchedBroker, WatchedDeadLetters, WatchedLedger
from tests.simulation.wires import Network

BASE = datetime(2026, 1, 10, 12, tzinfo=UTC)
_RETRY = RetryPolicy(attempts=3, initial=timedelta(seconds=1), maximum=timedelta(seconds=8))
_LAG = timedelta(seconds=30)
_PARTITIONS = 2


_MAINTENANCE = MaintenancePolicy(enabled=True, every=timedelta(seconds=20), patience=timedelta(minutes=2))
"""Often enough that files are put together in every run."""


def _stream(name: str, **fields: object) -> Stream:
    values: dict[str, object] = {
        "name": name,
        "source": TableName(database="market", table=name),
        "target": TableName(database="bronze", table=name),
        "timestamp_column": "ts",
        "sequence_columns": ("seq",),
        "settle_lag": _LAG,
        "bounds": BatchBounds(rows=4, unit_rows=2, window=timedelta(days=1)),
        "retry": _RETRY,
        "retain_snapshots": 4,
        "maintenance": _MAINTENANCE,
    }
    return Stream(**{**values, **fields})  # type: ignore[arg-type]


STREAMS: Mapping[str, Stream] = {
    stream.name: stream
    for stream in (
        # Large units, so that files are small beside what one may hold.
        _stream("trades", bounds=BatchBounds(rows=4, unit_rows=40)),
        _stream(
            "bars",
            upstreams=("trades",),
            row_span=timedelta(minutes=1),
            partition_by=PartitionBy.HOUR,
            start=BASE - timedelta(hours=2),
        ),
        _stream(
            "quotes",
            on_divergence=OnDivergence.HEAL,
            sequence_columns=(),
            partition_by=PartitionBy.NONE,
            settle_lag=timedelta(0),
            start=BASE - timedelta(seconds=10),
        ),
    )
}


class Servers:
    """What the processes share, and what does not die with them."""

    def __init__(self, kernel: Kernel, *, two_step: bool = False) -> None:
        self.streams = STREAMS
        self.kernel = kernel
        self.counts: Counter[str] = Counter()
        self.metrics = MemoryMetrics()
        self.truth = Truth(STREAMS)
        self.orders = Orders(self.truth)
        self.network = Network(kernel, self.counts)
        self.skews = {"source": timedelta(0), "ledger": timedelta(0)}
        self._greatest = dict(self.skews)
        self._uuids = _uuids()
        threads = SimulatedThreads(kernel, Process("servers"))
        self.source = WatchedSource(self)
        for stream in STREAMS.values():
            self.source.create(stream.source)
        self.deliveries = Deliveries(STREAMS, self._watermarks)
        self.database = MemoryDatabase(threads=threads)
        self.ledger = WatchedLedger(self.truth, self.deliveries, kernel, lambda: self.now("ledger"), self.database)
        self.emissions = MemoryEmitterStore(now=lambda: self.now("ledger"))
        self.written: dict[str, WrittenFile] = {}
        kind = TwoStepMemoryCatalog if two_step else MemoryCatalog
        self.catalog = kind(self.ledger, self.written, hit=self._hit, new_uuid=self.uuid)
        self.catalog.bounds = self._bounds
        self.ledger.repairs.proven = self._proven
        self.broker = WatchedBroker(self.truth, self.deliveries, threads, _PARTITIONS)
        self.letters = WatchedDeadLetters(self.truth, self.deliveries)
        self.sync()

    def _bounds(self, path: str) -> Window:
        instants = [row.ts for row in self.source.files[path]]
        return Window(lower=min(instants), upper=max(instants) + timedelta(microseconds=1))

    def now(self, clock: str) -> datetime:
        """Return what a server's clock shows."""
        return BASE + timedelta(seconds=self.kernel.now) + self.skews[clock]

    def skew(self, clock: str, by: timedelta) -> None:
        """Set a server's clock forward or back."""
        self.skews[clock] += by
        self._greatest[clock] = max(self._greatest[clock], self.skews[clock])
        self.sync()

    def put_clocks_forward(self) -> None:
        """End the wait for times that clocks have shown before: a lease lasts as long as its server's clock says."""
        self.skews.update(self._greatest)
        self.sync()

    def sync(self) -> None:
        """Let the source's clock show its time, and the model see it."""
        before, self.source.time = self.source.time, self.now("source")
        if self.source.time < before:
            self.deliveries.stepped_back(self.truth.step, self.source.time)
        self.truth.latest = max(self.truth.latest, self.source.time)

    def engine(self) -> MemoryEngine:
        """Return the engine of one process; all write to one store."""
        return WatchedEngine(self)

    def _proven(self, stream: str) -> UUID | None:
        table = self.catalog.tables.get(self.streams[stream].target)
        evidence = None if table is None else table.evidence()
        return None if evidence is None else evidence.batch_id

    def files(self) -> MemoryFiles:
        """Return what reads the tables' metadata."""
        return MemoryFiles(self.catalog, self.written)

    def uuid(self) -> UUID:
        """Return an id that nobody else has, the same ones in each run."""
        return next(self._uuids)

    def cold(self, stream: str) -> Counter[Row]:
        """Return the rows of a stream's target table."""
        table = self.catalog.tables.get(self.streams[stream].target)
        return Counter(row for file, _ in (table.live() if table else ()) for row in self.source.files[file.path])

    def _hit(self, point: str) -> None:
        self.network.hit(point)

    def _watermarks(self) -> Mapping[str, datetime]:
        return self.ledger.watermarks()


class WatchedSource(MemorySource):
    """A hot tier that tells when somebody begins to plan."""

    def __init__(self, servers: Servers) -> None:
        super().__init__(BASE, new_uuid=servers.uuid)
        self._servers = servers

    def extent(self, stream: Stream, window: Window) -> Extent:
        thread = self._servers.kernel.current
        self._servers.truth.looked(thread.name if thread else "", stream.name)
        return super().extent(stream, window)

    def partition_bounds(self, stream: Stream, window: Window, most: int) -> Sequence[PartitionBounds] | None:
        thread = self._servers.kernel.current
        self._servers.truth.looked(thread.name if thread else "", stream.name)
        return super().partition_bounds(stream, window, most)

    def histogram(self, stream: Stream, window: Window, step: Step) -> Sequence[Bucket]:
        thread = self._servers.kernel.current
        self._servers.truth.counted(thread.name if thread else "", stream.name)
        return super().histogram(stream, window, step)

    def late_rows(
        self,
        stream: Stream,
        mapping: TableMapping,
        window: Window,
        paths: Sequence[str],
        *,
        not_before: datetime | None = None,
    ) -> Difference:
        thread = self._servers.kernel.current
        self._servers.truth.looked(thread.name if thread else "", stream.name)
        return super().late_rows(stream, mapping, window, paths, not_before=not_before)


class WatchedEngine(MemoryEngine):
    """An engine that tells what it reads and writes, and whose files a broken disk may change."""

    def __init__(self, servers: Servers) -> None:
        super().__init__(servers.source, written=servers.written, hit=self._unit, new_uuid=servers.uuid)
        self._servers = servers
        self._corrupt: set[str] = set()

    def write(
        self,
        *,
        stream: Stream,
        mapping: TableMapping,
        target: TargetTable,
        batch: Batch,
        prefix: str,
        traceparent: str | None,
    ) -> Sequence[UnitReport]:
        truth = self._servers.truth
        self._corrupt.discard(self._thread)
        truth.begins(self._thread, batch, prefix)
        reports = super().write(
            stream=stream, mapping=mapping, target=target, batch=batch, prefix=prefix, traceparent=traceparent
        )
        truth.wrote(self._thread, [report.file.path for report in reports])
        if self._thread in self._corrupt and reports:
            content = self._servers.source.files[reports[0].file.path]
            content[0] = Row(ts=content[0].ts, seq=content[0].seq, value=content[0].value + 1_000_000)
        return reports

    def _unit(self, point: str) -> None:
        if self._servers.network.hit(point) == "corrupt":
            self._corrupt.add(self._thread)
        if point == "task.before-read":
            self._servers.truth.reads(self._thread)

    @property
    def _thread(self) -> str:
        thread = self._servers.kernel.current
        return thread.name if thread else ""


def _uuids() -> Iterator[UUID]:
    numbers = random.Random(0)
    while True:
        yield UUID(int=numbers.getrandbits(128), version=4)
