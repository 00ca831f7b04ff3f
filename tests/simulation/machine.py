"""The state machine: Hypothesis chooses which rule is played next, and with which numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.simulation.heal import heal
from tests.simulation.rules import PROGRESS, RULES, TROUBLE
from tests.simulation.scripts import Script
from tests.simulation.world import CONSUMERS, World

_NUMBER = st.integers(0, 199)
_CHOICES = 127
"""Places of which each step draws one, to stand for a rule of the run; from more Hypothesis would not draw evenly."""
_FAVOUR = 3
"""How many times as often a favoured trouble is offered: two that belong together meet in one run of few only, else."""


@dataclass(slots=True)
class Tally:
    """What many runs have done together."""

    steps: int = 0
    points: int = 0
    runs: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    failing: Script | None = None

    def add(self, world: World) -> None:
        """Add a run that is over."""
        self.runs += 1
        self.points += world.kernel.passed
        self.counts.update(world.counts)
        self.counts["halted"] += world.servers.truth.halts
        self.counts["streams rewound"] += world.servers.truth.rewinds
        self.counts["streams rewound without a snapshot"] += world.servers.truth.rewinds_without_rows
        self.counts["windows of several units"] += world.servers.truth.several_units
        self.counts.update({f"metric {name}": count for name, count in world.servers.metrics.counts.items()})


class Simulation(RuleBasedStateMachine):
    """One run: a world, the rules that were played in it, and its healing at the end."""

    tally = Tally()
    two_step = False

    def __init__(self) -> None:
        super().__init__()
        self.world = World(two_step=self.two_step)
        self._played: list[tuple[str, Sequence[int]]] = []
        self._broken = False
        self._offered: Sequence[str] = ()

    @initialize(
        consumers=st.integers(1, CONSUMERS),
        troubles=st.tuples(*[st.booleans()] * len(TROUBLE)),
        favoured=st.sets(st.sampled_from(list(TROUBLE)), max_size=3),
    )
    def begin(self, consumers: int, troubles: tuple[bool, ...], favoured: set[str]) -> None:
        """Choose the troubles of this run, and those that come most often; start an emitter and some consumers."""
        present = favoured | {name for name, there in zip(TROUBLE, troubles, strict=True) if there}
        self._offered = [
            name
            for name, spec in RULES.items()
            if name in PROGRESS or name in present
            for _ in range(spec.weight * (_FAVOUR if name in favoured else 1))
        ]
        for _ in range(1 + consumers):
            self.play("start")

    @rule(place=st.sampled_from(range(_CHOICES)), a=_NUMBER, b=_NUMBER, c=_NUMBER)
    def step(self, place: int, a: int, b: int, c: int) -> None:
        """Play one rule; one that means nothing now gives way to the one that lets a thread run."""
        name = self._offered[place * len(self._offered) // _CHOICES]
        spec = RULES[name]
        if not spec.when(self.world):
            name = ("run", "go_on")[c % 2]
            spec = RULES[name]
        self.play(name, *(a, b, c)[: spec.numbers])

    def play(self, name: str, *numbers: int) -> None:
        """Play a rule; remember it first, for the script of a failing run."""
        self._played.append((name, numbers))
        self.tally.steps += 1
        self._guard(lambda: self.world.play(name, *numbers))

    def teardown(self) -> None:
        """Let everything heal, and check the end."""
        try:
            if not self._broken:
                self._guard(lambda: heal(self.world))
        finally:
            self.tally.add(self.world)
            self.world.close()

    def _guard(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:
            self._broken = True
            # Hypothesis plays the smallest failing run last: that one remains.
            type(self).tally.failing = Script(rules=tuple(self._played), violation=str(error), two_step=self.two_step)
            raise
