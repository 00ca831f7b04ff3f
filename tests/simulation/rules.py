"""The rules of a run, and which of them belong to every run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.simulation.processes import ConsumerProcess
from tests.simulation.world import CONSUMERS, World


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the world: how many numbers it takes, how often it is offered, and when it means anything."""

    numbers: int = 0
    weight: int = 1
    when: Callable[[World], bool] = lambda _: True


def _living(world: World) -> bool:
    return bool(world.processes)


PROGRESS: Mapping[str, Rule] = {
    "run": Rule(2, weight=14),
    "go_on": Rule(1, weight=10),
    "leap": Rule(1, weight=5),
    "feed": Rule(2, weight=8),
    "insert": Rule(3, weight=3),
    "tick": Rule(2, weight=2),
    "start": Rule(weight=2, when=lambda world: len(world.of(ConsumerProcess)) < CONSUMERS),
    "backfill": Rule(3, weight=2),
    "thaw": Rule(1, weight=2, when=lambda world: any(each.frozen for each in world.processes.values())),
    "restore": Rule(1, weight=4, when=lambda world: bool(world.servers.network.down)),
    "put_back": Rule(1, weight=2, when=lambda world: bool(world.servers.truth.rolled_back)),
    "finish": Rule(
        1,
        weight=3,
        when=lambda world: bool(world.servers.database.under_way or world.servers.catalog.under_way),
    ),
}
"""Rules that belong to every run."""

TROUBLE: Mapping[str, Rule] = {
    "fault": Rule(2, weight=6),
    "oversleep": Rule(1, weight=3),
    "crash_at": Rule(1, weight=3),
    "stop": Rule(1, when=_living),
    "crash": Rule(1, when=_living),
    "freeze": Rule(1, when=_living),
    "skew": Rule(2),
    "outage": Rule(1),
    "repeat_row": Rule(2),
    "remove_rows": Rule(2),
    "change_row": Rule(2),
    "garbage": Rule(1),
    "repeat_event": Rule(2),
    "lose_event": Rule(2),
    "expel": Rule(1, when=lambda world: bool(world.servers.broker.members)),
    "reassign": Rule(when=lambda world: bool(world.servers.broker.members)),
    "replay": Rule(2, when=lambda world: bool(world.servers.broker.committed)),
    "interfere": Rule(1, weight=2),
    "foreign": Rule(2, weight=2, when=lambda world: bool(world.servers.catalog.tables)),
    "roll_back": Rule(2, when=lambda world: bool(world.servers.catalog.tables)),
    "operate": Rule(2),
    "call_off": Rule(1, when=lambda world: bool(world.servers.ledger.backfills.all(["bars", "quotes"]))),
    "repair": Rule(1, when=lambda world: bool(world.servers.catalog.tables)),
    "rewind": Rule(2, when=lambda world: bool(world.servers.catalog.tables)),
    "replace_rows": Rule(1, weight=2, when=lambda world: bool(world.servers.catalog.tables)),
}
"""Rules of which each run has some only: what always happens hides what it hides."""

RULES = {**PROGRESS, **TROUBLE}
