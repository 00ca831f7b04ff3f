"""The processes of the simulation, made of the service's real parts on wires to the servers in memory."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from opentelemetry.trace import NoOpTracer

from consumer.adapters.kafka.relay import OutboxRelay
from consumer.domain.errors import BrokerUnavailableError, IcehaulError, InvalidEventError
from consumer.domain.event import Event
from consumer.emitter.emitter import Emitter
from consumer.failpoints.acting import Failpoints
from consumer.ports import Ledger
from consumer.service.backfill.requests import BackfillRequests
from consumer.service.batch_run import BatchRunner
from consumer.service.maintaining.background import BackgroundMaintenance
from consumer.service.maintaining.compaction import Compaction
from consumer.service.maintaining.maintenance import Maintenance
from consumer.service.offload import Offload
from consumer.service.repair.repairer import Repairs
from consumer.service.replacing.replacing import Replacements
from consumer.service.replacing.review import Review
from consumer.service.rewinding.review import Review as RewindReview
from consumer.service.rewinding.rewinds import Rewinds
from consumer.service.runtime.loop import EventLoop
from consumer.service.threads import Signal
from consumer.settings.connections import ConsumerSettings
from consumer.settings.emission import EmitterSettings
from consumer.testing.broker import BrokerMessage, decode
from consumer.testing.compacted_tables import MemoryCompactedTables
from tests.simulation.kernel import Kernel, Process, SimulatedThreads, Thread
from tests.simulation.watched import WatchedMember

if TYPE_CHECKING:
    from tests.simulation.servers import Servers

LEASE = timedelta(seconds=30)
CONSUMER = ConsumerSettings(workers=2, events_per_partition=4, lease_seconds=LEASE.total_seconds())
EMITTER = EmitterSettings(tick=timedelta(seconds=60), grace=timedelta(seconds=30))


class Points(Failpoints):
    """Failpoints that fail by order of the simulation."""

    def __init__(self, hit: Callable[[str], object]) -> None:
        super().__init__()
        self._hit = hit

    def hit(self, point: str) -> None:
        """Pass a point."""
        self._hit(point)


class Simulated(Process):
    """A process: its threads, and the real parts that run in them."""

    def __init__(self, kernel: Kernel, servers: Servers, name: str) -> None:
        super().__init__(name)
        self.kernel = kernel
        self.servers = servers
        self.threads = SimulatedThreads(kernel, self)
        self.failpoints = Points(servers.network.hit)
        self.main: Thread | None = None
        self.idles = False

    @property
    def ended(self) -> bool:
        """Whether it has ended by itself: a process lives as long as its main thread."""
        return self.main is None or self.main.done

    def stop(self) -> None:
        """Ask it to end, as SIGTERM does."""

    def offload(self) -> Offload:
        """Return a handler of events that works for this process."""
        servers, wire = self.servers, self.servers.network.wire
        self.maintenance = self._maintenance()
        return Offload(
            streams=servers.streams,
            source=wire("source", servers.source),
            ledger=wire("ledger", servers.ledger),
            backfills=wire("backfills", servers.ledger.backfills),
            catalog=wire("catalog", servers.catalog),
            engine=wire("engine", servers.engine()),
            metrics=servers.metrics,
            heal=self.repairs().heal,
            dropped=lambda stream: (),
            owner=self.name,
            lease=LEASE,
            failpoints=self.failpoints,
            threads=self.threads,
            maintain=self.maintenance.step,
        )

    def _maintenance(self) -> BackgroundMaintenance:
        """Return what maintains tables beside this process's work."""
        servers, wire = self.servers, self.servers.network.wire
        records = wire("maintenance", servers.ledger.maintenance)
        runner = BatchRunner(
            source=wire("source", servers.source),
            ledger=wire("ledger", servers.ledger),
            catalog=wire("catalog", servers.catalog),
            engine=wire("engine", servers.engine()),
            metrics=servers.metrics,
            failpoints=self.failpoints,
        )
        task = Compaction(
            tables=wire("tables", MemoryCompactedTables(servers.catalog)),
            ledger=wire("ledger", servers.ledger),
            records=records,
            runner=runner,
            failpoints=self.failpoints,
        )
        return BackgroundMaintenance(
            streams=servers.streams,
            tasks=[task],
            records=records,
            maintenance=Maintenance(
                tasks=[task],
                source=wire("source", servers.source),
                ledger=wire("ledger", servers.ledger),
                catalog=wire("catalog", servers.catalog),
                engine=wire("engine", servers.engine()),
                owner=self.name,
                lease=LEASE,
                failpoints=self.failpoints,
                threads=self.threads,
            ),
            metrics=servers.metrics,
            failpoints=self.failpoints,
            idles=lambda: self.idles,
        )

    def repairs(self) -> Repairs:
        """Return what makes ledgers follow their tables, for this process."""
        servers, wire = self.servers, self.servers.network.wire
        return Repairs(
            source=wire("source", servers.source),
            ledger=wire("ledger", servers.ledger),
            repairs=wire("repairs", servers.ledger.repairs),
            catalog=wire("catalog", servers.catalog),
            files=wire("files", servers.files()),
            attempts=wire("attempts", servers.ledger.recorded),
            owner=self.name,
            lease=LEASE,
            failpoints=self.failpoints,
            threads=self.threads,
        )

    def backfills(self) -> BackfillRequests:
        """Return what checks and records requests for history, for this process."""
        servers, wire = self.servers, self.servers.network.wire
        return BackfillRequests(
            source=wire("source", servers.source),
            ledger=wire("ledger", servers.ledger),
            backfills=wire("backfills", servers.ledger.backfills),
            failpoints=self.failpoints,
            new_id=servers.uuid,
        )

    def replacements(self) -> Replacements:
        """Return what replaces rows for this process."""
        servers, wire = self.servers, self.servers.network.wire
        source, ledger, catalog = (
            wire(name, each)
            for name, each in (("source", servers.source), ("ledger", servers.ledger), ("catalog", servers.catalog))
        )
        return Replacements(
            streams=servers.streams,
            review=Review(source=source, ledger=ledger, catalog=catalog, dropped=lambda stream: ()),
            source=source,
            ledger=ledger,
            catalog=catalog,
            engine=wire("engine", servers.engine()),
            metrics=servers.metrics,
            owner=self.name,
            lease=LEASE,
            failpoints=self.failpoints,
            threads=self.threads,
        )

    def rewinds(self) -> Rewinds:
        """Return what sets streams back for this process."""
        servers, wire = self.servers, self.servers.network.wire
        source, ledger, catalog = (
            wire(name, each)
            for name, each in (("source", servers.source), ("ledger", servers.ledger), ("catalog", servers.catalog))
        )
        rewinds = wire("rewinds", servers.ledger.rewinds)
        return Rewinds(
            streams=servers.streams,
            review=RewindReview(
                streams=servers.streams,
                source=source,
                ledger=ledger,
                rewinds=rewinds,
                catalog=catalog,
                dropped=lambda stream: (),
            ),
            rewinds=rewinds,
            source=source,
            ledger=ledger,
            catalog=catalog,
            engine=wire("engine", servers.engine()),
            metrics=servers.metrics,
            owner=self.name,
            lease=LEASE,
            failpoints=self.failpoints,
            threads=self.threads,
        )


class ConsumerProcess(Simulated):
    """A consumer: poll loop, workers, lease keepers, outbox relay."""

    def __init__(self, kernel: Kernel, servers: Servers, name: str) -> None:
        super().__init__(kernel, servers, name)
        wire = servers.network.wire
        self.member = WatchedMember(servers.broker, servers.truth, servers.deliveries, servers.source)
        self._offload = self.offload()
        self._stop_relay = self.threads.signal()
        self._started: dict[str, tuple[str, int]] = {}
        self._relay = OutboxRelay(wire("ledger", servers.ledger), wire("sink", servers.broker), self.failpoints)
        self._loop = EventLoop[BrokerMessage](
            settings=CONSUMER,
            group="simulation",
            source=wire("member", self.member),
            decode=decode,
            handler=self._handle,
            dead_letters=wire("letters", servers.letters),
            metrics=servers.metrics,
            tracer=NoOpTracer(),
            failpoints=self.failpoints,
            threads=self.threads,
            idle=self.maintenance,
        )
        self.idles = True
        self.main = self.threads.start(self._run, name="poll")
        self.threads.start(lambda: self._relay.run(self._stop_relay, timedelta(seconds=1)), name="relay")

    def stop(self) -> None:
        """Finish running work, leave the group, end."""
        self._loop.stop()
        self._stop_relay.set()

    def _run(self) -> None:
        # A process whose broker is away at the start ends, and is started again.
        with suppress(BrokerUnavailableError):
            self._loop.run()

    def _handle(self, event: Event, abandoned: Signal) -> None:
        """Watch the order of a stream's events on the way to the real handler."""
        order = self.servers.orders
        ticket = order.begins(self.name, event, abandoned)
        try:
            self._offload.handle(event, abandoned)
        except IcehaulError as error:
            self.servers.network.counts[f"handled {type(error).__name__}"] += 1
            # An invalid event is done with: it becomes a dead letter.
            (order.ends if isinstance(error, InvalidEventError) else order.fails)(ticket)
            raise
        self.servers.network.counts["handled"] += 1
        order.ends(ticket)


class EmitterProcess(Simulated):
    """An emitter of ticks and partition closes."""

    def __init__(self, kernel: Kernel, servers: Servers, name: str) -> None:
        super().__init__(kernel, servers, name)
        wire = servers.network.wire
        self._stop = self.threads.signal()
        self._emitter = Emitter(
            streams=tuple(servers.streams.values()),
            source=wire("source", servers.source),
            sink=wire("sink", servers.broker),
            store=wire("emissions", servers.emissions),
            settings=EMITTER,
            owner=name,
            failpoints=self.failpoints,
            threads=self.threads,
        )
        self.main = self.threads.start(lambda: self._emitter.run(self._stop), name="emitter")

    def stop(self) -> None:
        """End after the round that is under way."""
        self._stop.set()


class CommandProcess(Simulated):
    """A command that an operator runs: it does one thing, and may fail."""

    def __init__(self, kernel: Kernel, servers: Servers, name: str, work: Callable[[CommandProcess], object]) -> None:
        super().__init__(kernel, servers, name)
        self.ledger: Ledger = servers.network.wire("ledger", servers.ledger)
        self.main = self.threads.start(lambda: self._run(work), name="command")

    def _run(self, work: Callable[[CommandProcess], object]) -> None:
        with suppress(IcehaulError):
            work(self)
