"""Queries of a part of a table read the files of that part and no more: plans, and bytes that leave the store."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.conversions import from_bytes
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.types import PrimitiveType

from consumer.bootstrap import Application
from consumer.domain.event_factory import tick
from consumer.domain.writer import WriterPolicy
from consumer.embedded.stack import EmbeddedStack
from consumer.settings.connections import SparkSettings
from tests.bench.cold.readers import FRUGAL
from tests.bench.planned_files import iceberg_function
from tests.support.asked_spark import asked_spark
from tests.support.cold_tier import store_of
from tests.support.local_engine import LocalEngine
from tests.support.platform import Platform, day
from tests.support.store_meter import StoreMeter

pytestmark = [pytest.mark.spark, pytest.mark.timeout(300)]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "query-the-cold-tier.md"
DAY_ROWS = 100_000
FOOTER_BYTES = 70_000
"""What a reader asks for at the end of a file before it knows how long the footer is, and some heads of answers."""
SHARED = "prefix-of-sixteen-and-more"
"""What long symbols have in common: bounds of text are cut after 16 characters, and can't tell them apart."""
DAYS = (
    # The day, its symbols, its least price; days in turn are written by a task and by ClickHouse.
    ("2024-01-01", "['ADA', 'BTC']", 10, WriterPolicy.STREAM),
    ("2024-01-02", "['ETH', 'KAS']", 1010, WriterPolicy.EXPORT),
    ("2024-01-03", f"['{SHARED}-a', '{SHARED}-b']", -990, WriterPolicy.STREAM),
    ("2024-01-04", f"['{SHARED}-c', '{SHARED}-d']", -1990, WriterPolicy.EXPORT),
)


@dataclass(frozen=True)
class Question:
    """A filter, and the files that may hold such rows: numbers of days, and of their halves where one is enough."""

    name: str
    filter: str
    files: frozenset[tuple[int, int]]
    rows: int


def both(*days: int) -> frozenset[tuple[int, int]]:
    return frozenset((number, half) for number in days for half in (0, 1))


QUESTIONS = (
    Question("one day", "ts >= '2024-01-02T00:00:00+00:00' AND ts < '2024-01-03T00:00:00+00:00'", both(1), DAY_ROWS),
    Question(
        "a morning written by a task",
        "ts >= '2024-01-01T00:00:00+00:00' AND ts < '2024-01-01T06:00:00+00:00'",
        frozenset({(0, 0)}),
        DAY_ROWS // 4,
    ),
    Question(
        "an evening written by ClickHouse",
        "ts >= '2024-01-02T18:00:00+00:00' AND ts < '2024-01-03T00:00:00+00:00'",
        frozenset({(1, 1)}),
        DAY_ROWS // 4,
    ),
    Question("a range of symbols", "symbol >= 'C' AND symbol < 'L'", both(1), DAY_ROWS),
    Question("a symbol longer than a bound", f"symbol = '{SHARED}-d'", both(2, 3), DAY_ROWS // 2),
    Question("a range of decimals", "price >= 1010", both(1), DAY_ROWS),
    Question("a range of negative decimals", "price < -1500", both(3), DAY_ROWS * 490 // 1000),
    Question(
        "a range of whole numbers",
        f"number >= {DAY_ROWS * 3 // 2} AND number < {DAY_ROWS * 2}",
        frozenset({(1, 1)}),
        DAY_ROWS // 2,
    ),
    Question("what nobody holds", "symbol = 'ZEC'", frozenset(), 0),
)


@dataclass(frozen=True)
class Cold:
    """The offloaded table behind the meter, with its files by day and half."""

    platform: Platform
    table: Table
    meter: StoreMeter
    files: dict[tuple[int, int], DataFile]

    def paths(self, question: Question) -> set[str]:
        return {self.files[place].file_path for place in question.files}


@pytest.fixture(scope="module")
def cold(stack: EmbeddedStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cold]:
    """Four days in two files each, which part at noon."""
    made = Platform(stack.endpoints, f"t_skipping_{os.getpid()}", tmp_path_factory.mktemp("skipping"))
    port = urlsplit(stack.endpoints.store.endpoint).port or 0
    with pytest.MonkeyPatch.context() as patched, StoreMeter(port) as meter:
        for name, value in made.environment().items():
            patched.setenv(name, value)
        columns = "ts DateTime64(6, 'UTC'), number UInt32, symbol String, price Decimal(18, 8), flag Bool, text String"
        stream = made.add_stream(
            columns=columns,
            sequence_columns=["number"],
            sort_by=["symbol", "ts"],
            batch={"unit_rows": DAY_ROWS // 2},
        )
        configuration = made.configuration()
        for number, (date, symbols, price, policy) in enumerate(DAYS):
            made.client.command(
                f"INSERT INTO {made.name}.trades SELECT toDateTime64('{date} 00:00:00', 6, 'UTC')"
                f" + toIntervalMicrosecond(intDiv(number * 86400000000, {DAY_ROWS})), number + {number * DAY_ROWS},"
                f" {symbols}[number % 2 + 1], toDecimal64({price}, 8) + number % 1000, number % 2 = 0,"
                f" hex(cityHash64(number)) FROM numbers({DAY_ROWS})"
            )
            own = configuration.model_copy(update={"spark": SparkSettings(writer=policy)})
            with Application(own, environment={}) as application:
                application.migrate()
                application.engine = LocalEngine(own)
                boundary = day(DAYS[number + 1][0] if number + 1 < len(DAYS) else "2024-01-05")
                application.offload.handle(tick(stream=stream, boundary=boundary), threading.Event())
        table = loaded(made, meter)
        yield Cold(made, table, meter, by_place(table))
        table.catalog.engine.dispose()  # type: ignore[attr-defined]
    made.close()


def loaded(platform: Platform, meter: StoreMeter) -> Table:
    store = platform.endpoints.store
    catalog = SqlCatalog(
        "icehaul",
        uri=platform.endpoints.postgres.dsn.replace("postgresql://", "postgresql+psycopg://"),
        init_catalog_tables="false",
        **{
            "s3.endpoint": f"http://127.0.0.1:{meter.port}",
            "s3.region": store.region,
            "s3.access-key-id": store.access_key,
            "s3.secret-access-key": store.secret_key,
        },
    )
    return catalog.load_table(f"{platform.name}.trades")


def by_place(table: Table) -> dict[tuple[int, int], DataFile]:
    found: dict[int, list[DataFile]] = {}
    for task in table.scan().plan_files():
        found.setdefault(task.file.partition[0], []).append(task.file)
    ts = table.schema().find_field("ts").field_id
    return {
        (number, half): file
        for number, (_, files) in enumerate(sorted(found.items()))
        for half, file in enumerate(sorted(files, key=lambda one: one.lower_bounds[ts][::-1]))
    }


def test_every_file_of_both_writers_has_the_bounds_of_every_column(cold: Cold) -> None:
    schema = cold.table.schema()
    assert len(cold.files) == 2 * len(DAYS)
    for (number, _), file in cold.files.items():
        low, high = (read_bounds(schema, bounds) for bounds in (file.lower_bounds, file.upper_bounds))
        assert set(low) == set(high) == {"ts", "number", "symbol", "price", "flag", "text"}
        assert (low["price"], high["price"]) == (Decimal(DAYS[number][2]), Decimal(DAYS[number][2] + 999))
        if number >= 2:
            assert low["symbol"] == SHARED[:16]
            assert SHARED[:16] < high["symbol"] <= SHARED[:15] + chr(ord(SHARED[15]) + 1)


def test_files_of_both_writers_are_sorted_as_the_stream_asks_and_marked_so(cold: Cold) -> None:
    for (number, _), file in cold.files.items():
        assert file.sort_order_id == cold.table.sort_order().order_id
        with cold.table.io.new_input(file.file_path).open() as content:
            parquet = pq.ParquetFile(content)
            rows = parquet.read(columns=["symbol", "ts"])
        assert parquet.metadata.created_by.startswith("ClickHouse") == (DAYS[number][3] is WriterPolicy.EXPORT)
        assert rows.equals(rows.sort_by([("symbol", "ascending"), ("ts", "ascending")]))


def read_bounds(schema: Schema, bounds: Mapping[int, bytes]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field_id, value in bounds.items():
        field = schema.find_field(field_id)
        assert isinstance(field.field_type, PrimitiveType)
        found[field.name] = from_bytes(field.field_type, value)
    return found


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_pyiceberg_plans_and_reads_the_files_of_the_answer_and_no_more(cold: Cold, question: Question) -> None:
    expected = cold.paths(question)
    scan = cold.table.scan(row_filter=question.filter)
    assert {task.file.file_path for task in scan.plan_files()} == expected

    cold.meter.data_files()
    assert scan.to_arrow().num_rows == question.rows
    read = cold.meter.data_files()
    assert set(read) == expected
    whole = sum(file.file_size_in_bytes for file in cold.files.values() if file.file_path in expected)
    assert sum(read.values()) <= whole + FOOTER_BYTES * len(expected)


def test_one_column_is_read_without_the_bytes_of_the_others(cold: Cold) -> None:
    cold.meter.data_files()
    cold.table.scan(selected_fields=("flag",)).to_arrow()
    read = cold.meter.data_files()
    assert set(read) == {file.file_path for file in cold.files.values()}
    whole = sum(file.file_size_in_bytes for file in cold.files.values())
    assert sum(read.values()) < whole / 10 + FOOTER_BYTES * len(cold.files) < whole / 2


@pytest.mark.thorough
def test_spark_plans_and_reads_the_files_of_the_answer_and_no_more(cold: Cold, tmp_path: Path) -> None:
    with asked_spark(cold.platform.endpoints, tmp_path, f"http://127.0.0.1:{cold.meter.port}") as spark:
        # Each takes a job; the others are PyIceberg's.
        for question in QUESTIONS[::2]:
            cold.meter.data_files()
            answer = spark.ask(f"SELECT count(price) FROM icehaul.{cold.platform.name}.trades WHERE {question.filter}")
            assert answer["rows"] == [[question.rows]], question.name
            assert answer["planned"] == len(question.files), question.name
            assert set(cold.meter.data_files()) == cold.paths(question), question.name


def test_clickhouse_reads_the_files_of_the_answer_and_with_the_settings_of_the_page_its_columns_alone(
    cold: Cold,
) -> None:
    said = dict(re.findall(r"`(remote_\w+) = (\d+)`", PAGE.read_text(encoding="utf-8")))
    assert said == {name: str(value) for name, value in FRUGAL.items()}
    source = iceberg_function(
        cold.table.metadata_location, store_of(cold.platform.endpoints, ""), f"http://127.0.0.1:{cold.meter.port}"
    )
    for question in QUESTIONS[:2]:
        sizes = []
        for settings in ({}, dict(FRUGAL)):
            query = f"SELECT count(price) FROM {source} WHERE {question.filter.replace('+00:00', '')}"
            cold.meter.data_files()
            assert cold.platform.client.query(query, settings=settings).result_rows == [(question.rows,)]
            read = cold.meter.data_files()
            assert set(read) == cold.paths(question), question.name
            sizes.append(sum(read.values()))
        whole = sum(file.file_size_in_bytes for file in cold.files.values() if file.file_path in cold.paths(question))
        assert sizes[1] < whole / 2 < sizes[0], question.name
