"""Queries through the official client and bare HTTP."""

from __future__ import annotations

from decimal import Decimal

import pytest
from clickhouse_connect.driver.client import Client

from tests.integration.embedded_clickhouse.support import (
    Server,
)


def test_client_reads_typed_rows(client: Client) -> None:
    result = client.query("SELECT 1::UInt8 AS a, 'x' AS b, toDecimal64(1.5, 2) AS c, [1, 2] AS d, NULL AS e")
    assert result.column_names == ("a", "b", "c", "d", "e")
    assert result.result_rows == [(1, "x", Decimal("1.50"), [1, 2], None)]


def test_server_side_parameters_are_typed_and_never_spliced(client: Client) -> None:
    tricky = "it's a\ttab, a \\ and {b:String}"
    result = client.query(
        "SELECT {a:String}, {n:UInt64} + 1, {l:Array(String)}, {z:Nullable(String)}",
        parameters={"a": tricky, "n": 41, "l": ["x", "y'z"], "z": None},
    )
    assert result.first_row == (tricky, 42, ["x", "y'z"], None)


def test_identifier_parameters_name_tables(client: Client, table: str) -> None:
    client.insert(table, [[7, "seven", 0]], column_names=["id", "name", "at"])
    assert client.query("SELECT id FROM {t:Identifier}", parameters={"t": table}).result_rows == [(7,)]


def test_dataframes_and_arrow_tables(client: Client) -> None:
    frame = client.query_df("SELECT number AS n, toString(number) AS s FROM numbers(1000)")
    assert list(frame["n"]) == list(range(1000))
    arrow = client.query_arrow("SELECT number AS n FROM numbers(100000)")
    assert arrow.num_rows == 100_000
    assert arrow.column("n").to_pylist()[-1] == 99_999


def test_arrow_stream_is_one_valid_stream_of_many_batches(client: Client) -> None:
    with client.query_arrow_stream("SELECT number AS n, toString(number) AS s FROM numbers(3000000)") as stream:
        batches = list(stream)
    assert len(batches) > 1
    assert sum(batch.num_rows for batch in batches) == 3_000_000


def test_an_empty_arrow_stream_still_has_its_schema(client: Client) -> None:
    arrow = client.query_arrow("SELECT number AS n FROM numbers(10) WHERE n > 100")
    assert arrow.num_rows == 0
    assert arrow.schema.names == ["n"]


def test_native_row_streams_are_complete(client: Client) -> None:
    with client.query_row_block_stream("SELECT number FROM numbers(500000)") as stream:
        assert sum(len(block) for block in stream) == 500_000


def test_limit_zero_tells_the_columns(client: Client) -> None:
    assert client.query("SELECT 1 AS a, 'x' AS b LIMIT 0").column_names == ("a", "b")


def test_commands_return_their_single_value(client: Client) -> None:
    assert client.command("SELECT count() FROM numbers(5)") == 5
    assert str(client.server_version).count(".") == 3


@pytest.mark.parametrize("text_format", ["TabSeparated", "CSV", "JSONEachRow", "RowBinary", "Parquet", "ArrowStream"])
@pytest.mark.parametrize("wait", ["0", "1"])
def test_formats_by_clause_setting_and_header_agree(server: Server, text_format: str, wait: str) -> None:
    query = "SELECT number AS n FROM numbers(3)"
    by_clause = server.ask(f"{query} FORMAT {text_format}", wait_end_of_query=wait)
    by_field = server.ask(query, default_format=text_format, wait_end_of_query=wait)
    by_header = server.ask(query, headers={"X-ClickHouse-Format": text_format}, wait_end_of_query=wait)
    assert by_clause.status == 200
    assert by_clause.body == by_field.body == by_header.body
    assert by_clause.headers["x-clickhouse-format"] == text_format
    assert by_clause.body


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS format FORMAT TSV",
        "SELECT 1 FORMAT TSV SETTINGS max_threads = 1",
        "SELECT 1 SETTINGS max_threads = 1 FORMAT TSV",
        "SELECT 1 FORMAT TSV;",
        "SELECT 1 FORMAT TSV -- FORMAT JSON",
        "(SELECT 1) UNION ALL (SELECT 1 WHERE 0) FORMAT TSV",
        "WITH 1 AS x SELECT x FORMAT TSV",
        "/* FORMAT JSON */ SELECT 1 FORMAT TSV /* ; */ ;\n",
        "SELECT 1 FROM (SELECT ' FORMAT JSON ; ' AS s) FORMAT TSV",
    ],
)
def test_the_format_clause_is_found_where_the_grammar_has_it(server: Server, query: str) -> None:
    answer = server.ask(query)
    assert (answer.status, answer.body) == (200, b"1\n")


def test_get_with_the_query_in_the_url_and_in_both_places(server: Server) -> None:
    assert server.ask(method="GET", query="SELECT 6 * 7").body == b"42\n"
    assert server.ask("6 * 7", query="SELECT").body == b"42\n"


def test_short_answers(server: Server, client: Client, table: str) -> None:
    assert table.encode() in server.ask("SHOW TABLES").body
    assert server.ask(f"EXISTS TABLE {table}").body == b"1\n"
    assert b"UInt64" in server.ask(f"DESCRIBE TABLE {table}", default_format="JSONEachRow").body
    assert b"ReadFromSystemOne" in server.ask("EXPLAIN SELECT 1").body
    assert b"SelectWithUnionQuery" in server.ask("EXPLAIN AST SELECT 1").body
