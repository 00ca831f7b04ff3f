"""A campaign: so many inputs from one seed, and what became of them."""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from types import FrameType

from tests.fuzz import configurations, events, messages, surroundings

_AT_ONCE = 5_000
_MOST_FAILURES = 20
_HANGS_AFTER_S = 5.0
"""Seconds of the processor's time after which an input counts as one that hangs; a busy machine does not count."""


class Kind(StrEnum):
    """What is fuzzed."""

    EVENTS = "events"
    CONFIGURATIONS = "configurations"
    SURROUNDINGS = "surroundings"
    """Environment variables and secret files around a configuration."""


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
            started = time.process_time()
            try:
                with _no_hang():
                    outcome = judge()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
                outcome = "failure"
                found.failures.append(f"{type(error).__name__}: {str(error)[:300]}; input: {made[:2_000]}")
            found.longest_seconds = max(found.longest_seconds, time.process_time() - started)
            found.outcomes[f"{kind}: {outcome}"] += 1
            found.inputs += 1
    return found


def _attempt(kind: Kind, chance: random.Random, directory: Path) -> Callable[[], tuple[str, Callable[[], str]]]:
    if kind is Kind.EVENTS:

        def event() -> tuple[str, Callable[[], str]]:
            sent = messages.message(chance)
            return repr(sent), partial(events.judge, sent)

        return event
    example, file = configurations.document(), directory / "icehaul.yaml"
    if kind is Kind.SURROUNDINGS:

        def around() -> tuple[str, Callable[[], str]]:
            given = surroundings.surroundings(chance, example)
            return repr(given), partial(surroundings.judge, directory, given)

        return around

    def configuration() -> tuple[str, Callable[[], str]]:
        written = configurations.text(chance, example)
        return repr(written), partial(configurations.judge, file, written)

    return configuration


@contextmanager
def _no_hang() -> Iterator[None]:
    """Raise ``TimeoutError`` in what takes too much of the processor's time."""

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"more than {_HANGS_AFTER_S} s of the processor's time")

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, _HANGS_AFTER_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def campaign(totals: Mapping[Kind, int], seed: int, *, workers: int) -> Iterator[Outcome]:
    """Play so many inputs of each kind in several processes; yield what it has come to after each part."""
    parts = [
        (kind, min(_AT_ONCE, total - start), seed * 1_000_003 + start)
        for kind, total in totals.items()
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
