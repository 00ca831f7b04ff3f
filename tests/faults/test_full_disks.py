"""Disks that are full: the store's, the ledger's, Spark's. Each is named with the remedy, and the batch goes on.

Of the broker's disk tells ``test_producer_faults.py``, of that of the log and the traces
``tests/integration/runtime/test_worker_process.py``.
"""

from __future__ import annotations

import os
import pwd
import stat
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.migrations import migrate
from consumer.adapters.spark.engine import SparkEngine
from consumer.bootstrap import Application
from consumer.domain.errors import LedgerUnavailableError
from consumer.domain.event_factory import tick
from consumer.embedded.component import ComponentName
from consumer.embedded.stack import EmbeddedStack
from consumer.failpoints.acting import Failpoints
from consumer.ports import StreamRecord, StreamState
from consumer.settings.connections import PostgresSettings
from spark.session import Session
from tests.support.local_platform import (
    LocalPlatform,
    judge,
    ledger_database,
    local_platform,
    offload,
    published,
    session_of,
)
from tests.support.platform import day
from tests.support.small_disk import SmallDisk, small_disk

ROWS = 20_000
NO_SPACE = "No space left on device"


class AtTheThirdTime(Failpoints):
    """Does something, once, when a point is reached for the third time since it was armed: two attempts have failed."""

    def __init__(self) -> None:
        super().__init__()
        self._act: Callable[[], object] | None = None
        self._hits = Counter[str]()

    def arm(self, act: Callable[[], object]) -> None:
        self._hits.clear()
        self._act = act

    def hit(self, point: str) -> None:
        self._hits[point] += 1
        if self._act is not None and self._hits[point] == 3:
            act, self._act = self._act, None
            act()


def halted(consumer: Application, stream: str) -> StreamRecord:
    record = consumer.ledger.read([stream])[stream]
    assert record.state is StreamState.HALTED
    return record


def attempt(consumer: Application, stream: str, until: str) -> None:
    """Deliver a tick once."""
    consumer.offload.handle(tick(stream=stream, boundary=day(until)), threading.Event())


# ------------------------------------------------------------------------------------------------- the store


@pytest.fixture(scope="module")
def store_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk]:
    with small_disk(tmp_path_factory.mktemp("store"), mib=64) as disk:
        yield disk


@pytest.fixture(scope="module")
def small_store(store_disk: SmallDisk) -> Iterator[EmbeddedStack]:
    """An object store of this module's own, on a small disk."""
    with EmbeddedStack.start(store_disk.path / "stack", only=[ComponentName.STORE]) as stack:
        yield stack


def test_a_store_whose_disk_is_full_is_named_and_the_batch_goes_on_once_there_is_space(
    stack: EmbeddedStack,
    small_store: EmbeddedStack,
    store_disk: SmallDisk,
    unique_name: str,
    ledger_dsn: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endpoints = stack.endpoints.model_copy(update={"store": small_store.endpoints.store})
    with local_platform(endpoints, unique_name, ledger_dsn, tmp_path, monkeypatch) as platform:
        stream = platform.add_stream(on_failure={"attempts": 2, "initial": "1ms", "maximum": "1ms"})
        platform.insert(ROWS, day="2024-01-01")
        platform.insert(ROWS, day="2024-01-02", first=ROWS)
        with platform.consumer() as consumer:
            offload(consumer, stream, day("2024-01-02"))
            store_disk.fill()
            try:
                attempt(consumer, stream, "2024-01-03")
            finally:
                store_disk.free()
            record = halted(consumer, stream)
            assert endpoints.store.bucket in str(record.halt_reason)
            assert "store" in str(record.halt_reason)
            assert "disk space left" in f"{record.halt_reason} {record.halt_remedy}"

            consumer.ledger.resume(stream)
            assert offload(consumer, stream, day("2024-01-03")) == []
            judge(consumer, stream, rows=2 * ROWS)


# ------------------------------------------------------------------------------------------------ the ledger


@contextmanager
def tablespace(dsn: str, name: str, disk: SmallDisk) -> Iterator[None]:
    """A tablespace on a small disk, for databases that take its name."""
    if os.geteuid() == 0:
        account = pwd.getpwnam("nobody")
        os.chown(disk.path, account.pw_uid, account.pw_gid)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE TABLESPACE {} LOCATION {}").format(sql.Identifier(name), sql.Literal(str(disk.path)))
        )
        try:
            connection.execute(sql.SQL("CREATE DATABASE {0} TABLESPACE {0}").format(sql.Identifier(name)))
            yield
        finally:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            connection.execute(sql.SQL("DROP TABLESPACE {}").format(sql.Identifier(name)))


@pytest.fixture
def ledger_disk() -> Iterator[SmallDisk]:
    """A disk that the server reaches, too, which runs as somebody else than root."""
    with tempfile.TemporaryDirectory(prefix="icehaul-ledger-") as directory:
        Path(directory).chmod(stat.S_IRWXU | stat.S_IXGRP | stat.S_IXOTH)
        with small_disk(Path(directory) / "disk", mib=32) as disk:
            yield disk


@pytest.fixture
def small_ledger(
    stack: EmbeddedStack, ledger_disk: SmallDisk, unique_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalPlatform]:
    """A platform whose ledger is on a small disk; nothing was written to its tables of attempts and files."""
    postgres = stack.endpoints.postgres
    with tablespace(postgres.dsn, unique_name, ledger_disk):
        dsn = postgres.model_copy(update={"database": unique_name}).dsn
        with Database(PostgresSettings(dsn=dsn)) as database:
            migrate(database)
        with local_platform(stack.endpoints, unique_name, dsn, tmp_path, monkeypatch) as platform:
            platform.add_stream(on_failure={"attempts": 3, "initial": "1ms", "maximum": "1ms"})
            platform.insert(ROWS, day="2024-01-02")
            yield platform


def test_a_full_disk_of_the_ledger_is_named_and_the_event_is_done_once_there_is_space(
    small_ledger: LocalPlatform, ledger_disk: SmallDisk
) -> None:
    stream = f"{small_ledger.name}_trades"
    with small_ledger.consumer() as consumer:
        # Before the first row: what follows needs room in tables that have none yet.
        offload(consumer, stream, day("2024-01-02"))
        ledger_disk.fill()
        try:
            with pytest.raises(LedgerUnavailableError) as raised:
                attempt(consumer, stream, "2024-01-03")
        finally:
            ledger_disk.free()
        assert NO_SPACE in raised.value.message
        assert "free space on the disk of the Postgres server" in raised.value.remedy
        assert published(consumer, stream) == []

        assert offload(consumer, stream, day("2024-01-03")) == []
        if consumer.ledger.read([stream])[stream].state is StreamState.HALTED:
            assert NO_SPACE in str(halted(consumer, stream).halt_reason)
            consumer.ledger.resume(stream)
            assert offload(consumer, stream, day("2024-01-03")) == []
        judge(consumer, stream, rows=ROWS)


def test_a_disk_of_the_ledger_that_gets_space_meanwhile_costs_no_more_than_a_few_attempts(
    small_ledger: LocalPlatform, ledger_disk: SmallDisk
) -> None:
    stream = f"{small_ledger.name}_trades"
    points = AtTheThirdTime()
    with small_ledger.consumer(failpoints=points) as consumer:
        offload(consumer, stream, day("2024-01-02"))
        ledger_disk.fill()
        points.arm(ledger_disk.free)
        assert offload(consumer, stream, day("2024-01-03")) == []
        judge(consumer, stream, rows=ROWS)
        assert session_of(consumer).jobs == 1


_FULL_AT_COMMIT = """
CREATE SEQUENCE commits;
CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('commits') <= 2 THEN
        RAISE EXCEPTION 'could not extend file "base/1/1": No space left on device' USING ERRCODE = 'disk_full';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER at_commit AFTER UPDATE ON offload_watermarks DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.last_upper IS DISTINCT FROM OLD.last_upper) EXECUTE FUNCTION disk_full();
"""


def test_a_disk_that_is_full_at_the_commit_of_a_publish_leaves_one_snapshot(
    stack: EmbeddedStack, unique_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        ledger_database(stack.endpoints, unique_name) as dsn,
        local_platform(stack.endpoints, unique_name, dsn, tmp_path, monkeypatch) as platform,
    ):
        stream = platform.add_stream()
        platform.insert(ROWS)
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(_FULL_AT_COMMIT)
        with platform.consumer() as consumer:
            assert offload(consumer, stream, day("2024-01-02")) == []
            judge(consumer, stream, rows=ROWS)
            # Read back and staged again: what the task has written is not written again.
            assert session_of(consumer).jobs == 1
        with psycopg.connect(dsn) as connection:
            assert connection.execute("SELECT last_value FROM commits").fetchone() == (3,)


# ------------------------------------------------------------------------------------------- Spark's own disk


@pytest.mark.spark
def test_a_full_disk_of_spark_is_named_and_the_batch_goes_on_once_there_is_space(
    local: LocalPlatform, spark_engine: SparkEngine
) -> None:
    stream = local.add_stream(on_failure={"attempts": 2, "initial": "1ms", "maximum": "1ms"})
    local.insert(ROWS)
    spark_engine.start()
    session = spark_engine._session
    assert isinstance(session, Session)
    with local.consumer() as consumer:
        consumer.engine = spark_engine
        # What the driver hands to its JVM passes through this directory.
        with small_disk(Path(session.context._temp_dir), mib=1) as disk:
            disk.fill()
            attempt(consumer, stream, "2024-01-02")
        record = halted(consumer, stream)
        assert NO_SPACE in str(record.halt_reason)
        assert "spark.local.dir" in str(record.halt_reason)

        consumer.ledger.resume(stream)
        assert offload(consumer, stream, day("2024-01-02")) == []
        judge(consumer, stream, rows=ROWS)
        assert spark_engine._session is session
