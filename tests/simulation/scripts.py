"""Scripts: runs written down rule by rule, so that they can be played again when rules and weights have changed."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from tests.simulation.heal import heal
from tests.simulation.rules import RULES
from tests.simulation.world import World

REGRESSIONS = Path(__file__).parent / "regressions"
"""Runs that once failed; every one is played by the tests."""


@dataclass(frozen=True, slots=True)
class Script:
    """A run: its rules with their numbers, and what was violated when it failed.

    ``two_step`` tells that its catalog lies outside of the ledger's database.
    """

    rules: tuple[tuple[str, Sequence[int]], ...]
    violation: str
    two_step: bool = False

    @property
    def name(self) -> str:
        """A name that derives from the rules."""
        return sha256(json.dumps(self.rules).encode()).hexdigest()[:12]

    def save(self, folder: Path = REGRESSIONS) -> Path:
        """Write the script into a folder, one rule a line."""
        folder.mkdir(parents=True, exist_ok=True)
        lines = ",\n    ".join(json.dumps([name, *numbers]) for name, numbers in self.rules)
        path = folder / f"{self.name}.json"
        place = '  "two_step": true,\n' if self.two_step else ""
        path.write_text(
            f'{{\n  "violation": {json.dumps(self.violation)},\n{place}  "rules": [\n    {lines}\n  ]\n}}\n',
            encoding="utf-8",
        )
        return path

    @classmethod
    def load(cls, path: Path) -> Script:
        """Read a script."""
        document = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            rules=tuple((name, tuple(numbers)) for name, *numbers in document["rules"]),
            violation=document["violation"],
            two_step=document.get("two_step", False),
        )

    def play(self, story: list[str] | None = None) -> World:
        """Play the script to its end, healing included, and return the world, which is closed.

        Args:
            story: lines that tell what happens are added to it.

        Raises:
            Violation: if it still fails.
        """
        # The jitter of the service's pauses comes from the global generator, as in a run of Hypothesis.
        random.seed(0)
        world = World(two_step=self.two_step)
        world.kernel.story = story
        try:
            for name, numbers in self.rules:
                # The service passes other points than when the script was written: a rule may mean nothing now.
                if RULES[name].when(world):
                    world.play(name, *numbers)
            heal(world)
        finally:
            world.close()
        return world


def regressions() -> Iterator[Path]:
    """Return the scripts that are kept."""
    yield from sorted(REGRESSIONS.glob("*.json"))
