"""A short campaign of the simulation: nothing is violated, nothing stays unreached, and planted bugs are found."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest

from consumer.service.reconcile import Reconciler
from consumer.service.runtime.offsets import OffsetTracker
from consumer.testing import ledger as memory_ledger
from tests.simulation.campaign import Outcome, campaign
from tests.simulation.figures import figures, unreached
from tests.simulation.machine import Tally
from tests.simulation.scripts import Script, regressions
from tests.simulation.wires import AIMS, faults
from tests.support.cases import few

STEPS = 8_000
MOST_STEPS = 90_000
"""Hypothesis takes numbers from the modules that are loaded, so a seed plays other runs beside other tests."""
SEED = 3
RUNS_AT_ONCE = 10
"""After so many, it is looked whether a campaign has met with everything."""
RARE = {
    "commits left under way": ("publish.before-commit", "unknown: under way"),
    "files that a broken disk changed": ("task.before-close", "corrupt"),
}
"""What chance meets with too seldom for a short campaign: a run of its own aims at the point where it goes wrong."""


def play(steps: int, seed: int) -> Outcome:
    """Play a campaign to its end; what it has come to."""
    return deque(campaign(steps, seed, shrink=False), maxlen=1)[0]


def idle(found: Outcome) -> set[str]:
    """What a campaign should have met with, and has not."""
    return {name for name, count in figures(found.counts).items() if not count} - RARE.keys()


def aimed(point: str, order: str) -> Script:
    """A run in which rows arrive, and something goes wrong for the first who comes to the point."""
    fault = ("fault", (AIMS.index(point), faults(point).index(order)))
    arrives = [("insert", (0, 0, 0)), ("insert", (0, 20, 0)), ("tick", (0, 0))]
    return Script((*[("start", ())] * 2, fault, *arrives, *[("run", (turn, 3)) for turn in range(200)]), violation="")


def test_a_campaign_violates_nothing_and_leaves_nothing_out() -> None:
    for found in campaign(MOST_STEPS, SEED, shrink=False, at_once=RUNS_AT_ONCE):
        assert [script.violation for script in found.failing] == []
        if found.steps >= STEPS and not idle(found) and not unreached(found.counts):
            break

    assert idle(found) == set()
    assert unreached(found.counts) == []


@pytest.mark.parametrize("name", RARE)
def test_what_a_campaign_seldom_meets_with_violates_nothing_either(name: str) -> None:
    point, order = RARE[name]
    found = Tally()
    found.add(aimed(point, order).play())

    # That all rows have arrived once is a part of playing it.
    assert figures(found.counts)[name] == 1
    assert figures(found.counts)["rows inserted"] > 0


def test_a_seed_plays_the_same_run_again() -> None:
    first, second = play(1_500, 3), play(1_500, 3)

    assert (first.steps, first.points, first.counts) == (second.steps, second.points, second.counts)


def _no_fence(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(memory_ledger, "check_fence", lambda **_: None)


def _late_rows_are_never_looked_for(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Reconciler, "reconcile", lambda *_: None)


def _offsets_jump_over_what_is_not_done(patch: pytest.MonkeyPatch) -> None:
    def done(self: OffsetTracker, offset: int) -> None:
        self._open = deque(number for number in self._open if number > offset)
        self._position = offset + 1

    patch.setattr(OffsetTracker, "done", done)


@pytest.mark.parametrize(
    "plant", few([_no_fence, _late_rows_are_never_looked_for, _offsets_jump_over_what_is_not_done], {_no_fence})
)
def test_a_planted_bug_is_found(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)

    assert any(outcome.failing for outcome in campaign(MOST_STEPS, SEED, shrink=False))


@pytest.mark.parametrize("path", tuple(regressions()), ids=lambda path: path.stem)
def test_a_run_that_once_failed_does_not_fail_again(path: Path) -> None:
    Script.load(path).play()
