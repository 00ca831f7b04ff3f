"""What an answer of a REST catalog means: only a refusal by the server itself says that a commit has not landed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg.exceptions import CommitFailedException, OAuthError, RESTError
from requests import HTTPError, Response
from requests.exceptions import ConnectionError as LostConnectionError
from requests.exceptions import ConnectTimeout, ReadTimeout, SSLError
from urllib3.connection import HTTPConnection
from urllib3.exceptions import MaxRetryError, NewConnectionError, ProtocolError

from consumer.adapters.iceberg.rest_failures import commit_failure, request_failure
from consumer.domain.errors import (
    AccessDeniedError,
    BaseMovedError,
    CatalogUnavailableError,
    ConfigurationError,
    IcehaulError,
    UnknownCommitError,
)


def answered(status: int) -> Exception:
    """The exception of PyIceberg's client for an answer of this status."""
    response = Response()
    response.status_code = status
    error = CommitFailedException("moved") if status == 409 else RESTError("made up")
    error.__cause__ = HTTPError(response=response)
    return error


def never_connected() -> Exception:
    host = HTTPConnection("127.0.0.1", 1)
    reason = NewConnectionError(host, "refused")
    return LostConnectionError(MaxRetryError(None, "/", reason))  # type: ignore[arg-type]


def judged(error: Exception) -> IcehaulError:
    return commit_failure(error, where="https://catalog", table="bronze.trades")


@given(st.integers(500, 599))
def test_whatever_the_server_stumbles_over_the_commit_may_have_landed(status: int) -> None:
    found = judged(answered(status))
    assert isinstance(found, UnknownCommitError)
    assert str(status) in found.message


@given(st.integers(400, 499))
def test_a_refusal_is_never_unknown_but_for_a_request_that_took_too_long(status: int) -> None:
    assert isinstance(judged(answered(status)), UnknownCommitError) is (status == 408)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (answered(409), BaseMovedError),
        (answered(404), BaseMovedError),
        (answered(401), AccessDeniedError),
        (answered(403), AccessDeniedError),
        (answered(419), AccessDeniedError),
        (answered(429), CatalogUnavailableError),
        (answered(400), ConfigurationError),
        (answered(501), UnknownCommitError),
        (never_connected(), CatalogUnavailableError),
        (ConnectTimeout("no route"), CatalogUnavailableError),
        (NotImplementedError("no such endpoint"), ConfigurationError),
        (OAuthError("invalid_client"), AccessDeniedError),
        (ReadTimeout("silence"), UnknownCommitError),
        (LostConnectionError(ProtocolError("reset")), UnknownCommitError),
        (LostConnectionError(), UnknownCommitError),
        (ValueError("half a body"), UnknownCommitError),
    ],
    ids=lambda value: getattr(value, "__name__", None) or type(value).__name__,
)
def test_what_the_failure_of_a_commit_means(error: Exception, kind: type[IcehaulError]) -> None:
    found = judged(error)
    assert type(found) is kind
    assert found.remedy


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (answered(500), CatalogUnavailableError),
        (answered(408), CatalogUnavailableError),
        (ReadTimeout("silence"), CatalogUnavailableError),
        (answered(404), ConfigurationError),
        (answered(501), ConfigurationError),
        (SSLError("self-signed"), ConfigurationError),
        (ValueError("no JSON"), CatalogUnavailableError),
    ],
    ids=lambda value: getattr(value, "__name__", None) or type(value).__name__,
)
def test_what_the_failure_of_a_question_means(error: Exception, kind: type[IcehaulError]) -> None:
    found = request_failure(error, where="https://catalog", doing="looking")
    assert type(found) is kind
    assert "https://catalog" in found.message or "catalog.uri" in found.message
