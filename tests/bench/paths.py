"""The paths that are compared, each run against the same table and the same store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from pyarrow.fs import FileSelector, S3FileSystem

from consumer.embedded.component import ComponentName
from consumer.embedded.endpoints import Endpoints
from consumer.embedded.stack import EmbeddedStack
from tests.bench import report
from tests.bench.trades import NESTED, SCALARS, TABLE
from tests.support.platform import Platform

_PIECE = 1 << 20
_ANSWER_SECONDS = 900.0
_DRIVER_MEMORY = "2g"


class AbsentPathError(Exception):
    """A path can't run here; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A path to be measured: ``groups`` are its processes by name, ``run`` returns the bytes written."""

    name: str
    groups: Mapping[str, int]
    run: Callable[[int], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What all paths share."""

    stack: EmbeddedStack
    platform: Platform
    rows: int
    cores: int
    own_pid: int

    @property
    def endpoints(self) -> Endpoints:
        """Where the servers are."""
        return self.stack.endpoints

    @property
    def parts(self) -> int:
        """In how many parts the Spark programs read the table; icehaul is left to its defaults."""
        return self.cores * 2

    @property
    def table(self) -> str:
        """The source table."""
        return f"{self.platform.name}.{TABLE}"

    def groups(self, *components: ComponentName, **others: int) -> dict[str, int]:
        """Return process groups by name."""
        return {**{component.value: self.stack.pid(component) for component in components}, **others}

    def url(self, folder: str) -> str:
        """Return the address of a folder on the store."""
        return f"{self.endpoints.store.endpoint}/{self.endpoints.store.bucket}/bench/{folder}"

    def stored_bytes(self, folder: str) -> int:
        """Return how many bytes of Parquet a folder on the store holds."""
        store = self.endpoints.store
        files = S3FileSystem(
            access_key=store.access_key,
            secret_key=store.secret_key,
            region=store.region,
            endpoint_override=store.endpoint.removeprefix("http://"),
            scheme="http",
        ).get_file_info(FileSelector(f"{store.bucket}/bench/{folder}", recursive=True))
        return sum(file.size for file in files if file.path.endswith(".parquet"))


def parquet_ceiling(bench: Bench) -> Contender:
    """ClickHouse writes one Parquet file to the store by itself; without bloom filters, which is faster."""
    store = bench.endpoints.store

    def run(number: int) -> int:
        folder = f"ceiling/{number}"
        bench.platform.client.command(
            f"INSERT INTO FUNCTION s3('{bench.url(folder)}/trades.parquet', '{store.access_key}',"
            f" '{store.secret_key}', 'Parquet') SELECT * FROM {bench.table} SETTINGS"
            " output_format_parquet_compression_method = 'zstd', output_format_parquet_write_bloom_filter = 0"
        )
        return bench.stored_bytes(folder)

    groups = bench.groups(ComponentName.CLICKHOUSE, ComponentName.STORE)
    return Contender(name=report.PARQUET_CEILING, groups=groups, run=run)


def arrow_ceiling(bench: Bench) -> Contender:
    """One query's ArrowStream, as the server sends it by default, read and dropped."""
    server = bench.endpoints.clickhouse
    query = urlencode({"query": f"SELECT * FROM {bench.table} FORMAT ArrowStream"})
    request = urllib.request.Request(
        f"http://{server.host}:{server.port}/?{query}",
        headers={"X-ClickHouse-User": server.user, "X-ClickHouse-Key": server.password},
    )

    def run(_: int) -> int:
        with urllib.request.urlopen(request, timeout=_ANSWER_SECONDS) as body:  # noqa: S310 - the same
            while body.read(_PIECE):
                pass
        return 0

    groups = bench.groups(ComponentName.CLICKHOUSE, python=bench.own_pid)
    return Contender(name=report.ARROW_CEILING, groups=groups, run=run)


def clickhouse_iceberg(bench: Bench) -> Contender:
    """ClickHouse's own insert into an Iceberg table without a catalog."""
    store, client = bench.endpoints.store, bench.platform.client

    def run(number: int) -> int:
        folder, table = f"iceberg/{number}", f"{bench.platform.name}.iceberg_{number}"
        client.command(
            f"CREATE TABLE {table} (ts DateTime64(6), seq Int64, symbol String, exchange String, side String,"
            " price Decimal(18, 8), quantity Decimal(18, 8), order_id String, note Nullable(String),"
            f" tags Array(String), attributes Map(String, String)) ENGINE = IcebergS3('{bench.url(folder)}/',"
            f" '{store.access_key}', '{store.secret_key}', 'Parquet')",
            settings={"allow_experimental_insert_into_iceberg": 1},
        )
        client.command(
            f"INSERT INTO {table} SELECT ts, {SCALARS}, {NESTED} FROM {bench.table}",
            settings={
                "allow_experimental_insert_into_iceberg": 1,
                "output_format_parquet_compression_method": "zstd",
            },
        )
        found = int(client.query(f"SELECT count() FROM {table}").result_rows[0][0])
        if found != bench.rows:
            raise AbsentPathError(f"{found} rows arrived of {bench.rows}")
        return bench.stored_bytes(folder)

    groups = bench.groups(ComponentName.CLICKHOUSE, ComponentName.STORE)
    return Contender(name=report.CLICKHOUSE_ICEBERG, groups=groups, run=run)


class SparkPrograms:
    """The Spark programs of ``scripts/spark_paths.py`` in a process of their own."""

    def __init__(self, bench: Bench, process: subprocess.Popen[str]) -> None:
        self._bench = bench
        self._process = process

    def contender(self, name: str) -> Contender:
        """Return one of its programs."""
        groups = self._bench.groups(
            ComponentName.CLICKHOUSE, ComponentName.STORE, ComponentName.POSTGRES, spark=self._process.pid
        )

        def run(number: int) -> int:
            self.ask(f"{name} bench.bench.{name}_{number}")
            answer = self.answer()
            if answer["rows"] != self._bench.rows:
                raise AbsentPathError(f"{answer['rows']} rows arrived of {self._bench.rows}")
            return int(str(answer["bytes"]))

        return Contender(name=name, groups=groups, run=run)

    def ask(self, line: str) -> None:
        """Send a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def answer(self) -> Mapping[str, object]:
        """Wait for an answer.

        Raises:
            AbsentPathError: if it is an error, or there is none.
        """
        assert self._process.stdout is not None
        guard = threading.Timer(_ANSWER_SECONDS, self._process.kill)
        guard.start()
        try:
            for line in self._process.stdout:
                if line.startswith("@"):
                    answer: dict[str, object] = json.loads(line[1:])
                    if "error" in answer:
                        raise AbsentPathError(str(answer["error"]))
                    return answer
        finally:
            guard.cancel()
        raise AbsentPathError("Spark ended without an answer; see spark.log")


@contextmanager
def spark_programs(bench: Bench, jdbc_jars: tuple[Path, ...], log: Path) -> Iterator[SparkPrograms]:
    """Start the Spark programs, and end them with the block."""
    script = Path(__file__).parent / "scripts" / "spark_paths.py"
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [sys.executable, str(script)],
            env={**os.environ, "PYSPARK_PYTHON": sys.executable},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        programs = SparkPrograms(bench, process)
        try:
            programs.ask(json.dumps(_spark_settings(bench, jdbc_jars)))
            programs.answer()
            yield programs
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _spark_settings(bench: Bench, jdbc_jars: tuple[Path, ...]) -> dict[str, object]:
    endpoints = bench.endpoints
    server, store, postgres = endpoints.clickhouse, endpoints.store, endpoints.postgres
    catalog = "spark.sql.catalog.bench"
    address = f"{server.host}:{server.port}"
    return {
        "spark": {
            "spark.master": f"local[{bench.cores}]",
            "spark.driver.memory": _DRIVER_MEMORY,
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.execution.arrow.maxRecordsPerBatch": "65536",
            "spark.jars": ",".join(str(jar) for jar in (*endpoints.spark_jars, *jdbc_jars)),
            catalog: "org.apache.iceberg.spark.SparkCatalog",
            f"{catalog}.type": "jdbc",
            f"{catalog}.uri": postgres.jdbc_url,
            f"{catalog}.jdbc.user": postgres.user,
            f"{catalog}.jdbc.password": postgres.password,
            f"{catalog}.jdbc.schema-version": "V1",
            f"{catalog}.warehouse": f"s3://{store.bucket}/bench",
            f"{catalog}.io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
            f"{catalog}.s3.endpoint": store.endpoint,
            f"{catalog}.s3.access-key-id": store.access_key,
            f"{catalog}.s3.secret-access-key": store.secret_key,
            f"{catalog}.s3.path-style-access": "true",
            f"{catalog}.client.region": store.region,
        },
        "jdbc_url": f"jdbc:ch://{address}/{bench.platform.name}",
        "url": f"http://{address}/",
        "user": server.user,
        "password": server.password,
        "table": bench.table,
        "scalars": SCALARS,
        "nested": NESTED,
        "rows": bench.rows,
        "partitions": bench.parts,
        "fetch_size": 100_000,
    }
