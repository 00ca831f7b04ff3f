"""The story of an upgrade: old consumers, a migration under traffic, old and new ones, new ones, and back again."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.rolling.revision import ROOT
from tests.rolling.stage import Member, Stage, StuckError

_SECONDS = 180
_MIGRATE = ("migrate",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one upgrade came to.

    Attributes:
        steps: what was done, in order, with seconds.
        problems: what was not as it has to be; empty if all is well.
        rows: how many rows were offloaded.
    """

    steps: tuple[tuple[str, float], ...]
    problems: tuple[str, ...]
    rows: int


class Upgrade:
    """Plays the story once.

    Args:
        stage: where.
        pending: whether the old ledger lacks a migration.
        say: is told each step when it is done.
    """

    def __init__(self, stage: Stage, *, pending: bool, say: Callable[[str], None] = lambda _: None) -> None:
        self._stage = stage
        self._pending = pending
        self._say = say
        self._steps: list[tuple[str, float]] = []

    def play(self, *, rounds: int = 1) -> Outcome:
        """Upgrade and roll back ``rounds`` times, with kills; then judge every row."""
        return self._told(lambda: self._whole(rounds))

    def play_short(self) -> Outcome:
        """Upgrade one consumer and roll it back, killed each time; then judge every row."""
        return self._told(self._short)

    def _told(self, story: Callable[[], None]) -> Outcome:
        problems: tuple[str, ...] = ()
        try:
            story()
        except (StuckError, AssertionError) as error:
            problems = (f"after {self._steps[-1][0] if self._steps else 'nothing'}: {error}",)
        return Outcome(steps=tuple(self._steps), problems=problems, rows=sum(self._stage.rows.values()))

    def _whole(self, rounds: int) -> None:
        self._step("the old program makes the ledger", lambda: self._run(self._stage.old, *_MIGRATE))
        old = [self._stage.start(self._stage.old, f"old {number}") for number in (1, 2)]
        self._work(old, "old consumers work")
        if self._pending:
            self._step("a new consumer refuses the old ledger", self._refused)
        self._step("the new program migrates under traffic", lambda: self._migrate(old))
        for number in range(1, rounds + 1):
            old = self._there_and_back(old, number)
        self._step("everything is offloaded", lambda: self._stage.settle(old))
        self._step("the old program finds nothing to migrate", self._nothing_to_migrate)
        self._step("the rows are judged", self._stage.judge)

    def _short(self) -> None:
        self._step("the old program makes the ledger", lambda: self._run(self._stage.old, *_MIGRATE))
        first = self._stage.start(self._stage.old, "old 1")
        self._work([first], "an old consumer works")
        self._step("the new program migrates under traffic", lambda: self._migrate([first]))
        second = self._stage.start(ROOT, "new 1")
        self._work([first, second], "an old and a new consumer work side by side")
        first.running.kill()
        self._work([second], "a new consumer works")
        third = self._stage.start(self._stage.old, "old 2")
        second.running.kill()
        self._work([third], "an old consumer works again")
        self._step("everything is offloaded", lambda: self._stage.settle([third]))
        self._step("the rows are judged", self._stage.judge)

    def _there_and_back(self, old: list[Member], number: int) -> list[Member]:
        first, second = old
        self._work(old, f"old consumers work on the new ledger ({number})")
        third = self._stage.start(ROOT, f"new 1 of round {number}")
        second.running.kill()
        self._work([first, third], f"an old and a new consumer work side by side ({number})")
        fourth = self._stage.start(ROOT, f"new 2 of round {number}")
        first.running.kill()
        self._work([third, fourth], f"new consumers work ({number})")
        fifth = self._stage.start(self._stage.old, f"old 1 after round {number}")
        third.running.kill()
        self._work([fourth, fifth], f"a new and an old consumer work side by side ({number})")
        sixth = self._stage.start(self._stage.old, f"old 2 after round {number}")
        fourth.running.kill()
        self._work([fifth, sixth], f"old consumers work again ({number})")
        return [fifth, sixth]

    def _work(self, members: list[Member], what: str) -> None:
        self._step(what, lambda: self._stage.until_published(members, what))

    def _step(self, what: str, act: Callable[[], object]) -> None:
        began = time.monotonic()
        act()
        self._steps.append((what, time.monotonic() - began))
        self._say(f"{time.monotonic() - began:6.1f} s  {what}")

    def _migrate(self, members: list[Member]) -> None:
        """Migrate while a transaction as long as a slow publish is open, and while batches are published."""
        config = str(self._stage.platform.write())
        with psycopg.connect(self._stage.platform.dsn) as publishing:
            publishing.execute("SELECT FROM offload_watermarks WHERE stream = %s FOR UPDATE", (self._stage.streams[0],))
            migrating = subprocess.Popen(
                self._command("migrate", "-c", config), cwd=ROOT, env=self._environment(), stderr=subprocess.PIPE
            )
            others = [one for one in self._stage.streams if one != self._stage.streams[0]]
            self._stage.until_moved(others, members, "others publish while the migration waits")
        _, said = migrating.communicate(timeout=_SECONDS)
        if migrating.returncode != 0:
            raise StuckError(f"icehaul migrate: {said.decode(errors='replace')[-2000:]}")

    def _refused(self) -> None:
        done = self._ended(ROOT, "run")
        if done.returncode == 0 or "icehaul migrate" not in done.stderr:
            raise StuckError(f"icehaul run on the old ledger ended with {done.returncode}: {done.stderr[-2000:]}")

    def _nothing_to_migrate(self) -> None:
        """Nothing, or a refusal: no program takes a ledger back."""
        done = self._ended(self._stage.old, *_MIGRATE)
        if done.returncode != 0 and "newer icehaul" not in done.stderr:
            raise StuckError(f"the old icehaul migrate ended with {done.returncode}: {done.stderr[-2000:]}")

    def _run(self, tree: Path, *command: str) -> None:
        done = self._ended(tree, *command)
        if done.returncode != 0:
            raise StuckError(f"icehaul {' '.join(command)}: {done.stderr[-2000:]}")

    def _ended(self, tree: Path, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(*command, "-c", str(self._stage.platform.write())),
            cwd=tree,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "consumer.entrypoints.cli.main", *words]

    def _environment(self) -> dict[str, str]:
        return self._stage.full_environment
