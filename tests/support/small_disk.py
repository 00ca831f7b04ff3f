"""A disk of a few megabytes, to be filled up: a tmpfs, where this process may mount one."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_BALLAST = "ballast"
_BLOCK = 64 * 1024


@dataclass(frozen=True)
class SmallDisk:
    """A mounted disk."""

    path: Path

    def fill(self) -> None:
        """Use up all space that is left."""
        file = os.open(self.path / _BALLAST, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            for block in (b"\0" * _BLOCK, b"\0" * 512):
                self._fill(file, block)
        finally:
            os.close(file)

    def free(self) -> None:
        """Give the space back that :meth:`fill` has used."""
        (self.path / _BALLAST).unlink()

    @staticmethod
    def _fill(file: int, block: bytes) -> None:
        try:
            while os.write(file, block) == len(block):
                pass
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


@contextmanager
def small_disk_if_permitted(path: Path, *, mib: int) -> Iterator[SmallDisk | str]:
    """Mount a disk at ``path``, which is made if need be; its files are gone with the block.

    Where that is not permitted the directory is an ordinary one, and the reason is yielded instead.
    """
    path.mkdir(parents=True, exist_ok=True)
    refusal = _mount(path, mib)
    try:
        yield SmallDisk(path) if refusal is None else refusal
    finally:
        if refusal is None:
            # Lazily: a process that was killed a moment ago may still hold a file.
            subprocess.run(["umount", "--lazy", str(path)], check=True)


@contextmanager
def small_disk(path: Path, *, mib: int) -> Iterator[SmallDisk]:
    """The same, but the test is skipped where it is not permitted."""
    with small_disk_if_permitted(path, mib=mib) as disk:
        if isinstance(disk, str):
            pytest.skip(disk)
        yield disk


def _mount(path: Path, mib: int) -> str | None:
    command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=0755", "icehaul-small-disk", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "a small disk needs the program mount"
    return None if done.returncode == 0 else f"a small disk needs the right to mount one: {done.stderr.strip()}"
