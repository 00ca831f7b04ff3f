"""How troubles are made: processes that end, servers that are away."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from random import Random

from consumer.embedded.component import ComponentName
from tests.soak.schedule import Trouble
from tests.soak.stage import EMITTER, PASSING, SoakStage

OUTAGES: Mapping[Trouble, ComponentName] = {
    Trouble.BROKER: ComponentName.KAFKA,
    Trouble.LEDGER: ComponentName.POSTGRES,
    Trouble.SOURCE: ComponentName.CLICKHOUSE,
    Trouble.STORE: ComponentName.STORE,
    Trouble.LONG_BROKER: ComponentName.KAFKA,
    Trouble.LONG_LEDGER: ComponentName.POSTGRES,
    Trouble.LONG_STORE: ComponentName.STORE,
}
_FROZEN = {ComponentName.KAFKA, ComponentName.CLICKHOUSE}
_SOON_S = (0.0, 0.8)
"""After how many seconds of a tick something happens: while its batches are under way."""
_AWAY_S = (0.5, 2.5)
_LONG_AWAY_S = 4.0
"""For how many seconds everybody works in vain in a quarter hour that has no server."""


class Disturbance:
    """Ends processes and servers of a stage, at moments drawn from ``random``, and starts them again."""

    def __init__(self, stage: SoakStage, random: Random) -> None:
        self._stage = stage
        self._random = random
        self._pause = threading.Event()
        self._away: ComponentName | None = None
        self._outages = Counter[ComponentName]()

    @property
    def away(self) -> bool:
        """Whether a server is away for a whole quarter hour."""
        return self._away is not None

    def happen(self, trouble: Trouble) -> None:
        """Let something happen, and everything be there again; does nothing for troubles of other kinds."""
        if trouble not in _BRIEF:
            return
        self._pause.wait(self._random.uniform(*_SOON_S))
        if trouble in OUTAGES:
            self._outage(OUTAGES[trouble])
        elif trouble is Trouble.KILL_EMITTER:
            self._stage.kill(EMITTER)
            self._stage.start(EMITTER)
        else:
            end = self._stage.kill if trouble is Trouble.KILL else self._stage.terminate
            end(PASSING)
            self._stage.start(PASSING)

    def _outage(self, component: ComponentName) -> None:
        """Let a server be away for seconds; those that start slowly are frozen and killed in turn."""
        stack = self._stage.stack
        self._outages[component] += 1
        freeze = component in _FROZEN and self._outages[component] % 2 == 1
        leave, return_ = (
            (stack.pause_component, stack.resume_component) if freeze else (stack.kill_component, stack.start_component)
        )
        leave(component)
        self._pause.wait(self._random.uniform(*_AWAY_S))
        return_(component)

    def take_away(self, trouble: Trouble) -> None:
        """Let a server be away until :meth:`bring_back`."""
        self._away = OUTAGES[trouble]
        self._stage.stack.kill_component(self._away)

    def endure(self) -> None:
        """Let those who need the server try for a while."""
        self._pause.wait(_LONG_AWAY_S)

    def bring_back(self) -> None:
        """Start what is away, if anything is."""
        if self._away is not None:
            self._stage.stack.start_component(self._away)
            self._away = None


_BRIEF = {
    Trouble.RESTART,
    Trouble.KILL,
    Trouble.KILL_EMITTER,
    Trouble.BROKER,
    Trouble.LEDGER,
    Trouble.SOURCE,
    Trouble.STORE,
}
