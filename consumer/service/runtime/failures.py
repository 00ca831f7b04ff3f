"""What happens after an attempt failed: how long the event is held, and what is said about it."""

from __future__ import annotations

from dataclasses import dataclass

from tenacity import RetryCallState, Retrying, wait_random_exponential

from consumer.domain.errors import FencedError, IcehaulError, LeaseHeldError, TurnOverError

_HELD = wait_random_exponential(multiplier=0.25, min=0.1, max=3)
_FAILED = wait_random_exponential(multiplier=0.5, min=0.2, max=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How to go on after a failed attempt.

    Attributes:
        delay: seconds until the next attempt.
        outcome: held (another owner works on the stream), fenced (another owner took it over), turn over (others wait
            for the worker), or failed.
        unexpected: whether the error is a defect of ours and worth a traceback.
    """

    delay: float
    outcome: str
    unexpected: bool


def judge(error: BaseException, attempt: int) -> Verdict:
    """Judge the failure of the ``attempt``-th attempt (counted from 1): capped exponential backoff with jitter."""
    if isinstance(error, TurnOverError):
        return Verdict(delay=0, outcome="turn over", unexpected=False)
    state = RetryCallState(retry_object=Retrying(), fn=None, args=(), kwargs={})
    state.attempt_number = min(attempt, 30)
    if isinstance(error, LeaseHeldError):
        return Verdict(delay=_HELD(state), outcome="held", unexpected=False)
    if isinstance(error, FencedError):
        return Verdict(delay=_HELD(state), outcome="fenced", unexpected=False)
    return Verdict(delay=_FAILED(state), outcome="failed", unexpected=not isinstance(error, IcehaulError))
