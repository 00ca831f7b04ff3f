"""From ClickHouse's exceptions to ours."""

from __future__ import annotations

import re

from consumer.domain.errors import (
    AccessDeniedError,
    IcehaulError,
    SourceMissingError,
    SourceUnavailableError,
    UnsupportedTypeError,
)
from consumer.domain.wire_form import INVALID_TEXT

_EXCEPTION = re.compile(rb"Code: (\d+)\. DB::[A-Za-z]*Exception: [^\n]*")
_TEXT_LIMIT = 500

_DENIED = frozenset({192, 193, 194, 291, 497, 516})
"""UNKNOWN_USER, WRONG_PASSWORD, REQUIRED_PASSWORD, DATABASE_ACCESS_DENIED, ACCESS_DENIED, AUTHENTICATION_FAILED."""
_MISSING = frozenset({16, 47, 60, 81})
"""NO_SUCH_COLUMN_IN_TABLE, UNKNOWN_IDENTIFIER, UNKNOWN_TABLE, UNKNOWN_DATABASE."""
_READ_ONLY = 164


def source_error(address: str, code: int | None, text: str) -> IcehaulError:
    """Return the error for an exception of ClickHouse, by its code."""
    message = f"ClickHouse at {address} answered: {text.strip()[:_TEXT_LIMIT] or 'nothing'}"
    if INVALID_TEXT in text:
        return UnsupportedTypeError(
            message,
            remedy="correct the rows in the source, or offload a view that encodes the column, as by base64Encode",
        )
    if code in _DENIED:
        return AccessDeniedError(
            message, remedy="check clickhouse.user and clickhouse.password, and grant the user SELECT on the source"
        )
    if code == _READ_ONLY:
        return AccessDeniedError(message, remedy="give the user readonly=2: icehaul sets settings with its queries")
    if code in _MISSING:
        return SourceMissingError(
            message, remedy="compare the stream's source with the table in ClickHouse, and see what was dropped"
        )
    return SourceUnavailableError(message, remedy="see the server's log; the batch is tried again")


def find_exception(body: bytes) -> tuple[int, str] | None:
    """Find the text of an exception that ClickHouse wrote into a body that it had begun; its code and line."""
    found = _EXCEPTION.search(body)
    if found is None:
        return None
    return int(found.group(1)), found.group(0).decode("utf-8", "replace")
