"""The console over a ledger as months of work leave it, without a consumer around it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from consumer.adapters.postgres.actions import PostgresActionLog
from consumer.adapters.postgres.console import PostgresHistory
from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.ledger import PostgresLedger
from consumer.domain.retention import Outlook
from consumer.domain.stream import Stream, TableName
from consumer.entrypoints.console.acting import Acting
from consumer.entrypoints.console.reading import Reading
from consumer.entrypoints.console.site import ConsoleSite
from consumer.entrypoints.http import HttpEndpoints, Liveness, Startup
from consumer.entrypoints.readiness import Readiness
from consumer.failpoints.acting import Failpoints
from consumer.service.actions import Actions
from consumer.service.console.viewing import Viewing
from consumer.service.states import StreamStates
from consumer.settings.connections import PostgresSettings

TOKEN = "a-token-of-some-length"
BATCHES = 100_148
_SQL = Path(__file__).with_suffix(".sql")


def console_streams(count: int = 200) -> Mapping[str, Stream]:
    """The configured streams of that ledger."""
    return {
        name: Stream(
            name=name,
            source=TableName(database="market", table=name),
            target=TableName(database="bronze", table=name),
            timestamp_column="ts",
        )
        for name in (f"stream_{number:03}" for number in range(count))
    }


def outlook(stream: str) -> Outlook | None:
    """What the loss watch would have seen: one stream is in danger, the others are safe for a month."""
    now = datetime.now(UTC)
    left = timedelta(hours=2) if stream == "stream_009" else timedelta(days=30)
    return Outlook(now=now, lowest=now, at=now + left, clause="ts + toIntervalDay(90)")


def fill(dsn: str) -> None:
    """Write that ledger into a migrated database."""
    with psycopg.connect(dsn) as connection:
        connection.execute(_SQL.read_bytes())


def console_site(database: Database, *, token: str | None = None) -> ConsoleSite:
    """The console as a consumer assembles it."""
    streams = console_streams()
    states = StreamStates(ledger=PostgresLedger(database), failpoints=Failpoints(""))
    acting = None
    if token is not None:
        actions = Actions(PostgresActionLog(database))
        acting = Acting(states, actions=actions, streams=streams, token=token, hosts=()).answer
    viewing = Viewing(streams=streams, history=PostgresHistory(database), outlook=outlook)
    return ConsoleSite(reading=Reading(viewing, actions=token is not None).answer, acting=acting, hosts=())


@contextmanager
def serving(dsn: str, *, token: str | None = None) -> Iterator[int]:
    """Serve it on a free port of this machine."""
    with Database(PostgresSettings(dsn=dsn)) as database:
        endpoints = HttpEndpoints(
            host="127.0.0.1",
            port=0,
            render_metrics=lambda _accept: (b"", "text/plain"),
            liveness=Liveness(lambda: 0.0, limit=60),
            readiness=Readiness({}),
            startup=Startup({}),
            console=console_site(database, token=token),
        )
        with endpoints:
            yield endpoints.port
