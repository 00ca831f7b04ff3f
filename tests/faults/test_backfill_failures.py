"""A backfill that fails at any step, or whose owner is replaced there, brings every row of its range once."""

from __future__ import annotations

from contextlib import suppress

import psycopg
import pytest

from consumer.domain.batch import BatchKind
from consumer.domain.errors import FencedError, IcehaulError
from consumer.domain.event_factory import tick
from consumer.failpoints.acting import Failpoints
from consumer.failpoints.effect import Component
from consumer.failpoints.effects import POINTS
from tests.support.histories import CUTOFF, DAYS, FIRST, ROWS, START, History
from tests.support.interruptions import Interrupt
from tests.support.local_platform import LocalPlatform, deliver, published
from tests.support.platform import day

STEPS = [name for name, one in POINTS.items() if one.effect.component is Component.HISTORY]
BATCH = ["batch.after-begin", "attempt.before-stage", "publish.after-stage", "publish.before-commit"]
NEVER_ASKED = 3


@pytest.fixture
def history(local: LocalPlatform) -> History:
    return History(local)


def test_history_arrives_on_request_and_what_nobody_asked_for_is_in_no_check_of_both_tiers(history: History) -> None:
    history.ask(day("2024-01-01"), day("2024-01-02"))
    history.work()
    history.judge(2 * ROWS)
    history.platform.insert(NEVER_ASKED, first=9_000, day="2023-10-05")
    history.platform.insert(1, first=9_500, day="2024-01-01")
    history.work()
    history.judge(2 * ROWS + 1)
    history.ask()
    history.work()
    history.judge(len(DAYS) * ROWS + 1 + NEVER_ASKED)
    with history.platform.consumer() as application:
        kinds = [one.kind for one in published(application, history.stream)]
        assert kinds.count(BatchKind.WINDOW) == 1
        assert kinds.count(BatchKind.BACKFILL) >= 3
        newest, _ = application.backfills.all([history.stream])
        assert (newest.rows, newest.position) == (2 * ROWS + NEVER_ASKED, START)


def test_whatever_step_fails_every_row_arrives_once(history: History) -> None:
    # The end of the range is done before, so that something is left to be skipped.
    history.ask(day("2024-01-02"), START)
    history.work()
    history.ask()
    failures = [f"{point}=raise@1" for point in [*STEPS, *BATCH]] + ["publish.after-commit=apply-then-raise@1"]
    history.work(Failpoints(",".join(failures)))
    history.judge()


@pytest.mark.thorough
@pytest.mark.parametrize("point", ["backfill.before-advance", "publish.after-stage"])
def test_an_owner_that_was_taken_for_dead_backfills_nothing_that_its_heir_has(history: History, point: str) -> None:
    history.ask()

    def be_replaced() -> None:
        with psycopg.connect(history.platform.dsn) as connection:
            connection.execute(
                "UPDATE offload_watermarks SET owner = NULL, lease_expires = NULL WHERE stream = %s", [history.stream]
            )
        history.work()

    zombie = Interrupt(point, be_replaced)
    with history.platform.consumer(owner="zombie", failpoints=zombie) as application:
        # Two, for the first finds a stretch without rows.
        events = [tick(stream=history.stream, boundary=CUTOFF)] * 2
        raised = [error for event in events for error in deliver(application, event)]
    assert [type(error) for error in raised] == [FencedError]
    history.judge()


def test_a_command_that_fails_may_be_given_again(history: History) -> None:
    def give(point: str) -> None:
        """Give a command that fails at a point, and then, without failing, until the ledger is as it asks for."""
        for failpoints in (f"{point}=raise", ""):
            with history.platform.consumer(failpoints=Failpoints(failpoints)) as application, suppress(IcehaulError):
                requests, stream = application.backfill_requests, application.streams[history.stream]
                _ = requests.cancel(stream) if "cancel" in point else requests.request(stream, FIRST, START)
        with history.platform.consumer() as application:
            assert len(application.backfills.open(history.stream)) == ("request" in point)

    for moment in ("before", "after"):
        give(f"backfill.{moment}-request")
        give(f"backfill.{moment}-cancel")
    history.work()
    history.judge(ROWS)
    give("backfill.after-request")
    history.work()
    history.judge()
