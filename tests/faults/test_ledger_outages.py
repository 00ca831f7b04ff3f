"""A consumer whose ledger goes away: at every step, in the middle of transactions, for a restart, behind poolers."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.migrations import migrate
from consumer.adapters.postgres.statements import statements
from consumer.domain.errors import LedgerUnavailableError
from consumer.domain.event_factory import tick
from consumer.embedded.stack import EmbeddedStack
from consumer.failpoints.acting import Failpoints
from consumer.settings.connections import PostgresSettings
from tests.support.interruptions import Interrupt
from tests.support.local_platform import LocalPlatform, judge, local_platform, offload, session_of
from tests.support.pgbouncer import pgbouncer_program, running_pgbouncer
from tests.support.platform import day
from tests.support.postgres_proxy import CommitFault, PostgresProxy, runs
from tests.support.postgres_server import PostgresServer, running_postgres
from tests.support.tcp_proxy import Link
from tests.support.transaction_pooler import TransactionPooler

ROWS = 40
CUTOFF = day("2024-01-04")
PUBLISHES = runs(statements("publish")["publish_batch"])
PATIENT = {"attempts": 200, "initial": "1ms", "maximum": "10ms"}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A Postgres of this module's own, to be restarted."""
    with running_postgres() as running:
        yield running


@pytest.fixture
def platform(
    stack: EmbeddedStack, server: PostgresServer, unique_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalPlatform]:
    """Two batches and an empty window, and a stream that does not give up soon."""
    dsn = server.create_database()
    with Database(PostgresSettings(dsn=dsn)) as database:
        migrate(database)
    with local_platform(stack.endpoints, unique_name, dsn, tmp_path, monkeypatch) as made:
        made.add_stream(batch={"rows": ROWS}, on_failure=PATIENT)
        made.insert(ROWS, day="2024-01-01")
        made.insert(ROWS, day="2024-01-02", first=ROWS)
        yield made


@pytest.fixture
def stream(platform: LocalPlatform) -> str:
    return f"{platform.name}_trades"


class AtEveryPoint(Failpoints):
    """Does something when a point is reached for the first time, at every point."""

    def __init__(self, proxy: PostgresProxy) -> None:
        super().__init__()
        self._proxy = proxy
        self.reached: list[str] = []

    def hit(self, point: str) -> None:
        if point not in self.reached:
            self.reached.append(point)
            self._proxy.cut()


def test_connections_that_break_at_every_step_lose_and_double_nothing(
    platform: LocalPlatform, stream: str, server: PostgresServer
) -> None:
    with PostgresProxy(server.endpoint.port) as proxy:
        points = AtEveryPoint(proxy)
        with platform.consumer(port=proxy.port, failpoints=points) as consumer:
            offload(consumer, stream, CUTOFF)
            judge(consumer, stream, rows=2 * ROWS)
        assert {"lease.after-claim", "stream.before-bind", "attempt.after-stage", "publish.before-commit"} <= set(
            points.reached
        )


class FragileProxy(PostgresProxy):
    """Breaks a connection now and then, whatever it carries at the moment, COMMIT included."""

    def __init__(self, upstream_port: int, seed: int) -> None:
        super().__init__(upstream_port)
        # At random: what comes with a period may meet the same statement again and again.
        self._random = random.Random(seed)
        self._deciding = threading.Lock()
        self.broken = 0

    def from_client(self, link: Link, data: bytes) -> None:
        with self._deciding:
            breaks = self._random.random() < 1 / 25
            self.broken += breaks
        if breaks:
            link.reset()
        else:
            super().from_client(link, data)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_connections_that_break_all_the_time_lose_and_double_nothing(
    platform: LocalPlatform, stream: str, server: PostgresServer, seed: int
) -> None:
    with FragileProxy(server.endpoint.port, seed) as proxy, platform.consumer(port=proxy.port) as fragile:
        offload(fragile, stream, CUTOFF)
        assert proxy.broken
    with platform.consumer() as consumer:
        judge(consumer, stream, rows=2 * ROWS)


@pytest.mark.parametrize("point", ["batch.after-write", "publish.before-commit"])
def test_a_restart_of_postgres_in_the_middle_of_a_batch(
    platform: LocalPlatform, stream: str, server: PostgresServer, point: str
) -> None:
    with platform.consumer(failpoints=Interrupt(point, server.restart)) as consumer:
        offload(consumer, stream, CUTOFF)
        judge(consumer, stream, rows=2 * ROWS)


def test_connections_that_died_while_nothing_happened_cost_no_attempt(
    platform: LocalPlatform, stream: str, server: PostgresServer
) -> None:
    with PostgresProxy(server.endpoint.port) as proxy, platform.consumer(port=proxy.port) as consumer:
        offload(consumer, stream, day("2024-01-02"))
        proxy.cut()
        assert offload(consumer, stream, CUTOFF) == []
        judge(consumer, stream, rows=2 * ROWS)
        assert session_of(consumer).jobs == 2


def test_a_ledger_that_stays_away_halts_nothing_and_the_event_is_done_when_it_is_back(
    platform: LocalPlatform, stream: str, server: PostgresServer
) -> None:
    platform.streams[0]["on_failure"] = {"attempts": 2, "initial": "1ms", "maximum": "1ms"}
    with PostgresProxy(server.endpoint.port) as proxy:
        gone = Interrupt("batch.after-write", proxy.stop)
        with platform.consumer(port=proxy.port, failpoints=gone) as consumer:
            with pytest.raises(LedgerUnavailableError):
                consumer.offload.handle(tick(stream=stream, boundary=CUTOFF), threading.Event())
            proxy.accept()
            offload(consumer, stream, CUTOFF)
            judge(consumer, stream, rows=2 * ROWS)


@pytest.mark.parametrize("pooler", ["pooler", "pgbouncer"])
@pytest.mark.parametrize("fault", [CommitFault.APPLIED, CommitFault.LOST, None])
def test_a_pooler_in_transaction_mode_with_a_server_that_is_lost_behind_it(
    platform: LocalPlatform, stream: str, server: PostgresServer, pooler: str, fault: CommitFault | None
) -> None:
    with ExitStack() as exits:
        proxy = exits.enter_context(PostgresProxy(server.endpoint.port))
        if pooler == "pgbouncer":
            if pgbouncer_program() is None:
                pytest.skip("pgbouncer is not installed (Debian package pgbouncer)")
            port = exits.enter_context(running_pgbouncer(server, pool_size=2, port=proxy.port))
        else:
            name = platform.dsn.rsplit("/", 1)[1]
            behind = f"{server.dsn(database=name, port=proxy.port)}?sslmode=disable"
            port = exits.enter_context(TransactionPooler(behind, sessions=2)).port
        consumer = exits.enter_context(platform.consumer(port=port))
        if fault is not None:
            proxy.strike(fault, after=PUBLISHES)
        offload(consumer, stream, CUTOFF)
        judge(consumer, stream, rows=2 * ROWS)
        assert proxy.struck.is_set() == (fault is not None)
        assert session_of(consumer).jobs == 2
