"""Campaigns: many runs of the state machine, from a seed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

import structlog
from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.simulation.machine import Simulation, Tally
from tests.simulation.scripts import Script

STEPS_OF_A_RUN = 300
_RUNS_AT_ONCE = 50
"""Runs that Hypothesis remembers, in order not to repeat one."""
_NEXT_SEED = 1_000_003


@dataclass(slots=True)
class Outcome:
    """What a campaign, or a part of one, has come to."""

    steps: int = 0
    points: int = 0
    runs: int = 0
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    failing: list[Script] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        """Add what another part has come to; the seconds are the campaign's own."""
        self.steps += other.steps
        self.points += other.points
        self.runs += other.runs
        self.counts.update(other.counts)
        self.failing += other.failing


@dataclass(frozen=True, slots=True)
class Part:
    """A number of runs with a seed of their own."""

    seed: int
    runs: int
    shrink: bool
    two_step: bool = False

    def play(self) -> Outcome:
        """Play the runs, up to the first that fails."""
        tally = Tally()

        class Counted(Simulation):
            """The state machine with a tally of its own."""

        Counted.tally, Counted.two_step = tally, self.two_step
        phases = (Phase.generate, Phase.shrink) if self.shrink else (Phase.generate,)
        chosen = settings(
            max_examples=self.runs,
            stateful_step_count=STEPS_OF_A_RUN,
            phases=phases,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            verbosity=Verbosity.quiet,
            print_blob=False,
            report_multiple_bugs=False,
        )
        # Nobody reads the logs of thousands of crashes.
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
        failing: list[Script] = []
        try:
            run_state_machine_as_test(seed(self.seed)(Counted), settings=chosen)
        except Exception as error:  # noqa: BLE001 - a violation, or Hypothesis' word for a run that can't be repeated
            failing.append(tally.failing or Script(rules=(), violation=f"{type(error).__name__}: {error}"))
        return Outcome(steps=tally.steps, points=tally.points, runs=tally.runs, counts=tally.counts, failing=failing)


def parts(
    steps: int, first_seed: int, *, shrink: bool, two_step: bool = False, at_once: int = _RUNS_AT_ONCE
) -> Iterator[Part]:
    """Return the parts of a campaign of at least so many steps."""
    runs, number = max(1, -(-steps // STEPS_OF_A_RUN)), 0
    while runs > 0:
        yield Part(seed=first_seed * _NEXT_SEED + number, runs=min(runs, at_once), shrink=shrink, two_step=two_step)
        runs -= at_once
        number += 1


def of_both_places(steps: int, first_seed: int, *, shrink: bool) -> Iterator[Part]:
    """Return the parts of a campaign: of each four one whose catalog lies outside of the ledger's database."""
    elsewhere = steps // 4
    yield from parts(steps - elsewhere, first_seed, shrink=shrink)
    yield from parts(elsewhere, first_seed, shrink=shrink, two_step=True)


def campaign(
    steps: int, first_seed: int, *, shrink: bool = True, two_step: bool = False, at_once: int = _RUNS_AT_ONCE
) -> Iterator[Outcome]:
    """Play a campaign in this process, and yield what it has come to after each part; a seed plays the same runs again.

    Args:
        steps: rules to play, at least.
        first_seed: what the choices derive from.
        shrink: whether a failing run is made smaller before it is kept.
        two_step: whether the catalog lies outside of the ledger's database.
        at_once: runs of a part.
    """
    yield from played(list(parts(steps, first_seed, shrink=shrink, two_step=two_step, at_once=at_once)))


def played(todo: Sequence[Part], workers: int = 1) -> Iterator[Outcome]:
    """Play parts, and yield what they have come to together after each.

    Args:
        todo: the parts.
        workers: processes that play at the same time.
    """
    started, whole = time.perf_counter(), Outcome()
    if workers == 1:
        results = map(Part.play, todo)
        yield from _gather(results, whole, started)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from _gather(pool.map(Part.play, todo), whole, started)


def _gather(results: Iterator[Outcome], whole: Outcome, started: float) -> Iterator[Outcome]:
    for outcome in results:
        whole.add(outcome)
        whole.seconds = time.perf_counter() - started
        yield whole
