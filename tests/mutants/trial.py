"""Running selected tests on a copy of the tree, and judging what they said."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.mutants.bug import Bug

TEST_SECONDS = 120.0
"""After this a single test counts as hanging; far above what the slowest one takes without a bug."""
TRIAL_SECONDS = 600.0
"""After this a whole trial is ended."""
SOUND_SECONDS = 3600.0
"""After this all tests together count as hanging without a bug; they are many."""

# What is compiled is copied, too: Python compiles again what has another date or size than it was compiled from.
_NOT_COPIED = shutil.ignore_patterns(".git", ".venv", ".venvs", "var", ".*_cache", ".hypothesis")
_NO_PROOF = ("AttributeError", "ImportError", "ModuleNotFoundError", "NameError", "SyntaxError", "UnboundLocalError")
"""Errors that show a bug which was planted badly, not a guarantee that is watched."""


class Verdict(StrEnum):
    """What became of a planted bug.

    ``BROKEN`` is a bug that says nothing: the tests did not run, or failed because the changed code is no program.
    """

    CAUGHT = "caught"
    HUNG = "caught by the time limit"
    SURVIVED = "survived"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of a trial; ``by`` is the test that failed, ``why`` the first line of its error."""

    name: str
    verdict: Verdict
    by: str
    why: str
    seconds: float

    @property
    def caught(self) -> bool:
        """Whether a test has noticed the bug."""
        return self.verdict in {Verdict.CAUGHT, Verdict.HUNG}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What pytest said.

    Attributes:
        exit_code: pytest's; ``None`` where it was ended.
        failures: tests that failed, each with the first line of its error.
        errors: tests whose fixtures failed, and files that could not be collected, likewise.
        ran: how many tests ran.
        slowest: seconds that the slowest of them took.
        tail: the end of what pytest printed.
    """

    exit_code: int | None
    failures: Sequence[tuple[str, str]]
    errors: Sequence[tuple[str, str]]
    ran: int
    slowest: float
    tail: str
    seconds: float


class Trials:
    """Tries bugs on copies of a source tree under ``scratch``; several may be tried at once."""

    def __init__(self, root: Path, scratch: Path, environment: Mapping[str, str]) -> None:
        self._root = root
        self._scratch = scratch.resolve()
        self._environment = environment
        self._slowest: list[float] = []

    def sound(self, name: str, tests: Sequence[str]) -> Result:
        """Run tests on the tree as it is; only if all are fast there, hanging with a bug counts as noticing it."""
        result = self._run(name, None, tests, SOUND_SECONDS)
        self._slowest.append(result.slowest)
        return result

    def of(self, bug: Bug) -> Outcome:
        """Plant a bug in a copy, run its tests, and judge.

        Raises:
            StaleBugError: if it can't be planted.
        """
        result = self._run(bug.name, bug, bug.tests, TRIAL_SECONDS)
        verdict, (by, why) = _judge(result)
        fast = self._slowest and max(self._slowest) < TEST_SECONDS / 4
        if verdict is Verdict.HUNG and not fast:
            verdict = Verdict.BROKEN
        return Outcome(name=bug.name, verdict=verdict, by=by, why=why, seconds=round(result.seconds, 1))

    def _run(self, name: str, bug: Bug | None, tests: Sequence[str], limit: float) -> Result:
        copy = self._scratch / name
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self._root, copy, ignore=_NOT_COPIED, symlinks=True)
        try:
            if bug is not None:
                bug.plant(copy)
            return self._pytest(copy, tests, limit)
        finally:
            shutil.rmtree(copy, ignore_errors=True)

    def _pytest(self, tree: Path, tests: Sequence[str], limit: float) -> Result:
        report, output = tree / "trial.xml", tree / "trial.txt"
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=line", "-p", "no:cacheprovider", "-p", "no:xdist"]
        # A test that catches a bug may be one of those that `make test` leaves out.
        command += ["-m", ""]
        command += [f"--timeout={TEST_SECONDS}", f"--junitxml={report}", *tests]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "ICEHAUL_"))}
        environment = {**kept, **self._environment, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
        started = time.monotonic()
        with output.open("wb") as sink:
            process = subprocess.Popen(
                command,
                cwd=tree,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                exit_code: int | None = process.wait(limit)
            except subprocess.TimeoutExpired:
                exit_code = None
            finally:
                _end(process)
        seconds = time.monotonic() - started
        tail = "\n".join(output.read_text("utf-8", "replace").splitlines()[-30:])
        cases = list(ET.parse(report).getroot().iter("testcase")) if report.exists() else []  # noqa: S314 - pytest's own
        return Result(
            exit_code=exit_code,
            failures=_found(cases, "failure"),
            errors=_found(cases, "error"),
            ran=len(cases),
            slowest=max((float(case.get("time") or 0) for case in cases), default=0.0),
            tail=tail,
            seconds=seconds,
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a trial with all that it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def _found(cases: Iterable[ET.Element], kind: str) -> list[tuple[str, str]]:
    """Return the tests that ended so, each with the first line of its message."""
    return [
        (
            f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}",
            (node.get("message") or "").strip().partition("\n")[0][:300],
        )
        for case in cases
        if (node := case.find(kind)) is not None
    ]


def _judge(result: Result) -> tuple[Verdict, tuple[str, str]]:
    if result.exit_code is None:
        return Verdict.HUNG, ("", f"the trial did not end within {TRIAL_SECONDS:.0f} s")
    if result.exit_code == 0:
        return Verdict.SURVIVED, ("", f"{result.ran} tests passed")
    if not result.failures:
        return Verdict.BROKEN, result.errors[0] if result.errors else ("", result.tail)
    by, why = result.failures[0]
    if why.startswith(_NO_PROOF):
        return Verdict.BROKEN, (by, why)
    return (Verdict.HUNG if "Timeout" in why and f">{TEST_SECONDS}" in why else Verdict.CAUGHT), (by, why)
