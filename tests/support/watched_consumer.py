"""The command `icehaul` with a watch over itself: ``python -m tests.support.watched_consumer LOG ARGUMENT…``.

Each connection, name look-up, file that is opened and process that is started by Python code becomes a line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consumer.entrypoints.cli.main import main

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass(frozen=True, slots=True)
class Act:
    """What a process did: ``connect`` to an address, ``resolve`` a name, ``open`` or ``write`` a file, ``start``."""

    kind: str
    what: str


def watch(log: Path) -> None:
    """Note from now on what this process does; there is no end to it."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        note = _NOTES.get(event)
        if note is not None:
            kind, what = note(arguments)
            os.write(descriptor, json.dumps([kind, what]).encode() + b"\n")

    sys.addaudithook(hook)


def acts(log: Path) -> list[Act]:
    """Return what was noted so far."""
    return [Act(*json.loads(line)) for line in log.read_text(encoding="utf-8").splitlines()]


def _opened(arguments: tuple[Any, ...]) -> tuple[str, str]:
    path, _mode, flags = arguments
    return ("write" if flags is not None and flags & _WRITING else "open"), _text(path)


def _text(value: object) -> str:
    return os.fsdecode(value) if isinstance(value, str | bytes | os.PathLike) else repr(value)


_NOTES: dict[str, Callable[[tuple[Any, ...]], tuple[str, str]]] = {
    "socket.connect": lambda arguments: ("connect", repr(arguments[1])),
    "socket.getaddrinfo": lambda arguments: ("resolve", f"{arguments[0]}:{arguments[1]}"),
    "socket.gethostbyname": lambda arguments: ("resolve", str(arguments[0])),
    "open": _opened,
    "os.remove": lambda arguments: ("write", _text(arguments[0])),
    "os.mkdir": lambda arguments: ("write", _text(arguments[0])),
    "os.rename": lambda arguments: ("write", _text(arguments[1])),
    "os.system": lambda arguments: ("start", _text(arguments[0])),
    "os.exec": lambda arguments: ("start", _text(arguments[0])),
    "os.posix_spawn": lambda arguments: ("start", _text(arguments[0])),
    "subprocess.Popen": lambda arguments: ("start", " ".join(map(_text, arguments[1]))),
    "ctypes.dlopen": lambda arguments: ("open", _text(arguments[0])),
}

if __name__ == "__main__":
    watch(Path(sys.argv.pop(1)))
    main()
