"""An end to waiting for a server that keeps the connection open and says nothing."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from datetime import timedelta
from typing import Any, Self

import psycopg


class Watchdog:
    """While it is entered, shuts the connection's socket down after ``limit``: the waiting call fails at once.

    Keepalives don't help there: the kernel of a frozen server's machine goes on answering them.
    """

    def __init__(self, connection: psycopg.Connection[Any], limit: timedelta) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._over = False
        self._timer = threading.Timer(limit.total_seconds(), self._bite)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            self._over = True

    def _bite(self) -> None:
        with self._lock, contextlib.suppress(OSError, psycopg.Error):
            if not self._over:
                duplicate = socket.socket(fileno=os.dup(self._connection.fileno()))
                with duplicate:
                    duplicate.shutdown(socket.SHUT_RDWR)
