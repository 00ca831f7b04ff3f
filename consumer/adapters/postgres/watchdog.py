"""An end to waiting for a server that keeps the connection open and says nothing."""

from __future__ import annotations

import contextlib
import heapq
import os
import socket
import threading
import time
from datetime import timedelta
from itertools import count
from typing import Any, Self

import psycopg


class Watchdog:
    """While it is entered, shuts the connection's socket down after ``limit``: the waiting call fails at once.

    Keepalives don't help there: the kernel of a frozen server's machine goes on answering them.
    """

    def __init__(self, connection: psycopg.Connection[Any], limit: timedelta) -> None:
        self._connection = connection
        self._limit = limit
        self._lock = threading.Lock()
        self._over = False

    def __enter__(self) -> Self:
        _KENNEL.keep(self, time.monotonic() + self._limit.total_seconds())
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._over = True

    def bite(self) -> None:
        """Shut the socket down, unless the block has ended."""
        with self._lock, contextlib.suppress(OSError, psycopg.Error):
            if not self._over:
                duplicate = socket.socket(fileno=os.dup(self._connection.fileno()))
                with duplicate:
                    duplicate.shutdown(socket.SHUT_RDWR)


class _Kennel:
    """The one thread behind all watchdogs of a process: a thread for each transaction would cost more than most take.

    A watchdog whose block has ended stays until its time is over, so that neither entering nor leaving wakes the
    thread while an earlier one is kept.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._kept: list[tuple[float, int, Watchdog]] = []
        self._numbers = count()
        self._thread: threading.Thread | None = None

    def keep(self, watchdog: Watchdog, until: float) -> None:
        """Let a watchdog bite at a time of the monotonic clock."""
        with self._changed:
            heapq.heappush(self._kept, (until, next(self._numbers), watchdog))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="icehaul-watchdog", daemon=True)
                self._thread.start()
            elif self._kept[0][2] is watchdog:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            self._next().bite()

    def _next(self) -> Watchdog:
        """Wait for the watchdog whose time is over next."""
        with self._changed:
            while not self._kept or self._kept[0][0] > time.monotonic():
                self._changed.wait(self._kept[0][0] - time.monotonic() if self._kept else None)
            return heapq.heappop(self._kept)[2]


_KENNEL = _Kennel()
