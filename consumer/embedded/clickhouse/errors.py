"""Errors as a ClickHouse server words them, and the HTTP status each one gets."""

from __future__ import annotations

import re
from enum import IntEnum
from http import HTTPStatus

from consumer.domain.errors import EmbeddedStackError


class ErrorCode(IntEnum):
    """ClickHouse's error codes that this server raises itself; the names are ClickHouse's too."""

    UNSUPPORTED_METHOD = 1
    CANNOT_READ_ALL_DATA = 33
    BAD_ARGUMENTS = 36
    CHECKSUM_DOESNT_MATCH = 40
    NOT_IMPLEMENTED = 48
    SYNTAX_ERROR = 62
    UNKNOWN_TYPE_OF_QUERY = 78
    UNKNOWN_COMPRESSION_METHOD = 89
    READONLY = 164
    TOO_MANY_SIMULTANEOUS_QUERIES = 202
    QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING = 216
    QUERY_IS_TOO_LARGE = 229
    ABORTED = 236
    CANNOT_DECOMPRESS = 271
    INTO_OUTFILE_NOT_ALLOWED = 358
    SESSION_NOT_FOUND = 372
    SESSION_IS_LOCKED = 373
    INVALID_SESSION_TIMEOUT = 374
    HTTP_LENGTH_REQUIRED = 381
    AUTHENTICATION_FAILED = 516
    STD_EXCEPTION = 1001


def _statuses() -> dict[int, HTTPStatus]:
    by_status = {
        HTTPStatus.BAD_REQUEST: (
            6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123, 167, 168, 223, 321, 376, 427, 441,
            675, 676,
        ),
        HTTPStatus.UNAUTHORIZED: (194,),
        HTTPStatus.FORBIDDEN: (192, 193, 497, 512, 516),
        HTTPStatus.NOT_FOUND: (46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511),
        HTTPStatus.REQUEST_TIMEOUT: (159,),
        HTTPStatus.LENGTH_REQUIRED: (381,),
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (229,),
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE: (779,),
        HTTPStatus.NOT_IMPLEMENTED: (48,),
        HTTPStatus.SERVICE_UNAVAILABLE: (76, 209, 439),
    }  # fmt: skip
    return {code: status for status, codes in by_status.items() for code in codes}


_STATUS_BY_CODE = _statuses()


def http_status(code: int) -> HTTPStatus:
    """The status a ClickHouse server answers an exception of this code with."""
    return _STATUS_BY_CODE.get(code, HTTPStatus.INTERNAL_SERVER_ERROR)


class QueryError(EmbeddedStackError):
    """What a ClickHouse server answers with an exception; ``code`` and ``name`` are ClickHouse's own."""

    def __init__(
        self, detail: str, *, code: int, name: str | None = None, remedy: str = "Correct the request and send it again"
    ) -> None:
        super().__init__(detail, remedy=remedy)
        self.code = code
        self.name = name or ErrorCode(code).name

    def wire_text(self, version: str) -> str:
        """The body of the response: one line in ClickHouse's own shape."""
        detail = self.message if self.message.endswith(".") else f"{self.message}."
        return f"Code: {self.code}. DB::Exception: {detail} ({self.name}) (version {version})"


class ClientGoneError(EmbeddedStackError):
    """The client closed its connection while its query was running."""


_PREFIX = re.compile(r"(?:Code: (?P<code>\d+)\. DB::Exception: )+")
_SUFFIX = re.compile(r"(?:\.? ?\((?P<name>[A-Z][A-Z0-9_]+)\)(?: \(version [^()]*(?:\([^()]*\))?\))?\.?)+\s*$")


def from_engine(text: str) -> QueryError:
    """Read an exception text of the engine, which repeats code and name once for every layer it crossed."""
    start = _PREFIX.search(text)
    if start is None:
        return QueryError(text.strip() or "The engine failed without a message", code=ErrorCode.STD_EXCEPTION)
    detail = text[start.end() :]
    end = _SUFFIX.search(detail)
    if end is None:
        return QueryError(detail.strip(), code=int(start["code"]), name="UNKNOWN_EXCEPTION")
    return QueryError(detail[: end.start()].strip(), code=int(start["code"]), name=end["name"])
