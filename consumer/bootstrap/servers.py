"""What stands between this process and its servers, built from the configuration."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from functools import cached_property
from types import TracebackType
from typing import Self
from uuid import uuid4

from consumer.adapters.clickhouse.inventory import ClickHouseInventory
from consumer.adapters.clickhouse.quarantine import ClickHousePartitions
from consumer.adapters.clickhouse.restoring import ClickHouseRestoring
from consumer.adapters.clickhouse.source import ClickHouseSource
from consumer.adapters.iceberg.catalog import IcebergCatalog
from consumer.adapters.iceberg.register import IcebergRegister
from consumer.adapters.iceberg.store import StoreReach
from consumer.adapters.kafka.dead_letters import KafkaDeadLetters
from consumer.adapters.kafka.producer import KafkaEventSink
from consumer.adapters.kafka.topics import Topics
from consumer.adapters.postgres.actions import PostgresActionLog
from consumer.adapters.postgres.backfills import PostgresBackfills
from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.drops import PostgresDropLog
from consumer.adapters.postgres.ledger import RELAY_CLAIM, PostgresLedger
from consumer.adapters.postgres.migrations import Migration, migrate, newer, pending, require_current
from consumer.adapters.postgres.offsets import PostgresOffsets
from consumer.adapters.spark.engine import SparkEngine
from consumer.adapters.telemetry.metrics import PrometheusMetrics
from consumer.domain.stream import Stream
from consumer.failpoints.acting import VARIABLE, Failpoints
from consumer.settings.model import Configuration


class Servers:
    """The adapters of one process: each is built when it is first asked for, and closed with the others.

    Nothing connects before it is used, so a command that needs the ledger alone talks to Postgres alone.
    """

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
        return PrometheusMetrics(self.streams)

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
        # What a dead relay has taken from the outbox waits no longer than its streams do.
        return PostgresLedger(self.database, relay_claim=min(RELAY_CLAIM, self.lease))

    @cached_property
    def offsets(self) -> PostgresOffsets:
        """What the ledger remembers of offsets."""
        return PostgresOffsets(self.database)

    @cached_property
    def backfills(self) -> PostgresBackfills:
        """The record of ranges that are to be backfilled."""
        return PostgresBackfills(self.database)

    @cached_property
    def catalog(self) -> IcebergCatalog:
        """The cold tier."""
        catalog = IcebergCatalog(
            database=self.database,
            catalog=self.configuration.catalog,
            store=self.configuration.store,
            failpoints=self.failpoints,
        )
        self._closing.callback(catalog.close)
        return catalog

    @cached_property
    def store_reach(self) -> StoreReach:
        """What asks whether the object store is there."""
        return StoreReach(self.configuration.store)

    @cached_property
    def engine(self) -> SparkEngine:
        """The batch engine; its session starts with the first batch, or by ``start``."""
        settings = self.configuration
        engine = SparkEngine(settings.spark, settings.clickhouse, settings.store, self.failpoints)
        self._closing.callback(engine.stop)
        return engine

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
    def partitions(self) -> ClickHousePartitions:
        """Moves and drops partitions of the hot tier."""
        partitions = ClickHousePartitions(self.configuration.clickhouse)
        self._closing.callback(partitions.close)
        return partitions

    @cached_property
    def restoring(self) -> ClickHouseRestoring:
        """Reads data files back, and writes what is restored."""
        restoring = ClickHouseRestoring(self.configuration.clickhouse, self.configuration.store)
        self._closing.callback(restoring.close)
        return restoring

    @cached_property
    def action_log(self) -> PostgresActionLog:
        """The record of what operators did."""
        return PostgresActionLog(self.database)

    @cached_property
    def drop_log(self) -> PostgresDropLog:
        """The record of what was dropped from the hot tier."""
        return PostgresDropLog(self.database)

    @cached_property
    def register(self) -> IcebergRegister:
        """The streams of the ledger, with their tables."""
        settings = self.configuration
        register = IcebergRegister(database=self.database, catalog=settings.catalog, store=settings.store)
        self._closing.callback(register.close)
        return register

    def migrate(self) -> Sequence[Migration]:
        """Bring the ledger's database to this version, and return what was applied.

        A catalog in another database gets its tables, unless they are there.
        """
        self.catalog.make_tables()
        return migrate(self.database)

    def require_schema(self) -> None:
        """Check that this program works with the ledger's tables; see :func:`require_current`."""
        require_current(self.database)

    def newer_migrations(self) -> Sequence[str]:
        """Return what a newer program has applied, and this one works with."""
        return newer(self.database)

    def pending_migrations(self) -> Sequence[Migration]:
        """Return what :meth:`migrate` would apply; changes nothing."""
        return pending(self.database)
