"""A consumer, an emitter, a command: everything that one process needs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cached_property
from pathlib import Path

from consumer import __version__
from consumer.adapters.iceberg.lost_tables import IcebergLostTables
from consumer.adapters.kafka.consumer import KafkaEventSource, KafkaMessage
from consumer.adapters.kafka.placement import PlacedEvents
from consumer.adapters.kafka.producer import partition_of
from consumer.adapters.kafka.relay import OutboxRelay
from consumer.adapters.postgres.console import PostgresHistory
from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.emissions import PostgresEmitterStore
from consumer.adapters.postgres.recoveries import PostgresRecoveries
from consumer.adapters.postgres.retention import PostgresRetention
from consumer.adapters.telemetry.catalogue import Role
from consumer.adapters.telemetry.logs import configure_logging
from consumer.adapters.telemetry.tracing import Tracing
from consumer.bootstrap.commands import Commands
from consumer.domain.errors import EngineFailedError
from consumer.emitter.emitter import Emitter
from consumer.service.audit.background import BackgroundAudit
from consumer.service.console.viewing import Viewing
from consumer.service.ledger_watch import LedgerWatch
from consumer.service.loss_watch import LossWatch
from consumer.service.maintaining.background import BackgroundMaintenance
from consumer.service.offload import Offload
from consumer.service.recovering.recoveries import Recoveries
from consumer.service.replay.replays import Replays
from consumer.service.runtime.loop import EventLoop
from consumer.service.runtime.ports import Partition
from consumer.service.runtime.reconciling import StreamsOfPartitions
from consumer.service.table_watch import TableWatch

_CONSOLE_CONNECTIONS = 2
_CONSOLE_SECONDS = 5.0
"""After which a statement of the console is given up: a page that needs longer helps nobody."""


class Application(Commands):
    """Everything that one process needs, built when it is first asked for, and closed together."""

    _consuming: EventLoop[KafkaMessage] | None = None

    @cached_property
    def offload(self) -> Offload:
        """The handler of events."""
        return Offload(
            streams=self.streams,
            source=self.source,
            ledger=self.ledger,
            backfills=self.backfills,
            catalog=self.catalog,
            engine=self.engine,
            metrics=self.metrics,
            heal=self.repairs.heal,
            dropped=self.drop_log.windows,
            owner=self.owner,
            lease=self.lease,
            failpoints=self.failpoints,
            turn=timedelta(seconds=self.configuration.consumer.turn_seconds),
            crowded=self._crowded,
            maintain=self.background_maintenance.step,
        )

    def _crowded(self) -> bool:
        """Whether an event waits for a worker of this process."""
        return self._consuming is not None and self._consuming.crowded

    @cached_property
    def background_maintenance(self) -> BackgroundMaintenance:
        """Maintains tables beside the consumer's work."""
        return BackgroundMaintenance(
            streams=self.streams,
            tasks=self.maintenance_tasks,
            records=self.maintenance_records,
            maintenance=self.maintenance,
            metrics=self.metrics,
            failpoints=self.failpoints,
            idles=lambda: self._consuming is not None,
        )

    @cached_property
    def replays(self) -> Replays:
        """Goes through stretches of time again."""
        return Replays(
            source=self.source,
            ledger=self.ledger,
            catalog=self.catalog,
            repairs=self.repairs,
            run=self.offload.run,
        )

    @cached_property
    def recoveries(self) -> Recoveries:
        """Finds tables again that the catalog has lost."""
        settings = self.configuration
        tables = IcebergLostTables(database=self.database, catalog=settings.catalog, store=settings.store)
        self._closing.callback(tables.close)
        return Recoveries(
            tables=tables,
            ledger=self.ledger,
            recovery=PostgresRecoveries(self.database),
            repairs=self.repairs,
            failpoints=self.failpoints,
        )

    @cached_property
    def relay(self) -> OutboxRelay:
        """Sends the ledger's outbox."""
        return OutboxRelay(self.ledger, self.event_sink, self.failpoints, self.metrics)

    @cached_property
    def emitter(self) -> Emitter:
        """Sends ticks and partition closes."""
        return Emitter(
            streams=tuple(self.streams.values()),
            source=self.inventory,
            sink=self.event_sink,
            store=PostgresEmitterStore(self.database),
            settings=self.configuration.emitter,
            owner=self.owner,
            failpoints=self.failpoints,
            metrics=self.metrics,
        )

    def loop(self, tracing: Tracing) -> EventLoop[KafkaMessage]:
        """Return the poll loop of one member of the consumer group."""
        settings = self.configuration
        self._consuming = EventLoop(
            settings=settings.consumer,
            group=settings.kafka.group,
            source=KafkaEventSource(settings.kafka, settings.consumer, self.metrics, memory=self.remembered),
            decode=PlacedEvents(self.topics.event_partitions).decode,
            handler=self.offload.handle if self.background_audit is None else self.background_audit.handle,
            dead_letters=self.dead_letters,
            metrics=self.metrics,
            tracer=tracing.tracer,
            failpoints=self.failpoints,
            rank=self.loss_watch.rank,
            reconciling=StreamsOfPartitions(self.streams, partition_of),
            idle=self.background_maintenance,
        )
        return self._consuming

    def remembered(self, partition: Partition) -> int | None:
        """Return the largest offset of a partition's events for which the ledger has a batch that is done."""
        return self.offsets.last(partition.topic, partition.number)

    @cached_property
    def viewing(self) -> Viewing:
        """Reads what the console shows, by connections of its own: those that look take none from those that work."""
        settings = self.configuration.postgres.model_copy(
            update={
                "pool_size": _CONSOLE_CONNECTIONS,
                "statement_timeout_seconds": min(
                    _CONSOLE_SECONDS, self.configuration.postgres.statement_timeout_seconds
                ),
            }
        )
        database = Database(settings, lease=self.lease, application_name="icehaul-console")
        self._closing.callback(database.close)
        return Viewing(streams=self.streams, history=PostgresHistory(database), outlook=self.loss_watch.outlook)

    @cached_property
    def loss_watch(self) -> LossWatch:
        """Watches how near the sources' TTLs are to rows that were not offloaded."""
        return LossWatch(
            streams=self.streams,
            source=self.source,
            ledger=self.ledger,
            metrics=self.metrics,
            order=self.configuration.consumer.order,
        )

    @cached_property
    def table_watch(self) -> TableWatch:
        """Watches how many files the targets have."""
        return TableWatch(streams=self.streams, tables=self.catalog.sizes, metrics=self.metrics)

    @cached_property
    def ledger_watch(self) -> LedgerWatch:
        """Lets go what the ledger needs no more."""
        return LedgerWatch(ledger=PostgresRetention(self.database), age=self.configuration.consumer.ledger_history)

    def emitter_probes(self) -> Mapping[str, Callable[[], object]]:
        """Return a small real operation for each server that an emitter needs, by name."""
        return {
            "clickhouse": self.inventory.now,
            "kafka": self.topics.check_present,
            "postgres": lambda: self.ledger.read(()),
        }

    def probes(self) -> Mapping[str, Callable[[], object]]:
        """Return a small real operation for each server that a consumer needs, by name."""
        return {
            "clickhouse": self.source.now,
            "kafka": self.topics.check_present,
            "postgres": lambda: self.ledger.read(()),
            "spark": self._check_engine,
            "store": self._check_store,
        }

    def _check_engine(self) -> None:
        if not self.engine.ready:
            raise EngineFailedError("no Spark session is running", remedy="nothing to do: the next batch starts one")

    def _check_store(self) -> None:
        # The client reads the certificate authority when it is made: what is wrong with that is an answer, too.
        self.store_reach.check()

    def _directories(self, role: Role) -> Mapping[str, Path]:
        """Return where the process writes on this machine, by purpose."""
        directories = {"temporary": Path(tempfile.gettempdir())}
        if role == "consumer":
            local = self.configuration.spark.conf.get("spark.local.dir")
            named = self._environment.get("SPARK_LOCAL_DIRS") or local or tempfile.gettempdir()
            directories["spark"] = Path(named.split(",", maxsplit=1)[0])
        if self.configuration.telemetry.trace_file is not None:
            directories["traces"] = Path(self.configuration.telemetry.trace_file).absolute().parent
        return directories

    @cached_property
    def background_audit(self) -> BackgroundAudit | None:
        """Audits beside a consumer's work; ``None`` where the configuration asks for none."""
        interval = self.configuration.consumer.audit_interval
        if interval is None:
            return None
        return BackgroundAudit(
            auditor=self.auditor,
            streams=self.streams,
            handler=self.offload.handle,
            interval=interval,
            metrics=self.metrics,
        )

    def measure(self, role: Role) -> None:
        """Set up the metrics of this process, which serves them and is a ``role``."""
        self.metrics.begin(role, __version__)
        directories = self._directories(role)
        self.metrics.at_scrape(lambda: self.metrics.disks(directories))
        if role == "consumer":
            engine = self.engine
            self.metrics.at_scrape(lambda: self.metrics.engine(ready=engine.ready, jobs=engine.jobs))

    def observe(self, role: str) -> Tracing:
        """Set up logs and traces of this process, which is a ``role`` (consumer, emitter); traces are flushed last."""
        configure_logging(self.configuration.telemetry)
        tracing = Tracing(self.configuration.telemetry, role=role)
        tracing.install()
        self._closing.callback(tracing.shutdown)
        return tracing
