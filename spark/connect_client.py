"""The client of a Spark Connect server: no call without a deadline, few retries, no request in a log."""

from __future__ import annotations

import atexit
import logging
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import grpc
from pyspark.sql.connect.client import DefaultChannelBuilder, SparkConnectClient
from pyspark.sql.connect.client.retries import DefaultPolicy, RetryPolicyState
from pyspark.sql.connect.logging import logger as client_log

_USER = "icehaul"
_CALL_S = 10.0
"""For everything but jobs."""
_UPLOAD_S = 60.0
_KEEP_ALIVE_MS = 300_000
"""Finds out that the server's machine is gone while a job runs. Oftener, and a server of default settings hangs up."""
_RETRIES = 3
"""Some hundred milliseconds in all, to pick a job up again whose connection broke: the batch has its own retries."""
_BACKOFF_MS = 50
_DETAILS = re.compile(r'details = "([^"]*)"')
_STACK_TRACE = re.compile(r"\n+JVM stacktrace:.*", re.DOTALL)


def connect(url: str, session_id: str) -> SparkConnectClient:
    """Return a client for a session of that id; nothing is sent yet."""
    # At this level it would print whole requests, and with them what tasks know: credentials.
    if client_log.isEnabledFor(logging.DEBUG):
        client_log.setLevel(logging.INFO)
    builder = DefaultChannelBuilder(url, [("grpc.keepalive_time_ms", _KEEP_ALIVE_MS)])
    builder.set(DefaultChannelBuilder.PARAM_SESSION_ID, session_id)
    builder.add_interceptor(_Deadlines())
    client = SparkConnectClient(builder, user_id=_USER)
    # It would send a command about machine-learning models when the process ends.
    atexit.unregister(client._cleanup_ml_cache)  # noqa: SLF001
    client.set_retry_policies([_FewRetries(max_retries=_RETRIES, initial_backoff=_BACKOFF_MS)])
    return client


def words_of(error: Exception) -> str:
    """Return what an error of the client says, without stack traces and the wordings of gRPC."""
    text = str(error)
    details = _DETAILS.search(text)
    return _STACK_TRACE.sub("", details.group(1) if details else text).strip()


class _CallDetails(NamedTuple):
    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: bool | None
    compression: Any


class _Deadlines(grpc.UnaryUnaryClientInterceptor, grpc.StreamUnaryClientInterceptor):  # type: ignore[misc]
    """Gives up calls that a server which hangs would never answer."""

    def intercept_unary_unary(self, call: Callable[..., Any], details: Any, request: Any) -> Any:  # noqa: ANN401
        return call(_within(_CALL_S, details), request)

    def intercept_stream_unary(self, call: Callable[..., Any], details: Any, requests: Any) -> Any:  # noqa: ANN401
        return call(_within(_UPLOAD_S, details), requests)


def _within(seconds: float, details: Any) -> _CallDetails:  # noqa: ANN401 - gRPC names no type for it
    return _CallDetails(
        details.method,
        seconds,
        details.metadata,
        details.credentials,
        details.wait_for_ready,
        details.compression,
    )


class _FewRetries(DefaultPolicy):
    """The default policy, which would warn when it gives up: here an error is enough."""

    def to_state(self) -> RetryPolicyState:
        return _Retries(self)


class _Retries(RetryPolicyState):
    def can_retry(self, exception: BaseException) -> bool:
        return self._attempt < _RETRIES and super().can_retry(exception)
