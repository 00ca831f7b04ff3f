"""Other engines read what was offloaded, by the snippets of the documentation alone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import polars as pl
import psycopg
import pytest
from psycopg import sql

from consumer.adapters.spark.engine import SparkEngine
from consumer.bootstrap import Application
from consumer.domain.audit import CheckName, StreamAudit
from consumer.domain.event_factory import tick
from consumer.domain.writer import WriterPolicy
from consumer.embedded.stack import EmbeddedStack
from consumer.entrypoints.audit.by_hand import queries
from consumer.settings.connections import SparkSettings
from tests.support.local_engine import LocalEngine
from tests.support.platform import Platform, day

pytestmark = [
    pytest.mark.spark,
    pytest.mark.timeout(1200),
    # Polars would rather have a package of its own read the metadata.
    pytest.mark.filterwarnings("ignore:.*polars_iceberg:polars.exceptions.PerformanceWarning"),
]

ROWS = 3000
PASSWORD = "reader"
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "query-the-cold-tier.md").read_text(encoding="utf-8")
Values = tuple[object, ...]


def snippet(title: str, language: str, **shown: str) -> str:
    """The block of a section, with this test's names in the place of those that the page shows."""
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    (block,) = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    for one, other in shown.items():
        assert one in block, one
        block = block.replace(one, other)
    return str(block)


@pytest.fixture(scope="module")
def platform(
    stack: EmbeddedStack, spark_engine: SparkEngine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """A stream whose rows have been offloaded in two batches, of which ClickHouse has written the second by itself."""
    made = Platform(stack.endpoints, f"t_readers_{os.getpid()}", tmp_path_factory.mktemp("readers"))
    with pytest.MonkeyPatch.context() as patched:
        for name, value in made.environment().items():
            patched.setenv(name, value)
        stream = made.add_stream()
        configuration = made.configuration()
        exporting = configuration.model_copy(update={"spark": SparkSettings(writer=WriterPolicy.EXPORT)})
        for first, at, engine in ((0, "2024-01-01", spark_engine), (ROWS, "2024-01-02", LocalEngine(exporting))):
            made.insert(ROWS, first=first, day=at)
            # An application keeps the engine that it was first asked for.
            with Application(configuration, environment={}) as application:
                application.migrate()
                application.engine = engine
                boundary = day("2024-01-02" if first == 0 else "2024-01-03")
                application.offload.handle(tick(stream=stream, boundary=boundary), threading.Event())
    yield made
    made.close()


@pytest.fixture(scope="module")
def reader(platform: Platform) -> Iterator[str]:
    """A user of the catalog's database with no more rights than the page says."""
    name = platform.name
    with psycopg.connect(platform.endpoints.postgres.dsn, autocommit=True) as connection:
        role = sql.Identifier(name)
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(PASSWORD)))
        connection.execute(sql.SQL("GRANT SELECT ON iceberg_tables, iceberg_namespace_properties TO {}").format(role))
        yield name
        connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
        connection.execute(sql.SQL("DROP ROLE {}").format(role))


@pytest.fixture(autouse=True)
def surroundings(platform: Platform, reader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that the page lists."""
    for name, value in platform.endpoints.environment().items():
        monkeypatch.setenv(name, value)
    dsn = urlsplit(platform.endpoints.postgres.dsn)
    assert dsn.scheme == "postgresql"
    address = f"{reader}:{PASSWORD}@{dsn.hostname}:{dsn.port}"
    monkeypatch.setenv("ICEHAUL_POSTGRES__DSN", f"postgresql://{address}{dsn.path}")


@pytest.fixture
def names(platform: Platform) -> Iterator[dict[str, Any]]:
    """What is defined after the page's first Python snippet."""
    defined = run(
        snippet(
            "PyIceberg",
            "python",
            **{"bronze.quickstart_trades": f"{platform.name}.trades", "sequence_number": "seq"},
        ),
        {},
    )
    yield defined
    defined["catalog"].engine.dispose()


def run(code: str, defined: dict[str, Any]) -> dict[str, Any]:
    exec(code, defined)  # noqa: S102 - the documentation's own snippet
    return defined


def hot(platform: Platform, condition: str = "seq >= 10") -> Sequence[Values]:
    """The same rows of the source, by ClickHouse."""
    found = platform.client.query(
        "SELECT ts, seq, symbol, price, quantity, note, tags, attributes"
        f" FROM {platform.name}.trades WHERE {condition} ORDER BY seq"
    )
    rows = plain(dict(zip(found.column_names, row, strict=True)) for row in found.result_rows)
    assert len(rows) > ROWS
    return rows


def plain(rows: Any) -> Sequence[Values]:
    """Rows of whatever engine as values that can be compared, in the order of their numbers."""
    return sorted((_values(row) for row in rows), key=lambda values: values[1])  # type: ignore[return-value, arg-type]


def _values(row: Mapping[str, Any]) -> Values:
    instant = datetime.fromisoformat(row["ts"]) if isinstance(row["ts"], str) else row["ts"]
    attributes = row["attributes"]
    if isinstance(attributes, list):
        pairs = [tuple(entry.values()) if isinstance(entry, dict) else entry for entry in attributes]
        attributes = dict(pairs)
    return (
        (instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)).astimezone(UTC),
        int(row["seq"]),
        row["symbol"],
        Decimal(row["price"]),
        Decimal(row["quantity"]),
        row["note"],
        tuple(row["tags"]),
        tuple(attributes.items()),
    )


def test_pyiceberg(platform: Platform, names: dict[str, Any]) -> None:
    assert plain(names["rows"].to_pylist()) == hot(platform)


def test_duckdb(platform: Platform, names: dict[str, Any]) -> None:
    defined = run(snippet("DuckDB", "python", sequence_number="seq"), names)
    columns = [column[0] for column in defined["duck"].sql("SELECT * FROM trades").description]
    rows = [dict(zip(columns, row, strict=True)) for row in defined["rows"]]
    assert plain(rows) == hot(platform)
    assert [row["seq"] for row in rows] == sorted(row["seq"] for row in rows)
    defined["duck"].close()


def test_polars(platform: Platform, names: dict[str, Any]) -> None:
    defined = run(snippet("Polars", "python", sequence_number="seq"), names)
    assert plain(defined["rows"].to_dicts()) == hot(platform)
    (other,) = re.findall(r"`(pl\.from_arrow\(.*?)`", PAGE)
    found = eval(other, {"pl": pl, "table": names["table"]})  # noqa: S307 - the documentation's own snippet
    assert plain(found.to_dicts()) == hot(platform, "true")


def test_spark(platform: Platform, reader: str, tmp_path: Path) -> None:
    endpoints = platform.endpoints
    properties = snippet(
        "Spark",
        "properties",
        **{
            "jdbc:postgresql://postgres.example:5432/icehaul": endpoints.postgres.jdbc_url,
            "jdbc.user              reader": f"jdbc.user {reader}",
            "jdbc.password          secret": f"jdbc.password {PASSWORD}",
            "s3://lake/warehouse": f"s3://{endpoints.store.bucket}/warehouse",
            "https://s3.example": endpoints.store.endpoint,
            "s3.access-key-id       reader": f"s3.access-key-id {endpoints.store.access_key}",
            "s3.secret-access-key   secret": f"s3.secret-access-key {endpoints.store.secret_key}",
            "us-east-1": endpoints.store.region,
        },
    )
    by_hand = audit_by_hand(platform)
    query = snippet("Spark", "sql", **{"bronze.quickstart_trades": f"{platform.name}.trades", "sequence_number": "seq"})
    own = {
        "spark.jars": ",".join(str(jar) for jar in endpoints.spark_jars),
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.session.timeZone": "UTC",
    }
    file = tmp_path / "spark-defaults.conf"
    file.write_text(properties + "".join(f"{name} {value}\n" for name, value in own.items()), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.spark_reader", file, query, *by_hand.values()],
        env={**os.environ, "TZ": "UTC", "JAVA_HOME": str(endpoints.java_home)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert plain(answers[0]) == hot(platform)
    found = dict(zip(by_hand, answers[1:], strict=True))
    assert found[CheckName.TIERS] == [{"count(1)": 2 * ROWS}]
    assert sum(file["record_count"] for file in found[CheckName.REGISTERED]) == 2 * ROWS
    files = [(file["file_path"], file["file_size_in_bytes"]) for file in found[CheckName.REGISTERED]]
    assert sorted((file["file_path"], file["file_size_in_bytes"]) for file in found[CheckName.STORED]) == files
    assert len({row["summary[icehaul.batch-id]"] for row in found[CheckName.EVIDENCE]}) == 2


def audit_by_hand(platform: Platform) -> dict[CheckName, str]:
    """The statements by which an auditor repeats checks of the platform's stream on Spark."""
    table = f"{platform.name}.trades"
    audited = StreamAudit(stream="trades", source=table, target=table, watermark=None, snapshot_id=None, checks=())
    return {one.check: one.sql for one in queries(audited) if one.on == "Spark"}


def test_clickhouse(platform: Platform, names: dict[str, Any]) -> None:
    endpoints = platform.endpoints
    command = snippet("ClickHouse", "bash", bronze=platform.name, quickstart_trades="trades")
    told = subprocess.run(
        ["bash", "-euc", f'{command}\nprintf %s "$METADATA"'], capture_output=True, text=True, timeout=60, check=True
    )
    assert told.stdout == names["table"].metadata_location
    folder, _, metadata = told.stdout.removeprefix(f"s3://{endpoints.store.bucket}/").partition("/metadata/")
    query = snippet(
        "ClickHouse",
        "sql",
        **{
            "https://s3.example/lake": f"{endpoints.store.endpoint}/{endpoints.store.bucket}",
            "FOLDER": folder,
            "'reader'": f"'{endpoints.store.access_key}'",
            "'secret'": f"'{endpoints.store.secret_key}'",
            "sequence_number": "seq",
            "NAME.metadata.json": metadata,
        },
    )
    found = platform.client.query(query)
    assert plain(dict(zip(found.column_names, row, strict=True)) for row in found.result_rows) == hot(platform)
