"""One HTTP request read as ClickHouse reads it: who asks, what, with which settings, and how to answer."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from email.message import Message
from urllib.parse import parse_qsl

from consumer.embedded.clickhouse.compression import choose_response_coding
from consumer.embedded.clickhouse.engine import Rights
from consumer.embedded.clickhouse.errors import ErrorCode, QueryError
from consumer.embedded.clickhouse.limits import Limits

_FIELDS_MAX = 2000
_SETTING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")
_PARAMETER_NAME = re.compile(r"[A-Za-z0-9_]+\Z")
_TRANSPORT_FIELDS = frozenset(
    {
        "query", "database", "default_format", "user", "password", "quota_key", "query_id", "stacktrace", "role",
        "compress", "decompress", "buffer_size", "wait_end_of_query", "session_id", "session_timeout",
        "session_check", "close_session", "client_protocol_version",
    }
)  # fmt: skip
_HTTP_SETTINGS = frozenset(
    {
        "add_http_cors_header", "cancel_http_readonly_queries_on_client_close", "enable_http_compression",
        "http_headers_progress_interval_ms", "http_response_buffer_size", "http_wait_end_of_query",
        "http_write_exception_in_output_format", "http_zlib_compression_level", "replace_running_query",
        "send_progress_in_http_headers",
    }
)  # fmt: skip
"""Settings that are about HTTP: this server acts on them, the engine need not see them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Who asks. Compared in constant time, never logged."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRequest:
    """The session a request belongs to."""

    id: str
    timeout_s: int
    must_exist: bool
    close_after: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryRequest:
    """Everything but the body."""

    query: bytes
    parameters: dict[str, str]
    settings: dict[str, str]
    read_only: bool
    database: str | None
    default_format: str
    query_id: str | None
    replace_running: bool
    session: SessionRequest | None
    wait_end_of_query: bool
    buffer_bytes: int
    cancel_on_disconnect: bool
    response_coding: str | None
    coding_level: int
    native_compression: bool
    native_decompression: bool
    rights: Rights | None = None
    """What the statement may do; none: everything."""
    form_fields: dict[str, str]
    """Fields that describe external tables: ``NAME_format``, ``NAME_structure``, ``NAME_types``."""


def read_fields(query_string: str) -> dict[str, str]:
    """The fields of a query string; of several with one name the last counts.

    Raises:
        QueryError: BAD_ARGUMENTS for too many fields.
    """
    try:
        pairs = parse_qsl(query_string, keep_blank_values=True, errors="surrogateescape", max_num_fields=_FIELDS_MAX)
    except ValueError as error:
        raise QueryError(f"The query string cannot be read: {error}", code=ErrorCode.BAD_ARGUMENTS) from error
    return {name: value for name, value in pairs if name}


def read_credentials(headers: Message, fields: dict[str, str]) -> Credentials:
    """Who asks, by X-ClickHouse headers, HTTP basic authentication or fields of the query string.

    Raises:
        QueryError: AUTHENTICATION_FAILED if two ways are mixed or one is malformed.
    """
    by_headers = headers.get("X-ClickHouse-User") is not None or headers.get("X-ClickHouse-Key") is not None
    authorization = headers.get("Authorization")
    by_fields = "user" in fields or "password" in fields
    if sum((by_headers, authorization is not None, by_fields)) > 1:
        raise _auth_error("it is not allowed to use several ways of authentication at once")
    if by_headers:
        user = headers.get("X-ClickHouse-User") or "default"
        return Credentials(user=user, password=headers.get("X-ClickHouse-Key") or "")
    if authorization is not None:
        return _basic(authorization)
    return Credentials(user=fields.get("user", "default"), password=fields.get("password", ""))


def _basic(authorization: str) -> Credentials:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise _auth_error(f"'{scheme}' HTTP Authorization scheme is not supported")
    try:
        user, _, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise _auth_error("the header Authorization cannot be read") from None
    return Credentials(user=user or "default", password=password)


def _auth_error(why: str) -> QueryError:
    return QueryError(f"Invalid authentication: {why}", code=ErrorCode.AUTHENTICATION_FAILED)


def read_query(method: str, headers: Message, fields: dict[str, str], limits: Limits) -> QueryRequest:
    """Read headers and query string.

    Raises:
        QueryError: with ClickHouse's code for what is wrong in them.
    """
    parameters, settings, form_fields = _sort_fields(headers, fields)
    http = {name: settings.pop(name) for name in _HTTP_SETTINGS & settings.keys()}
    read_only = method in {"GET", "HEAD"} or settings.get("readonly", "0") not in {"", "0"}
    if method in {"GET", "HEAD"} and settings.get("readonly", "0") in {"", "0"}:
        settings["readonly"] = "2"
    compress = _flag(http, "enable_http_compression", default=True)
    buffer_field = fields.get("buffer_size", http.get("http_response_buffer_size", "0"))
    return QueryRequest(
        query=fields.get("query", "").encode("utf-8", "surrogateescape"),
        parameters=parameters,
        settings=settings,
        read_only=read_only,
        database=headers.get("X-ClickHouse-Database") or fields.get("database") or None,
        default_format=headers.get("X-ClickHouse-Format") or fields.get("default_format") or "TabSeparated",
        query_id=fields.get("query_id") or headers.get("X-ClickHouse-Query-Id") or None,
        replace_running=_flag(http, "replace_running_query", default=False),
        session=_session(fields, limits),
        wait_end_of_query=_flag(
            fields, "wait_end_of_query", default=_flag(http, "http_wait_end_of_query", default=False)
        ),
        buffer_bytes=min(
            max(_number("buffer_size", buffer_field), limits.response_buffer_bytes), limits.response_buffer_bytes_max
        ),
        cancel_on_disconnect=_flag(http, "cancel_http_readonly_queries_on_client_close", default=False),
        response_coding=choose_response_coding(headers.get("Accept-Encoding", "")) if compress else None,
        coding_level=max(
            1, min(9, _number("http_zlib_compression_level", http.get("http_zlib_compression_level", "3")))
        ),
        native_compression=_flag(fields, "compress", default=False),
        native_decompression=_flag(fields, "decompress", default=False),
        form_fields=form_fields,
    )


def _sort_fields(headers: Message, fields: dict[str, str]) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    is_form = headers.get("Content-Type", "").lower().startswith("multipart/form-data")
    parameters: dict[str, str] = {}
    settings: dict[str, str] = {}
    form_fields: dict[str, str] = {}
    for name, value in fields.items():
        if name in _TRANSPORT_FIELDS:
            continue
        if name.startswith("param_"):
            parameters[parameter_name(name)] = value
        elif is_form and name.endswith(("_format", "_types", "_structure")):
            form_fields[name] = value
        elif _SETTING_NAME.match(name):
            settings[name] = value
        else:
            raise QueryError(f"{name!r} is no setting", code=ErrorCode.BAD_ARGUMENTS)
    return parameters, settings, form_fields


def parameter_name(name: str) -> str:
    """The name of a query parameter without its prefix ``param_``.

    Raises:
        QueryError: BAD_ARGUMENTS if it is no identifier.
    """
    bare = name.removeprefix("param_")
    if not _PARAMETER_NAME.match(bare):
        raise QueryError(f"{name!r} is no name of a query parameter", code=ErrorCode.BAD_ARGUMENTS)
    return bare


def _session(fields: dict[str, str], limits: Limits) -> SessionRequest | None:
    if not fields.get("session_id"):
        return None
    text = fields.get("session_timeout", str(limits.session_timeout_s_default))
    if not text.isdecimal():
        raise QueryError(f"Invalid session timeout: '{text}'", code=ErrorCode.INVALID_SESSION_TIMEOUT)
    if int(text) > limits.session_timeout_s_max:
        raise QueryError(
            f"Session timeout '{text}' is larger than max_session_timeout: {limits.session_timeout_s_max}",
            code=ErrorCode.INVALID_SESSION_TIMEOUT,
        )
    return SessionRequest(
        id=fields["session_id"],
        timeout_s=int(text),
        must_exist=fields.get("session_check") == "1",
        close_after=_flag(fields, "close_session", default=False),
    )


def _flag(fields: dict[str, str], name: str, *, default: bool) -> bool:
    text = fields.get(name)
    if text is None:
        return default
    if text.lower() in {"1", "true"}:
        return True
    if text.lower() in {"", "0", "false"}:
        return False
    raise QueryError(f"{name} is {text!r}; allowed are 0 and 1", code=ErrorCode.BAD_ARGUMENTS)


def _number(name: str, text: str) -> int:
    if not text.isdecimal():
        raise QueryError(f"{name} is {text!r}, not a whole number", code=ErrorCode.BAD_ARGUMENTS)
    return int(text)
