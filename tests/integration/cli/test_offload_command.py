"""`icehaul offload`: one stream, once, by arguments and environment alone; again without harm."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import clickhouse_connect
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clickhouse_connect.driver.client import Client
from psycopg import sql
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.transforms import DayTransform
from pyiceberg.types import LongType, NestedField, StringType, TimestamptzType

from consumer.adapters.spark.engine import SparkEngine
from consumer.bootstrap import Application
from consumer.embedded.stack import EmbeddedStack
from tests.integration.cli.conftest import Run

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "move-from-a-spark-submit-script.md"
DAYS = [datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2, 3)]
ROWS = 30
NAMES = ["--timestamp-col", "created_at", "--sequence-col", "order_id"]

OldTable = Callable[..., Table]


@pytest.fixture
def dsn(stack: EmbeddedStack, unique_name: str) -> str:
    """A database for the ledger with nothing in it."""
    with psycopg.connect(stack.endpoints.postgres.dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(unique_name)))
    return stack.endpoints.postgres.model_copy(update={"database": unique_name}).dsn


@pytest.fixture(autouse=True)
def _environment(
    stack: EmbeddedStack,
    dsn: str,
    unique_name: str,
    spark_engine: SparkEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Connections in the environment, no configuration file, and the warm Spark session."""
    for name, value in stack.endpoints.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ICEHAUL_POSTGRES__DSN", dsn)
    monkeypatch.setenv("ICEHAUL_STORE__PREFIX", f"tests/{unique_name}")
    # Nobody may find Kafka: it is not needed.
    monkeypatch.setenv("ICEHAUL_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setattr(Application, "engine", spark_engine)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def source(stack: EmbeddedStack) -> Iterator[Client]:
    """The table of the how-to, with ten rows on each of three days."""
    server = stack.endpoints.clickhouse
    client = clickhouse_connect.get_client(
        host=server.host, port=server.port, username=server.user, password=server.password
    )
    client.command("CREATE DATABASE shop")
    client.command(
        "CREATE TABLE shop.orders (created_at DateTime64(6, 'UTC'), order_id Int64, note String) ENGINE = MergeTree"
        " PARTITION BY toDate(created_at) ORDER BY created_at"
    )
    for number, day in enumerate(DAYS):
        insert(client, day, first=number * 10)
    yield client
    client.command("DROP DATABASE shop")
    client.close()


def insert(client: Client, day: datetime, *, first: int) -> None:
    client.command(
        f"INSERT INTO shop.orders SELECT toDateTime64('{day:%Y-%m-%d} 00:00:00', 6, 'UTC') + toIntervalMinute(number),"
        f" {first} + number, concat('note ', toString({first} + number)) FROM numbers(10)"
    )


@pytest.fixture
def old_table(stack: EmbeddedStack, dsn: str, unique_name: str, icehaul: Run) -> Iterator[OldTable]:
    """Make bronze.orders as another engine does, with the first ``rows`` rows of the source."""

    def make(rows: int, *, partitioned: bool = True, last_note: str = "") -> Table:
        assert icehaul_migrate(icehaul) == 0
        store = stack.endpoints.store
        catalog = SqlCatalog(
            "icehaul",
            uri=dsn.replace("postgresql://", "postgresql+psycopg://"),
            warehouse=f"s3://{store.bucket}/tests/{unique_name}",
            init_catalog_tables="false",
            **{
                "s3.endpoint": store.endpoint,
                "s3.access-key-id": store.access_key,
                "s3.secret-access-key": store.secret_key,
                "s3.region": store.region,
            },
        )
        made.callback(catalog.close)
        catalog.create_namespace("bronze")
        schema = Schema(
            NestedField(1, "created_at", TimestamptzType(), required=True),
            NestedField(2, "order_id", LongType(), required=True),
            NestedField(3, "note", StringType(), required=True),
        )
        spec = PartitionSpec(PartitionField(1, 1000, DayTransform(), "day")) if partitioned else PartitionSpec()
        table = catalog.create_table("bronze.orders", schema, partition_spec=spec)
        times = [day + timedelta(minutes=number) for day in DAYS for number in range(10)][:rows]
        notes = [f"note {number}" for number in range(rows)]
        if last_note:
            notes[-1] = last_note
        written = pa.table(
            {"created_at": times, "order_id": list(range(rows)), "note": notes},
            schema=pa.schema(
                [
                    pa.field("created_at", pa.timestamp("us", "UTC"), nullable=False),
                    pa.field("order_id", pa.int64(), nullable=False),
                    pa.field("note", pa.string(), nullable=False),
                ]
            ),
        )
        paths = []
        for start in range(0, rows, 10):
            path = f"{table.location()}/data/{start}.parquet"
            with table.io.new_output(path).create() as stream:
                pq.write_table(written.slice(start, 10), stream)
            paths.append(path)
        table.add_files(paths)
        return table

    with ExitStack() as made:
        yield make


def icehaul_migrate(icehaul: Run) -> int:
    Path("migrate.yaml").write_text("", encoding="utf-8")
    return icehaul("migrate", "--config", "migrate.yaml").code


def offload(*arguments: str, target: str = "bronze.orders") -> tuple[str, ...]:
    return ("offload", "--source-table", "shop.orders", "--target-table", target, *NAMES, *arguments)


def test_a_table_is_offloaded_once_by_arguments_alone(icehaul: Run, source: Client) -> None:
    first = icehaul(*offload("-o", "json"))
    assert first.code == 0, first.err
    assert "making the tables of the ledger in Postgres: 0001_ledger.sql" in first.err
    assert (first.data["stream"], first.data["rows"], first.data["taken_over_rows"]) == ("bronze_orders", ROWS, None)

    insert(source, datetime.now(tz=UTC) - timedelta(days=400), first=100)
    again = icehaul(*offload())
    assert again.code == 0, again.err
    assert "making the tables" not in again.err
    assert "nothing new" in again.out  # below the watermark: late rows are not read


def test_until_bounds_it_and_the_next_run_goes_on(icehaul: Run, source: Client) -> None:
    first = icehaul(*offload("--until", "2024-01-02", "-o", "json"))
    assert first.code == 0, first.err
    assert first.data["rows"] == 10
    assert first.data["watermark"] == "2024-01-02T00:00:00+00:00"
    second = icehaul(*offload("--until", "2024-01-03T00:05:00Z"))
    assert second.code == 0, second.err
    assert "15 rows in 1 batch" in second.out
    third = icehaul(*offload("--until", "2024-01-02", "-o", "json"))
    assert (third.code, third.data["rows"]) == (0, 0)
    assert icehaul(*offload("-o", "json")).data["rows"] == 5


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--until", "soon"], "--until: 'soon'"),
        (["--settle-lag", "5"], "--settle-lag"),
        (["--sequence-col", "order id"], "--sequence-col"),
        (["--stream", "a-b"], "--stream"),
        (["--target-table", "orders"], "--target-table"),
        (["--take-over-watermark", "now"], "--take-over-watermark"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_wrong_arguments_are_named(icehaul: Run, arguments: list[str], part: str) -> None:
    ended = icehaul(*offload(*arguments))
    assert (ended.code, ended.out) == (2, "")
    ended.explained(part)


def test_a_missing_source_is_refused_without_halting_anything(icehaul: Run) -> None:
    for _ in range(2):
        ended = icehaul("offload", "--source-table", "shop.nothing", "--target-table", "bronze.n", *NAMES)
        assert ended.code == 4
        assert "shop.nothing" in ended.err
        assert "is halted" not in ended.err


def test_a_stream_that_another_process_works_on_is_left_alone(icehaul: Run, source: Client, dsn: str) -> None:
    assert icehaul(*offload("--until", "2024-01-02")).code == 0
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "UPDATE offload_watermarks SET owner = 'other', lease_expires = now() + interval '1 hour'"
            " WHERE stream = 'bronze_orders'"
        )
    ended = icehaul(*offload())
    assert ended.code == 3
    assert "nothing is offloaded twice" in ended.err


def test_a_configured_stream_has_to_say_the_same(icehaul: Run, source: Client) -> None:
    Path("icehaul.yaml").write_text(
        "streams: [{name: bronze_orders, source: shop.orders, target: bronze.orders, timestamp_column: created_at,"
        " sequence_columns: [order_id], settle_lag: 1s}]",
        encoding="utf-8",
    )
    assert icehaul(*offload("--until", "2024-01-02")).code == 0
    other_name = icehaul(*offload("--stream", "mine"))
    assert other_name.code == 2
    assert "'bronze_orders' writes to bronze.orders" in other_name.err
    other_lag = icehaul(*offload("--settle-lag", "1h"))
    assert other_lag.code == 2
    assert "another settle_lag" in other_lag.err
    verified = icehaul("verify", "bronze_orders")
    assert verified.code == 0, verified.out


def test_a_watermark_is_taken_over_where_both_tiers_hold_the_same_rows(
    icehaul: Run, source: Client, old_table: OldTable
) -> None:
    old_table(20)
    arguments = offload("--take-over-watermark", "2024-01-03", "-o", "json")
    first = icehaul(*arguments)
    assert first.code == 0, first.err
    assert (first.data["taken_over_rows"], first.data["rows"]) == (20, 10)
    again = icehaul(*arguments)
    assert again.code == 0, again.err
    assert (again.data["taken_over_rows"], again.data["rows"]) == (None, 0)


@pytest.mark.parametrize(
    ("rows", "note", "watermark", "parts"),
    [
        (19, "", "2024-01-03", ("holds 20 rows", "holds 19 rows", "1 stand in the source only, 0 in the target")),
        (20, "", "2024-01-02T00:09:00", ("holds rows up to 2024-01-02 00:09:00", "at or above the watermark")),
        (20, "other", "2024-01-03", ("holds 20 rows", "1 stand in the source only, 1 in the target only")),
    ],
)
def test_a_watermark_is_not_taken_over_where_rows_differ(
    icehaul: Run, source: Client, old_table: OldTable, rows: int, note: str, watermark: str, parts: tuple[str, ...]
) -> None:
    table = old_table(rows, last_note=note)
    before = table.metadata_location
    for _ in range(2):
        ended = icehaul(*offload("--take-over-watermark", watermark))
        assert (ended.code, ended.out) == (4, "")
        assert all(part in ended.err for part in parts), ended.err
    assert table.refresh().metadata_location == before


def test_a_table_of_another_shape_is_not_taken_over(icehaul: Run, source: Client, old_table: OldTable) -> None:
    old_table(20, partitioned=False)
    ended = icehaul(*offload("--take-over-watermark", "2024-01-03"))
    assert ended.code == 4
    assert "partition spec" in ended.err


def test_no_watermark_is_taken_over_without_a_table(icehaul: Run, source: Client) -> None:
    ended = icehaul(*offload("--take-over-watermark", "2024-01-03"))
    assert ended.code == 4
    assert "does not exist" in ended.err


def test_no_watermark_is_taken_over_below_which_rows_may_arrive(
    icehaul: Run, source: Client, old_table: OldTable
) -> None:
    old_table(30)
    soon = datetime.now(tz=UTC).isoformat()
    ended = icehaul(*offload("--take-over-watermark", soon, "--settle-lag", "1h"))
    assert ended.code == 2
    assert "rows may still arrive" in ended.err


def test_the_how_to_works_as_written(icehaul: Run, source: Client, old_table: OldTable) -> None:
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"```(bash|yaml)\n(.*?)```", text, re.DOTALL)
    assert [kind for kind, _ in blocks] == ["bash", "bash", "yaml", "bash", "bash"]
    old_table(20)
    outputs = []
    for kind, block in blocks:
        if kind == "yaml":
            Path("icehaul.yaml").write_text(block, encoding="utf-8")
            continue
        ended = icehaul(*shlex.split(block.replace("\\\n", " "), comments=True)[1:])
        assert ended.code == 0, ended.err
        outputs.append(ended.out)
    first, again, verified, taken_over = outputs
    assert "30 rows in 1 batch" in first
    assert "nothing new" in again
    assert "equal" in verified
    assert "both tiers hold the same 20 rows" in taken_over
    assert "10 rows in 1 batch" in taken_over
