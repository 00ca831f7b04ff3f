"""The ledgers that the contract is about, each with what its tests need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Protocol

import pytest
from pydantic import SecretStr

from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.ledger import PostgresLedger
from consumer.adapters.postgres.migrations import migrate
from consumer.adapters.postgres.publishing import fence, record
from consumer.domain.fingerprint import Fingerprint
from consumer.ports import Claim, Ledger, Publication, StreamRecord
from consumer.settings.connections import PostgresSettings
from consumer.testing.ledger import MemoryLedger
from tests.support.ledger_values import STREAM, TTL
from tests.support.postgres_server import PostgresServer

SNAPSHOT = 4_711
RELAY_CLAIM = timedelta(milliseconds=300)
SHORT = timedelta(milliseconds=200)
TWO_FILES = Fingerprint(rows=10, digest=1)
"""What :func:`~tests.support.ledger_values.files` makes of a batch: twice five rows, the digests added up."""


class Publish(Protocol):
    def __call__(self, publication: Publication, swap: Callable[[StreamRecord], None] = ...) -> None: ...


def no_swap(_: StreamRecord) -> None:
    return None


@pytest.fixture(scope="module")
def database(ledger_server: PostgresServer) -> Iterator[Database]:
    with Database(PostgresSettings(dsn=SecretStr(ledger_server.create_database()))) as opened:
        migrate(opened)
        yield opened


@pytest.fixture(params=["postgres", "memory"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ledger(kind: str, request: pytest.FixtureRequest) -> Ledger:
    if kind == "memory":
        return MemoryLedger(relay_claim=RELAY_CLAIM)
    database: Database = request.getfixturevalue("database")
    with database.transaction() as connection:
        connection.execute(
            b"TRUNCATE offload_drops, offload_backfills, offload_partitions, offload_differences, offload_findings,"
            b" offload_watermarks, offload_batches, offload_attempts, offload_files, offload_parked, offload_outbox,"
            b" offload_publishes, offload_maintenance, offload_superfluous"
        )
    return PostgresLedger(database, relay_claim=RELAY_CLAIM)


@pytest.fixture
def publish(ledger: Ledger, request: pytest.FixtureRequest) -> Publish:
    def through(publication: Publication, swap: Callable[[StreamRecord], None] = no_swap) -> None:
        if isinstance(ledger, MemoryLedger):

            def swapped(record: StreamRecord) -> Callable[[], None]:
                swap(record)
                return lambda: None

            ledger.publish(publication, SNAPSHOT, swapped)
            return
        database: Database = request.getfixturevalue("database")
        with database.transaction() as connection:
            swap(fence(connection, publication))
            record(connection, publication, SNAPSHOT)

    return through


@pytest.fixture
def claim(ledger: Ledger) -> Claim:
    ledger.register(STREAM)
    return ledger.claim(STREAM, "first", TTL)


def current(ledger: Ledger, stream: str = STREAM) -> StreamRecord:
    return ledger.read([stream])[stream]
