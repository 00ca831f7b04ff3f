"""Reading a unit from ClickHouse as a stream of Arrow record batches that is either whole or an error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from http.client import HTTPException
from urllib.parse import urlencode

import pyarrow as pa
import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError

from consumer.domain.clickhouse_error import source_error
from consumer.domain.encryption import CLICKHOUSE, untrusted
from consumer.domain.errors import IcehaulError, SourceUnavailableError
from consumer.domain.unit_query import READ_SETTINGS
from spark.source_errors import find_exception
from spark.unit_task import SourceAccess

_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
"""The Arrow IPC end-of-stream marker: continuation, then a metadata length of zero."""
_TAIL_BYTES = 8192
_BLOCK_BYTES = 16 << 20
"""Uncompressed bytes of one block that the server reads, about; ``block_rows`` bounds it too."""
_ERROR_BODY_BYTES = 16_384
_RETRY_REMEDY = "nothing to do unless it persists: the batch is tried again; then see ClickHouse's log and the network"


class UnitStream:
    """An open result; iterate ``batches`` to its end: only that proves that it was whole."""

    def __init__(self, response: urllib3.BaseHTTPResponse, address: str, secret: str | None) -> None:
        self._address = address
        self._secret = secret
        self._expected_rows = _server_rows(response, address)
        self._body = _TailingBody(response)
        with self._translated():
            self._reader = pa.ipc.open_stream(self._body)
        self.schema: pa.Schema = self._reader.schema

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the record batches, then check that nothing is missing.

        Raises:
            SourceUnavailableError: if the stream broke off, carries an exception, or has another number of rows
                than the server counted.
        """
        rows = 0
        while True:
            with self._translated():
                batch = next(self._reader, None)
            if batch is None:
                break
            rows += batch.num_rows
            yield batch
        with self._translated():
            surplus = self._body.read()
        if surplus or not self._body.tail.endswith(_END_OF_STREAM):
            raise self._broken("it ended without the end-of-stream marker")
        if rows != self._expected_rows:
            raise self._broken(f"it holds {rows} rows where the server counted {self._expected_rows}")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowInvalid, HTTPError, HTTPException, OSError) as error:
            raise self._broken(f"{type(error).__name__}: {error}") from error

    def _broken(self, reason: str) -> IcehaulError:
        exception = find_exception(self._body.tail)
        if exception is not None:
            code, text = exception
            return source_error(self._address, code, _without(self._secret, text))
        return SourceUnavailableError(
            f"the result of ClickHouse at {self._address} is incomplete: {reason}", remedy=_RETRY_REMEDY
        )


@contextmanager
def open_unit(access: SourceAccess, query: str, query_id: str, secret: str | None = None) -> Iterator[UnitStream]:
    """Run the reading query and open its result; a ``secret`` in the query is kept out of messages.

    The server buffers the result until the query has ended (``wait_end_of_query``), so that a failing query
    is an HTTP error and the summary's row count is final. Closing early ends the query.

    Raises:
        SourceUnavailableError: if ClickHouse is unreachable, or the query failed.
        UntrustedServerError: if its certificate is refused, or it speaks no TLS.
        AccessDeniedError: if the credentials are wrong or a grant is missing.
        SourceMissingError: if table or column do not exist.
    """
    address = f"{access.host}:{access.port}"
    try:
        response = _pool(access).request(
            "POST",
            f"{'https' if access.secure else 'http'}://{address}/?{_parameters(access, query_id)}",
            body=query.encode(),
            headers={"X-ClickHouse-User": access.user, "X-ClickHouse-Key": access.password},
            preload_content=False,
            decode_content=False,
            redirect=False,
        )
    except (HTTPError, OSError) as error:
        cause = error.reason if isinstance(error, MaxRetryError) and error.reason is not None else error
        distrust = untrusted(f"ClickHouse at {address}", f"{type(cause).__name__}: {cause}", CLICKHOUSE)
        raise distrust or SourceUnavailableError(
            f"ClickHouse at {address} is unreachable: {type(cause).__name__}: {cause}",
            remedy="check clickhouse.host, clickhouse.port and clickhouse.secure, and that the server runs",
        ) from error
    whole = False
    try:
        if response.status != 200:
            raise _refusal(response, address, secret)
        yield UnitStream(response, address, secret)
        whole = True
    finally:
        # A connection with unread bytes can't serve another query; closing it tells the server to stop.
        if whole:
            response.release_conn()
        response.close()


@lru_cache(maxsize=4)
def _pool(access: SourceAccess) -> urllib3.PoolManager:
    """One pool for each server and worker process: a warm connection saves the handshakes."""
    return urllib3.PoolManager(
        maxsize=1,
        retries=False,
        timeout=urllib3.Timeout(connect=access.connect_timeout_s, read=access.query_timeout_s),
        cert_reqs="CERT_REQUIRED" if access.verify else "CERT_NONE",
        ca_certs=access.ca_file,
    )


def _parameters(access: SourceAccess, query_id: str) -> str:
    """Settings of the query: the operator's, then those that correctness depends on."""
    settings: dict[str, str | int] = {
        # One thread of the server would compress the whole result, in half the time that reading takes.
        "output_format_arrow_compression_method": "none",
        "cancel_http_readonly_queries_on_client_close": 1,
        # The default makes blocks of a megabyte, of some thousand rows: each costs the server, Arrow and us a round.
        "preferred_block_size_bytes": _BLOCK_BYTES,
        **dict(access.settings),
        "default_format": "ArrowStream",
        "query_id": query_id,
        "wait_end_of_query": 1,
        "max_block_size": access.block_rows,
        "max_execution_time": max(1, int(access.query_timeout_s)),
        **READ_SETTINGS,
    }
    return urlencode(settings)


def _server_rows(response: urllib3.BaseHTTPResponse, address: str) -> int:
    """Return the row count of the finished query from the summary header."""
    summary = response.headers.get("X-ClickHouse-Summary", "")
    try:
        return int(json.loads(summary)["result_rows"])
    except (ValueError, KeyError, TypeError) as error:
        raise SourceUnavailableError(
            f"ClickHouse at {address} did not say how many rows its result has (X-ClickHouse-Summary: {summary!r})",
            remedy="let proxies pass the header on; ClickHouse sends result_rows since 22.8",
        ) from error


def _refusal(response: urllib3.BaseHTTPResponse, address: str, secret: str | None) -> IcehaulError:
    body = response.read(_ERROR_BODY_BYTES)
    code = response.headers.get("X-ClickHouse-Exception-Code", "")
    text = body.decode("utf-8", "replace") or f"HTTP status {response.status}"
    return source_error(address, int(code) if code.isdecimal() else None, _without(secret, text))


def _without(secret: str | None, text: str) -> str:
    return text.replace(secret, "[hidden]") if secret else text


class _TailingBody:
    """A response's body as a file for Arrow; its last bytes are kept: they tell a whole stream from a broken one.

    Arrow takes the bytes that ``read`` returns over as they are: a buffer in between would copy every row once more.
    """

    closed = False

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response
        self.tail = b""

    def read(self, size: int = -1) -> bytes:
        """Return ``size`` bytes, or what is left of the body where that is less; all of it for -1."""
        data = self._response.read(size) if size >= 0 else self._response.read()
        self.tail = data[-_TAIL_BYTES:] if len(data) >= _TAIL_BYTES else (self.tail + data)[-_TAIL_BYTES:]
        return data
