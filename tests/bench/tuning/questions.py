"""Three queries, asked of a cold table by three engines: CPU, seconds, and bytes that leave the store."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import duckdb
from clickhouse_connect.driver.client import Client
from pyiceberg.table import Table

from consumer.embedded.component import ComponentName
from tests.bench.measure import cpu_by_group
from tests.bench.paths import Bench
from tests.bench.planned_files import iceberg_function, planned_files
from tests.support.cold_tier import pyiceberg_catalog, store_of
from tests.support.store_meter import StoreMeter

_REPEATS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A query: its filter in the words of PyIceberg and of SQL, the columns it reads, what SQL selects."""

    name: str
    filter: str
    columns: tuple[str, ...]
    select: str
    grouped: bool = False


def questions(seq: int) -> tuple[Question, ...]:
    """Return the queries of one day of generated trades; ``seq`` is the number of one of ``SYM42``."""
    return (
        Question(
            name="key",
            filter=f"symbol = 'SYM42' AND seq = {seq}",
            columns=("symbol", "seq", "order_id", "price"),
            select="count(*), max(order_id), max(price)",
        ),
        Question(
            name="range",
            filter="ts >= '2024-01-01T12:00:00+00:00' AND ts < '2024-01-01T12:10:00+00:00'",
            columns=("ts", "price", "quantity"),
            select="count(*), max(price), sum(quantity)",
        ),
        Question(
            name="aggregate",
            filter="",
            columns=("symbol", "quantity"),
            select="symbol, sum(quantity) AS total",
            grouped=True,
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one query of one engine took: the least of some runs, and the bytes of its first one."""

    cpu_ms: float
    wall_ms: float
    bytes: int


class Asker:
    """Asks the engines, straight for seconds, through the meter for bytes."""

    def __init__(self, bench: Bench, meter: StoreMeter) -> None:
        self._bench = bench
        self._store = store_of(bench.endpoints, "bench")
        self._client: Client = bench.platform.client
        self._meter = meter
        self._places = {
            "straight": bench.endpoints.store.endpoint,
            "metered": f"http://127.0.0.1:{meter.port}",
        }
        found = self._client.query(f"SELECT seq FROM {bench.table} WHERE symbol = 'SYM42' ORDER BY ts DESC LIMIT 1")
        self._questions = questions(int(found.result_rows[0][0]))
        dsn = bench.endpoints.postgres.dsn
        self._catalogs = {
            name: pyiceberg_catalog(dsn, self._store.model_copy(update={"endpoint": place}))
            for name, place in self._places.items()
        }

    def close(self) -> None:
        """Close the connections to the catalog."""
        for catalog in self._catalogs.values():
            catalog.close()

    def ask(self, table: str) -> dict[str, dict[str, Answer]]:
        """Return the answers by question and engine."""
        tables = {name: catalog.load_table(table) for name, catalog in self._catalogs.items()}
        engines: Mapping[str, Callable[[Question, Table, str], object]] = {
            "pyiceberg": self._pyiceberg,
            "duckdb": self._duckdb,
            "clickhouse": self._clickhouse,
        }
        return {
            question.name: {engine: self._one(ask, question, tables) for engine, ask in engines.items()}
            for question in self._questions
        }

    def _one(
        self, ask: Callable[[Question, Table, str], object], question: Question, tables: Mapping[str, Table]
    ) -> Answer:
        self._meter.data_files()
        first = ask(question, tables["metered"], self._places["metered"])
        read = sum(self._meter.data_files().values())
        groups = self._bench.groups(ComponentName.CLICKHOUSE, python=self._bench.own_pid)
        cpu, wall = [], []
        for _ in range(_REPEATS):
            before, started = cpu_by_group(groups), time.perf_counter()
            again = ask(question, tables["straight"], self._places["straight"])
            wall.append(time.perf_counter() - started)
            cpu.append(sum(cpu_by_group(groups).values()) - sum(before.values()))
            if again != first:
                raise AssertionError(f"{question.name}: {again} after {first}")
        return Answer(cpu_ms=min(cpu) * 1e3, wall_ms=min(wall) * 1e3, bytes=read)

    def _pyiceberg(self, question: Question, table: Table, _: str) -> object:
        rows = table.scan(row_filter=question.filter or "true", selected_fields=question.columns).to_arrow()
        if question.grouped:
            return rows.group_by("symbol").aggregate([("quantity", "sum")]).num_rows
        return rows.num_rows

    def _duckdb(self, question: Question, table: Table, place: str) -> object:
        tasks = table.scan(row_filter=question.filter or "true").plan_files()
        trades = planned_files(tasks, self._store, place)  # noqa: F841 - DuckDB finds it by its name
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return connection.execute(_sql(question, "trades", "TIMESTAMPTZ ")).fetchall()

    def _clickhouse(self, question: Question, table: Table, place: str) -> object:
        source = iceberg_function(table.metadata_location, self._store, place)
        return self._client.query(_sql(question, source, "")).result_rows


def _sql(question: Question, source: str, cast: str) -> str:
    condition = question.filter.replace("'2024", f"{cast}'2024") if cast else question.filter.replace("+00:00", "")
    where = f" WHERE {condition}" if condition else ""
    group = " GROUP BY symbol ORDER BY symbol" if question.grouped else ""
    return f"SELECT {question.select} FROM {source}{where}{group}"
