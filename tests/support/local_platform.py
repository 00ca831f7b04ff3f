"""A platform with a ledger database of its own, and consumers that need no Spark; and the judge of what they did."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr
from pyiceberg.table.snapshots import Operation

from consumer.bootstrap import Application
from consumer.domain.batch import BatchKind, BatchStatus
from consumer.domain.errors import IcehaulError, Reaction
from consumer.domain.event import Event
from consumer.domain.event_factory import tick
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.mapping import TableMapping
from consumer.domain.window import BEGINNING, Window
from consumer.embedded.endpoints import Endpoints
from consumer.failpoints.acting import Failpoints
from consumer.ports import BatchRecord, StreamRecord, StreamState
from consumer.settings.model import Configuration
from tests.support.cold_tier import IcebergColdTier, new_database
from tests.support.local_engine import LocalEngine, LocalSession
from tests.support.platform import Platform

DELIVERIES = 20
"""How often an event is delivered at most before a test gives up."""


@dataclass
class LocalPlatform(Platform):
    """Consumers that run their tasks in this process, on a ledger at ``dsn``."""

    dsn: str = field(kw_only=True)

    def environment(self) -> Mapping[str, str]:
        """The platform's variables, with the ledger's database in place of the stack's."""
        return {**super().environment(), "ICEHAUL_POSTGRES__DSN": self.dsn}

    @contextmanager
    def consumer(
        self,
        *,
        port: int | None = None,
        failpoints: Failpoints | None = None,
        owner: str | None = None,
        pool_size: int = 8,
    ) -> Iterator[Application]:
        """A consumer's whole wiring; its connections to Postgres go to ``port``, where a proxy may stand."""
        configuration = self.configuration()
        if port is not None:
            configuration = behind(configuration, port, pool_size=pool_size)
        with Application(configuration, environment={}) as application:
            if failpoints is not None:
                application.failpoints = failpoints
            if owner is not None:
                application.owner = owner
            application.engine = LocalEngine(configuration, application.failpoints)
            yield application

    def cold_tier(self, stream: str) -> IcebergColdTier:
        """What other engines do to the stream's table."""
        configuration = self.configuration()
        tier = IcebergColdTier(dsn=self.dsn, store=configuration.store, settings=configuration.catalog)
        tier.stream = configuration.by_name()[stream]
        return tier


def behind(configuration: Configuration, port: int, *, pool_size: int = 8) -> Configuration:
    """Return the configuration with Postgres at another port of this machine, without encryption."""
    postgres = configuration.postgres
    dsn = urlsplit(postgres.dsn.get_secret_value())
    there = dsn._replace(netloc=f"{dsn.username}:{dsn.password}@127.0.0.1:{port}", query="sslmode=disable")
    moved = postgres.model_copy(update={"dsn": SecretStr(there.geturl()), "pool_size": pool_size})
    return configuration.model_copy(update={"postgres": moved})


@contextmanager
def ledger_database(endpoints: Endpoints, name: str) -> Iterator[str]:
    """A migrated database of this name; yields its DSN."""
    dsn = new_database(endpoints, name)
    try:
        yield dsn
    finally:
        with psycopg.connect(endpoints.postgres.dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def local_platform(
    endpoints: Endpoints, name: str, dsn: str, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalPlatform]:
    """A platform under names of its own, with its secrets in this process's environment."""
    platform = LocalPlatform(endpoints, name, directory, dsn=dsn)
    for variable, value in platform.environment().items():
        monkeypatch.setenv(variable, value)
    yield platform
    platform.close()


def session_of(application: Application) -> LocalSession:
    """The session that runs a local consumer's tasks."""
    return cast("LocalEngine", application.engine).session


def deliver(application: Application, event: Event) -> list[IcehaulError]:
    """Deliver an event until it is done, as the runtime does, and return what was raised on the way."""
    raised: list[IcehaulError] = []
    while len(raised) < DELIVERIES:
        try:
            application.offload.handle(event, threading.Event())
        except IcehaulError as error:
            if error.reaction not in {Reaction.RETRY, Reaction.READ_BACK, Reaction.ABANDON}:
                raise
            raised.append(error)
        else:
            return raised
    raise AssertionError(f"not done after {DELIVERIES} deliveries; the last error was: {raised[-1]}")


def offload(application: Application, stream: str, cutoff: datetime) -> list[IcehaulError]:
    """Deliver a tick until it is done."""
    return deliver(application, tick(stream=stream, boundary=cutoff))


def offload_once(application: Application, stream: str, cutoff: datetime) -> None:
    """Deliver a tick, and leave what is raised to the caller."""
    application.offload.handle(tick(stream=stream, boundary=cutoff), threading.Event())


def halted(application: Application, stream: str) -> StreamRecord:
    """The record of a stream that has to be halted, with reason and remedy."""
    record = application.ledger.read([stream])[stream]
    assert record.state is StreamState.HALTED
    return record


def published(application: Application, stream: str) -> list[BatchRecord]:
    """The stream's published batches, in the order of their windows."""
    found = application.ledger.batches(stream, 1_000)
    return sorted((one for one in found if one.status is BatchStatus.PUBLISHED), key=lambda one: one.window.lower)


def judge(application: Application, stream: str, *, rows: int) -> None:
    """The judge of every run: no row lost or doubled, and ledger, table and store tell one story."""
    settings = application.streams[stream]
    record = application.ledger.read([stream])[stream]
    assert record.state is StreamState.ACTIVE, f"{record.halt_reason}: {record.halt_remedy}"
    found = application.verifier.verify(settings)
    assert found.equal, found
    assert found.cold.rows == rows
    judge_record(application, stream)
    audit = application.auditor.audit(settings)
    assert audit.clean, [check for check in audit.checks if not check.clean]


def judge_record(application: Application, stream: str) -> None:
    """What is recorded is what was written, window by window, each published once, with every file in its place."""
    record = application.ledger.read([stream])[stream]
    done = [
        one
        for one in application.ledger.batches(stream, 1_000)
        if one.status in {BatchStatus.PUBLISHED, BatchStatus.EMPTY}
    ]
    windows = sorted(one.window for one in done if one.kind is BatchKind.WINDOW)
    assert windows[0].lower == record.start
    assert all(one.upper == other.lower for one, other in pairwise(windows))
    assert windows[-1].upper == record.watermark
    batches = published(application, stream)
    uppers = [one.window.upper for one in batches if one.kind is BatchKind.WINDOW]
    assert record.last_upper == max(uppers, default=None)
    base = application.catalog._bases.load(application.streams[stream].target)
    if base is None:
        assert not batches
        return
    table = base.table(application.catalog._io)
    summaries = Counter[str]()
    for snapshot in table.snapshots():
        # Nothing that may have been committed is deleted: every snapshot reads, from its list to its data files.
        for manifest in snapshot.manifests(table.io):
            for entry in manifest.fetch_manifest_entry(table.io):
                assert table.io.new_input(entry.data_file.file_path).exists()
        summary = snapshot.summary
        # A compaction may carry the evidence of the batch below it.
        rewrite = summary is None or summary.operation is Operation.REPLACE
        said = {} if summary is None or rewrite else summary.additional_properties
        if "icehaul.batch-id" in said:
            summaries[said["icehaul.batch-id"]] += 1
    assert summaries == dict.fromkeys(proved_by_snapshots(application, stream), 1)
    settings = application.streams[stream]
    paths = application.catalog.data_files(settings.target, settings.partition_by, None)
    assert len(set(paths)) == len(paths)
    written = application.source.fingerprint_files(mapping_of(application, stream).as_recorded, paths)
    contents = application.ledger.windows(stream, Window(lower=BEGINNING, upper=record.watermark))
    assert written == sum((one.cold for one in contents), EMPTY)


def proved_by_snapshots(application: Application, stream: str) -> list[str]:
    """The ids of batches that have a snapshot of their own: what a rewind left of a window stands in the rewind's.

    Rewrites are looked at elsewhere: they carry the evidence of the batch below them.
    """
    found = application.ledger.batches(stream, 1_000)
    had = [one for one in found if one.snapshot_id is not None and one.kind is not BatchKind.MAINTENANCE]
    rewinds = {one.snapshot_id for one in had if one.kind is BatchKind.REWIND}
    return [str(one.batch_id) for one in had if one.kind is BatchKind.REWIND or one.snapshot_id not in rewinds]


def recorded(batch: BatchRecord) -> Fingerprint:
    """What the ledger says a batch read."""
    assert batch.digest is not None
    return Fingerprint.parse(rows=batch.rows, hexadecimal=batch.digest)


def mapping_of(application: Application, stream: str) -> TableMapping:
    """How the stream's columns are mapped at this moment."""
    record = application.ledger.read([stream]).get(stream)
    return application.previewer._preparation.read_source(application.streams[stream], record)[1]
