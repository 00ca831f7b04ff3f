"""Errors and authentication as a ClickHouse server words them."""

from __future__ import annotations

import base64
import http.client

import clickhouse_connect
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError, StreamFailureError
from urllib3.exceptions import HTTPError

from tests.integration.embedded_clickhouse.support import (
    PASSWORD,
    USER,
    Server,
)

SLOW = "SELECT sleepEachRow(0.05) FROM numbers(200) SETTINGS max_execution_time = 1, max_block_size = 1"


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
        (SLOW, 408, (159, "TIMEOUT_EXCEEDED")),
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
