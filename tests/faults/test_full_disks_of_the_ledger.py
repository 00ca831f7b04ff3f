"""A ledger whose disk is full: at a statement, at a COMMIT, for its log. It is named, and the event done later."""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.migrations import migrate
from consumer.domain.errors import LedgerUnavailableError
from consumer.embedded.stack import EmbeddedStack
from consumer.failpoints.acting import Failpoints
from consumer.ports import StreamState
from consumer.settings.connections import PostgresSettings
from tests.support.local_platform import (
    LocalPlatform,
    halted,
    judge,
    ledger_database,
    local_platform,
    offload,
    offload_once,
    published,
    session_of,
)
from tests.support.platform import day
from tests.support.postgres_server import PostgresServer
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


def fill(platform: LocalPlatform, disk: SmallDisk) -> None:
    """Fill the ledger's disk once the server has given back what it no longer needs."""
    with psycopg.connect(platform.dsn, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
    disk.fill()


def test_a_full_disk_of_the_ledger_is_named_and_the_event_is_done_once_there_is_space(
    small_ledger: LocalPlatform, ledger_disk: SmallDisk
) -> None:
    stream = f"{small_ledger.name}_trades"
    with small_ledger.consumer() as consumer:
        # Before the first row: what follows needs room in tables that have none yet.
        offload(consumer, stream, day("2024-01-02"))
        fill(small_ledger, ledger_disk)
        try:
            with pytest.raises(LedgerUnavailableError) as raised:
                offload_once(consumer, stream, day("2024-01-03"))
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
        fill(small_ledger, ledger_disk)
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


def use_up_wal(dsn: str) -> None:
    """Write to the server's log until it ends itself for want of space, as any of its clients may make it."""
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(dsn, autocommit=True) as connection:
        while True:
            connection.execute("SELECT pg_logical_emit_message(false, 'icehaul', repeat('x', 1 << 20))")


def test_a_ledger_that_has_ended_for_want_of_space_is_waited_for(
    stack: EmbeddedStack, unique_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as exits:
        directory = exits.enter_context(tempfile.TemporaryDirectory(prefix="icehaul-ledger-"))
        disk = exits.enter_context(small_disk(Path(directory) / "disk", mib=128))
        server = PostgresServer(disk.path / "home")
        exits.callback(server.kill)
        server.start()
        dsn = server.create_database()
        with Database(PostgresSettings(dsn=dsn)) as database:
            migrate(database)
        platform = exits.enter_context(local_platform(stack.endpoints, unique_name, dsn, tmp_path, monkeypatch))
        stream = platform.add_stream(on_failure={"attempts": 2, "initial": "1ms", "maximum": "1ms"})
        platform.insert(ROWS)
        consumer = exits.enter_context(platform.consumer())
        offload(consumer, stream, day("2024-01-01"))
        disk.fill()
        use_up_wal(dsn)
        with pytest.raises(LedgerUnavailableError):
            offload_once(consumer, stream, day("2024-01-02"))

        disk.free()
        server.kill()
        server.start()
        assert offload(consumer, stream, day("2024-01-02")) == []
        judge(consumer, stream, rows=ROWS)
