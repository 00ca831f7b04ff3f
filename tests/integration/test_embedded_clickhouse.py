"""The embedded ClickHouse server, seen by the official client and by bare HTTP."""

from __future__ import annotations

import base64
import gzip
import http.client
import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import clickhouse_connect
import lz4.frame
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError, ProgrammingError, StreamFailureError
from clickhouse_connect.driver.external import ExternalData
from urllib3.exceptions import HTTPError

from consumer.embedded.clickhouse.framing import compress, decompress

USER, PASSWORD = "icehaul", "not'so\"simple"
START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 30.0


def wait_until(holds: Callable[[], bool], *, deadline_s: float, what: str) -> None:
    end_s = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < end_s, f"not within {deadline_s} s: {what}"
        threading.Event().wait(0.02)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def summary(self) -> dict[str, str]:
        parsed: dict[str, str] = json.loads(self.headers["x-clickhouse-summary"])
        return parsed


class Server:
    """One server process."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        (home / "password").write_text(PASSWORD + "\n")
        self.ready_file = home / "ready"
        command = [
            sys.executable, "-m", "consumer.embedded.clickhouse", "--data-dir", str(home / "data"), "--user", USER,
            "--password-file", str(home / "password"), "--ready-file", str(self.ready_file),
            "--log-file", str(home / "log"), *arguments,
        ]  # fmt: skip
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=Path(__file__).parents[2])
        try:
            wait_until(self._ready, deadline_s=START_DEADLINE_S, what="the server is ready")
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self.port = int(self.ready_file.read_text())

    def _ready(self) -> bool:
        assert self.process.poll() is None, f"the server ended early; see {self.home / 'log'}"
        return self.ready_file.exists()

    def client(self, **options: Any) -> Client:
        return clickhouse_connect.get_client(
            host="127.0.0.1", port=self.port, username=USER, password=PASSWORD, **options
        )

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(
        self,
        body: bytes | str | Iterator[bytes] | None = None,
        *,
        method: str = "POST",
        headers: dict[str, str] | None = None,
        path: str = "/",
        auth: bool = True,
        **fields: str,
    ) -> Answer:
        login = {"X-ClickHouse-User": USER, "X-ClickHouse-Key": PASSWORD} if auth else {}
        connection = self.connection()
        try:
            url = f"{path}?{urllib.parse.urlencode(fields)}" if fields else path
            sent = body.encode() if isinstance(body, str) else body
            connection.request(
                method, url, sent, {**login, **(headers or {})}, encode_chunked=isinstance(sent, Iterator)
            )
            response = connection.getresponse()
            data = response.read()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, data)
        finally:
            connection.close()

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_DEADLINE_S)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("clickhouse"))
    yield running
    running.stop()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with server.client() as connected:
        yield connected


@pytest.fixture
def table(client: Client, request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"t_{abs(hash(request.node.nodeid))}"
    client.command(f"CREATE TABLE {name} (id UInt64, name String, at DateTime64(3)) ENGINE = MergeTree ORDER BY id")
    yield name
    client.command(f"DROP TABLE {name}")


# --- queries -----------------------------------------------------------------------------------------------------


def test_client_reads_typed_rows(client: Client) -> None:
    result = client.query("SELECT 1::UInt8 AS a, 'x' AS b, toDecimal64(1.5, 2) AS c, [1, 2] AS d, NULL AS e")
    assert result.column_names == ("a", "b", "c", "d", "e")
    assert result.result_rows == [(1, "x", pytest.approx(1.5), [1, 2], None)] or str(result.first_row[2]) == "1.50"


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
    assert client.server_version.count(".") == 3


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


# --- the summary -------------------------------------------------------------------------------------------------


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


# --- inserts -----------------------------------------------------------------------------------------------------


def test_inserts_of_the_client(client: Client, table: str) -> None:
    client.insert(table, [[n, f"name {n}", n] for n in range(1000)], column_names=["id", "name", "at"])
    assert client.command(f"SELECT count(), sum(id), any(toTypeName(at)) FROM {table}") == [
        "1000", "499500", "DateTime64(3)",
    ]  # fmt: skip


def test_arrow_inserts(client: Client, table: str) -> None:
    rows = pa.table({"id": pa.array(range(50_000), pa.uint64()), "name": pa.array(["é\n\t\\'"] * 50_000)})
    client.insert_arrow(table, rows)
    assert client.command(f"SELECT count(), sum(id), uniq(name), any(name) = 'é\\n\\t\\\\\\'' FROM {table}") == [
        "50000", "1249975000", "1", "1",
    ]  # fmt: skip


@pytest.mark.parametrize("compress_with", [False, "lz4", "zstd", "gzip"])
def test_client_compression_both_ways(server: Server, table: str, compress_with: bool | str) -> None:
    with server.client(compress=compress_with) as client:
        client.insert(table, [[n, "x" * 100, 0] for n in range(20_000)], column_names=["id", "name", "at"])
        assert client.query(f"SELECT count(), sum(length(name)) FROM {table}").first_row == (20_000, 2_000_000)
        assert client.query_arrow(f"SELECT * FROM {table}").num_rows == 20_000
        assert len(client.query(f"SELECT * FROM {table}").result_rows) == 20_000


@pytest.mark.parametrize(
    "insert_and_data",
    [
        ("FORMAT CSV", b'1,"a, b"\n2,c\n'),
        ("FORMAT TabSeparated", b"1\ta, b\n2\tc\n"),
        ("FORMAT JSONEachRow", b'{"id": 1, "name": "a, b"}\n{"id": 2, "name": "c"}\n'),
        ("FORMAT RowBinary", struct.pack("<Q", 1) + b"\x04a, b" + struct.pack("<Q", 2) + b"\x01c"),
        ("VALUES", b"(1, 'a, b'), (1 + 1, concat('c', ''));"),
        ("SETTINGS max_insert_threads = 1 FORMAT Values", b"(1, 'a, b'), (2, 'c')"),
        ("SETTINGS async_insert = 0 VALUES", b"(1, 'a, b'), (2, 'c')"),
    ],
)
@pytest.mark.parametrize("split", [True, False])
def test_insert_data_of_any_format_in_the_body(
    server: Server, client: Client, table: str, insert_and_data: tuple[str, bytes], split: bool
) -> None:
    insert, data = insert_and_data
    head = f"INSERT INTO {table} (id, name) {insert}"
    answer = server.ask(data, query=head) if split else server.ask(head.encode() + b"\n" + data)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.summary["written_rows"] == "2"
    assert client.query(f"SELECT id, name FROM {table} ORDER BY id").result_rows == [(1, "a, b"), (2, "c")]


def test_parquet_and_arrow_files_as_insert_bodies(server: Server, client: Client, table: str) -> None:
    rows = pa.table({"id": pa.array([1, 2], pa.uint64()), "name": ["a", "b"]})
    parquet = io.BytesIO()
    pq.write_table(rows, parquet)
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, rows.schema) as writer:
        writer.write_table(rows)
    assert server.ask(parquet.getvalue(), query=f"INSERT INTO {table} (id, name) FORMAT Parquet").status == 200
    assert server.ask(stream.getvalue(), query=f"INSERT INTO {table} (id, name) FORMAT ArrowStream").status == 200
    assert client.command(f"SELECT count() FROM {table}") == 4


def test_insert_select_from_input(server: Server, client: Client, table: str) -> None:
    query = (
        f"INSERT INTO {table} (id, name) SELECT a * 2, upper(b) FROM input('a UInt64, b String') WHERE a > 1 FORMAT CSV"
    )
    assert server.ask(b"1,x\n2,y\n3,z\n", query=query).status == 200
    assert client.query(f"SELECT id, name FROM {table} ORDER BY id").result_rows == [(4, "Y"), (6, "Z")]


def test_parameters_within_insert_values(server: Server, client: Client, table: str) -> None:
    answer = server.ask(
        f"INSERT INTO {table} (id, name) VALUES ({{i:UInt64}}, {{n:String}})", param_i="5", param_n="five"
    )
    assert answer.status == 200
    assert client.query(f"SELECT id, name FROM {table}").result_rows == [(5, "five")]


def test_a_large_insert_with_values_in_one_body(server: Server, client: Client, table: str) -> None:
    values = ",".join(f"({n}, 'name ; FORMAT {n}')" for n in range(50_000))
    assert server.ask(f"INSERT INTO {table} (id, name) VALUES {values}").status == 200
    assert client.command(f"SELECT count() FROM {table}") == 50_000


@pytest.mark.parametrize(
    ("coding", "encode"),
    [
        ("gzip", gzip.compress),
        ("zstd", zstandard.ZstdCompressor().compress),
        ("lz4", lz4.frame.compress),
        ("gzip", lambda data: gzip.compress(data[:5]) + gzip.compress(data[5:])),
    ],
)
def test_encoded_request_bodies(
    server: Server, client: Client, table: str, coding: str, encode: Callable[[bytes], bytes]
) -> None:
    whole = encode(f"INSERT INTO {table} (id) FORMAT CSV\n1\n2\n".encode())
    assert server.ask(whole, headers={"Content-Encoding": coding}).status == 200
    data = encode(b"3\n4\n5\n")
    assert (
        server.ask(data, headers={"Content-Encoding": coding}, query=f"INSERT INTO {table} (id) FORMAT CSV").status
        == 200
    )
    assert client.command(f"SELECT count() FROM {table}") == 5


def test_chunked_bodies(server: Server, client: Client, table: str) -> None:
    pieces = iter([b"1\n", b"2", b"\n3\n"])
    assert server.ask(pieces, query=f"INSERT INTO {table} (id) FORMAT CSV").status == 200
    assert client.query(f"SELECT id FROM {table} ORDER BY id").result_rows == [(1,), (2,), (3,)]


def test_a_body_that_ends_early_inserts_nothing(server: Server, client: Client, table: str) -> None:
    head = urllib.parse.urlencode({"query": f"INSERT INTO {table} (id) FORMAT CSV", "user": USER, "password": PASSWORD})
    with socket.create_connection(("127.0.0.1", server.port)) as peer:
        peer.sendall(f"POST /?{head} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n1\n2\n".encode())
        peer.shutdown(socket.SHUT_WR)
        assert b"CANNOT_READ_ALL_DATA" in peer.makefile("rb").read()
    assert client.command(f"SELECT count() FROM {table}") == 0


def test_bad_rows_are_refused_without_naming_the_servers_files(server: Server, client: Client, table: str) -> None:
    answer = server.ask(b"1\nnot\n", query=f"INSERT INTO {table} (id) FORMAT CSV")
    assert answer.status == 400
    assert answer.headers["x-clickhouse-exception-code"] == "117"
    assert b"http_spool" not in answer.body
    assert b"in file/uri" not in answer.body
    assert client.command(f"SELECT count() FROM {table}") == 0


def test_external_data_joins_like_a_table(client: Client) -> None:
    extra = ExternalData(
        file_name="extra.csv", data=b"1,one\n2,two\n", fmt="CSV", structure=["n UInt64", "word String"]
    )
    query = "SELECT word FROM numbers(5) AS a JOIN extra AS e ON a.number = e.n ORDER BY n"
    assert client.query(query, external_data=extra).result_rows == [("one",), ("two",)]


# --- settings, databases and sessions ----------------------------------------------------------------------------


def test_settings_hold_for_their_query_only(server: Server, client: Client) -> None:
    query = "SELECT value, changed FROM system.settings WHERE name = 'max_block_size'"
    assert client.query(query, settings={"max_block_size": 777}).first_row == ("777", 1)
    assert client.query(query).first_row[1] == 0
    assert server.ask(query, max_block_size="778").body == b"778\t1\n"


def test_settings_of_a_client_hold_for_all_its_queries(server: Server) -> None:
    with server.client(settings={"max_block_size": 999}) as client:
        assert client.command("SELECT getSetting('max_block_size')") == 999


def test_databases_of_a_client_and_of_a_query(server: Server, client: Client) -> None:
    client.command("CREATE DATABASE IF NOT EXISTS other")
    with server.client(database="other") as second:
        assert second.command("SELECT currentDatabase()") == "other"
        second.command("CREATE TABLE here (a Int8) ENGINE = Memory")
    assert client.command("EXISTS TABLE other.here") == 1
    assert server.ask("SELECT currentDatabase()", database="other").body == b"other\n"
    assert server.ask("SELECT currentDatabase()").body == b"default\n"
    assert server.ask("SELECT 1", database="missing").headers["x-clickhouse-exception-code"] == "81"
    client.command("DROP DATABASE other SYNC")


def test_sessions_keep_temporary_tables_and_settings(server: Server) -> None:
    session = {"session_id": "keeps", "session_timeout": "60"}
    assert server.ask("CREATE TEMPORARY TABLE mine (a Int8)", **session).status == 200
    assert server.ask("INSERT INTO mine VALUES (5)", **session).status == 200
    assert server.ask("SET max_block_size = 555", **session).status == 200
    assert server.ask("SELECT a FROM mine", **session).body == b"5\n"
    once = server.ask("SELECT getSetting('max_block_size')", **session, max_block_size="4444", database="system")
    assert once.body == b"4444\n"
    again = server.ask("SELECT getSetting('max_block_size'), currentDatabase()", **session)
    assert again.body == b"555\tdefault\n"
    assert server.ask("SELECT a FROM mine").headers["x-clickhouse-exception-code"] == "60"


def test_a_failed_query_leaves_nothing_in_its_session(server: Server) -> None:
    session = {"session_id": "fails"}
    failing = "SELECT throwIf(number = 500000) FROM numbers(1000000)"
    assert server.ask(failing, **session, wait_end_of_query="1").headers["x-clickhouse-exception-code"] == "395"
    assert server.ask("SHOW DATABASES LIKE 'default'", **session).body == b"default\n"
    assert server.ask("EXISTS TABLE system.one", **session).body == b"1\n"


def test_read_only_requests_leave_their_session_writable(server: Server) -> None:
    session = {"session_id": "reads"}
    assert server.ask(method="GET", query="SELECT 1", **session).body == b"1\n"
    assert server.ask(method="GET", query="CREATE TEMPORARY TABLE x (a Int8)", **session).status == 500
    assert server.ask("CREATE TEMPORARY TABLE x (a Int8)", **session).status == 200


def test_a_missing_session_is_an_error_only_if_it_must_exist(server: Server) -> None:
    answer = server.ask("SELECT 1", session_id="never seen", session_check="1")
    assert answer.headers["x-clickhouse-exception-code"] == "372"
    assert server.ask("SELECT 1", session_id="never seen before").body == b"1\n"


def test_a_session_ends_after_its_timeout_or_on_request(server: Server) -> None:
    assert server.ask("SELECT 1", session_id="short", session_timeout="0").status == 200
    assert server.ask("SELECT 1", session_id="short", session_check="1").status == 500
    assert server.ask("SELECT 1", session_id="closed", close_session="1").status == 200
    assert server.ask("SELECT 1", session_id="closed", session_check="1").status == 500
    assert (
        server.ask("SELECT 1", session_id="x", session_timeout="99999").headers["x-clickhouse-exception-code"] == "374"
    )


def test_a_busy_session_is_locked(server: Server) -> None:
    def long_query() -> Answer:
        return server.ask("SELECT sleep(2)", session_id="busy", query_id="holds-the-session")

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(long_query)
        wait_until(lambda: is_running(server, "SELECT sleep(2)"), deadline_s=10, what="the query runs")
        second = server.ask("SELECT 1", session_id="busy")
        assert second.headers["x-clickhouse-exception-code"] == "373"
        assert b"SESSION_IS_LOCKED" in second.body
        assert first.result().status == 200


def is_running(server: Server, query: str) -> bool:
    where = f"query LIKE '{query}%'"
    return server.ask(f"SELECT count() > 0 FROM system.processes WHERE {where}").body == b"1\n"


# --- errors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "status", "code_and_name"),
    [
        ("SELECT * FROM missing", 404, (60, "UNKNOWN_TABLE")),
        ("SELECT missing", 404, (47, "UNKNOWN_IDENTIFIER")),
        ("SELECT missing()", 404, (46, "UNKNOWN_FUNCTION")),
        ("SELECT FROM WHERE", 400, (62, "SYNTAX_ERROR")),
        ("SELECT 1; SELECT 2", 400, (62, "SYNTAX_ERROR")),
        ("", 400, (62, "SYNTAX_ERROR")),
        ("SELECT 1 FORMAT Missing", 404, (73, "UNKNOWN_FORMAT")),
        ("SELECT 1 SETTINGS missing = 1", 404, (115, "UNKNOWN_SETTING")),
        ("SELECT toUInt8('x')", 400, (6, "CANNOT_PARSE_TEXT")),
        ("SELECT throwIf(1)", 500, (395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO")),
        ("SELECT sleepEachRow(0.05) FROM numbers(200) SETTINGS max_execution_time = 1, max_block_size = 1", 408, (159, "TIMEOUT_EXCEEDED")),
        ("SELECT 1 INTO OUTFILE '/tmp/x'", 500, (358, "INTO_OUTFILE_NOT_ALLOWED")),
        ("INSERT INTO t FROM INFILE '/tmp/x' FORMAT CSV", 404, (78, "UNKNOWN_TYPE_OF_QUERY")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("wait", ["0", "1"])
def test_errors_have_clickhouses_code_status_and_text(
    server: Server, query: str, status: int, code_and_name: tuple[int, str], wait: str
) -> None:
    code, name = code_and_name
    answer = server.ask(query.encode(), wait_end_of_query=wait)
    assert (answer.status, answer.headers["x-clickhouse-exception-code"]) == (status, str(code))
    text = answer.body.decode()
    assert text.startswith(f"Code: {code}. DB::Exception: ")
    assert text.count("DB::Exception") == 1
    assert f"({name}) (version " in text


def test_the_clients_errors_carry_the_code(client: Client) -> None:
    with pytest.raises(DatabaseError, match="UNKNOWN_TABLE") as caught:
        client.query("SELECT * FROM missing")
    assert caught.value.code == 60


def test_an_error_after_the_first_rows_breaks_the_transfer(server: Server, client: Client) -> None:
    query = "SELECT throwIf(number = 3000000) AS x FROM numbers(4000000) FORMAT RowBinary"
    with pytest.raises(http.client.IncompleteRead) as caught:
        server.ask(query)
    assert b"__exception__" in caught.value.partial
    assert b"Code: 395" in caught.value.partial
    stream_query = "SELECT number, throwIf(number = 3000000) AS x FROM numbers(4000000)"
    with (
        pytest.raises((StreamFailureError, OperationalError)),
        client.query_row_block_stream(stream_query) as stream,
    ):
        list(stream)
    with pytest.raises((pa.ArrowException, OSError, HTTPError)), client.query_arrow_stream(stream_query) as arrow:
        list(arrow)
    assert client.command("SELECT 1") == 1


def test_get_is_read_only(server: Server, table: str) -> None:
    answer = server.ask(method="GET", query=f"INSERT INTO {table} (id) SELECT 1")
    assert answer.headers["x-clickhouse-exception-code"] == "164"
    assert server.ask(method="GET", query=f"SELECT count() FROM {table}", max_threads="1").body == b"0\n"
    assert server.ask(f"DROP TABLE {table}", readonly="1").headers["x-clickhouse-exception-code"] == "164"


def test_unknown_codings_are_refused_clearly(server: Server) -> None:
    answer = server.ask(b"SELECT 1", headers={"Content-Encoding": "snappy"})
    assert (answer.status, answer.headers["x-clickhouse-exception-code"]) == (501, "48")
    damaged = server.ask(b"SELECT 1", headers={"Content-Encoding": "gzip"})
    assert damaged.headers["x-clickhouse-exception-code"] == "271"


# --- authentication ----------------------------------------------------------------------------------------------


def test_wrong_or_missing_passwords_are_refused(server: Server) -> None:
    for attempt in (
        server.ask("SELECT 1", auth=False),
        server.ask("SELECT 1", auth=False, user=USER, password="wrong"),
        server.ask("SELECT 1", auth=False, headers={"X-ClickHouse-User": "other", "X-ClickHouse-Key": PASSWORD}),
        server.ask("SELECT 1", auth=False, headers={"Authorization": "Bearer x"}),
        server.ask("SELECT 1", user=USER),
    ):
        assert (attempt.status, attempt.headers["x-clickhouse-exception-code"]) == (403, "516")
        assert PASSWORD.encode() not in attempt.body
    with pytest.raises(DatabaseError, match="AUTHENTICATION_FAILED"):
        clickhouse_connect.get_client(host="127.0.0.1", port=server.port, username=USER, password="wrong")


def test_all_ways_to_log_in(server: Server) -> None:
    basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    assert server.ask("SELECT 1", auth=False, headers={"Authorization": f"Basic {basic}"}).body == b"1\n"
    assert server.ask("SELECT 1", auth=False, user=USER, password=PASSWORD).body == b"1\n"
    assert server.ask("SELECT 1").body == b"1\n"


def test_the_log_holds_no_password_and_no_query(server: Server) -> None:
    server.ask("SELECT 'a secret of the query'", auth=False, user=USER, password=PASSWORD)
    log = (server.home / "log").read_text()
    assert "POST / 200" in log
    assert PASSWORD not in log
    assert "secret" not in log


# --- HTTP --------------------------------------------------------------------------------------------------------


def test_ping_needs_no_login(server: Server) -> None:
    assert server.ask(method="GET", path="/ping", auth=False).body == b"Ok.\n"
    assert server.ask(method="GET", path="/replicas_status", auth=False).body == b"Ok.\n"
    assert server.ask(method="HEAD", path="/ping", auth=False).status == 200
    assert server.ask(method="GET", path="/nothing").status == 404


def test_headers_of_a_reply(server: Server) -> None:
    headers = server.ask("SELECT 1 FORMAT JSON", query_id="my own id").headers
    assert headers["x-clickhouse-query-id"] == "my own id"
    assert headers["x-clickhouse-timezone"] == "UTC"
    assert headers["x-clickhouse-server-display-name"]
    assert headers["content-type"] == "application/json; charset=UTF-8"


@pytest.mark.parametrize("coding", ["gzip", "zstd", "lz4", "br", "deflate"])
@pytest.mark.parametrize("wait", ["0", "1"])
@pytest.mark.parametrize("rows", [10, 400_000])
def test_encoded_responses(server: Server, coding: str, wait: str, rows: int) -> None:
    query = f"SELECT number FROM numbers({rows}) FORMAT TSV"
    answer = server.ask(query, headers={"Accept-Encoding": coding}, wait_end_of_query=wait)
    assert answer.headers["content-encoding"] == coding
    plain = server.ask(query, wait_end_of_query=wait)
    assert "content-encoding" not in plain.headers
    assert len(answer.body) < len(plain.body) or rows == 10
    if coding == "gzip":
        assert gzip.decompress(answer.body) == plain.body
    if coding == "zstd":
        assert zstandard.ZstdDecompressor().decompressobj().decompress(answer.body) == plain.body
    if coding == "lz4":
        assert lz4.frame.decompress(answer.body) == plain.body
    refused = server.ask(query, headers={"Accept-Encoding": coding}, enable_http_compression="0")
    assert "content-encoding" not in refused.headers


@pytest.mark.parametrize("wait", ["0", "1"])
def test_native_block_compression_both_ways(server: Server, client: Client, table: str, wait: str) -> None:
    query = f"INSERT INTO {table} (id) FORMAT CSV"
    data = b"".join(compress([b"".join(b"%d\n" % n for n in range(300_000))]))
    assert server.ask(data, query=query, decompress="1").status == 200
    answer = server.ask(f"SELECT id FROM {table} ORDER BY id", compress="1", wait_end_of_query=wait)
    lines = b"".join(decompress([answer.body])).split()
    assert [int(line) for line in lines] == list(range(300_000))
    damaged = server.ask(data[:50] + b"\x00" + data[51:], query=query, decompress="1")
    assert damaged.headers["x-clickhouse-exception-code"] == "40"


def test_many_requests_on_one_connection(server: Server) -> None:
    connection = server.connection()
    login = {"X-ClickHouse-User": USER, "X-ClickHouse-Key": PASSWORD}
    sockets = set()
    for query, status in [("SELECT 1", 200), ("SELECT missing", 404), ("SELECT 2", 200)] * 3:
        connection.request("POST", "/", query.encode(), login)
        response = connection.getresponse()
        response.read()
        sockets.add(connection.sock)
        assert response.status == status
    assert len(sockets) == 1
    connection.close()


def test_expect_100_continue(server: Server) -> None:
    head = urllib.parse.urlencode({"user": USER, "password": PASSWORD})
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as peer:
        peer.sendall(f"POST /?{head} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 8\r\n\r\n".encode())
        assert peer.recv(1000).startswith(b"HTTP/1.1 100 ")
        peer.sendall(b"SELECT 1")
        assert peer.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_a_post_must_say_how_long_it_is(server: Server) -> None:
    head = urllib.parse.urlencode({"user": USER, "password": PASSWORD})
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as peer:
        peer.sendall(f"POST /?{head} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert b" 411 " in peer.makefile("rb").read().split(b"\r\n", 1)[0]


def test_bodies_beyond_the_bound_are_refused(tmp_path: Path) -> None:
    small = Server(tmp_path, "--max-body-mib", "1")
    try:
        insert = "INSERT INTO FUNCTION null('a String') FORMAT LineAsString"
        chunks = iter([b"x" * 1_000_000, b"x" * 1_000_000])
        bomb = gzip.compress(b"x" * 5_000_000)
        assert small.ask(b"x" * 1000, query=insert).status == 200
        try:
            refusal = small.ask(chunks, query=insert).status
        except ConnectionError:
            # The server answers and closes while the client still sends: which of both it sees first is chance.
            refusal = 413
        assert refusal == 413
        refused = small.ask(bomb, query=insert, headers={"Content-Encoding": "gzip"})
        assert (refused.status, refused.headers["x-clickhouse-exception-code"]) == (413, "229")
        asked = {"Expect": "100-continue", "Content-Length": str(10**9)}
        connection = small.connection()
        connection.putrequest("POST", "/?" + urllib.parse.urlencode({"user": USER, "password": PASSWORD}))
        for name, value in asked.items():
            connection.putheader(name, value)
        connection.endheaders()
        assert connection.getresponse().status == 413
        connection.close()
    finally:
        small.stop()


# --- cancelling --------------------------------------------------------------------------------------------------

ENDLESS = "SELECT sum(cityHash64(number)) FROM numbers(1000000000000)"


def test_kill_query_finds_queries_by_the_clients_id(server: Server) -> None:
    with ThreadPoolExecutor(1) as pool:
        endless = pool.submit(server.ask, ENDLESS, query_id="kill me")
        wait_until(lambda: is_running(server, ENDLESS), deadline_s=10, what="the query runs")
        same = server.ask("SELECT 1", query_id="kill me")
        assert same.headers["x-clickhouse-exception-code"] == "216"
        assert server.ask("KILL QUERY WHERE query_id = 'someone else'").body == b""
        assert b"kill me" not in server.ask("KILL QUERY WHERE query_id = 'kill me' SYNC").body
        assert endless.result().headers["x-clickhouse-exception-code"] == "394"


@pytest.mark.parametrize("wait", ["0", "1"])
def test_a_read_ends_when_its_client_hangs_up(server: Server, wait: str) -> None:
    fields = {
        "query": ENDLESS, "user": USER, "password": PASSWORD, "wait_end_of_query": wait,
        "cancel_http_readonly_queries_on_client_close": "1",
    }  # fmt: skip
    with socket.create_connection(("127.0.0.1", server.port)) as peer:
        peer.sendall(f"GET /?{urllib.parse.urlencode(fields)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        wait_until(lambda: is_running(server, ENDLESS), deadline_s=10, what="the query runs")
    wait_until(lambda: not is_running(server, ENDLESS), deadline_s=10, what="the query is cancelled")


def test_an_unread_stream_holds_no_rows_in_memory_and_ends_with_its_client(server: Server) -> None:
    query = "SELECT number, repeat('x', 100) FROM numbers(1000000000) FORMAT RowBinary"
    fields = {"query": query, "user": USER, "password": PASSWORD}

    def resident_bytes() -> int:
        pages = (Path("/proc") / str(server.process.pid) / "statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    before = resident_bytes()
    with socket.create_connection(("127.0.0.1", server.port)) as peer:
        peer.sendall(f"GET /?{urllib.parse.urlencode(fields)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        received = 0
        while received < 600_000_000:
            received += len(peer.recv(1 << 20))
        assert resident_bytes() - before < 300_000_000
        assert is_running(server, "SELECT number, repeat")
    wait_until(lambda: not is_running(server, "SELECT number, repeat"), deadline_s=10, what="the query has ended")


# --- the engine --------------------------------------------------------------------------------------------------


def test_tables_have_uuids_parts_and_columns(client: Client, table: str) -> None:
    client.insert(table, [[1, "a", 0]], column_names=["id", "name", "at"])
    uuid, engine = client.query(
        "SELECT uuid, engine FROM system.tables WHERE database = 'default' AND name = {t:String}",
        parameters={"t": table},
    ).first_row
    assert uuid.int != 0
    assert engine == "MergeTree"
    parts = "SELECT sum(rows) FROM system.parts WHERE table = {t:String} AND active"
    assert client.query(parts, parameters={"t": table}).first_row == (1,)
    columns = client.query("SELECT name FROM system.columns WHERE table = {t:String}", parameters={"t": table})
    assert columns.result_rows == [("id",), ("name",), ("at",)]


def test_partitions_views_and_merges(client: Client) -> None:
    client.command("CREATE TABLE p (d Date, v UInt64) ENGINE = MergeTree PARTITION BY toYYYYMM(d) ORDER BY v")
    client.command("CREATE MATERIALIZED VIEW p_sum ENGINE = SummingMergeTree ORDER BY d AS SELECT d, v FROM p")
    for month in (1, 2):
        for value in range(3):
            client.command(f"INSERT INTO p VALUES ('2026-0{month}-01', {value})")
    client.command("OPTIMIZE TABLE p FINAL")
    active = "SELECT partition, count(), sum(rows) FROM system.parts WHERE table = 'p' AND active GROUP BY 1 ORDER BY 1"
    assert client.query(active).result_rows == [("202601", 1, 3), ("202602", 1, 3)]
    client.command("ALTER TABLE p DROP PARTITION 202601")
    assert client.command("SELECT count() FROM p") == 3
    assert client.command("SELECT sum(v) FROM p_sum") == 6
    client.command("DROP TABLE p_sum SYNC")
    client.command("DROP TABLE p SYNC")


def test_ttl_deletes_rows(client: Client) -> None:
    client.command(
        "CREATE TABLE aging (at DateTime, v UInt8) ENGINE = MergeTree ORDER BY v TTL at + INTERVAL 1 DAY DELETE "
        "SETTINGS merge_with_ttl_timeout = 0"
    )
    client.command("INSERT INTO aging VALUES (now() - INTERVAL 2 DAY, 1), (now(), 2)")
    client.command("OPTIMIZE TABLE aging FINAL")
    wait_until(lambda: client.command("SELECT count() FROM aging") == 1, deadline_s=30, what="the TTL was applied")
    client.command("DROP TABLE aging SYNC")


def test_eight_threads_insert_read_and_digest_without_losing_a_row(server: Server, client: Client) -> None:
    client.command("CREATE TABLE busy (thread UInt8, n UInt64, s String) ENGINE = MergeTree ORDER BY (thread, n)")
    rounds, rows = 6, 5000

    def work(thread: int) -> None:
        with server.client(autogenerate_session_id=False) as own:
            for turn in range(rounds):
                first = turn * rows
                data = pa.table(
                    {
                        "thread": pa.array([thread] * rows, pa.uint8()),
                        "n": pa.array(range(first, first + rows), pa.uint64()),
                        "s": [f"row {n}" for n in range(rows)],
                    }
                )
                assert own.insert_arrow("busy", data).written_rows == rows
                read = own.query_arrow(f"SELECT * FROM busy WHERE thread = {thread} ORDER BY n")
                assert read.column("n").to_pylist() == list(range(first + rows))
                digest = "SELECT count(), sum(cityHash64(n, s)) FROM busy WHERE thread = {t:UInt8}"
                assert own.query(digest, parameters={"t": thread}).first_row[0] == first + rows
                with own.query_arrow_stream(f"SELECT n FROM busy WHERE thread = {thread}") as stream:
                    assert sum(batch.num_rows for batch in stream) == first + rows

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(work, thread) for thread in range(8)]:
            done.result()
    assert client.query("SELECT count(), uniqExact(thread, n) FROM busy").first_row == (8 * rounds * rows,) * 2
    client.command("DROP TABLE busy SYNC")


def test_one_client_refuses_concurrent_queries_in_its_session(server: Server) -> None:
    with server.client() as client, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(client.command, "SELECT sleep(1)")
        wait_until(lambda: is_running(server, "SELECT sleep(1)"), deadline_s=10, what="the query runs")
        with pytest.raises(ProgrammingError, match="concurrent"):
            client.command("SELECT 1")
        slow.result()


# --- the process -------------------------------------------------------------------------------------------------


def test_data_and_uuids_survive_a_restart_and_a_kill(tmp_path: Path) -> None:
    first = Server(tmp_path)
    with first.client() as client:
        client.command("CREATE TABLE kept (a UInt64) ENGINE = MergeTree ORDER BY a")
        client.command("INSERT INTO kept SELECT number FROM numbers(1000)")
        uuid = client.command("SELECT uuid FROM system.tables WHERE name = 'kept'")
    assert first.stop() == 0
    assert not first.ready_file.exists()
    second = Server(tmp_path)
    with second.client() as client:
        assert client.command("SELECT uuid FROM system.tables WHERE name = 'kept'") == uuid
        client.command("INSERT INTO kept SELECT number FROM numbers(10)")
    second.process.kill()
    second.process.wait()
    second.ready_file.unlink()
    third = Server(tmp_path)
    with third.client() as client:
        assert client.command("SELECT count() FROM kept") == 1010
        assert client.command("SELECT uuid FROM system.tables WHERE name = 'kept'") == uuid
    assert third.stop() == 0


def test_two_servers_side_by_side_and_a_stop_with_a_query_running(server: Server, tmp_path: Path) -> None:
    second = Server(tmp_path)
    assert second.port != server.port
    second.ask("CREATE TABLE only_here (a Int8) ENGINE = Memory")
    assert server.ask("EXISTS TABLE only_here").body == b"0\n"
    with ThreadPoolExecutor(1) as pool:
        endless = pool.submit(second.ask, ENDLESS)
        wait_until(lambda: is_running(second, ENDLESS), deadline_s=10, what="the query runs")
        assert second.stop() == 0
        assert endless.result().headers["x-clickhouse-exception-code"] == "394"
    assert server.ask("SELECT 1").body == b"1\n"


def test_a_second_server_on_the_same_directory_says_why_it_cannot_start(server: Server) -> None:
    command = [sys.executable, "-m", "consumer.embedded.clickhouse", "--data-dir", str(server.home / "data")]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, cwd=Path(__file__).parents[2]
    )
    assert ended.returncode == 1
    assert "data directory" in ended.stderr
    assert server.ask("SELECT 1").body == b"1\n"
