"""A ledger as a year leaves it: what nothing needs goes by itself, and hot statements find by index what they need."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Event as Signal
from typing import Any

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr

from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.migrations import migrate
from consumer.adapters.postgres.retention import PostgresRetention
from consumer.adapters.postgres.statements import statements
from consumer.service.ledger_watch import LedgerWatch, Remains
from consumer.settings.connections import PostgresSettings
from tests.support.postgres_server import running_postgres

YEAR = Path(__file__).resolve().parents[1] / "support" / "ledger_year.sql"
AGE = timedelta(days=90)
STREAMS = 10
A_YEAR = 365 * 96
_LARGE = 2_000

GROWING = {
    *("offload_batches", "offload_attempts", "offload_files", "offload_partitions", "offload_differences"),
    *("offload_findings", "offload_drops", "offload_backfills", "offload_emissions"),
}
"""Tables that get rows with time. The others hold a row for each stream, or what waits at this moment."""
HOT = ("backfill", "comparison", "console", "drops", "emitter", "intents", "ledger", "publish", "session")
"""Files with the statements of consumers, emitters and the console, and of `icehaul status`."""
COLD = {"backfill.all": "what `icehaul backfill --list` shows, once in a while"}
_PARAMETER = re.compile(r"%\((\w+)\)[sd]")


def hot_statements() -> Iterator[tuple[str, str]]:
    """Every statement on a hot path, with its name, and its parameters as Postgres numbers them."""
    for file in HOT:
        for name, text in statements(file).items():
            if f"{file}.{name}" in COLD:
                continue
            names = list(dict.fromkeys(_PARAMETER.findall(text.decode())))
            numbered = text.decode().replace("%%", "%")
            for number, parameter in enumerate(names, start=1):
                numbered = re.sub(rf"%\({parameter}\)[sd]", f"${number}", numbered)
            yield f"{file}.{name}", numbered


STATEMENTS = dict(hot_statements())


class Year:
    """A ledger with so many ticks of ten streams; ``before`` are its rows by table, before it was pruned."""

    def __init__(self, connection: psycopg.Connection, dsn: str, ticks: int) -> None:
        self.connection = connection
        self.ticks = ticks
        self.whole = ticks >= A_YEAR
        self.days = ticks // 96
        text = YEAR.read_text(encoding="utf-8").replace(":ticks", str(ticks)).replace(":days", str(self.days))
        with connection.transaction():
            # Foreign keys hold by the way it is made: checking them row by row takes longer than all the rest.
            connection.execute("SET LOCAL session_replication_role = replica")
            connection.execute(text.encode())
        self.before = self.counts()
        with Database(PostgresSettings(dsn=SecretStr(dsn))) as database:
            self.retention = PostgresRetention(database)
            LedgerWatch(ledger=self.retention, age=AGE).look(Signal())
            self.again = sum(self.retention.prune(remains, AGE, 10) for remains in Remains)
        self.after = self.counts()
        connection.execute("ANALYZE")

    def counts(self) -> Mapping[str, int]:
        """How many rows each table has."""
        found = {}
        for table in (*sorted(GROWING), "offload_parked", "offload_outbox"):
            row = self.connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
            found[table] = 0 if row is None else row[0]
        return found

    def scans(self, statement: str, *, planned: bool | None = None) -> set[str]:
        """Return the growing tables that a statement reads as a whole, whatever its parameters are.

        After a year by the plan that Postgres makes, of tables that are large then. After a month no table is: there,
        and where nothing is ``planned``, that an index could be used is what counts.
        """
        planned = self.whole if planned is None else planned
        self.connection.execute(f"SET enable_seqscan = {'on' if planned else 'off'}".encode())
        row = self.connection.execute(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {statement}".encode()).fetchone()
        assert row is not None
        (answer,) = json.loads(row[0]) if isinstance(row[0], str) else row[0]
        return {
            node["Relation Name"]
            for node in _nodes(answer["Plan"])
            if node["Node Type"] == "Seq Scan"
            and node["Relation Name"] in GROWING
            and (not planned or self.after[node["Relation Name"]] >= _LARGE)
        }

    @contextmanager
    def without(self, change: str) -> Iterator[None]:
        """Take an index away for the length of a block."""
        with self.connection.transaction(force_rollback=True):
            self.connection.execute(change.encode())
            yield


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)


@pytest.fixture(scope="module", params=[3_000, pytest.param(A_YEAR, marks=pytest.mark.thorough)], ids=str)
def year(request: pytest.FixtureRequest) -> Iterator[Year]:
    """The suite has a month, whose tables are large enough for an index to be worth its while."""
    with running_postgres() as server:
        dsn = server.create_database()
        with Database(PostgresSettings(dsn=SecretStr(dsn))) as database:
            migrate(database)
        with psycopg.connect(dsn, autocommit=True) as connection:
            yield Year(connection, dsn, request.param)


def test_no_statement_on_a_hot_path_reads_a_growing_table_as_a_whole(year: Year) -> None:
    assert len(STATEMENTS) > 60
    assert {name: found for name, text in STATEMENTS.items() if (found := year.scans(text))} == {}


@pytest.mark.parametrize(
    ("change", "statement"),
    [
        ("DROP INDEX offload_batches_latest", "console.page"),
        ("DROP INDEX offload_files_of_a_batch", "console.files"),
        ("DROP INDEX offload_drops_of_a_stream", "drops.windows"),
        ("ALTER TABLE offload_differences DROP CONSTRAINT offload_differences_pkey", "comparison.forget_difference"),
        ("ALTER TABLE offload_emissions DROP CONSTRAINT offload_emissions_pkey", "emitter.emissions"),
        ("ALTER TABLE offload_partitions DROP CONSTRAINT offload_partitions_pkey", "comparison.gone"),
    ],
)
def test_an_index_that_is_missing_is_noticed(year: Year, change: str, statement: str) -> None:
    with year.without(change):
        assert year.scans(STATEMENTS[statement], planned=False)


def test_the_sum_of_the_windows_before_each_publish_reads_an_index_alone(year: Year) -> None:
    row = year.connection.execute(f"EXPLAIN (GENERIC_PLAN) {STATEMENTS['publish.chain']}".encode()).fetchall()
    assert any("offload_batches_chain" in str(line) for line in row)


def test_of_what_a_halted_stream_keeps_the_event_that_asks_for_most_is_left(year: Year) -> None:
    rows = year.connection.execute("SELECT event_id FROM offload_parked").fetchall()
    assert year.before["offload_parked"] > 1_000
    last = f"tick-{year.ticks // 2}"
    assert {row[0] for row in rows} == {last, "hint-98", "hint-99", "close-0", "close-1", "close-2"}


def test_what_the_source_does_not_hold_any_more_is_forgotten_and_what_it_holds_is_kept(year: Year) -> None:
    held = year.days - year.days * 2 // 3
    assert year.after["offload_emissions"] == STREAMS * held
    oldest = "SELECT min(first) FROM offload_partitions"
    for condition, left in (("lower < ({0})", False), ("lower >= ({0})", True)):
        statement = f"SELECT EXISTS (SELECT FROM offload_differences WHERE {condition.format(oldest)})"
        row = year.connection.execute(statement.encode()).fetchone()
        assert row == (left,)


def test_records_stay(year: Year) -> None:
    pruned = {"offload_parked", "offload_emissions", "offload_differences"}
    assert {table for table in year.before if year.before[table] != year.after[table]} == pruned
    assert year.again == 0


def test_what_is_young_stays_and_so_does_what_nobody_knows_the_source_of(year: Year) -> None:
    with year.connection.transaction(force_rollback=True):
        year.connection.execute("UPDATE offload_emissions SET sent = clock_timestamp()")
        year.connection.execute("UPDATE offload_differences SET compared = clock_timestamp()")
        year.connection.execute("UPDATE offload_partitions SET first = now(), last = now()")
        prune = {"age": AGE, "young": AGE, "limit": 10}
        for remains in (Remains.EMISSIONS, Remains.DIFFERENCES):
            done = year.connection.execute(statements("retention")[remains.value], prune)
            assert done.rowcount == 0
        year.connection.execute(
            "UPDATE offload_emissions SET sent = '2024-01-01', partition_id = partition_id || '-gone'"
        )
        done = year.connection.execute(statements("retention")["emissions"], prune)
        assert done.rowcount == 10
        year.connection.execute("DELETE FROM offload_partitions")
        done = year.connection.execute(statements("retention")["emissions"], prune)
        assert done.rowcount == 0
