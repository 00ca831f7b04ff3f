"""The engines that read the cold tier, by the ways of docs/how-to/query-the-cold-tier.md."""

from __future__ import annotations

import time
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Protocol

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from clickhouse_connect.driver.client import Client
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Table

from consumer.settings.connections import StoreSettings
from tests.bench.cold.queries import Answer, Query
from tests.bench.planned_files import iceberg_function, planned_files
from tests.support.asked_spark import AskedSpark
from tests.support.cold_tier import pyiceberg_catalog

CACHES = ("ICEBERG METADATA CACHE", "PARQUET METADATA CACHE", "PAGE CACHE", "QUERY CONDITION CACHE")
"""What ClickHouse keeps of the files that it has read."""
FRUGAL: Mapping[str, int] = MappingProxyType(
    {"remote_filesystem_read_prefetch": 0, "remote_read_min_bytes_for_seek": 256 * 1024}
)
"""Settings with which ClickHouse reads the columns of a query and not what stands between them, nor a first MiB ahead.

They are those of docs/how-to/query-the-cold-tier.md.
"""
_DEFAULTS: Mapping[str, int] = MappingProxyType({})
_CLICKHOUSE_INSTANT = "toDateTime64('{}', 6, 'UTC')"
_SQL_INSTANT = "TIMESTAMPTZ '{}'"
_SPARK_INSTANT = "TIMESTAMP '{}'"


class Reader(Protocol):
    """An engine that reads one table, through the store's own address or through the address of a meter."""

    @property
    def name(self) -> str:
        """How the report names it."""
        ...

    @property
    def warm_up(self) -> int:
        """How many answers more it takes to be warm than the first one."""
        ...

    def forget(self) -> None:
        """Forget everything of the table that was kept of former queries."""
        ...

    def ask(self, query: Query, endpoint: str) -> tuple[Answer, float]:
        """Return the answer, and the seconds until it was there."""
        ...


class Catalogs:
    """PyIceberg's catalogs, one for each address of the store, and the table in them."""

    def __init__(self, dsn: str, store: StoreSettings, table: str) -> None:
        self._dsn = dsn
        self._store = store
        self._name = table
        self._catalogs: dict[str, SqlCatalog] = {}
        self._tables: dict[str, Table] = {}

    def table(self, endpoint: str) -> Table:
        """Return the table, as it was when it was first asked for since the last :meth:`forget`."""
        if endpoint not in self._tables:
            store = self._store.model_copy(update={"endpoint": endpoint})
            self._catalogs[endpoint] = pyiceberg_catalog(self._dsn, store)
            self._tables[endpoint] = self._catalogs[endpoint].load_table(self._name)
        return self._tables[endpoint]

    def close(self) -> None:
        """Close the catalogs."""
        self.forget()

    def forget(self) -> None:
        """Close the catalogs; the next table is a new one."""
        for catalog in self._catalogs.values():
            catalog.close()
        self._catalogs.clear()
        self._tables.clear()


class PyIcebergReader:
    """PyIceberg plans and reads; Arrow adds up, batch by batch."""

    name = "PyIceberg"
    warm_up = 0

    def __init__(self, catalogs: Catalogs) -> None:
        self._catalogs = catalogs

    def forget(self) -> None:
        """Load the table anew."""
        self._catalogs.forget()

    def ask(self, query: Query, endpoint: str) -> tuple[Answer, float]:
        """Answer a query."""
        started = time.perf_counter()
        scan = self._catalogs.table(endpoint).scan(row_filter=query.filter, selected_fields=query.columns)
        batches = scan.to_arrow_batch_reader()
        answer = _by_symbol(batches) if query.grouped else _summary(batches)
        return query.answer(answer), time.perf_counter() - started


class DuckDbReader:
    """DuckDB over the files that PyIceberg has planned."""

    name = "DuckDB"
    warm_up = 0

    def __init__(self, catalogs: Catalogs, store: StoreSettings) -> None:
        self._catalogs = catalogs
        self._store = store

    def forget(self) -> None:
        """Load the table anew."""
        self._catalogs.forget()

    def ask(self, query: Query, endpoint: str) -> tuple[Answer, float]:
        """Answer a query."""
        started = time.perf_counter()
        planned = self._catalogs.table(endpoint).scan(row_filter=query.filter).plan_files()
        trades = planned_files(planned, self._store, endpoint)  # noqa: F841 - DuckDB finds it by its name
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            rows = connection.execute(query.sql("trades", _SQL_INSTANT)).fetchall()
        return query.answer(rows), time.perf_counter() - started


class ClickHouseReader:
    """ClickHouse by its table function, with the metadata file that the catalog names."""

    warm_up = 0

    def __init__(
        self,
        client: Client,
        catalogs: Catalogs,
        store: StoreSettings,
        name: str = "ClickHouse",
        settings: Mapping[str, int] = _DEFAULTS,
    ) -> None:
        self.name = name
        self._settings = dict(settings)
        self._client = client
        self._catalogs = catalogs
        self._store = store

    def forget(self) -> None:
        """Empty the server's caches of files."""
        self._catalogs.forget()
        for cache in CACHES:
            self._client.command(f"SYSTEM DROP {cache}")

    def ask(self, query: Query, endpoint: str) -> tuple[Answer, float]:
        """Answer a query; asking the catalog for the metadata file is not counted, for it is a query of its own."""
        table = self._catalogs.table(endpoint)
        source = iceberg_function(table.metadata_location, self._store, endpoint)
        text = query.sql(source, _CLICKHOUSE_INSTANT).replace("+00:00", "")
        started = time.perf_counter()
        rows = self._client.query(text, settings=self._settings).result_rows
        return query.answer(rows), time.perf_counter() - started


class SparkReader:
    """Spark SQL by Iceberg's own reader."""

    name = "Spark"
    warm_up = 20
    """A JVM compiles what it runs often: a query takes half of what it took at first, after so many."""

    def __init__(self, spark: AskedSpark, table: str) -> None:
        self._spark = spark
        self._table = f"icehaul.{table}"
        self._fresh = False

    def forget(self) -> None:
        """Take a new session for the next query; the JVM stays warm."""
        self._fresh = True

    def ask(self, query: Query, endpoint: str) -> tuple[Answer, float]:
        """Answer a query."""
        found = self._spark.ask(query.sql(self._table, _SPARK_INSTANT), endpoint, fresh=self._fresh)
        self._fresh = False
        return query.answer(found["rows"]), float(found["seconds"])


class HotReader:
    """ClickHouse's own table of the same rows: what the others are held against."""

    name = "ClickHouse, hot"
    warm_up = 0

    def __init__(self, client: Client, table: str) -> None:
        self._client = client
        self._table = table

    def forget(self) -> None:
        """Nothing is kept of files here."""

    def ask(self, query: Query, endpoint: str) -> tuple[Answer, float]:
        """Answer a query; ``endpoint`` does not matter."""
        text = query.sql(self._table, _CLICKHOUSE_INSTANT).replace("+00:00", "")
        started = time.perf_counter()
        rows = self._client.query(text).result_rows
        return query.answer(rows), time.perf_counter() - started


def _summary(batches: pa.RecordBatchReader) -> list[tuple[object, ...]]:
    """Return count, least and greatest price, and the sum of quantities."""
    count, total = 0, Decimal(0)
    prices: list[Decimal] = []
    for batch in batches:
        if batch.num_rows:
            prices += pc.min_max(batch.column("price")).as_py().values()
            total += pc.sum(batch.column("quantity")).as_py()
            count += batch.num_rows
    return [(count, min(prices, default=None), max(prices, default=None), total)]


def _by_symbol(batches: pa.RecordBatchReader) -> list[tuple[object, ...]]:
    """Return symbol, count and sum of quantities of each symbol."""
    found: dict[str, tuple[int, Decimal]] = {}
    for batch in batches:
        groups = pa.Table.from_batches([batch]).group_by("symbol")
        for one in groups.aggregate([("quantity", "count"), ("quantity", "sum")]).to_pylist():
            count, total = found.get(one["symbol"], (0, Decimal(0)))
            found[one["symbol"]] = (count + one["quantity_count"], total + one["quantity_sum"])
    return [(symbol, *found[symbol]) for symbol in sorted(found)]
