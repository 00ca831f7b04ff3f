"""Temporary files of requests: bodies, results and pipes. None survives its request or the server's start."""

from __future__ import annotations

import itertools
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Spool:
    """A private directory with a new name for every use."""

    def __init__(self, directory: Path) -> None:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(mode=0o700, parents=True)
        self._directory = directory
        self._mention = re.compile(rf"\(in file/uri {re.escape(str(directory))}/\d+\): ")
        self._numbers = itertools.count(1)

    @contextmanager
    def path(self) -> Iterator[Path]:
        """A path where nothing is yet; what is there afterwards is removed."""
        path = self._directory / f"{next(self._numbers)}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    @contextmanager
    def pipe(self) -> Iterator[Path]:
        """A named pipe."""
        with self.path() as path:
            os.mkfifo(path, mode=0o600)
            yield path

    def hide(self, text: str) -> str:
        """The text without this directory's paths, which mean nothing to a client."""
        return self._mention.sub("", text).replace(f"{self._directory}/", "")
