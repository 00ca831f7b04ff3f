"""Simulated publishes in two steps: nothing is violated, and planted bugs are found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from consumer.testing.two_step import MemoryIntent, TwoStepMemoryCatalog
from tests.simulation.campaign import campaign
from tests.simulation.wires import TWO_STEPS
from tests.support.cases import few

STEPS = 1_500
SEEDS = range(5, 45)
"""A short campaign for each, until everything was met with."""
OUTCOMES = ("unknown: lost at publish.before-send", "unknown: under way at publish.before-send")


@pytest.mark.thorough
def test_a_campaign_of_two_steps_violates_nothing_and_leaves_nothing_out() -> None:
    counts: Counter[str] = Counter()
    wanted = {*(f"point {point}" for point in TWO_STEPS), *(f"fault {outcome}" for outcome in OUTCOMES)}
    for seed in SEEDS:
        for found in campaign(STEPS, seed, shrink=False, two_step=True):
            assert [script.violation for script in found.failing] == []
            counts.update(found.counts)
        if wanted <= (+counts).keys():
            break

    assert wanted - (+counts).keys() == set()


def _lands_on_any_base(patch: pytest.MonkeyPatch) -> None:
    def land(self: TwoStepMemoryCatalog, intent: MemoryIntent) -> bool:
        self._append(intent.table, intent.publication, intent.snapshot_id)
        return True

    patch.setattr(TwoStepMemoryCatalog, "_land", land)


def _finds_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TwoStepMemoryCatalog, "_found", lambda *_: [])


@pytest.mark.parametrize("plant", few([_lands_on_any_base, _finds_nothing], {_lands_on_any_base}))
def test_a_planted_bug_of_two_steps_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)

    assert any(found.failing for seed in SEEDS for found in campaign(STEPS, seed, shrink=False, two_step=True))
