"""SIGHUP: the process begins anew with the configuration as it stands now, if that can be used."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import structlog

from consumer.domain.errors import IcehaulError

_log = structlog.get_logger(__name__)


class Reload:
    """What SIGHUP asks for; everything here belongs into the main thread.

    A new configuration takes effect by a new start of the program in the same process, after an orderly end: that is
    the way that SIGTERM and the start take, so nothing has to know how to change while it works. A configuration that
    can't be used changes nothing, and the process goes on as it is.

    Args:
        check: loads the configuration as the start would; raises an :class:`IcehaulError` if it can't be used.
    """

    def __init__(self, check: Callable[[], object]) -> None:
        self._check = check
        self._asked = False
        self._accepted = False

    @property
    def accepted(self) -> bool:
        """Whether the process is to begin anew once its work has ended."""
        return self._accepted

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Take SIGHUP for this in the block, which has to begin before the configuration is loaded.

        On a terminal SIGHUP keeps its meaning: the terminal is gone, and the process ends.
        """
        if sys.stdin is not None and sys.stdin.isatty():
            yield
            return
        before = signal.signal(signal.SIGHUP, self._on_hangup)
        try:
            yield
        finally:
            signal.signal(signal.SIGHUP, before)

    def wanted(self) -> bool:
        """Look whether SIGHUP has come since the last look, and the configuration can be used: then end the work."""
        if not self._asked or self._accepted:
            return False
        self._asked = False
        try:
            self._check()
        except IcehaulError as error:
            _log.error("reload.refused", error=error.message, remedy=error.remedy)
            return False
        self._accepted = True
        _log.info("reload.begun")
        return True

    def give_up(self) -> None:
        """Let the process end after all: somebody has asked for that meanwhile."""
        self._accepted = False

    def carry_out(self) -> None:
        """Begin anew, if that was accepted: then this does not return. Belongs inside the block of :meth:`heard`."""
        if not self._accepted:
            return
        # What is ignored stays so over the start. A SIGHUP that comes before the handler is there asks for nothing new:
        # the configuration is loaded after that.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - the process's own command

    def _on_hangup(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True
