"""Reading a unit from ClickHouse as a stream of Arrow record batches that is either whole or an error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException

import pyarrow as pa
import urllib3
from urllib3.exceptions import HTTPError

from consumer.domain.clickhouse_error import source_error
from consumer.domain.errors import IcehaulError, SourceUnavailableError
from consumer.domain.unit_query import UNIT_SETTINGS
from spark.source_errors import find_exception
from spark.source_query import address_of, answered, counted, without
from spark.unit_task import SourceAccess

_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
"""The Arrow IPC end-of-stream marker: continuation, then a metadata length of zero."""
_TAIL_BYTES = 8192
_BLOCK_BYTES = 16 << 20
"""Uncompressed bytes of one block that the server reads, about; ``block_rows`` bounds it too."""
_RETRY_REMEDY = "nothing to do unless it persists: the batch is tried again; then see ClickHouse's log and the network"


class UnitStream:
    """An open result; iterate ``batches`` to its end: only that proves that it was whole."""

    def __init__(self, response: urllib3.BaseHTTPResponse, access: SourceAccess, secret: str | None) -> None:
        self._address = address_of(access)
        self._secret = secret
        self._expected_rows = counted(response, access, "result_rows")
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
            return source_error(self._address, code, without(self._secret, text))
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
    with answered(access, query, _parameters(access, query_id), secret) as response:
        yield UnitStream(response, access, secret)


def _parameters(access: SourceAccess, query_id: str) -> dict[str, str | int]:
    """Settings of the query: the operator's, then those that correctness depends on."""
    return {
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
        **UNIT_SETTINGS,
    }


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
