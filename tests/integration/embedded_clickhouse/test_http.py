"""The HTTP side: headers, codings, connections and bounds."""

from __future__ import annotations

import gzip
import socket
import urllib.parse
from pathlib import Path

import lz4.frame
import pytest
import zstandard
from clickhouse_connect.driver.client import Client

from consumer.embedded.clickhouse.framing import compress, decompress
from tests.integration.embedded_clickhouse.support import (
    PASSWORD,
    USER,
    Server,
)


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
