"""icehaul as it was installed from its wheel: started outside of the checkout, and asked where its code is."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.waiting import wait_until

_WHERE = """
import consumer, schemas, spark
from importlib.resources import files
for package in (consumer, schemas, spark):
    assert (files(package) / "py.typed").is_file(), package
    print(package.__file__)
"""
_OF_A_CHECKOUT = ("PYTHON", "VIRTUAL_ENV", "ICEHAUL_")


@dataclass(frozen=True)
class Installed:
    """The command of an environment, and the directory that it runs in."""

    environment: Path
    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def packages(self) -> list[Path]:
        """Return the files of the packages that the command imports; they have to be marked as typed."""
        python = str(self.environment / "bin" / "python")
        return [Path(line) for line in self._run(python, "-c", _WHERE).splitlines()]

    def output(self, *arguments: str) -> str:
        """Run a command to its end, which has to be a success, and return what it wrote to standard output."""
        return self._run(self._command, *arguments)

    @contextmanager
    def running(self, *arguments: str, until: str) -> Iterator[None]:
        """Run a command in the background until its log has said this; it is ended with the block."""
        log = self.folder / f"{arguments[0]}.log"
        with log.open("wb") as output:
            popen = subprocess.Popen(
                [self._command, *arguments],
                cwd=self.folder,
                env=self._surroundings(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:

            def said() -> bool:
                text = log.read_text("utf-8", "replace")
                assert popen.poll() is None or until in text, text[-3000:]
                return until in text

            wait_until(said, seconds=180, what=f"{until!r} in {log}")
            yield
        finally:
            popen.terminate()
            assert popen.wait(60) == 0, log.read_text("utf-8", "replace")[-3000:]

    @property
    def _command(self) -> str:
        return str(self.environment / "bin" / "icehaul")

    def _run(self, *words: str) -> str:
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self._surroundings(),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def _surroundings(self) -> dict[str, str]:
        """Nothing of the checkout's own environment."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OF_A_CHECKOUT)}
        return kept | {"PATH": f"{self.environment / 'bin'}:{os.environ['PATH']}", **self.variables}
