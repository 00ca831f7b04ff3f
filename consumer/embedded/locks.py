"""Advisory file locks: held by an open file, so released by the kernel however the holder ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from consumer.domain.errors import EmbeddedStackError

_POLL_S = 0.05


class FileLock:
    """An exclusive lock on one file, taken at most once per object."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def try_acquire(self) -> bool:
        """Take the lock if nobody holds it; return whether it is ours now."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_locked(path: Path) -> bool:
    """Whether some live process holds the lock at this moment."""
    if not path.exists():
        return False
    lock = FileLock(path)
    if lock.try_acquire():
        lock.release()
        return False
    return True


@contextlib.contextmanager
def exclusive(path: Path, *, deadline_s: float, purpose: str) -> Iterator[None]:
    """Hold the lock for a block, waiting up to ``deadline_s`` seconds for whoever holds it.

    Raises:
        EmbeddedStackError: if the holder keeps it past the deadline.
    """
    lock = FileLock(path)
    give_up = time.monotonic() + deadline_s
    while not lock.try_acquire():
        if time.monotonic() >= give_up:
            raise EmbeddedStackError(
                f"lock {path} ({purpose}) is still held by another process after {deadline_s:.0f} s",
                remedy="wait for the other process, or end it, then try again",
            )
        time.sleep(_POLL_S)
    try:
        yield
    finally:
        lock.release()
