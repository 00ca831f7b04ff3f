"""The composition root: the one place where configuration becomes objects.

Nothing connects before it is used, so a command that needs the ledger alone talks to Postgres alone.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from functools import cached_property
from types import TracebackType
from typing import Self
from uuid import uuid4

from consumer.adapters.clickhouse.event_objects import EventObjects
from consumer.adapters.clickhouse.introspection import ClickHouseIntrospection
from consumer.adapters.clickhouse.inventory import ClickHouseInventory
from consumer.adapters.clickhouse.quarantine import ClickHousePartitions
from consumer.adapters.clickhouse.shards import refuse_cluster
from consumer.adapters.clickhouse.source import ClickHouseSource
from consumer.adapters.clickhouse.views import INLINE, ClickHouseViews
from consumer.adapters.iceberg.catalog import IcebergCatalog
from consumer.adapters.iceberg.census import IcebergFiles
from consumer.adapters.iceberg.register import IcebergRegister
from consumer.adapters.kafka.codec import decode_message
from consumer.adapters.kafka.consumer import KafkaEventSource, KafkaMessage
from consumer.adapters.kafka.dead_letters import KafkaDeadLetters
from consumer.adapters.kafka.letter_box import KafkaLetterBox, decode_letter
from consumer.adapters.kafka.producer import KafkaEventSink
from consumer.adapters.kafka.relay import OutboxRelay
from consumer.adapters.kafka.topics import Topics
from consumer.adapters.postgres.attempts import PostgresAttempts
from consumer.adapters.postgres.backfills import PostgresBackfills
from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.drops import PostgresDropLog
from consumer.adapters.postgres.emissions import PostgresEmitterStore
from consumer.adapters.postgres.ledger import PostgresLedger
from consumer.adapters.postgres.migrations import Migration, migrate, pending
from consumer.adapters.spark.engine import SparkEngine
from consumer.adapters.telemetry.logs import configure_logging
from consumer.adapters.telemetry.metrics import PrometheusMetrics
from consumer.adapters.telemetry.tracing import Tracing
from consumer.domain.errors import EngineFailedError
from consumer.domain.stream import Stream
from consumer.emitter.emitter import Emitter
from consumer.failpoints.acting import VARIABLE, Failpoints
from consumer.service.adoption.adoptions import Adoptions
from consumer.service.audit.auditor import Auditor
from consumer.service.audit.background import BackgroundAudit
from consumer.service.backfill.requests import BackfillRequests
from consumer.service.cut import Cuts
from consumer.service.dropping.drops import HotDrops
from consumer.service.dropping.review import Review
from consumer.service.follow import Follower
from consumer.service.letters import Letters
from consumer.service.loss_watch import LossWatch
from consumer.service.offload import Offload
from consumer.service.preview import Previewer
from consumer.service.registry.changes import StreamChanges
from consumer.service.replacing.replacing import Replacements
from consumer.service.replacing.review import Review as ReplacementReview
from consumer.service.runtime.loop import EventLoop
from consumer.service.status import Statuses
from consumer.service.takeover import Takeovers
from consumer.service.verify import Verifier
from consumer.service.view import Views
from consumer.settings.model import Configuration


class Application:
    """Everything that one process needs, built when it is first asked for, and closed together."""

    def __init__(self, configuration: Configuration, *, environment: Mapping[str, str] | None = None) -> None:
        self.configuration = configuration
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._environment = os.environ if environment is None else environment
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    @cached_property
    def streams(self) -> Mapping[str, Stream]:
        """The configured streams by name."""
        return self.configuration.by_name()

    @cached_property
    def lease(self) -> timedelta:
        """How long a consumer's lease on a stream lasts."""
        return timedelta(seconds=self.configuration.consumer.lease_seconds)

    @cached_property
    def failpoints(self) -> Failpoints:
        """The failpoints that the environment arms (none, outside of tests)."""
        return Failpoints(self._environment.get(VARIABLE, ""))

    @cached_property
    def metrics(self) -> PrometheusMetrics:
        """The metrics of this process."""
        return PrometheusMetrics()

    @cached_property
    def source(self) -> ClickHouseSource:
        """The hot tier."""
        source = ClickHouseSource(self.configuration.clickhouse, self.configuration.store)
        self._closing.callback(source.close)
        return source

    @cached_property
    def database(self) -> Database:
        """The ledger's database."""
        database = Database(self.configuration.postgres, lease=self.lease)
        self._closing.callback(database.close)
        return database

    @cached_property
    def ledger(self) -> PostgresLedger:
        """The ledger."""
        return PostgresLedger(self.database)

    @cached_property
    def backfills(self) -> PostgresBackfills:
        """The record of ranges that are to be backfilled."""
        return PostgresBackfills(self.database)

    @cached_property
    def backfill_requests(self) -> BackfillRequests:
        """Checks and records what is to be backfilled."""
        return BackfillRequests(
            source=self.source, ledger=self.ledger, backfills=self.backfills, failpoints=self.failpoints
        )

    @cached_property
    def catalog(self) -> IcebergCatalog:
        """The cold tier."""
        return IcebergCatalog(
            database=self.database,
            catalog=self.configuration.catalog,
            store=self.configuration.store,
            failpoints=self.failpoints,
        )

    @cached_property
    def engine(self) -> SparkEngine:
        """The batch engine; its session starts with the first batch, or by ``start``."""
        settings = self.configuration
        engine = SparkEngine(settings.spark, settings.clickhouse, settings.store, self.failpoints)
        self._closing.callback(engine.stop)
        return engine

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
            owner=self.owner,
            lease=self.lease,
            failpoints=self.failpoints,
        )

    @cached_property
    def event_sink(self) -> KafkaEventSink:
        """Where events are sent."""
        sink = KafkaEventSink(self.configuration.kafka)
        self._closing.callback(sink.close)
        return sink

    @cached_property
    def dead_letters(self) -> KafkaDeadLetters:
        """Where messages go that can never be handled."""
        letters = KafkaDeadLetters(self.configuration.kafka)
        self._closing.callback(letters.close)
        return letters

    @cached_property
    def letters(self) -> Letters:
        """Looks at dead letters, and sends them again."""
        box = KafkaLetterBox(self.configuration.kafka)
        self._closing.callback(box.close)
        return Letters(box=box, decode=decode_letter, streams=self.streams.keys(), failpoints=self.failpoints)

    @cached_property
    def relay(self) -> OutboxRelay:
        """Sends the ledger's outbox."""
        return OutboxRelay(self.ledger, self.event_sink, self.failpoints)

    @cached_property
    def topics(self) -> Topics:
        """Creates and checks the topics."""
        return Topics(self.configuration.kafka)

    @cached_property
    def inventory(self) -> ClickHouseInventory:
        """What the partitions of source tables hold."""
        inventory = ClickHouseInventory(self.configuration.clickhouse)
        self._closing.callback(inventory.close)
        return inventory

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
        )

    def event_objects(self, database: str, collection: str) -> EventObjects:
        """Return what writes the statements by which ClickHouse makes events itself, in this database."""
        settings = self.configuration
        refuse_cluster(settings.clickhouse, "ClickHouse as an emitter", "use icehaul's own emitter: icehaul emit")
        server = ClickHouseIntrospection(settings.clickhouse)
        self._closing.callback(server.close)
        return EventObjects(
            server, self.inventory, settings.kafka, settings.emitter, database=database, collection=collection
        )

    def loop(self, tracing: Tracing) -> EventLoop[KafkaMessage]:
        """Return the poll loop of one member of the consumer group."""
        settings = self.configuration
        return EventLoop(
            settings=settings.consumer,
            group=settings.kafka.group,
            source=KafkaEventSource(settings.kafka, settings.consumer, self.metrics),
            decode=decode_message,
            handler=self.offload.handle if self.background_audit is None else self.background_audit.handle,
            dead_letters=self.dead_letters,
            metrics=self.metrics,
            tracer=tracing.tracer,
            failpoints=self.failpoints,
            urgency=self.loss_watch.urgency,
        )

    @cached_property
    def loss_watch(self) -> LossWatch:
        """Watches how near the sources' TTLs are to rows that were not offloaded."""
        return LossWatch(streams=self.streams, source=self.source, ledger=self.ledger, metrics=self.metrics)

    def probes(self) -> Mapping[str, Callable[[], object]]:
        """Return a small real operation for each server that a consumer needs, by name."""
        return {
            "clickhouse": self.source.now,
            "kafka": self.topics.check_present,
            "postgres": lambda: self.ledger.read(()),
            "spark": self._check_engine,
        }

    def _check_engine(self) -> None:
        if not self.engine.ready:
            raise EngineFailedError("no Spark session is running", remedy="nothing to do: the next batch starts one")

    @cached_property
    def statuses(self) -> Statuses:
        """Reads where streams stand."""
        return Statuses(source=self.source, ledger=self.ledger, backfills=self.backfills)

    @cached_property
    def follower(self) -> Follower:
        """Follows ticks to their commits."""
        return Follower(streams=self.streams, source=self.source, ledger=self.ledger)

    @cached_property
    def previewer(self) -> Previewer:
        """Plans without doing."""
        return Previewer(source=self.source, ledger=self.ledger, backfills=self.backfills, catalog=self.catalog)

    @cached_property
    def verifier(self) -> Verifier:
        """Compares both tiers."""
        return Verifier(source=self.source, ledger=self.ledger, catalog=self.catalog, dropped=self.drop_log.dropped)

    @cached_property
    def cuts(self) -> Cuts:
        """Finds and tags consistent cuts."""
        return Cuts(self.catalog)

    def views(self, collection: str) -> Views:
        """Return what makes views over both tiers, with the store's keys in this named collection."""
        server = ClickHouseViews(self.configuration.clickhouse, self.configuration.store, collection)
        self._closing.callback(server.close)
        return Views(source=self.source, ledger=self.ledger, catalog=self.catalog, tables=self.catalog, server=server)

    @cached_property
    def auditor(self) -> Auditor:
        """Checks everything that has to be true of a stream."""
        settings = self.configuration
        return Auditor(
            source=self.source,
            ledger=self.ledger,
            catalog=self.catalog,
            attempts=PostgresAttempts(self.database),
            files=IcebergFiles(database=self.database, catalog=settings.catalog, store=settings.store),
            verifier=self.verifier,
        )

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

    @cached_property
    def takeovers(self) -> Takeovers:
        """Takes over watermarks of former writers."""
        return Takeovers(ledger=self.ledger, adoptions=self.adoptions)

    @cached_property
    def adoptions(self) -> Adoptions:
        """Adopts tables that other tools have filled."""
        return Adoptions(
            source=self.source,
            ledger=self.ledger,
            catalog=self.catalog,
            owner=self.owner,
            lease=self.lease,
            failpoints=self.failpoints,
        )

    @cached_property
    def partitions(self) -> ClickHousePartitions:
        """Moves and drops partitions of the hot tier."""
        partitions = ClickHousePartitions(self.configuration.clickhouse)
        self._closing.callback(partitions.close)
        return partitions

    @cached_property
    def drop_log(self) -> PostgresDropLog:
        """The record of what was dropped from the hot tier."""
        return PostgresDropLog(self.database)

    @cached_property
    def drop_review(self) -> Review:
        """Looks at what would be dropped from the hot tier."""
        return Review(
            source=self.source,
            ledger=self.ledger,
            catalog=self.catalog,
            partitions=self.partitions,
            views=self.views(INLINE).names,
        )

    @cached_property
    def hot_drops(self) -> HotDrops:
        """Drops partitions from the hot tier."""
        return HotDrops(
            review=self.drop_review,
            ledger=self.ledger,
            log=self.drop_log,
            partitions=self.partitions,
            owner=self.owner,
            lease=self.lease,
            failpoints=self.failpoints,
        )

    @cached_property
    def register(self) -> IcebergRegister:
        """The streams of the ledger, with their tables."""
        settings = self.configuration
        return IcebergRegister(database=self.database, catalog=settings.catalog, store=settings.store)

    @cached_property
    def stream_changes(self) -> StreamChanges:
        """Renames, removes and moves streams."""
        return StreamChanges(
            streams=self.streams,
            ledger=self.ledger,
            catalog=self.catalog,
            register=self.register,
            owner=self.owner,
            lease=self.lease,
            failpoints=self.failpoints,
        )

    @cached_property
    def replacement_review(self) -> ReplacementReview:
        """Looks at what would be replaced in the cold tier."""
        return ReplacementReview(
            source=self.source, ledger=self.ledger, catalog=self.catalog, dropped=self.drop_log.windows
        )

    @cached_property
    def replacements(self) -> Replacements:
        """Replaces rows of the cold tier."""
        return Replacements(
            streams=self.streams,
            review=self.replacement_review,
            source=self.source,
            ledger=self.ledger,
            catalog=self.catalog,
            engine=self.engine,
            metrics=self.metrics,
            owner=self.owner,
            lease=self.lease,
            failpoints=self.failpoints,
        )

    def observe(self, role: str) -> Tracing:
        """Set up logs and traces of this process, which is a ``role`` (consumer, emitter); traces are flushed last."""
        configure_logging(self.configuration.telemetry)
        tracing = Tracing(self.configuration.telemetry, role=role)
        tracing.install()
        self._closing.callback(tracing.shutdown)
        return tracing

    def migrate(self) -> Sequence[Migration]:
        """Bring the ledger's database to this version, and return what was applied."""
        return migrate(self.database)

    def pending_migrations(self) -> Sequence[Migration]:
        """Return what :meth:`migrate` would apply; changes nothing."""
        return pending(self.database)
