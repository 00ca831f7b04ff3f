"""Rows on their way in: formats, codings, transfer, and what happens to bad ones."""

from __future__ import annotations

import gzip
import io
import socket
import struct
import urllib.parse
from collections.abc import Callable

import lz4.frame
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.external import ExternalData

from tests.integration.embedded_clickhouse.support import (
    PASSWORD,
    USER,
    Server,
)


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
