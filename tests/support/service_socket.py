"""A stand-in for systemd's end of the notification socket, which keeps what it is told."""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Self


class ServiceSocket:
    """Listens at an abstract name (``@…``) or a path, as ``NOTIFY_SOCKET`` says it; use it as a context manager."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self.lines: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        while text := self._socket.recv(4096).decode():
            self.lines += text.splitlines()

    def told(self, *names: str) -> list[str]:
        """What was told under these names (all but the watchdog's without any), in its order."""
        return [line for line in self.lines if (line.partition("=")[0] in names if names else "WATCHDOG" not in line)]
