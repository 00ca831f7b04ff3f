"""A server that answers slowly: every answer waits, whatever it says."""

from __future__ import annotations

import threading

from tests.support.tcp_proxy import Link, TcpProxy


class SlowProxy(TcpProxy):
    """Holds back the beginning of every answer for ``delay`` seconds; connections do not wait for each other."""

    def __init__(self, upstream_port: int, *, delay: float) -> None:
        super().__init__(upstream_port)
        self.delay = delay
        self.answers = 0
        self._asked: set[Link] = set()
        self._pause = threading.Event()

    def from_client(self, link: Link, data: bytes) -> None:
        """Pass a question on at once."""
        self._asked.add(link)
        super().from_client(link, data)

    def from_server(self, link: Link, data: bytes) -> None:
        """Hold the beginning of an answer back."""
        if link in self._asked:
            self._asked.discard(link)
            self.answers += 1
            self._pause.wait(self.delay)
        super().from_server(link, data)
