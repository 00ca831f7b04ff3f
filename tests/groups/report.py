"""What a campaign of consumer groups found, as plain data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.groups.campaign import Outcome
from tests.groups.drain import Throughput
from tests.groups.stage import POLL_INTERVAL_SECONDS, STREAMS

RATIO = 1.6
"""How many times as fast two consumers have to be as one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The groups of one run, and the throughput, where it was measured."""

    outcomes: Sequence[Outcome]
    throughput: Throughput | None
    machine: str
    seconds: float

    @property
    def sound(self) -> bool:
        """Whether everything is as it has to be."""
        fast = self.throughput is None or self.throughput.ratio >= RATIO
        return fast and not any(one.problems or one.behind for one in self.outcomes)

    def data(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {
            "groups": len(self.outcomes),
            "streams": STREAMS,
            "rows": sum(one.rows for one in self.outcomes),
            "lost": sum(one.lost for one in self.outcomes),
            "doubled": sum(one.doubled for one in self.outcomes),
            "expelled": sum(one.expelled for one in self.outcomes),
            "killed": sum(one.killed for one in self.outcomes),
            "ended": sum(one.ended for one in self.outcomes),
            "poll_interval_seconds": POLL_INTERVAL_SECONDS,
            "drained": None if self.throughput is None else self.throughput.data(),
            "machine": self.machine,
            "seconds": round(self.seconds, 1),
            "results": [one.data() for one in self.outcomes],
        }

    def write(self, path: Path) -> None:
        """Write the machine-readable report."""
        path.write_text(json.dumps(self.data(), indent=2) + "\n", encoding="utf-8")
