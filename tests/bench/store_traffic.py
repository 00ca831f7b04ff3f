"""What icehaul's own process reads from the object store and writes to it while a block runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import pytest
from pyiceberg.io import InputFile, OutputFile

from consumer.adapters.iceberg.store import StoreFileIO


@dataclass(slots=True, kw_only=True)
class StoreTraffic:
    """Files that were opened, written and removed, and bytes."""

    opened: int = 0
    read: int = 0
    created: int = 0
    written: int = 0
    removed: int = 0

    def figures(self) -> dict[str, float]:
        """Return them by name."""
        return {
            "files read": self.opened,
            "bytes read": self.read,
            "files written": self.created,
            "bytes written": self.written,
            "files removed": self.removed,
        }


class _Counted:
    """A stream that counts; whatever else is asked of it, the stream itself answers."""

    def __init__(self, stream: Any, count: Callable[[int], None]) -> None:
        self._stream = stream
        self._count = count

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __enter__(self) -> Self:
        self._stream.__enter__()
        return self

    def __exit__(self, *reason: object) -> None:
        self._stream.__exit__(*reason)

    def read(self, *size: int) -> bytes:
        """Read, and count."""
        found: bytes = self._stream.read(*size)
        self._count(len(found))
        return found

    def write(self, content: bytes) -> int:
        """Write, and count."""
        self._count(len(content))
        written: int = self._stream.write(content)
        return written


@contextmanager
def counting_store(traffic: StoreTraffic) -> Iterator[None]:
    """Add to ``traffic`` what goes through the process's file input and output; a task's own writer does not."""
    new_input, new_output, delete = StoreFileIO.new_input, StoreFileIO.new_output, StoreFileIO.delete

    def reads(size: int) -> None:
        traffic.read += size

    def writes(size: int) -> None:
        traffic.written += size

    def counted_input(self: StoreFileIO, location: str) -> InputFile:
        file = new_input(self, location)
        opening = file.open

        def opened(*how: Any, **kinds: Any) -> Any:
            traffic.opened += 1
            return _Counted(opening(*how, **kinds), reads)

        file.open = opened  # type: ignore[method-assign]  # this one file's
        return file

    def counted_output(self: StoreFileIO, location: str) -> OutputFile:
        file = new_output(self, location)
        creating = file.create

        def created(*how: Any, **kinds: Any) -> Any:
            traffic.created += 1
            return _Counted(creating(*how, **kinds), writes)

        file.create = created  # type: ignore[method-assign]  # this one file's
        return file

    def counted_delete(self: StoreFileIO, location: Any) -> None:
        traffic.removed += 1
        delete(self, location)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StoreFileIO, "new_input", counted_input)
        patch.setattr(StoreFileIO, "new_output", counted_output)
        patch.setattr(StoreFileIO, "delete", counted_delete)
        yield
