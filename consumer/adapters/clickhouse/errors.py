"""From the exceptions of clickhouse-connect to ours, with no secret in any text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from clickhouse_connect.driver.exceptions import ClickHouseError, ProgrammingError
from urllib3.exceptions import HTTPError, MaxRetryError

from consumer.domain.clickhouse_error import exception_code, source_error
from consumer.domain.encryption import CLICKHOUSE, Remedies, untrusted
from consumer.domain.errors import (
    AccessDeniedError,
    CheckFailedError,
    ConfigurationError,
    IcehaulError,
    SourceUnavailableError,
    StoreUnavailableError,
)

Meaning = Callable[[str, int | None, str], IcehaulError]
"""Turns an exception of the server (address, code, text) into an error."""

_HIDDEN = "[HIDDEN]"
_UNREACHABLE = "check clickhouse.host, clickhouse.port and clickhouse.secure, and that the server runs"
_REFUSED = ("AccessDenied", "Access Denied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "HTTP response code: 403")
_ABSENT = ("NoSuchKey", "NoSuchBucket", "HTTP response code: 404")
# THERE_IS_NO_COLUMN, CANNOT_PARSE_INPUT_ASSERTION_FAILED, CANNOT_READ_ALL_DATA, ILLEGAL_COLUMN, UNKNOWN_TYPE,
# TYPE_MISMATCH, CANNOT_CONVERT_TYPE, FILE_DOESNT_EXIST, INCORRECT_DATA, CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN,
# CANNOT_EXTRACT_TABLE_STRUCTURE, STD_EXCEPTION (how the Arrow-based reader of older servers reports damage)
_BAD_FILE = frozenset({8, 27, 33, 44, 50, 53, 70, 107, 117, 349, 636, 1001})
_S3_ERROR = 499
_FILES = Remedies(
    authority="name the authority that signed the store's certificate in ClickHouse's own configuration:"
    " <openSSL><client><caConfig>FILE</caConfig></client></openSSL>",
    name="set clickhouse.store_endpoint to a host name that stands in the store's certificate",
    plain="correct http:// or https:// in clickhouse.store_endpoint, or in store.endpoint where that is not set",
)


def scrub(text: str, secrets: Sequence[str]) -> str:
    """Return ``text`` without the secrets."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, _HIDDEN)
    return text


@contextmanager
def translated(address: str, secrets: Sequence[str], meaning: Meaning = source_error) -> Iterator[None]:
    """Turn what clickhouse-connect raises into our errors.

    The original is not kept as the cause: its text may hold a secret of the query.

    Raises:
        IcehaulError: of the class that ``meaning`` gives to the server's code.
        UntrustedServerError: if its certificate is refused, or it speaks no TLS.
        ConfigurationError: if the server does not know, or does not allow, a setting of the configuration.
    """
    try:
        yield
    except ProgrammingError as error:
        raise ConfigurationError(
            f"clickhouse.query_settings: {scrub(str(error), secrets)}",
            remedy="remove the setting, or correct its name and value",
        ) from None
    except (ClickHouseError, HTTPError, OSError) as error:
        text = scrub(_text(error), secrets)
        code = exception_code(text)
        if code is not None:
            raise meaning(address, code, text) from None
        distrust = untrusted(f"ClickHouse at {address}", text, CLICKHOUSE)
        raise distrust or SourceUnavailableError(
            f"ClickHouse at {address} did not answer: {type(error).__name__}: {text}", remedy=_UNREACHABLE
        ) from None


def _text(error: Exception) -> str:
    """Return what the server said, or what the network did: the client hides one behind the other."""
    _, marker, answer = str(error).partition("server response: ")
    if marker:
        return answer
    cause = error.__cause__
    if isinstance(cause, MaxRetryError):
        cause = cause.reason
    return f"{error}: {type(cause).__name__}: {cause}" if cause is not None else str(error)


def file_error(address: str, code: int | None, text: str) -> IcehaulError:
    """Return the error for an exception of a query that reads data files."""
    message = f"ClickHouse at {address}, reading data files: {text}"
    if any(sign in text for sign in _REFUSED):
        return AccessDeniedError(
            message,
            remedy="check clickhouse.store_access_key and clickhouse.store_secret_key, or store.access_key and"
            " store.secret_key where those are not set; if they are right, allow them s3:GetObject on the warehouse",
        )
    if distrust := untrusted(f"the object store, as ClickHouse at {address} sees it,", text, _FILES):
        return distrust
    if code in _BAD_FILE or any(sign in text for sign in _ABSENT):
        return CheckFailedError(message, remedy="the batch is written again; of a published file: icehaul verify")
    if code == _S3_ERROR:
        return StoreUnavailableError(
            message, remedy="check that ClickHouse reaches the object store (clickhouse.store_endpoint)"
        )
    return source_error(address, code, text)
