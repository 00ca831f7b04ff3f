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
def small_disk(path: Path, *, mib: int, owner: tuple[int, int] = (0, 0)) -> Iterator[SmallDisk]:
    """Mount a disk at ``path``, which is made if need be; its files are gone with the block.

    The test is skipped where mounting is not permitted.
    """
    path.mkdir(parents=True, exist_ok=True)
    uid, gid = owner
    options = f"size={mib}m,mode=0755,uid={uid},gid={gid}"
    try:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "icehaul-small-disk", str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip("a small disk needs the program mount")
    if done.returncode != 0:
        pytest.skip(f"a small disk needs the right to mount one: {done.stderr.strip()}")
    try:
        yield SmallDisk(path)
    finally:
        # Lazily: a process that was killed a moment ago may still hold a file.
        subprocess.run(["umount", "--lazy", str(path)], check=True)
