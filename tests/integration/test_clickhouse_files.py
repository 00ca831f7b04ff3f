"""Fingerprints of data files, as ClickHouse reads them from the object store."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pytest
from pydantic import SecretStr

from consumer.adapters.clickhouse import counting
from consumer.adapters.clickhouse.comparison import COMPARISON_SETTINGS
from consumer.adapters.clickhouse.files import FileReader
from consumer.adapters.clickhouse.source import ClickHouseSource
from consumer.domain.batch import Unit
from consumer.domain.clickhouse_sql import quote_text
from consumer.domain.errors import (
    AccessDeniedError,
    CheckFailedError,
    ConfigurationError,
    IcehaulError,
    StoreUnavailableError,
)
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.mapping import TableMapping
from consumer.domain.stream import Stream, TableName
from consumer.domain.type_mapping import map_table
from consumer.domain.unit_query import unit_query
from consumer.domain.window import EVER
from consumer.embedded.stack import EmbeddedStack
from consumer.settings.connections import StoreSettings
from tests.support.hot_tier import HotTier, clickhouse_settings, hot_tier


@dataclass(frozen=True)
class Written:
    """A table of which a data file was written."""

    hot: HotTier
    mapping: TableMapping
    rows: pa.Table
    path: str
    fingerprint: Fingerprint


def read_all(hot: HotTier, table: TableName) -> tuple[Stream, TableMapping, pa.Table]:
    """A stream of a table, how its columns are mapped, and all of its rows as a task reads them."""
    stream = Stream(name=table.table, source=table, target=table, timestamp_column="ts")
    mapping = map_table(hot.source.describe(table).columns, timestamp_column="ts")
    rows, _ = hot.read(unit_query(stream, mapping, Unit(index=0, window=EVER, rows=0)), mapping)
    return stream, mapping, rows


@pytest.fixture(scope="module")
def written(stack: EmbeddedStack) -> Iterator[Written]:
    with hot_tier(stack, f"t_{uuid.uuid4().hex[:12]}") as hot:
        table = TableName(database=hot.database, table="source")
        hot.run(f"CREATE TABLE {table} (ts DateTime, n UInt64, note String) ENGINE = MergeTree ORDER BY ts")
        hot.run(f"INSERT INTO {table} SELECT number, number, toString(number) FROM numbers(100)")
        stream, mapping, rows = read_all(hot, table)
        fingerprint = hot.source.fingerprint(stream, mapping, EVER)
        yield Written(hot=hot, mapping=mapping, rows=rows, path=hot.write(rows, "whole"), fingerprint=fingerprint)


def fingerprint(written: Written, *paths: str) -> Fingerprint:
    return written.hot.source.fingerprint_files(written.mapping, paths)


def test_no_file_is_the_neutral_element(written: Written) -> None:
    assert fingerprint(written) == EMPTY


def test_a_file_without_rows_counts_nothing(written: Written) -> None:
    assert fingerprint(written, written.hot.write(written.rows.slice(0, 0), "none")) == EMPTY


def test_files_add_up_to_their_rows(written: Written) -> None:
    halves = [
        written.hot.write(written.rows.slice(0, 30), "first half, é %20+&=1"),
        written.hot.write(written.rows.slice(30), "day=2024-01-01 second"),
    ]

    assert fingerprint(written, written.path) == written.fingerprint
    assert fingerprint(written, *halves) == written.fingerprint


def test_more_files_than_one_query_takes_are_all_counted(written: Written) -> None:
    piece = written.hot.write(written.rows.slice(0, 1), "piece")

    assert fingerprint(written, *[piece] * 150) == sum([fingerprint(written, piece)] * 150, EMPTY)


def test_a_lost_row_and_a_changed_value_are_noticed(written: Written) -> None:
    changed = written.rows.set_column(2, written.rows.schema.field("note"), pa.array(["x"] * 100))

    assert fingerprint(written, written.hot.write(written.rows.slice(1), "short")) != written.fingerprint
    assert fingerprint(written, written.hot.write(changed, "changed")) != written.fingerprint


def test_columns_are_found_by_name_whatever_their_order(written: Written) -> None:
    turned = written.rows.select(["note", "n", "ts"])

    assert fingerprint(written, written.hot.write(turned, "turned")) == written.fingerprint


def test_a_file_without_a_column_is_no_file_with_defaults(written: Written) -> None:
    path = written.hot.write(written.rows.drop_columns(["note"]), "columnless")

    with pytest.raises(CheckFailedError, match="note"):
        fingerprint(written, path)


def test_a_null_in_a_required_column_is_no_default(written: Written) -> None:
    nulls = written.rows.set_column(2, "note", pa.array([None] * 100, pa.string()))

    with pytest.raises(CheckFailedError, match="note"):
        fingerprint(written, written.hot.write(nulls, "nulls"))


def test_a_column_that_hides_the_path_of_a_file_hides_no_files_rows(written: Written) -> None:
    hot, table = written.hot, TableName(database=written.hot.database, table="requests")
    hot.run(f"CREATE TABLE {table} (ts DateTime, _path String) ENGINE = MergeTree ORDER BY ts")
    hot.run(f"INSERT INTO {table} SELECT 86400 + number, '/index.html' FROM numbers(30)")
    stream, mapping, rows = read_all(hot, table)
    paths = [hot.write(rows.slice(0, 10), "ten"), hot.write(rows.slice(10), "twenty")]

    found = hot.source.count_files(stream, mapping, [], paths)

    assert {part.path: part.fingerprint.rows for part in found} == dict(zip(paths, (10, 20), strict=True))


@pytest.mark.parametrize("content", [b"", b"PAR1 and no footer"])
def test_a_damaged_file_is_named(written: Written, content: bytes) -> None:
    path = f"{written.hot.store.bucket}/tests/{written.hot.database}/damaged.parquet"
    with written.hot.files.open_output_stream(path) as stream:
        stream.write(content)

    with pytest.raises(CheckFailedError, match=r"damaged\.parquet"):
        fingerprint(written, f"s3://{path}")


def test_a_missing_file_is_named_not_passed_over(written: Written) -> None:
    with pytest.raises(CheckFailedError, match="nowhere/to-be-found"):
        fingerprint(written, written.path, f"s3://{written.hot.store.bucket}/nowhere/to-be-found.parquet")


@pytest.mark.parametrize("path", ["/local/file.parquet", "s3://bucket-only", "hdfs://bucket/key", "s3:///key"])
def test_a_path_elsewhere_is_refused(written: Written, path: str) -> None:
    with pytest.raises(ConfigurationError, match=path):
        fingerprint(written, path)


def refusal(stack: EmbeddedStack, written: Written, store: StoreSettings, endpoint: str | None = None) -> IcehaulError:
    settings = clickhouse_settings(stack).model_copy(update={"store_endpoint": endpoint})
    source = ClickHouseSource(settings, store)
    try:
        with pytest.raises(IcehaulError) as raised:
            source.fingerprint_files(written.mapping, [written.path])
    finally:
        source.close()
    return raised.value


def test_a_wrong_key_is_access_denied_and_stays_secret(stack: EmbeddedStack, written: Written) -> None:
    secret = "sesame-open-sesame-open"
    store = written.hot.store.model_copy(update={"secret_key": SecretStr(secret)})

    error = refusal(stack, written, store)

    assert type(error) is AccessDeniedError
    assert secret not in str(error)
    assert error.__suppress_context__


def test_a_query_that_the_server_can_not_parse_does_not_show_the_secret(
    stack: EmbeddedStack, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = written.hot.store.secret_key
    assert secret is not None
    monkeypatch.setattr(counting, "COMPARISON_SETTINGS", {**COMPARISON_SETTINGS, "max_query_size": 275})
    source = ClickHouseSource(clickhouse_settings(stack), written.hot.store)

    with pytest.raises(IcehaulError) as raised:
        source.fingerprint_files(written.mapping, [written.path])
    source.close()

    # The text is cut where the secret stands, which is then what the server shows.
    assert "('[HIDDEN]')" in str(raised.value)
    assert secret.get_secret_value() not in str(raised.value)


def test_an_unreachable_store_is_a_passing_error(stack: EmbeddedStack, written: Written) -> None:
    error = refusal(stack, written, written.hot.store, endpoint="http://127.0.0.1:1")

    assert type(error) is StoreUnavailableError
    assert "clickhouse.store_endpoint" in error.remedy


def test_the_servers_own_address_of_the_store_is_used(stack: EmbeddedStack, written: Written) -> None:
    elsewhere = written.hot.store.model_copy(update={"endpoint": "http://127.0.0.1:1"})
    settings = clickhouse_settings(stack).model_copy(update={"store_endpoint": written.hot.store.endpoint})
    source = ClickHouseSource(settings, elsewhere)

    assert source.fingerprint_files(written.mapping, [written.path]) == written.fingerprint
    source.close()


def test_keys_of_a_named_collection_read_files_without_standing_in_any_query(
    stack: EmbeddedStack, written: Written
) -> None:
    store, name = written.hot.store, f"{written.hot.database}_store"
    assert store.secret_key is not None
    keys = {"access_key_id": store.access_key or "", "secret_access_key": store.secret_key.get_secret_value()}
    given = ", ".join(f"{key} = {quote_text(value)}" for key, value in keys.items())
    settings = clickhouse_settings(stack).model_copy(update={"store_collection": name})
    keyless = store.model_copy(update={"access_key": None, "secret_key": None})
    source = ClickHouseSource(settings, keyless)
    try:
        with pytest.raises(ConfigurationError, match=name) as refused:
            source.fingerprint_files(written.mapping, [written.path])
        assert "CREATE NAMED COLLECTION" in refused.value.remedy
        written.hot.run(f"CREATE NAMED COLLECTION {name} AS {given}")
        assert source.fingerprint_files(written.mapping, [written.path]) == written.fingerprint
    finally:
        source.close()
        written.hot.run(f"DROP NAMED COLLECTION IF EXISTS {name}")


def test_the_server_shows_no_key_in_its_list_of_queries(stack: EmbeddedStack, written: Written) -> None:
    secret = written.hot.store.secret_key
    assert secret is not None
    file = FileReader(clickhouse_settings(stack), written.hot.store).source(written.path, "`n` UInt64")
    assert secret.get_secret_value() in file
    shown = written.hot.client.query(f"SELECT query FROM system.processes WHERE 1 OR 1 IN (SELECT n FROM {file})")
    text = "\n".join(row[0] for row in shown.result_rows)
    assert "[HIDDEN]" in text
    assert secret.get_secret_value() not in text
