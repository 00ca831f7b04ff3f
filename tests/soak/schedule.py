"""What goes wrong, and when: drawn from a seed, the same for the same seed and number of ticks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

DAY_TICKS = 96
_QUIET_TICKS = 1
"""At the beginning: every stream has a table then."""
_LONG_FROM = 2 * DAY_TICKS


class Trouble(StrEnum):
    """What happens to the platform; each kind at least once."""

    LATE_ROWS = "late rows"
    TTL = "TTL"
    COLUMN = "a column is added"
    RESTART = "a consumer is restarted"
    KILL = "a consumer is killed"
    KILL_EMITTER = "the emitter is killed"
    BROKER = "the broker is away"
    LEDGER = "Postgres is away"
    SOURCE = "ClickHouse is away"
    STORE = "the store is away"
    AHEAD = "ClickHouse's clock jumps ahead"
    BEHIND = "ClickHouse's clock jumps back"
    LONG_BROKER = "the broker is away for a quarter hour"
    LONG_LEDGER = "Postgres is away for a quarter hour"
    LONG_STORE = "the store is away for a quarter hour"


LONG = (Trouble.LONG_BROKER, Trouble.LONG_LEDGER, Trouble.LONG_STORE)
"""Outages over a whole tick: of a thousand lags, the longest ten are theirs."""

_DAILY: Mapping[Trouble, int] = {
    Trouble.LATE_ROWS: 8,
    Trouble.RESTART: 2,
    Trouble.KILL: 3,
    Trouble.KILL_EMITTER: 2,
    Trouble.BROKER: 1,
    Trouble.LEDGER: 2,
    Trouble.SOURCE: 2,
    Trouble.STORE: 2,
}
"""How often a day."""
_COLUMNS = 2
"""Tables that get a column, in a soak of more than a day."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The troubles of each tick.

    Attributes:
        ticks: how many quarter hours there are.
        troubles: what happens in a tick, by its number from 0; no entry for nothing.
    """

    ticks: int
    troubles: Mapping[int, Sequence[Trouble]]

    def at(self, tick: int) -> Sequence[Trouble]:
        """Return what happens in a tick."""
        return self.troubles.get(tick, ())

    def first(self, ticks: int) -> Schedule:
        """Return the part of so many ticks that was played."""
        return Schedule(ticks, {tick: found for tick, found in self.troubles.items() if tick < ticks})

    def count(self, trouble: Trouble) -> int:
        """Return how often something happens."""
        return sum(found.count(trouble) for found in self.troubles.values())

    def lines(self) -> list[str]:
        """Return it for people."""
        return [f"tick {tick}: {', '.join(found)}" for tick, found in sorted(self.troubles.items())]


def draw(ticks: int, seed: int) -> Schedule:
    """Draw a schedule.

    Args:
        ticks: quarter hours, 8 at least.
        seed: of the random numbers.

    Raises:
        ValueError: if there are too few ticks for every kind of trouble.
    """
    if ticks < DAY_TICKS // 12:
        raise ValueError(f"ticks: {ticks} are too few for every kind of trouble: take {DAY_TICKS // 12} at least")
    random = Random(seed)
    found: dict[int, list[Trouble]] = defaultdict(list)
    # What makes rows come later than a tick takes ticks of its own; the last two let everything arrive.
    places = list(range(_QUIET_TICKS, ticks - 2))
    for trouble, taken in _alone(ticks, random):
        free = set(places)
        tick = random.choice([one for one in places if free.issuperset(range(one, one + taken))])
        found[tick].append(trouble)
        places = [one for one in places if not tick <= one < tick + taken]
    days = ticks / DAY_TICKS
    for trouble, daily in _DAILY.items():
        for _ in range(max(1, round(daily * days))):
            found[random.choice(places)].append(trouble)
    for trouble in (Trouble.COLUMN,) * min(_COLUMNS, max(1, round(days))):
        found[random.choice(places)].append(trouble)
    for tick in list(range(DAY_TICKS - 1, ticks - 2, DAY_TICKS)) or [random.choice(places)]:
        found[tick].append(Trouble.TTL)
    return Schedule(ticks, {tick: tuple(troubles) for tick, troubles in found.items()})


def _alone(ticks: int, random: Random) -> list[tuple[Trouble, int]]:
    """What needs ticks of its own, and how many: at worst that many come late."""
    long = random.sample(LONG, 2) if ticks >= _LONG_FROM else []
    return [(Trouble.AHEAD, 2), (Trouble.BEHIND, 1), *((trouble, 1) for trouble in long)]
