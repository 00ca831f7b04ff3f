"""Write values of every type into Iceberg by other programs, and read what arrived: ``python -m tests.bench.peers``."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import UUID

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from pyarrow import fs
from pyiceberg.table import StaticTable
from rich.console import Console

from consumer.embedded.jars import CLICKHOUSE_JDBC, SPARK, fetch
from consumer.embedded.stack import EmbeddedStack
from consumer.settings.cache import cache_directory
from tests.bench.peer_values import OTHER_BYTES, VALUES, column_type, insert, means
from tests.support.hot_tier import CREATE_SETTINGS

CLICKHOUSE, JDBC = "clickhouse", "spark-jdbc"
_DATABASE = "peers"
_ROOT_CAUSE = re.compile(r"Caused by: [\w.$]+: ([^\n]+)")
_CAUSE = re.compile(r"(?:Exception|Error): ([^\n]+)")
_SPARKS_OWN = "Full stacktrace of"
"""How a cause begins that Spark adds to repeat another one."""
_NOISE = re.compile(
    r"\(for url .*?\)|https?://\S+|\S*/tmp/\S+|\([A-Z_]+\)|\(version [^)]*\)|\[[A-Z_.]+\]|,? ?SQLSTATE: \w+"
)
"""Addresses of one run, and codes that say what the words say."""
_LONGEST = 160


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; write the document that the reference page reads."""
    options = _options(arguments)
    say = Console(width=10_000, markup=False, highlight=False).print
    with ExitStack() as resources:
        scratch = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="icehaul-peers-")))
        stack = resources.enter_context(EmbeddedStack.start(scratch / "stack"))
        server = stack.endpoints.clickhouse
        client = clickhouse_connect.get_client(
            host=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            autogenerate_session_id=False,
        )
        resources.callback(client.close)
        client.command(f"CREATE DATABASE {_DATABASE}")
        spark = resources.enter_context(_spark(stack, scratch))
        writers: Mapping[str, Callable[[str], StaticTable]] = {
            CLICKHOUSE: lambda table: _by_clickhouse(stack, client, table),
            JDBC: spark.write,
        }
        found: dict[str, dict[str, Mapping[str, str]]] = {peer: {} for peer in writers}
        for number, example in enumerate(VALUES):
            table = f"t{number}"
            columns = f"id Int32, c {column_type(example)}"
            client.command(
                f"CREATE TABLE {_DATABASE}.{table} ({columns}) ENGINE = MergeTree ORDER BY id", settings=CREATE_SETTINGS
            )
            client.command(insert(example, f"{_DATABASE}.{table}"), settings=CREATE_SETTINGS)
            for peer, write in writers.items():
                found[peer][example] = _judged(client, example, table, write)
                say(f"{peer}: {example}: {found[peer][example]}")
        versions = {
            "clickhouse": str(client.command("SELECT version()")),
            "spark": spark.version,
            "iceberg": _revision(SPARK.coordinates[0]),
            "clickhouse-jdbc": _revision(CLICKHOUSE_JDBC.coordinates[0]),
            "pyiceberg": version("pyiceberg"),
        }
    document = {"versions": versions, "peers": found}
    options.out.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    say(f"{os.path.relpath(options.out)}; make schemas writes the page anew")
    return 0


def _revision(coordinate: str) -> str:
    return coordinate.split(":")[2]


def _judged(client: Client, example: str, table: str, write: Callable[[str], StaticTable]) -> Mapping[str, str]:
    """Let a peer write a table, and compare what an independent reader finds in it with the source."""
    try:
        written = write(table)
        became = re.sub(r"\d+: (\S+: )", r"\1", str(written.schema().find_type("c")))
    except Exception as error:  # noqa: BLE001 - that it fails is the finding
        return {"verdict": "error", "note": cause(error)}
    try:
        rows = written.scan().to_arrow().to_pylist()
    except Exception as error:  # noqa: BLE001 - the same
        return {"verdict": "unreadable", "iceberg": became, "note": cause(error)}
    cold = [normal(row["c"], example) for row in sorted(rows, key=lambda row: int(row["id"]))]
    wrong = ""
    for expression in means(example):
        query = f"SELECT {expression} FROM {_DATABASE}.{table} ORDER BY id"
        hot = [normal(value, example) for (value,) in client.query(query).result_rows]
        if hot == cold:
            return {"verdict": "exact", "iceberg": became}
        if not wrong:
            pairs = ((one, other) for one, other in zip(hot, cold, strict=False) if one != other)
            one, other = next(pairs, (f"{len(hot)} rows", f"{len(cold)} rows"))
            wrong = f"{one} became {other}"
    return {"verdict": "lossy", "iceberg": became, "note": wrong[:_LONGEST]}


def cause(error: Exception) -> str:
    """Return the one line that says why, without addresses, codes and stack."""
    text = str(error).strip()
    said = [
        line for line in (*_CAUSE.findall(text)[:1], *_ROOT_CAUSE.findall(text)) if not line.startswith(_SPARKS_OWN)
    ]
    matches = said[-1:] or [text.partition("\n")[0]]
    line = _NOISE.sub("", matches[0] or type(error).__name__)
    return re.sub(r"\s+", " ", line).strip(" .")[:_LONGEST]


def normal(value: Any, example: str) -> str:  # noqa: PLR0911 - one answer for each kind of value
    """Return a value as a text in which equal values of different libraries are equal."""
    match value:
        case None | bool():
            return str(value).lower()
        case float():
            return repr(value)
        case int() | Decimal():
            return format(Decimal(value).normalize(), "f") if Decimal(value).is_finite() else str(value)
        case datetime():
            at = value.astimezone(UTC) if value.tzinfo else value
            return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond:06d}"
        case date() | UUID():
            return str(value)
        case bytes():
            return value.hex().upper() if example in {"FixedString(16)", OTHER_BYTES} else str(value)
        case dict():
            values = value.items() if example.startswith("Map") else value.values()
            return normal(list(values), example)
        case list() | tuple():
            return f"[{', '.join(normal(one, example) for one in value)}]"
        case _:
            return _moment(str(value)) if example.startswith("DateTime") else str(value)


def _moment(text: str) -> str:
    """Return the text of an instant with six digits at least."""
    second, _, fraction = text.partition(".")
    return f"{second}.{fraction.ljust(6, '0')}"


def _by_clickhouse(stack: EmbeddedStack, client: Client, table: str) -> StaticTable:
    """Write by ClickHouse's own Iceberg engine, without a catalog."""
    store = stack.endpoints.store
    described = client.query(f"DESCRIBE {_DATABASE}.{table}").result_rows
    structure = ", ".join(f"{name} {type_}" for name, type_, *_ in described)
    settings = {
        **CREATE_SETTINGS,
        "allow_experimental_insert_into_iceberg": 1,
        "write_full_path_in_iceberg_metadata": 1,
    }
    client.command(
        f"CREATE TABLE {_DATABASE}.iceberg_{table} ({structure}) ENGINE = IcebergS3("
        f"'{store.endpoint}/{store.bucket}/peers/{table}/', '{store.access_key}', '{store.secret_key}', 'Parquet')",
        settings=settings,
    )
    client.command(f"INSERT INTO {_DATABASE}.iceberg_{table} SELECT * FROM {_DATABASE}.{table}", settings=settings)
    files = fs.S3FileSystem(
        endpoint_override=store.endpoint,
        region=store.region,
        access_key=store.access_key,
        secret_key=store.secret_key,
    )
    folder = fs.FileSelector(f"{store.bucket}/peers/{table}/metadata")
    newest = max(info.path for info in files.get_file_info(folder) if info.path.endswith(".metadata.json"))
    properties = {
        "s3.endpoint": store.endpoint,
        "s3.region": store.region,
        "s3.access-key-id": store.access_key,
        "s3.secret-access-key": store.secret_key,
    }
    return StaticTable.from_metadata(f"s3://{newest}", properties)


class _Spark:
    """The JDBC program in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], warehouse: Path) -> None:
        self._process, self._warehouse = process, warehouse
        self.version = ""

    def start(self, settings: Mapping[str, object]) -> None:
        """Start the session."""
        self.version = str(self._ask(json.dumps(settings))["ready"])

    def write(self, table: str) -> StaticTable:
        """Let it write a table."""
        answer = self._ask(table)
        if "error" in answer:
            raise RuntimeError(str(answer["error"]))
        folder = self._warehouse / "jdbc" / table / "metadata"
        number = (folder / "version-hint.text").read_text(encoding="utf-8").strip()
        return StaticTable.from_metadata(f"{folder}/v{number}.metadata.json")

    def _ask(self, line: str) -> Mapping[str, object]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        for text in self._process.stdout:
            if text.startswith("@"):
                found: Mapping[str, object] = json.loads(text[1:])
                return found
        raise RuntimeError("Spark ended without an answer")


@contextmanager
def _spark(stack: EmbeddedStack, scratch: Path) -> Iterator[_Spark]:
    java_home, warehouse = stack.endpoints.java_home, scratch / "warehouse"
    jars = fetch(CLICKHOUSE_JDBC, java_home=java_home, cache=cache_directory(), log_file=scratch / "jars.log")
    server = stack.endpoints.clickhouse
    settings = {
        "spark": {
            "spark.master": "local[1]",
            "spark.driver.memory": "1g",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.ui.enabled": "false",
            "spark.sql.session.timeZone": "UTC",
            "spark.driver.extraJavaOptions": "-Duser.timezone=UTC",
            "spark.jars": ",".join(str(jar) for jar in (*stack.endpoints.spark_jars, *jars)),
            "spark.sql.catalog.peers": "org.apache.iceberg.spark.SparkCatalog",
            "spark.sql.catalog.peers.type": "hadoop",
            "spark.sql.catalog.peers.warehouse": str(warehouse),
        },
        "url": f"jdbc:ch://{server.host}:{server.port}/{_DATABASE}",
        "user": server.user,
        "password": server.password,
        "database": _DATABASE,
    }
    script = Path(__file__).parent / "scripts" / "peer_jdbc.py"
    with (scratch / "spark.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, str(script)],
            env={**os.environ, "JAVA_HOME": str(java_home), "PYSPARK_PYTHON": sys.executable},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            spark = _Spark(process, warehouse)
            spark.start(settings)
            yield spark
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.peers", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/reference/types-peers.json"), help="where it is written")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
