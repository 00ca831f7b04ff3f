"""Whether the servers that a process needs can be used now."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from consumer.adapters.telemetry.redaction import scrub
from consumer.service.runtime.deadline import Deadline

Probe = Callable[[], object]
"""Does a small real operation; raises whatever tells that it failed."""


@dataclass(slots=True)
class _Run:
    thread: threading.Thread
    state: list[str] = field(default_factory=list)


class Readiness:
    """Runs probes side by side, each within a time-out.

    A probe that hangs is left to itself and not started again before it has come back, so that a scraper
    can't pile up threads.

    Args:
        probes: by the name of the dependency.
        timeout: seconds that all probes have together.
    """

    def __init__(self, probes: Mapping[str, Probe], *, timeout: float = 3.0) -> None:
        self._probes = dict(probes)
        self._timeout = timeout
        self._runs: dict[str, _Run] = {}
        self._lock = threading.Lock()

    def probe(self) -> Mapping[str, str]:
        """Return each dependency's state: ``ok``, or what is wrong with it."""
        deadline = Deadline.after(self._timeout)
        with self._lock:
            runs = {name: self._running(name, probe) for name, probe in self._probes.items()}
        states: dict[str, str] = {}
        for name, run in runs.items():
            run.thread.join(deadline.remaining)
            states[name] = run.state[0] if run.state else f"no answer within {self._timeout:g} s"
        return states

    def _running(self, name: str, probe: Probe) -> _Run:
        run = self._runs.get(name)
        if run is not None and run.thread.is_alive():
            return run
        state: list[str] = []

        def execute() -> None:
            try:
                probe()
            except Exception as error:  # noqa: BLE001 - a probe's failure is its answer
                state.append(scrub(f"{type(error).__name__}: {error}"))
            else:
                state.append("ok")

        run = _Run(threading.Thread(target=execute, name=f"icehaul-probe-{name}", daemon=True), state)
        self._runs[name] = run
        run.thread.start()
        return run
