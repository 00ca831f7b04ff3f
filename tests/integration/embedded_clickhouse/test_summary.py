"""What X-ClickHouse-Summary says, compared with what arrived."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clickhouse_connect.driver.client import Client

from tests.integration.embedded_clickhouse.support import (
    Server,
)


def count_arrow(body: bytes) -> int:
    return int(pa.ipc.open_stream(body).read_all().num_rows)


def count_parquet(body: bytes) -> int:
    return int(pq.read_table(io.BytesIO(body)).num_rows)


def count_native_uint64(body: bytes) -> int:
    """Rows of a Native stream of one UInt64 column named n."""
    rows, at = 0, 0
    while at < len(body):
        assert body[at] == 1
        count, shift = 0, 0
        while True:
            at += 1
            count |= (body[at] & 0x7F) << shift
            shift += 7
            if not body[at] & 0x80:
                break
        at += 1 + len(b"\x01n\x06UInt64") + 8 * count
        rows += count
    return rows


COUNTERS: dict[str, Callable[[bytes], int]] = {
    "ArrowStream": count_arrow,
    "Native": count_native_uint64,
    "JSON": lambda body: len(json.loads(body)["data"]),
    "JSONEachRow": lambda body: body.count(b"\n"),
    "TabSeparated": lambda body: body.count(b"\n"),
    "RowBinary": lambda body: len(body) // 8,
    "Parquet": count_parquet,
}


@pytest.mark.parametrize("output_format", COUNTERS)
@pytest.mark.parametrize("rows", [0, 1, 65_409, 65_410, 777_777])
def test_result_rows_are_exactly_the_rows_received(server: Server, output_format: str, rows: int) -> None:
    query = f"SELECT number AS n FROM numbers({2 * rows}) WHERE n % 2 = 0 FORMAT {output_format}"
    answer = server.ask(query, wait_end_of_query="1")
    assert COUNTERS[output_format](answer.body) == rows
    assert answer.summary["result_rows"] == str(rows)
    assert answer.summary["read_rows"] == str(2 * rows)


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("SELECT number % 7 AS k, count() FROM numbers(100) GROUP BY k ORDER BY k LIMIT 3", 3),
        ("SELECT number FROM numbers(1000000) ORDER BY number DESC LIMIT 100001 OFFSET 5", 100_001),
        ("SELECT DISTINCT number % 5 FROM numbers(100000)", 5),
        ("SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3", 3),
        ("SELECT count() FROM numbers(10)", 1),
        ("SELECT a.number FROM numbers(10) AS a JOIN numbers(5) AS b ON a.number = b.number", 5),
        ("SELECT arrayJoin(range(4)) FROM numbers(10)", 40),
    ],
)
def test_result_rows_count_what_comes_out_not_what_was_read(server: Server, query: str, rows: int) -> None:
    answer = server.ask(f"{query} FORMAT JSONCompact", wait_end_of_query="1")
    assert len(json.loads(answer.body)["data"]) == rows
    assert answer.summary["result_rows"] == str(rows)


def test_a_result_within_the_buffer_has_an_exact_summary_without_waiting(server: Server) -> None:
    answer = server.ask("SELECT number FROM numbers(1000) FORMAT ArrowStream")
    assert answer.summary["result_rows"] == str(count_arrow(answer.body)) == "1000"
    assert "content-length" in answer.headers


def test_a_result_that_is_still_growing_claims_no_row_count(server: Server) -> None:
    answer = server.ask("SELECT number AS n FROM numbers(5000000) FORMAT Native")
    assert answer.headers["transfer-encoding"] == "chunked"
    assert "result_rows" not in answer.summary
    assert count_native_uint64(answer.body) == 5_000_000


def test_inserts_report_the_rows_written(server: Server, client: Client, table: str) -> None:
    answer = server.ask(f"INSERT INTO {table} (id) SELECT number FROM numbers(123)")
    assert answer.summary["written_rows"] == answer.summary["result_rows"] == "123"
    assert answer.body == b""
    summary = client.insert(table, [[1, "a", 0], [2, "b", 0]], column_names=["id", "name", "at"])
    assert summary.written_rows == 2
