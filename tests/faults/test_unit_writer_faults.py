"""Whatever breaks while a unit is written: an error of the right class, never a short file that is reported."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pytest
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem
from pydantic import SecretStr
from pyiceberg.schema import Schema
from pyiceberg.types import LongType, NestedField, StringType, TimestamptzType

from consumer.domain.batch import WrittenFile
from consumer.domain.errors import (
    AccessDeniedError,
    IcehaulError,
    SourceMissingError,
    SourceUnavailableError,
    StoreUnavailableError,
    TargetMismatchError,
)
from consumer.domain.unit_query import unit_query
from consumer.embedded.stack import EmbeddedStack
from consumer.settings.connections import SparkSettings
from spark import unit_offload
from spark.unit_offload import offload_unit
from spark.unit_task import FileLayout, JobContext, SourceAccess, StoreAccess, UnitTask
from tests.support.replayed_http import chunked, replaying
from tests.support.spark import HotTable, clickhouse_settings, store_settings
from tests.support.tcp_proxy import TcpProxy

SCHEMA = Schema(
    NestedField(1, "ts", TimestamptzType(), required=True),
    NestedField(2, "note", StringType(), required=False),
    NestedField(3, "number", LongType(), required=True),
)
ROWS = 10
HEAD = "HTTP/1.1 200 OK\r\nX-ClickHouse-Summary: {}\r\n"
EXCEPTION = b"Code: 241. DB::Exception: Memory limit (total) exceeded: would use 9.31 GiB. (MEMORY_LIMIT_EXCEEDED)\n"


def arrow_stream() -> bytes:
    schema = pa.schema(
        [
            ("ts", pa.timestamp("us", tz="UTC")),
            ("note", pa.string()),
            ("number", pa.int64()),
            ("_icehaul_digest", pa.uint64()),
        ]
    )
    instant = datetime(2024, 1, 1, tzinfo=UTC)
    rows = [{"ts": instant, "note": "x" * 50, "number": n, "_icehaul_digest": 2**63 + n} for n in range(ROWS // 2)]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        for _ in range(2):
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
    return bytes(sink.getvalue())


STREAM = arrow_stream()


def head(*headers: str, rows: int | None = ROWS) -> bytes:
    summary = json.dumps({"read_rows": "10"} if rows is None else {"result_rows": str(rows)})
    return (HEAD.format(summary) + "".join(f"{header}\r\n" for header in headers) + "\r\n").encode()


CHUNKED = "Transfer-Encoding: chunked"
SIZED = f"Content-Length: {len(STREAM)}"


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in place of the store: the source is what breaks here."""
    directory = tmp_path / "bucket"
    directory.mkdir()
    monkeypatch.setattr(unit_offload, "connect", lambda _: SubTreeFileSystem(str(tmp_path), LocalFileSystem()))
    return directory


def offload(port: int, schema: Schema = SCHEMA) -> WrittenFile | IcehaulError | None:
    context = JobContext(
        source=SourceAccess(
            host="127.0.0.1",
            port=port,
            user="u",
            password="s3cret",
            secure=False,
            verify=True,
            ca_file=None,
            connect_timeout_s=2,
            query_timeout_s=5,
            settings=(),
            block_rows=65_536,
        ),
        store=StoreAccess(endpoint=None, region="r", access_key=None, secret_key=None, path_style=True),
        # A row group for each record batch: part of the file is written before the stream breaks.
        layout=FileLayout(schema_json=schema.model_dump_json(), row_group_rows=ROWS // 2, row_group_bytes=1 << 20),
    )
    outcome = offload_unit(context, UnitTask(index=0, batch_id="b", query="SELECT 1", prefix="s3://bucket"))
    return outcome.file or outcome.error


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(head(CHUNKED) + chunked(STREAM), id="one chunk"),
        pytest.param(head(CHUNKED) + chunked(STREAM[:100], STREAM[100:-3], STREAM[-3:]), id="chunks cut anywhere"),
        pytest.param(head(SIZED) + STREAM, id="sized"),
    ],
)
def test_a_whole_stream_is_written_with_the_sum_of_its_row_hashes(bucket: Path, answer: bytes) -> None:
    with replaying(answer) as port:
        file = offload(port)

    assert isinstance(file, WrittenFile)
    assert file.fingerprint.rows == ROWS
    assert file.fingerprint.digest == 2 * sum(2**63 + n for n in range(ROWS // 2)) % 2**64
    assert [path.name for path in bucket.iterdir()] == [Path(file.path).name]


def test_two_attempts_at_a_unit_write_two_files(bucket: Path) -> None:
    written = []
    for _ in range(2):
        with replaying(head(CHUNKED) + chunked(STREAM)) as port:
            written.append(offload(port))

    paths = {file.path for file in written if isinstance(file, WrittenFile)}
    assert len(paths) == 2
    assert {path.name for path in bucket.iterdir()} == {Path(path).name for path in paths}


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        pytest.param(head(CHUNKED) + chunked(STREAM, whole=False), "incomplete", id="last chunk missing"),
        pytest.param(head(CHUNKED) + chunked(STREAM)[:-40], "incomplete", id="cut inside a chunk"),
        pytest.param(head(CHUNKED) + chunked(STREAM[:-8]), "end-of-stream marker", id="end marker missing"),
        pytest.param(head(CHUNKED) + chunked(STREAM[: len(STREAM) // 2]), "incomplete", id="half a record batch"),
        pytest.param(head(CHUNKED) + chunked(), "incomplete", id="empty body"),
        pytest.param(head(SIZED) + STREAM[:-1], "incomplete", id="shorter than its length"),
        pytest.param(head(CHUNKED) + chunked(STREAM[:-8], EXCEPTION), "Memory limit", id="exception for end marker"),
        pytest.param(head(CHUNKED) + chunked(STREAM, EXCEPTION), "Memory limit", id="exception after the end"),
        pytest.param(head(CHUNKED) + chunked(STREAM[:600], EXCEPTION), "Memory limit", id="exception in mid-batch"),
        pytest.param(head(CHUNKED) + chunked(EXCEPTION), "Memory limit", id="nothing but an exception"),
        pytest.param(head(CHUNKED, rows=ROWS + 1) + chunked(STREAM), "the server counted 11", id="rows lost"),
        pytest.param(head(CHUNKED, rows=ROWS - 1) + chunked(STREAM), "the server counted 9", id="rows doubled"),
        pytest.param(head(CHUNKED, rows=None) + chunked(STREAM), "did not say how many rows", id="no row count"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", "did not say how many rows", id="headers cut"),
        pytest.param(b"", "unreachable", id="closed without an answer"),
    ],
)
def test_a_broken_stream_is_an_error_and_leaves_no_file(bucket: Path, answer: bytes, says: str) -> None:
    with replaying(answer) as port:
        error = offload(port)

    assert isinstance(error, SourceUnavailableError)
    assert says in str(error)
    assert "s3cret" not in str(error)
    assert list(bucket.iterdir()) == []


def test_a_stream_cut_at_any_byte_is_an_error(bucket: Path) -> None:
    outcomes = []
    for end in range(0, len(STREAM), 41):
        with replaying(head(CHUNKED) + chunked(STREAM[:end]) if end else head(CHUNKED) + chunked()) as port:
            outcomes.append(offload(port))

    assert all(isinstance(outcome, SourceUnavailableError) for outcome in outcomes)
    assert list(bucket.iterdir()) == []


def test_a_connection_reset_in_the_middle_is_an_error(bucket: Path) -> None:
    with replaying(head(CHUNKED) + chunked(STREAM[:700], whole=False), reset=True) as port:
        assert isinstance(offload(port), SourceUnavailableError)

    assert list(bucket.iterdir()) == []


def test_a_server_that_is_not_there_is_an_error(bucket: Path) -> None:
    with replaying(b"") as port:
        pass

    error = offload(port)

    assert isinstance(error, SourceUnavailableError)
    assert "unreachable" in str(error)


def refusal(status: str, code: int, text: str) -> bytes:
    body = f"Code: {code}. DB::Exception: {text}".encode()
    return (
        f"HTTP/1.1 {status}\r\nX-ClickHouse-Exception-Code: {code}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (refusal("403 Forbidden", 516, "u: Authentication failed"), AccessDeniedError),
        (refusal("500 Internal Server Error", 497, "Not enough privileges"), AccessDeniedError),
        (refusal("500 Internal Server Error", 164, "Cannot modify setting in readonly mode"), AccessDeniedError),
        (refusal("404 Not Found", 60, "Unknown table"), SourceMissingError),
        (refusal("500 Internal Server Error", 47, "Unknown identifier"), SourceMissingError),
        (refusal("500 Internal Server Error", 202, "Too many simultaneous queries"), SourceUnavailableError),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", SourceUnavailableError),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", SourceUnavailableError),
    ],
)
def test_a_refusal_becomes_the_error_that_says_what_to_do(
    bucket: Path, answer: bytes, expected: type[IcehaulError]
) -> None:
    with replaying(answer) as port:
        error = offload(port)

    assert type(error) is expected
    assert list(bucket.iterdir()) == []


def test_columns_that_the_target_does_not_have_are_an_error(bucket: Path) -> None:
    with replaying(head(CHUNKED) + chunked(STREAM)) as port:
        error = offload(port, Schema(*SCHEMA.fields[:2]))

    assert isinstance(error, TargetMismatchError)
    assert "number" in str(error)
    assert list(bucket.iterdir()) == []


@pytest.fixture
def trades(stack: EmbeddedStack) -> Iterator[HotTable]:
    table = HotTable.create(stack.endpoints, "ts DateTime64(6, 'UTC'), number UInt64, note String")
    table.client.command(
        f"INSERT INTO {table.stream.source.table} SELECT toDateTime64('2024-01-01 00:00:00', 6, 'UTC') + number / 1000,"
        " number, randomPrintableASCII(200) FROM numbers(100000)"
    )
    yield table
    table.client.close()


def run(context: JobContext, table: HotTable) -> WrittenFile | IcehaulError | None:
    batch = table.batch(0, 200)
    task = UnitTask(
        index=0,
        batch_id=str(batch.id),
        query=unit_query(table.stream, table.mapping, batch.units[0]),
        prefix=table.prefix(batch),
    )
    outcome = offload_unit(context, task)
    return outcome.file or outcome.error


class SeveringProxy(TcpProxy):
    """Goes down for good once a client has sent so many bytes."""

    def __init__(self, upstream_port: int, after_bytes: int) -> None:
        super().__init__(upstream_port)
        self._left = after_bytes

    def from_client(self, link: Any, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            self.stop()
        else:
            super().from_client(link, data)


def test_a_store_that_goes_away_during_the_upload_is_an_error(trades: HotTable) -> None:
    store = store_settings(trades.endpoints)
    port = urlsplit(trades.endpoints.store.endpoint).port
    assert port is not None
    with SeveringProxy(port, after_bytes=8 * 1024**2) as proxy:
        # Small row groups, so that parts are on their way while rows still arrive.
        context = trades.context(
            spark=SparkSettings(row_group_rows=10_000, block_rows=10_000),
            store=store.model_copy(update={"endpoint": f"http://127.0.0.1:{proxy.port}"}),
        )
        error = run(context, trades)

    assert isinstance(error, StoreUnavailableError)
    assert trades.endpoints.store.secret_key not in str(error)


def test_a_store_that_is_not_there_is_an_error_in_bounded_time(trades: HotTable) -> None:
    with TcpProxy(1) as proxy:
        endpoint = f"http://127.0.0.1:{proxy.port}"
    store = store_settings(trades.endpoints).model_copy(update={"endpoint": endpoint})
    started_s = time.monotonic()

    error = run(trades.context(store=store), trades)

    assert isinstance(error, StoreUnavailableError)
    assert time.monotonic() - started_s < 30


def test_a_wrong_key_of_the_store_is_named(trades: HotTable) -> None:
    store = store_settings(trades.endpoints).model_copy(update={"secret_key": SecretStr("wrong-secret")})

    error = run(trades.context(store=store), trades)

    assert isinstance(error, AccessDeniedError)
    assert "store.secret_key" in error.remedy
    assert "wrong-secret" not in str(error)


def test_a_missing_bucket_is_named(trades: HotTable) -> None:
    target = replace(trades.target, location="s3://no-such-bucket/t")

    error = run(trades.context(), replace(trades, target=target))

    assert isinstance(error, StoreUnavailableError)
    assert "create the bucket" in error.remedy


def test_a_wrong_password_of_clickhouse_is_named(trades: HotTable) -> None:
    clickhouse = clickhouse_settings(trades.endpoints).model_copy(update={"password": SecretStr("wrong-secret")})

    error = run(trades.context(clickhouse=clickhouse), trades)

    assert isinstance(error, AccessDeniedError)
    assert "wrong-secret" not in str(error)


def test_a_source_that_falls_silent_is_an_error_after_the_time_limit(trades: HotTable) -> None:
    with TcpProxy(trades.endpoints.clickhouse.port) as proxy:
        proxy.silence()
        clickhouse = clickhouse_settings(trades.endpoints).model_copy(
            update={"port": proxy.port, "query_timeout_seconds": 1}
        )
        error = run(trades.context(clickhouse=clickhouse), trades)

    assert isinstance(error, SourceUnavailableError)


def test_a_whole_unit_is_written_in_row_groups_after_all_that(trades: HotTable) -> None:
    file = run(trades.context(spark=SparkSettings(row_group_rows=30_000, block_rows=8_192)), trades)

    assert isinstance(file, WrittenFile)
    footer = trades.footer(file.path)
    assert [footer.row_group(index).num_rows for index in range(footer.num_row_groups)] == [30_000] * 3 + [10_000]
    assert trades.file_fingerprint(file.path) == trades.source_fingerprint() == file.fingerprint
