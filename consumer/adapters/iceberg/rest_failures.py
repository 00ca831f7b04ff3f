"""What a failure of a REST catalog means: whether a commit can have landed, and what the service does about it."""

from __future__ import annotations

from http import HTTPStatus

from pyiceberg.exceptions import OAuthError
from requests import HTTPError
from requests.exceptions import ConnectTimeout, RequestException, SSLError
from urllib3.exceptions import NewConnectionError

from consumer.domain.errors import (
    AccessDeniedError,
    BaseMovedError,
    CatalogUnavailableError,
    ConfigurationError,
    IcehaulError,
    UnknownCommitError,
)

_EXPIRED = 419
"""Iceberg's status for credentials that have timed out."""
_DENIED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, _EXPIRED}
_PASSING = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
_LONGEST = 500


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status that an exception of PyIceberg's client stands for; ``None`` where there was no answer."""
    cause = error.__cause__
    if isinstance(cause, HTTPError) and cause.response is not None:
        return cause.response.status_code
    return None


def request_failure(error: Exception, *, where: str, doing: str) -> IcehaulError:
    """Translate the failure of a request that may be repeated, or has certainly changed nothing."""
    status, text = status_of(error), _text(error)
    if isinstance(error, OAuthError) or status in _DENIED:
        return AccessDeniedError(
            f"catalog.credential: the REST catalog at {where} refuses access (while {doing}): {text}",
            remedy="check catalog.credential or catalog.token, and grant this principal to list, create, read,"
            " write and rename tables of the warehouse",
        )
    if isinstance(error, SSLError):
        return ConfigurationError(
            f"catalog.uri: the certificate of {where} is not accepted: {text}",
            remedy="name the certificate authority's file in catalog.ca_file, or correct the host name in catalog.uri",
        )
    if isinstance(error, NotImplementedError) or status == HTTPStatus.NOT_IMPLEMENTED:
        return ConfigurationError(
            f"the REST catalog at {where} does not offer what was asked of it (while {doing}): {text}",
            remedy="do it with the catalog's own tools, or use a catalog that offers it",
        )
    if status is not None and status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _PASSING:
        return ConfigurationError(
            f"the REST catalog at {where} refuses the request (while {doing}): {text}",
            remedy="check catalog.uri and catalog.warehouse; `icehaul doctor` tries the catalog",
        )
    return CatalogUnavailableError(
        f"the REST catalog at {where} failed while {doing}: {text}",
        remedy="see that the server at catalog.uri runs and takes requests; the step is tried again",
    )


def commit_failure(error: Exception, *, where: str, table: str) -> IcehaulError:
    """Translate the failure of a commit, which may have landed whatever the answer, unless the server has refused it.

    A status below 500 is an answer of a server that has looked at the request and not applied it. Anything else,
    no answer among it, may come from something in between that has lost the server, or from a server that has lost
    its own database in the middle: nobody knows then.
    """
    status = status_of(error)
    if status in {HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND}:
        return BaseMovedError(
            f"the table {table} has moved on since the batch was staged: {_text(error)}",
            remedy="nothing to do: the batch is staged again on the table's new state",
        )
    refused = status is not None and status < HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.REQUEST_TIMEOUT
    if refused or _never_sent(error) or isinstance(error, OAuthError):
        return request_failure(error, where=where, doing=f"committing to {table}")
    return UnknownCommitError(
        f"nobody knows whether the commit to {table} has landed: the REST catalog at {where} answered"
        f" {'nothing' if status is None else status}: {_text(error)}",
        remedy="the table is read back before anything else; nothing has to be done by hand",
    )


def _never_sent(error: Exception) -> bool:
    """Tell whether there was no connection to send the request over."""
    if isinstance(error, NotImplementedError | ConnectTimeout):
        return True
    if not isinstance(error, RequestException) or not error.args:
        return False
    reason = getattr(error.args[0], "reason", None)
    return isinstance(reason, NewConnectionError)


def _text(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:_LONGEST]
