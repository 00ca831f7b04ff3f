"""What may pass by itself is tried again, as often and as patiently as the stream's policy says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest

from consumer.domain.errors import (
    AccessDeniedError,
    BaseMovedError,
    FencedError,
    IcehaulError,
    Reaction,
    RetriesExhaustedError,
    SourceUnavailableError,
    StoreUnavailableError,
    UnknownCommitError,
)
from consumer.domain.stream import RetryPolicy, Stream, TableName
from consumer.service.retrying import retrying

AT_ONCE = RetryPolicy(attempts=3, initial=timedelta(microseconds=1), maximum=timedelta(microseconds=1))
LONG = RetryPolicy(attempts=3, initial=timedelta(hours=1), maximum=timedelta(hours=1))
NEVER = threading.Event()


def stream(policy: RetryPolicy) -> Stream:
    table = TableName(database="m", table="trades")
    return Stream(name="trades", source=table, target=table, timestamp_column="ts", retry=policy)


class Work:
    """Fails with the given errors, one a call, and then succeeds."""

    def __init__(self, *errors: Exception, then: Callable[[], None] = lambda: None) -> None:
        self._errors = list(errors)
        self._then = then
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        self._then()
        if self._errors:
            raise self._errors.pop(0)
        return "done"


def down(what: str = "down") -> SourceUnavailableError:
    return SourceUnavailableError(what, remedy="wait")


@pytest.mark.parametrize("failures", [0, 1, 2])
def test_work_that_succeeds_within_the_limit_is_done(failures: int) -> None:
    work = Work(*(down() for _ in range(failures)))
    assert retrying(stream(AT_ONCE), NEVER, work) == "done"
    assert work.calls == failures + 1


def test_the_last_failure_halts_the_stream_and_is_named() -> None:
    work = Work(down("first"), down("second"), StoreUnavailableError("third", remedy="wait"))
    with pytest.raises(RetriesExhaustedError) as caught:
        retrying(stream(AT_ONCE), NEVER, work)
    assert work.calls == 3
    assert caught.value.reaction is Reaction.HALT
    assert "after 3 attempts" in caught.value.message
    assert "third" in caught.value.message
    assert "icehaul resume trades" in caught.value.remedy
    assert isinstance(caught.value.__cause__, StoreUnavailableError)


@pytest.mark.parametrize("error", [AccessDeniedError, FencedError, UnknownCommitError, BaseMovedError])
def test_what_does_not_pass_by_itself_is_not_tried_again(error: type[IcehaulError]) -> None:
    work = Work(error("no", remedy="act"))
    with pytest.raises(error):
        retrying(stream(AT_ONCE), NEVER, work)
    assert work.calls == 1


def test_a_defect_of_the_program_is_not_tried_again() -> None:
    work = Work(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        retrying(stream(AT_ONCE), NEVER, work)
    assert work.calls == 1


def test_one_attempt_is_no_retry() -> None:
    work = Work(down())
    with pytest.raises(RetriesExhaustedError, match="after 1 attempts"):
        retrying(stream(RetryPolicy(attempts=1, initial=timedelta(hours=1))), NEVER, work)
    assert work.calls == 1


@pytest.mark.timeout(30)
def test_a_partition_that_is_taken_away_ends_the_long_pause_and_halts_nothing() -> None:
    abandoned = threading.Event()
    failed = threading.Event()
    work = Work(down(), down(), down(), then=failed.set)
    caught: list[BaseException] = []

    def run() -> None:
        try:
            retrying(stream(LONG), abandoned, work)
        except IcehaulError as error:
            caught.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert failed.wait(60)
    abandoned.set()
    thread.join(60)
    assert not thread.is_alive()
    assert [type(error) for error in caught] == [SourceUnavailableError]
    assert work.calls <= 2
