"""A campaign: so many inputs from one seed, and what became of them."""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path

from tests.fuzz import configurations, events

_AT_ONCE = 5_000
_MOST_FAILURES = 20


class Kind(StrEnum):
    """What is fuzzed."""

    EVENTS = "events"
    CONFIGURATIONS = "configurations"


@dataclass(slots=True)
class Outcome:
    """What became of the inputs; ``failures`` are the inputs that were answered wrongly, with what was wrong."""

    inputs: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    longest_seconds: float = 0.0
    failures: list[str] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        """Add what became of further inputs."""
        self.inputs += other.inputs
        self.outcomes.update(other.outcomes)
        self.longest_seconds = max(self.longest_seconds, other.longest_seconds)
        self.failures = (self.failures + other.failures)[:_MOST_FAILURES]


def play(kind: Kind, inputs: int, seed: int) -> Outcome:
    """Make inputs from a seed, and judge them one by one."""
    chance = random.Random(f"{kind} {seed}")
    found = Outcome()
    with tempfile.TemporaryDirectory() as directory:
        attempt = _attempt(kind, chance, Path(directory))
        for _ in range(inputs):
            made, judge = attempt()
            started = time.perf_counter()
            try:
                outcome = judge()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
                outcome = "failure"
                found.failures.append(f"{type(error).__name__}: {str(error)[:300]}; input: {made[:2_000]}")
            found.longest_seconds = max(found.longest_seconds, time.perf_counter() - started)
            found.outcomes[f"{kind}: {outcome}"] += 1
            found.inputs += 1
    return found


def _attempt(kind: Kind, chance: random.Random, directory: Path) -> Callable[[], tuple[str, Callable[[], str]]]:
    if kind is Kind.EVENTS:

        def event() -> tuple[str, Callable[[], str]]:
            sent = events.message(chance)
            return repr(sent), partial(events.judge, sent)

        return event
    example, file = configurations.document(), directory / "icehaul.yaml"

    def configuration() -> tuple[str, Callable[[], str]]:
        written = configurations.text(chance, example)
        return repr(written), partial(configurations.judge, file, written)

    return configuration


def campaign(events_: int, configurations_: int, seed: int, *, workers: int) -> Iterator[Outcome]:
    """Play a campaign in several processes, and yield what it has come to after each part."""
    parts = [
        (kind, min(_AT_ONCE, total - start), seed * 1_000_003 + start)
        for kind, total in ((Kind.CONFIGURATIONS, configurations_), (Kind.EVENTS, events_))
        for start in range(0, total, _AT_ONCE)
    ]
    whole = Outcome()
    with ProcessPoolExecutor(workers, initializer=_forget_configuration) as pool:
        for found in pool.map(play, *zip(*parts, strict=True)):
            whole.add(found)
            yield whole


def _forget_configuration() -> None:
    """No variable of the surroundings changes what a file says."""
    for name in [name for name in os.environ if name.startswith("ICEHAUL_")]:
        del os.environ[name]
