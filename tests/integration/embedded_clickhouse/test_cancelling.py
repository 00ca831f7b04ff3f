"""Statements that end before they are done."""

from __future__ import annotations

import os
import socket
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.embedded_clickhouse.support import (
    ENDLESS,
    PASSWORD,
    USER,
    Server,
    is_running,
)
from tests.support.waiting import wait_for


def test_kill_query_finds_queries_by_the_clients_id(server: Server) -> None:
    with ThreadPoolExecutor(1) as pool:
        endless = pool.submit(server.ask, ENDLESS, query_id="kill me")
        wait_for(lambda: is_running(server, ENDLESS), deadline_s=60, what="the query runs")
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
        wait_for(lambda: is_running(server, ENDLESS), deadline_s=60, what="the query runs")
    wait_for(lambda: not is_running(server, ENDLESS), deadline_s=60, what="the query is cancelled")


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
    wait_for(lambda: not is_running(server, "SELECT number, repeat"), deadline_s=60, what="the query has ended")
