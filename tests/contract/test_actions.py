"""What every record of actions does, the one in Postgres and the one in memory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest
from pydantic import SecretStr

from consumer.adapters.postgres.actions import PostgresActionLog
from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.migrations import migrate
from consumer.domain.action import Action, ActionPhase
from consumer.ports.actions import ActionLog
from consumer.settings.connections import PostgresSettings
from consumer.testing.actions import MemoryActionLog
from tests.support.postgres_server import running_postgres


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    with running_postgres() as server:
        made = server.create_database()
        with Database(PostgresSettings(dsn=SecretStr(made))) as database:
            migrate(database)
        yield made


@pytest.fixture(params=["postgres", "memory"])
def log(request: pytest.FixtureRequest) -> Iterator[ActionLog]:
    if request.param == "memory":
        yield MemoryActionLog()
        return
    with Database(PostgresSettings(dsn=SecretStr(request.getfixturevalue("dsn")))) as database:
        with database.transaction() as connection:
            connection.execute(b"TRUNCATE offload_actions")
        yield PostgresActionLog(database)


def action(command: str, *streams: str) -> Action:
    return Action(
        action_id=uuid4(),
        operator="ada@lake",
        command=command,
        streams=streams,
        arguments={"to": "2024-01-02", "odd": "a ' \" \\ ü"},
        reason="the vendor withdrew that day",
    )


def test_entries_come_back_as_they_were_added_in_their_order(log: ActionLog) -> None:
    one, two = action("rewind", "trades"), action("cut", "trades", "orders")
    log.add(one, ActionPhase.BEGUN)
    log.add(two, ActionPhase.BEGUN)
    log.add(one, ActionPhase.FAILED, "the hot tier lacks rows")
    log.add(two, ActionPhase.DONE)
    found = log.latest(10)
    assert [(entry.action, entry.phase, entry.detail) for entry in found] == [
        (one, ActionPhase.BEGUN, ""),
        (two, ActionPhase.BEGUN, ""),
        (one, ActionPhase.FAILED, "the hot tier lacks rows"),
        (two, ActionPhase.DONE, ""),
    ]
    times = [entry.at for entry in found]
    assert times == sorted(times)
    assert all(entry.at.tzinfo is UTC and datetime.now(UTC) - entry.at < timedelta(minutes=10) for entry in found)
    assert {bool(entry.database_user) for entry in found} == {True}


def test_the_latest_entries_of_one_stream_or_of_all(log: ActionLog) -> None:
    for stream in ("trades", "orders", "trades"):
        log.add(action("pause", stream), ActionPhase.DONE)
    log.add(action("dlq redrive"), ActionPhase.DONE)
    assert [entry.action.streams for entry in log.latest(2)] == [("trades",), ()]
    assert [entry.action.streams for entry in log.latest(10, "trades")] == [("trades",), ("trades",)]
    assert log.latest(10, "nobody") == []


def test_the_server_says_who_it_was_whatever_the_client_says(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE ROLE ada LOGIN PASSWORD 'not-a-secret'")
        connection.execute("GRANT SELECT, INSERT ON offload_actions TO ada")
    named = psycopg.conninfo.make_conninfo(dsn, user="ada", password="not-a-secret")
    with Database(PostgresSettings(dsn=SecretStr(named))) as database:
        log = PostgresActionLog(database)
        log.add(action("pause", "trades"), ActionPhase.BEGUN)
        assert log.latest(1)[0].database_user == "ada"
