"""A restore that fails at any step, or is killed there, is finished by the next run; no row comes twice."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from consumer.domain.errors import FencedError, IcehaulError, SourceMissingError, StreamError
from consumer.domain.hot_drop import Selection
from consumer.domain.restore import staging_table
from consumer.domain.stream import TableName
from consumer.domain.window import EVER, Window
from consumer.embedded.stack import EmbeddedStack
from consumer.failpoints.effect import Component
from consumer.failpoints.effects import POINTS
from consumer.service.restoring.restores import Restored
from consumer.service.restoring.review import Plan
from tests.faults.test_drop_hot_failures import ended, run_icehaul
from tests.support.cases import few
from tests.support.hot_drops import Tiers
from tests.support.local_platform import LocalPlatform, local_platform
from tests.support.platform import day
from tests.support.restores import ROWS, Restoring, three_days
from tests.support.waiting import wait_for

OURS = [name for name, one in POINTS.items() if one.effect.component is Component.RESTORER]
LEFTOVER = {"staging.before-take", "staging.after-take"}
"""Reached by a run that finds what an earlier one has left."""
STEPS = [one for one in OURS if one not in LEFTOVER and "record" not in one]
NOW = {"staging.after-create", "staging.after-fill", "partition.after-restore"}
"""One point between any two steps that change something; `make thorough` plays the others."""


@pytest.fixture(scope="module")
def offloaded(
    stack: EmbeddedStack, ledger_dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[LocalPlatform, str]]:
    """A stream of three days, which tests read and do not change."""
    name, directory = f"t_{uuid.uuid4().hex[:12]}", tmp_path_factory.mktemp("restored")
    with (
        pytest.MonkeyPatch.context() as patch,
        local_platform(stack.endpoints, name, ledger_dsn, directory, patch) as made,
    ):
        yield made, three_days(made)


@pytest.fixture
def days(offloaded: tuple[LocalPlatform, str], unique_name: str) -> Restoring:
    """The same, with a destination of the test's own."""
    return Restoring(*offloaded, into=unique_name)


def judge(days: Restoring) -> None:
    """Every row once, and nothing is left over."""
    assert days.fingerprint(days.into) == days.fingerprint(days.source)
    assert days.count(days.into) == 3 * ROWS
    assert days.stagings() == {}


def create(days: Restoring) -> None:
    days.run(f"CREATE TABLE {days.into} AS {days.source}")


@pytest.mark.parametrize("point", few(STEPS, NOW))
def test_a_run_that_failed_at_any_step_is_finished_by_the_next(days: Restoring, point: str) -> None:
    if not point.startswith("table."):
        create(days)
    with pytest.raises(IcehaulError, match=point):
        days.restore(failpoints=f"{point}=raise")
    found = days.review()
    assert found.total.rows == 3 * ROWS
    days.restore()
    judge(days)


@pytest.mark.parametrize("point", few(sorted(LEFTOVER), {"staging.after-take"}))
def test_a_run_that_fails_while_it_takes_up_another_is_taken_up_itself(days: Restoring, point: str) -> None:
    create(days)
    with pytest.raises(IcehaulError, match="after-restore"):
        days.restore(failpoints="partition.after-restore=raise@2")
    assert days.count(days.into) == 2 * ROWS
    with pytest.raises(IcehaulError, match=point):
        days.restore(failpoints=f"{point}=raise")
    assert days.restore().plan.finishing
    judge(days)


@pytest.mark.parametrize(
    "point", few(["restore.before-record", "restore.after-record", "partition.after-restore"], {"restore.after-record"})
)
def test_what_was_dropped_is_accounted_for_wherever_a_run_fails(tiers: Tiers, point: str) -> None:
    days = Restoring(tiers.platform, tiers.stream)
    expected = days.fingerprint(days.source)
    tiers.drop(Selection(before=day("2024-01-03")))
    back: dict[str, Any] = {"into": days.source, "within": Window(lower=day("2024-01-01"), upper=day("2024-01-03"))}
    with pytest.raises(IcehaulError, match=point):
        days.restore(failpoints=f"{point}=raise", **back)
    days.restore(**back)
    assert days.fingerprint(days.source) == expected
    assert {state for _, state in days.drops()} == {"returned"}
    assert days.stagings() == {}
    with tiers.platform.consumer() as application:
        assert application.verifier.verify(application.streams[days.stream]).equal


@pytest.mark.parametrize("point", few(["staging.after-fill", "partition.after-restore"], {"partition.after-restore"}))
def test_a_process_that_is_killed_is_made_up_for_by_running_the_command_again(days: Restoring, point: str) -> None:
    create(days)
    command = ("restore", days.stream, "--into", str(days.into), "--yes", "--output", "json")
    config = str(days.platform.write())
    killed = run_icehaul(*command, config=config, failpoints=f"{point}=kill")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    # Refused, with exit code 3, until the lease of the dead process has expired.
    again = wait_for(lambda: ended(run_icehaul(*command, config=config)), 180, "the lease to expire")
    assert again.returncode == 0, again.stderr
    judge(days)


def test_a_process_that_was_taken_for_dead_moves_nothing_of_its_heir(days: Restoring) -> None:
    """The zombie has compared, and is about to move; its heir does all of it in the meantime."""

    def be_replaced() -> None:
        with psycopg.connect(days.platform.dsn) as connection:
            connection.execute(
                "UPDATE offload_watermarks SET owner = NULL, lease_expires = NULL WHERE stream = %s", [days.stream]
            )
        heirs.append(days.restore())

    create(days)
    heirs: list[Restored] = []
    with days.platform.consumer(owner="zombie") as application:
        move = application.restoring.move

        def late(partition: str, staging: TableName, into: TableName) -> None:
            if not heirs:
                be_replaced()
            move(partition, staging, into)

        application.restoring.move = late  # type: ignore[method-assign]
        # Its heir has taken the staging table, or it is fenced at the latest before it moves the next partition.
        with pytest.raises((FencedError, SourceMissingError)):
            application.restores.restore(application.streams[days.stream], days.choice())
    judge(days)


def test_of_two_runs_the_one_that_comes_second_to_the_lease_finds_its_staging_table_gone(days: Restoring) -> None:
    create(days)
    with days.platform.consumer(owner="slow") as application:
        stage = application.restores._stage

        def and_be_overtaken(plan: Plan, staging: TableName) -> None:
            stage(plan, staging)
            days.restore()

        application.restores._stage = and_be_overtaken  # type: ignore[method-assign]
        with pytest.raises(StreamError):
            application.restores.restore(application.streams[days.stream], days.choice())
    judge(days)


def test_tables_of_others_are_left_alone_whatever_their_names(days: Restoring) -> None:
    create(days)
    stranger = staging_table(days.into, "0123456789ab")
    for comment in ("mine", 'icehaul restore: {"stream": "another", "into": "' + str(days.into) + '"}'):
        days.run(f"CREATE TABLE {stranger} (a Int8) ENGINE = MergeTree ORDER BY a COMMENT '{comment}'")
        assert days.restore().plan.leftovers == []
        assert list(days.stagings()) == [stranger.table]
        days.run(f"DROP TABLE {stranger} SYNC")


def test_while_a_consumer_works_on_the_stream_nothing_is_moved_and_the_next_run_goes_on(days: Restoring) -> None:
    create(days)
    with days.platform.consumer(owner="busy") as application:
        claim = application.ledger.claim(days.stream, "busy", application.lease)
        with pytest.raises(IcehaulError, match="the lease is not free"):
            days.restore()
        assert days.count(days.into) == 0
        application.ledger.release(claim)
    assert days.restore().plan.finishing
    judge(days)


def test_rows_that_come_meanwhile_are_not_taken_for_restored_ones(days: Restoring) -> None:
    create(days)
    with days.platform.consumer() as application:
        stage = application.restores._stage

        def and_insert(plan: Plan, staging: TableName) -> None:
            stage(plan, staging)
            days.run(f"INSERT INTO {days.into} SELECT * FROM {days.source} WHERE seq = 0")

        application.restores._stage = and_insert  # type: ignore[method-assign]
        with pytest.raises(StreamError, match="has changed while rows were restored"):
            application.restores.restore(application.streams[days.stream], days.choice())
    assert days.count(days.into) == 1
    assert days.fingerprint(days.into, EVER).rows == 1
