"""The doctor's round: which checks there are for a configuration, and which make sense after which."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

from consumer.adapters.clickhouse.event_objects import DELIVERY_TIMEOUT
from consumer.adapters.clickhouse.files import FileReader
from consumer.adapters.clickhouse.introspection import ClickHouseIntrospection
from consumer.adapters.iceberg.probe import StoreFile
from consumer.adapters.kafka.codec import MAX_BYTES
from consumer.adapters.kafka.inspection import BrokerInspection
from consumer.adapters.postgres import inspection
from consumer.adapters.postgres.migrations import pending
from consumer.adapters.spark.export_probe import try_export
from consumer.bootstrap import Application
from consumer.domain.errors import IcehaulError
from consumer.domain.stream import Stream
from consumer.domain.window import Window
from consumer.embedded.java import SUPPORTED, feature_release
from consumer.entrypoints.machine import java_home, requirements, scratch_folder, secrets_in
from consumer.entrypoints.ways import ways
from consumer.service.doctor.broker import GroupCheck, OffsetsCheck, TopicsCheck
from consumer.service.doctor.catalog import CatalogCheck
from consumer.service.doctor.cluster import ClusterCheck
from consumer.service.doctor.commands import CommandsCheck
from consumer.service.doctor.encryption import EncryptionCheck
from consumer.service.doctor.event_views import EventViewsCheck
from consumer.service.doctor.examination import examine
from consumer.service.doctor.finding import Check, Finding, Severity
from consumer.service.doctor.history import StartCheck
from consumer.service.doctor.machine import (
    ConfigurationCheck,
    DiskCheck,
    JarsCheck,
    JavaCheck,
    PackagesCheck,
    SparkCheck,
)
from consumer.service.doctor.register import RegisterCheck
from consumer.service.doctor.retention import RetentionCheck
from consumer.service.doctor.servers import ClickHouseCheck, ClockCheck, PostgresCheck
from consumer.service.doctor.sources import SourceCheck
from consumer.service.doctor.storage import StoreCheck
from consumer.service.doctor.targets import TargetCheck
from consumer.service.doctor.writers import WriterCheck
from consumer.settings.connections import SparkSettings
from consumer.settings.load import find_file
from consumer.settings.yaml_file import read_yaml

_LOOK = timedelta(hours=1)
_CLICKHOUSE, _POSTGRES, _STORE, _TOPICS = "clickhouse", "postgres", "object store", "kafka topics"
_CATALOG = "catalog"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependent:
    """Checks that say nothing new where one of the ``needs`` can't be used."""

    what: str
    needs: frozenset[str]
    checks: Sequence[Check]


def check_without_configuration(error: IcehaulError, file: Path | None) -> list[Finding]:
    """Examine what can be examined where the configuration does not load."""
    wrong = Finding(
        check="configuration",
        subject=str(find_file(file, os.environ)),
        severity=Severity.ERROR,
        message=error.message,
        remedy=error.remedy,
    )
    return [wrong, *examine(_machine(None, start=False))]


def check_up(application: Application, streams: Sequence[Stream], *, file: Path | None, spark: bool) -> list[Finding]:
    """Examine servers and machine, then what depends on servers that can be used."""
    look = ClickHouseIntrospection(application.configuration.clickhouse)
    try:
        found = examine(
            [
                _configuration(application, file),
                EncryptionCheck(ways=ways(application)),
                *_servers(application, look),
                *_machine(application, start=spark),
            ]
        )
        broken = {one.check for one in found if one.severity is Severity.ERROR}
        checks: list[Check] = []
        skipped: list[Finding] = []
        for dependent in (*_of_servers(application, look), *_of_streams(application, look, streams)):
            if unusable := sorted(dependent.needs & broken):
                skipped.append(_skipped(dependent.what, unusable))
            else:
                checks += dependent.checks
        return [*found, *skipped, *examine(checks)]
    finally:
        look.close()


def _skipped(what: str, unusable: Sequence[str]) -> Finding:
    return Finding(
        check=what,
        subject="-",
        severity=Severity.INFO,
        message=f"not checked, because of the error above in: {', '.join(unusable)}",
        remedy="remove that error first, then run the doctor again",
    )


def _configuration(application: Application, file: Path | None) -> Check:
    path = find_file(file, os.environ)
    return ConfigurationCheck(
        subject=str(path), streams=len(application.streams), secrets_in_file=secrets_in(read_yaml(path).data)
    )


def _servers(application: Application, look: ClickHouseIntrospection) -> list[Check]:
    settings = application.configuration
    database, topics = application.database, application.topics
    files = FileReader(settings.clickhouse, settings.store)
    broker = BrokerInspection(settings.kafka, settings.consumer)
    return [
        ClickHouseCheck(subject=f"{settings.clickhouse.host}:{settings.clickhouse.port}", server=look.server),
        PostgresCheck(
            subject=database.target,
            facts=lambda: inspection.inspect(database),
            pending=lambda: pending(database),
            lease=application.lease,
        ),
        TopicsCheck(
            subject=settings.kafka.bootstrap_servers,
            topics=(settings.kafka.topic, settings.kafka.dead_letter_topic),
            differences=topics.verify,
            message_bytes=broker.message_bytes,
            largest=MAX_BYTES,
        ),
        StoreCheck(
            subject=settings.store.warehouse,
            probe=StoreFile(settings.store, lambda path, structure: look.sum_of_file(files, path, structure)),
        ),
    ]


def _machine(application: Application | None, *, start: bool) -> list[Check]:
    settings = application.configuration.spark if application is not None else None
    remote = settings is not None and settings.remote is not None
    checks: list[Check] = [
        DiskCheck(folder=scratch_folder(settings)),
        SparkCheck(
            version=version("pyspark"),
            # A server that is there anyway is asked like the others; a driver of one's own takes memory and time.
            start=application.engine.start if application is not None and (start or remote) else None,
            subject=(settings or SparkSettings()).place,
        ),
        PackagesCheck(requirements=requirements, subject=f"Python {platform.python_version()}"),
    ]
    if not remote:
        checks.append(JavaCheck(home=java_home(os.environ), release=feature_release, supported=SUPPORTED))
    if settings is not None and not remote:
        checks.append(JarsCheck(jars=settings.jars))
    return checks


def _of_servers(application: Application, look: ClickHouseIntrospection) -> Sequence[Dependent]:
    """What servers do together."""
    settings = application.configuration
    source, database = application.source, application.database
    broker = BrokerInspection(settings.kafka, settings.consumer)
    return [
        Dependent(
            what=_CATALOG,
            needs=frozenset({_POSTGRES} if not settings.catalog.two_step else set()),
            checks=[
                CatalogCheck(subject=settings.catalog.uri or settings.catalog.name, probe=application.catalog.probe())
            ],
        ),
        Dependent(
            what="writer",
            needs=frozenset({_CLICKHOUSE, _STORE}),
            checks=[
                WriterCheck(
                    subject=settings.spark.writer,
                    policy=settings.spark.writer,
                    cluster=settings.clickhouse.cluster is not None,
                    export=lambda: try_export(settings.clickhouse, settings.store, settings.spark),
                )
            ],
        ),
        Dependent(
            what="kafka group",
            needs=frozenset({_TOPICS}),
            checks=[GroupCheck(subject=settings.kafka.group, protocol=settings.kafka.group_protocol, join=broker.join)],
        ),
        Dependent(
            what="kafka offsets",
            needs=frozenset({_TOPICS, _POSTGRES}),
            checks=[
                OffsetsCheck(subject=settings.kafka.group, standing=lambda: broker.standing(application.remembered))
            ],
        ),
        Dependent(
            what="clock of ClickHouse",
            needs=frozenset({_CLICKHOUSE}),
            checks=[ClockCheck(subject="ClickHouse", server_now=source.now)],
        ),
        Dependent(
            what="cluster",
            needs=frozenset({_CLICKHOUSE}),
            checks=[ClusterCheck(answering=look.answering, subject=settings.clickhouse.cluster or "-")],
        ),
        Dependent(
            what="clickhouse events",
            needs=frozenset({_CLICKHOUSE}),
            checks=[EventViewsCheck(refreshes=look.event_refreshes, timeout=DELIVERY_TIMEOUT)],
        ),
        Dependent(
            what="clock of Postgres",
            needs=frozenset({_POSTGRES}),
            checks=[ClockCheck(subject="Postgres", server_now=lambda: inspection.now(database))],
        ),
    ]


def _of_streams(
    application: Application, look: ClickHouseIntrospection, streams: Sequence[Stream]
) -> Sequence[Dependent]:
    """What the streams need of servers."""
    source, ledger, catalog = application.source, application.ledger, application.catalog

    def latest(_stream: Stream) -> Window:
        now = source.now()
        return Window(lower=now - _LOOK, upper=now)

    # On a cluster both commands are refused whatever rights there are.
    databases = {stream.source.database for stream in streams if stream.source.cluster is None}
    return [
        Dependent(
            what="commands",
            needs=frozenset({_CLICKHOUSE}),
            checks=[CommandsCheck(subject=database, missing=look.may_not_move_rows) for database in sorted(databases)],
        ),
        Dependent(
            what="sources",
            needs=frozenset({_CLICKHOUSE}),
            checks=[
                SourceCheck(
                    stream=stream,
                    source=source,
                    facts=look.table,
                    time_zone=lambda: look.server().time_zone,
                    latest=latest,
                )
                for stream in streams
            ],
        ),
        Dependent(
            what="retention",
            needs=frozenset({_CLICKHOUSE, _POSTGRES}),
            checks=[RetentionCheck(stream=stream, source=source, ledger=ledger) for stream in streams],
        ),
        Dependent(
            what="start",
            needs=frozenset({_POSTGRES}),
            checks=[
                *(StartCheck(stream=stream, ledger=ledger) for stream in streams),
                RegisterCheck(configured=application.streams, register=application.register),
            ],
        ),
        Dependent(
            what="targets",
            needs=frozenset({_CLICKHOUSE, _POSTGRES, _STORE}),
            checks=[
                TargetCheck(stream=stream, describe=source.describe, ledger=ledger, catalog=catalog)
                for stream in streams
            ],
        ),
    ]
