"""Other engines read what was offloaded, through their own code and the catalog alone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from consumer.adapters.spark.engine import SparkEngine
from consumer.bootstrap import Application
from consumer.domain.event_factory import tick
from consumer.embedded.stack import EmbeddedStack
from tests.support.platform import Platform, day

pytestmark = [pytest.mark.spark, pytest.mark.timeout(300)]

ROWS = 3000
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def platform(
    stack: EmbeddedStack, spark_engine: SparkEngine, unique_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Platform]:
    """A stream whose rows have been offloaded."""
    made = Platform(stack.endpoints, unique_name, tmp_path)
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    stream = made.add_stream()
    made.insert(ROWS)
    with Application(made.configuration(), environment={}) as application:
        application.engine = spark_engine
        application.migrate()
        application.offload.handle(tick(stream=stream, boundary=day("2024-01-02")), threading.Event())
    yield made
    made.close()


def expected(platform: Platform) -> dict[str, object]:
    """The same aggregates, by ClickHouse over the source."""
    rows = platform.client.query(
        "SELECT count(), toString(sum(toDecimal128(price, 8))), count(note), sum(length(tags)), min(ts), max(ts),"
        f" uniqExact(seq) FROM {platform.name}.trades"
    ).result_rows[0]
    return dict(zip(("rows", "price", "notes", "tags", "first", "last", "numbers"), rows, strict=True))


def test_spark_reads_the_table_through_the_jdbc_catalog(platform: Platform) -> None:
    endpoints = platform.endpoints
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.spark_reader", f"{platform.name}.trades"],
        env={
            **os.environ,
            "READER_JARS": ",".join(str(jar) for jar in endpoints.spark_jars),
            "READER_JDBC_URL": endpoints.postgres.jdbc_url,
            "READER_USER": endpoints.postgres.user,
            "READER_PASSWORD": endpoints.postgres.password,
            "READER_WAREHOUSE": f"s3://{endpoints.store.bucket}/tests",
            "READER_S3_ENDPOINT": endpoints.store.endpoint,
            "READER_ACCESS_KEY": endpoints.store.access_key,
            "READER_SECRET_KEY": endpoints.store.secret_key,
            "READER_REGION": endpoints.store.region,
        },
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.strip().splitlines()[-1])
    wanted = expected(platform)
    assert float(found.pop("price")) == pytest.approx(float(str(wanted.pop("price"))))
    first, last = wanted.pop("first"), wanted.pop("last")
    assert found.pop("first") == f"{first:%Y-%m-%d %H:%M:%S}"
    assert found.pop("last").startswith(f"{last:%Y-%m-%d %H:%M:%S}")
    assert found == wanted


def test_pyiceberg_reads_the_table_as_the_documentation_shows(platform: Platform) -> None:
    endpoints = platform.endpoints
    page = (ROOT / "docs/how-to/query-the-cold-tier.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    for shown, real in {
        "postgresql+psycopg://icehaul:secret@postgres.example:5432/icehaul": endpoints.postgres.dsn.replace(
            "postgresql://", "postgresql+psycopg://"
        ),
        "https://s3.example": endpoints.store.endpoint,
        '"s3.access-key-id": "icehaul"': f'"s3.access-key-id": "{endpoints.store.access_key}"',
        '"s3.secret-access-key": "secret"': f'"s3.secret-access-key": "{endpoints.store.secret_key}"',
        "bronze.quickstart_trades": f"{platform.name}.trades",
        "sequence_number > 10": "seq >= 0",
    }.items():
        assert shown in snippet
        snippet = snippet.replace(shown, real)
    names: dict[str, Any] = {}
    exec(snippet, names)  # noqa: S102 - the documentation's own snippet
    table = names["rows"]
    names["catalog"].engine.dispose()
    wanted = expected(platform)
    assert table.num_rows == wanted["rows"]
    assert len(set(table["seq"].to_pylist())) == wanted["numbers"]
    assert len(table["note"].drop_null()) == wanted["notes"]
