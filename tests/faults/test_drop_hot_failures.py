"""A drop that fails at any step, or is killed there, is finished by running the command again; nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psycopg
import pytest

from consumer.domain.errors import (
    FencedError,
    IcehaulError,
    SourceMissingError,
)
from consumer.entrypoints.cli.output import ExitCode
from consumer.failpoints.acting import VARIABLE
from consumer.failpoints.effect import Component
from consumer.failpoints.effects import POINTS
from consumer.service.dropping.review import Place, Report
from tests.support.cases import few
from tests.support.hot_drops import ID, ONE, ROWS, Tiers, before
from tests.support.waiting import wait_for

GOOD = [name for name, one in POINTS.items() if one.effect.component is Component.DROPPER and "return" not in name]
BAD = ["drop.after-record", "partition.after-quarantine", "partition.before-return", "partition.after-return"]
NOW = {"partition.after-quarantine", "partition.after-drop"}
"""With the rows out of sight, and with the rows gone; `make thorough` plays the others."""


@pytest.mark.parametrize("point", few(GOOD, NOW))
def test_a_run_that_failed_at_any_step_is_finished_by_the_next(tiers: Tiers, point: str) -> None:
    with pytest.raises(IcehaulError, match=point):
        tiers.drop(failpoints=f"{point}=raise")
    assert tiers.hot() + sum(tiers.quarantines().values()) in {0, ROWS}
    tiers.insert_late()
    report = tiers.drop()
    # What was quarantined is finished; what stands in the source now has a row that the cold tier lacks.
    assert sum(tiers.quarantines().values()) == 0
    dropped = [one for one in tiers.recorded() if one[1] == "dropped"]
    left = tiers.hot()
    assert (len(dropped), left) in {(1, 1), (0, ROWS + 1)}
    assert all(state in {"dropped", "returned"} for _, state, _ in tiers.recorded())
    assert tiers.cold() == 3 * ROWS
    assert report.good or left in {1, ROWS + 1}


@pytest.mark.parametrize("point", few(BAD, {"drop.after-record", "partition.after-return"}))
def test_what_may_not_be_dropped_comes_back_wherever_a_run_fails(tiers: Tiers, point: str) -> None:
    tiers.insert_late()
    with pytest.raises(IcehaulError, match=point):
        tiers.drop(failpoints=f"{point}=raise")
    tiers.drop()
    assert tiers.hot() == ROWS + 1
    assert sum(tiers.quarantines().values()) == 0
    assert {state for _, state, _ in tiers.recorded()} == {"returned"}


# A run that failed at the others is finished above: what a kill adds is a lease that nobody gives back.
@pytest.mark.parametrize(
    "point",
    few(["partition.after-quarantine", "drop.after-verify", "partition.after-drop"], {"drop.after-verify"}),
)
def test_a_process_that_is_killed_is_made_up_for_by_running_the_command_again(tiers: Tiers, point: str) -> None:
    command = ("drop-hot", tiers.stream, "--partition", ID, "--yes", "--output", "json")
    config = str(tiers.platform.write())
    killed = run_icehaul(*command, config=config, failpoints=f"{point}=kill")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    # Refused, with exit code 3, until the lease of the dead process has expired.
    again = wait_for(lambda: ended(run_icehaul(*command, config=config)), 60, "the lease to expire")
    assert again.returncode == 0, again.stderr
    assert (tiers.hot(), tiers.cold(), tiers.quarantines()) == (0, 3 * ROWS, {})
    assert tiers.recorded() == [(ID, "dropped", ROWS)]


def ended(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str] | None:
    return None if done.returncode == ExitCode.UNAVAILABLE else done


def run_icehaul(*arguments: str, config: str, failpoints: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "consumer.entrypoints.cli.main", *arguments, "--config", config],
        env={**os.environ, VARIABLE: failpoints},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_a_process_that_was_taken_for_dead_drops_nothing_of_its_heir(tiers: Tiers) -> None:
    """The zombie has compared, and is about to drop; its heir finishes that, and finds a late row in its own turn."""

    def be_replaced() -> None:
        with psycopg.connect(tiers.platform.dsn) as connection:
            connection.execute(
                "UPDATE offload_watermarks SET owner = NULL, lease_expires = NULL WHERE stream = %s", [tiers.stream]
            )
        heirs.append(tiers.drop())
        tiers.insert_late()
        heirs.append(tiers.drop())

    heirs: list[Report] = []
    with (
        tiers.platform.consumer(owner="zombie") as application,
        before(application, "drop", be_replaced),
        # Its heir has removed the quarantine table, or it is fenced at the latest when it records what it did.
        pytest.raises((FencedError, SourceMissingError)),
    ):
        application.hot_drops.drop(application.streams[tiers.stream], ONE)
    assert [one.partitions[0].place for one in heirs] == [Place.DROPPED, Place.RETURNED]
    assert tiers.hot() == 1


@pytest.mark.parametrize("point", few(["partition.after-drop", "drop.before-end"], {"partition.after-drop"}))
def test_a_drop_that_had_happened_is_recorded_by_the_next_run(tiers: Tiers, point: str) -> None:
    with pytest.raises(IcehaulError, match=point):
        tiers.drop(failpoints=f"{point}=raise")
    report = tiers.drop()
    assert [(one.partition.id, one.state.value) for one in report.finished] == [(ID, "dropped")]
    assert tiers.recorded() == [(ID, "dropped", ROWS)]
    assert tiers.quarantines() == {}
