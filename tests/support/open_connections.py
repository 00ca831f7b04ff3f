"""The TCP connections of a process and its descendants, as the kernel tells: C libraries' and the JVM's, too."""

from __future__ import annotations

import re
import socket
import struct
import threading
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

from tests.support.processes import family

_LISTENS = "0A"
_PERIOD_S = 0.02


class Address(NamedTuple):
    """One end of a connection."""

    host: str
    port: int


class ConnectionWatch:
    """Looks at the connections again and again; ``remote`` are all peers that were seen outside of the family."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._peers: set[Address] = set()
        self._own: set[int] = set()

    @property
    def remote(self) -> set[Address]:
        """The peers that are no process of the family themselves, and to which it did connect."""
        return {peer for peer in self._peers if peer.port not in self._own}

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_PERIOD_S):
            self._look()

    def _look(self) -> None:
        inodes = {inode for pid in family(self._pid) for inode in _sockets(pid)}
        found = [line.split() for name in ("tcp", "tcp6") for line in _lines(name)]
        mine = [fields for fields in found if fields[9] in inodes]
        listening = {_address(fields[1]).port for fields in mine if fields[3] == _LISTENS}
        for fields in mine:
            local, peer = _address(fields[1]), _address(fields[2])
            self._own.add(local.port)
            # Who connects to a port that the family listens on is a client of its own accord.
            if fields[3] != _LISTENS and local.port not in listening:
                self._peers.add(peer)


def _sockets(pid: int) -> set[str]:
    found: set[str] = set()
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                match = re.fullmatch(r"socket:\[(\d+)\]", str(entry.readlink()))
                found |= {match[1]} if match else set()
    return found


def _lines(name: str) -> list[str]:
    with suppress(OSError):
        return Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    return []


def _address(text: str) -> Address:
    host, _, port = text.partition(":")
    words = bytes.fromhex(host)
    # The kernel writes each word of four bytes in its own order.
    packed = b"".join(struct.pack(">I", *struct.unpack("=I", words[at : at + 4])) for at in range(0, len(words), 4))
    family_ = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    return Address(socket.inet_ntop(family_, packed).removeprefix("::ffff:"), int(port, 16))
