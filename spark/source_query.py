"""One statement over ClickHouse's HTTP interface, from a task: its answer, or an error that says what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError

from consumer.domain.clickhouse_error import source_error
from consumer.domain.encryption import CLICKHOUSE, untrusted
from consumer.domain.errors import IcehaulError, SourceUnavailableError
from spark.unit_task import SourceAccess

_ERROR_BODY_BYTES = 16_384


@contextmanager
def answered(
    access: SourceAccess, query: str, parameters: Mapping[str, str | int], secret: str | None
) -> Iterator[urllib3.BaseHTTPResponse]:
    """Send a statement and yield the answer to it, once that has begun; a ``secret`` is kept out of messages.

    Raises:
        SourceUnavailableError: if ClickHouse is unreachable, or the statement failed.
        UntrustedServerError: if its certificate is refused, or it speaks no TLS.
        AccessDeniedError: if the credentials are wrong or a grant is missing.
        SourceMissingError: if table or column do not exist.
    """
    address = address_of(access)
    try:
        response = _pool(access).request(
            "POST",
            f"{'https' if access.secure else 'http'}://{address}/?{urlencode(parameters)}",
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
        yield response
        whole = True
    finally:
        # A connection with unread bytes can't serve another query; closing it tells the server to stop.
        if whole:
            response.release_conn()
        response.close()


def address_of(access: SourceAccess) -> str:
    """Return host and port, as messages name them."""
    return f"{access.host}:{access.port}"


def counted(response: urllib3.BaseHTTPResponse, access: SourceAccess, name: str) -> int:
    """Return a count of a finished statement (``result_rows``, ``written_rows``) from the summary header.

    Raises:
        SourceUnavailableError: if the header does not tell.
    """
    summary = response.headers.get("X-ClickHouse-Summary", "")
    try:
        return int(json.loads(summary)[name])
    except (ValueError, KeyError, TypeError) as error:
        raise SourceUnavailableError(
            f"ClickHouse at {address_of(access)} did not say how many rows it counted"
            f" (X-ClickHouse-Summary: {summary!r}, {name} is missing)",
            remedy="let proxies pass the header on; ClickHouse sends result_rows since 22.8",
        ) from error


def without(secret: str | None, text: str) -> str:
    """Return a text without a secret."""
    return text.replace(secret, "[hidden]") if secret else text


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


def _refusal(response: urllib3.BaseHTTPResponse, address: str, secret: str | None) -> IcehaulError:
    body = response.read(_ERROR_BODY_BYTES)
    code = response.headers.get("X-ClickHouse-Exception-Code", "")
    text = body.decode("utf-8", "replace") or f"HTTP status {response.status}"
    return source_error(address, int(code) if code.isdecimal() else None, without(secret, text))
