"""A server that nobody is meant to reach, and everything that a stranger may write to name it."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any, Self

_HOST = "127.0.0.1"


class Bait:
    """Listens on a port of its own and counts who comes."""

    def __init__(self) -> None:
        self._listener = socket.create_server((_HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        self.visitors = 0

    @property
    def values(self) -> tuple[Any, ...]:
        """Host, URLs, DSNs, table functions and more that lead here."""
        place = f"{_HOST}:{self.port}"
        return (
            place,
            f"http://{place}/x",
            f"postgresql://me:x@{place}/x",
            f"sc://{place}",
            f"s3://{place}/bucket/key",
            f"s3('http://{place}/b/k', 'Parquet')",
            f"url('http://{place}/x', 'CSV')",
            f"remote('{place}', system.one)",
            f"${{jndi:ldap://{place}/x}}",
            {"host": _HOST, "port": self.port, "bootstrap_servers": place, "endpoint": f"http://{place}"},
        )

    def __enter__(self) -> Self:
        threading.Thread(target=self._take, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _take(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                visitor, _ = self._listener.accept()
                self.visitors += 1
                visitor.close()
