"""Retrying what may pass by itself, within a stream's policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import structlog
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    wait_exponential_jitter,
)

from consumer.domain.errors import RetriesExhaustedError, TransientError
from consumer.domain.stream import Stream
from consumer.service.threads import Signal

_log = structlog.get_logger(__name__)

Result = TypeVar("Result")


def retrying(stream: Stream, abandoned: Signal, work: Callable[[], Result]) -> Result:
    """Call ``work`` until it succeeds, with capped exponential backoff and jitter.

    Unknown commits never come here: they are read back where they happen.

    Raises:
        RetriesExhaustedError: if the last attempt that the stream's policy allows failed too.
        TransientError: the latest one, if ``abandoned`` was set in between.
    """
    policy = stream.retry

    def exhausted(state: RetryCallState) -> Result:
        error = state.outcome.exception() if state.outcome is not None else None
        if abandoned.is_set() and error is not None:
            raise error
        raise RetriesExhaustedError(
            f"stream {stream.name}: still failing after {state.attempt_number} attempts; the last error was: {error}",
            remedy=f"mend the cause, then run `icehaul resume {stream.name}`; nothing is lost meanwhile",
        ) from error

    def report(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        _log.warning(
            "attempt.failed",
            stream=stream.name,
            attempt=state.attempt_number,
            of=policy.attempts,
            wait_seconds=round(state.next_action.sleep, 2) if state.next_action is not None else None,
            error=str(error),
        )

    def pause(seconds: float) -> None:
        abandoned.wait(seconds)

    return Retrying(
        retry=retry_if_exception_type(TransientError),
        stop=lambda state: state.attempt_number >= policy.attempts or abandoned.is_set(),
        wait=wait_exponential_jitter(
            multiplier=policy.initial.total_seconds(),
            max=policy.maximum.total_seconds(),
            jitter=policy.initial.total_seconds(),
        ),
        sleep=pause,
        before_sleep=report,
        retry_error_callback=exhausted,
    )(work)
