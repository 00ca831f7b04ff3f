"""The consumer process: poll loop, outbox relay, watches and audits, until a signal ends them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import Protocol

import structlog

from consumer.entrypoints.reload import Reload
from consumer.entrypoints.service_manager import Phase

_IMMEDIATE_SECONDS = 5.0
"""How long an immediate end may take before the process is ended without further ado."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_log = structlog.get_logger(__name__)


class Loop(Protocol):
    """The poll loop."""

    def run(self) -> None:
        """Work until told to stop."""
        ...

    def stop(self) -> None:
        """Ask for an orderly end."""
        ...

    def stop_now(self) -> None:
        """Ask for an immediate end."""
        ...


class Relay(Protocol):
    """The outbox relay."""

    def run(self, stop: threading.Event, interval: timedelta) -> None:
        """Relay every ``interval`` until ``stop`` is set."""
        ...


class Watch(Protocol):
    """A watch over all streams."""

    def run(self, stop: threading.Event, interval: timedelta) -> None:
        """Look every ``interval`` until ``stop`` is set; raises nothing, whatever fails."""
        ...


class Audits(Protocol):
    """Audits beside the work."""

    def run(self, stop: threading.Event) -> None:
        """Audit what is due until ``stop`` is set."""
        ...


class Worker:
    """One consumer process; :meth:`run` belongs into the main thread, for the signals' sake.

    ``watches`` look at all streams, each at its interval; the name is its thread's. With ``reload`` the work ends in
    the same orderly way where a new configuration is to take effect; to begin anew is for the caller.
    """

    def __init__(
        self,
        *,
        loop: Loop,
        relay: Relay,
        relay_interval: timedelta,
        watches: Mapping[str, tuple[Watch, timedelta]],
        audits: Audits | None = None,
        reload: Reload | None = None,
    ) -> None:
        self._loop = loop
        self._relay = relay
        self._relay_interval = relay_interval
        self._watches = dict(watches)
        self._audits = audits
        self._reload = reload
        self._stopping = threading.Event()
        self._signals = 0
        self._error: BaseException | None = None
        self._ended = threading.Event()

    @property
    def phase(self) -> Phase:
        """Where the process is in its life."""
        if self._signals:
            return Phase.STOPPING
        return Phase.RELOADING if self._reload is not None and self._reload.accepted else Phase.WORKING

    def run(self) -> int:
        """Run until SIGTERM or SIGINT (or until the configuration is to be loaded anew), and return the exit code: 0.

        The first signal lets running work finish within its deadline, the second ends without waiting for it.

        Raises:
            IcehaulError: if the process can't work as configured.
        """
        threads = [
            threading.Thread(target=self._run_loop, name="icehaul-poll", daemon=True),
            threading.Thread(target=self._run_relay, name="icehaul-relay", daemon=True),
            *(
                threading.Thread(
                    target=watch.run, args=(self._stopping, interval), name=f"icehaul-{name}-watch", daemon=True
                )
                for name, (watch, interval) in self._watches.items()
            ),
        ]
        if self._audits is not None:
            threads.append(
                threading.Thread(target=self._audits.run, args=(self._stopping,), name="icehaul-audit", daemon=True)
            )
        with self._handling_signals():
            for thread in threads:
                thread.start()
            # A wait without a time limit could not be interrupted by a signal on every platform.
            while not self._ended.wait(0.5):
                if self._reload is not None and not self._signals and self._reload.wanted():
                    self._loop.stop()
            self._stopping.set()
            for thread in threads:
                thread.join(_IMMEDIATE_SECONDS)
        if self._error is not None:
            raise self._error
        _log.info("consumer.stopped")
        return 0

    @contextmanager
    def _handling_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        if self._reload is not None:
            self._reload.give_up()
        if self._signals == 1:
            self._loop.stop()
            return
        self._loop.stop_now()
        ending = threading.Timer(_IMMEDIATE_SECONDS, os._exit, (128 + number,))
        ending.daemon = True
        ending.start()

    def _run_loop(self) -> None:
        try:
            self._loop.run()
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            self._error = self._error or error
        finally:
            self._ended.set()

    def _run_relay(self) -> None:
        try:
            self._relay.run(self._stopping, self._relay_interval)
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            # Without the relay, dependants are woken by their ticks only: better to end, and be started again.
            self._error = self._error or error
            self._loop.stop()
