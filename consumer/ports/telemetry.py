"""What the service counts and measures."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol


class Metrics(Protocol):
    """What the service counts and measures; labels are bounded (stream, kind, step, outcome, reason)."""

    def event_handled(self, stream: str, type_: str, outcome: str) -> None:
        """Count an event by how its handling ended."""
        ...

    def step(self, stream: str, step: str, seconds: float) -> None:
        """Record how long a step of a batch took (claim, plan, write, check, publish)."""
        ...

    def unit(self, seconds: float) -> None:
        """Record how long the task took that wrote a unit."""
        ...

    def batch(self, stream: str, kind: str, outcome: str, *, rows: int, bytes: int, seconds: float) -> None:
        """Count a batch by its outcome, with rows and bytes where it was published."""
        ...

    def watermark(self, stream: str, watermark: datetime, lag: timedelta) -> None:
        """Record a stream's watermark and lag."""
        ...

    def state(self, stream: str, *, halted: bool) -> None:
        """Record whether a stream is halted."""
        ...

    def time_to_loss(self, stream: str, seconds: float) -> None:
        """Record a stream's time to loss: infinite where nothing can be lost, not a number where it is unknown."""
        ...

    def forget(self, stream: str) -> None:
        """Forget a stream that was removed or renamed."""
        ...

    def backfill(self, stream: str, remaining: timedelta) -> None:
        """Record how much time of a stream's history is still to be backfilled."""
        ...

    def windows_waiting(self, stream: str, windows: int) -> None:
        """Record how many windows wait for the next event to be replaced."""
        ...

    def maintained(self, stream: str, task: str, outcome: str, *, files: int) -> None:
        """Count a piece of maintenance by its outcome (done, idle, or the error), and by how many files it has less."""
        ...

    def unknown_commit(self, stream: str, outcome: str) -> None:
        """Count an unknown commit by what the read-back found (landed, not_landed)."""
        ...

    def conflict(self, stream: str) -> None:
        """Count a publish that had to restage because the table had moved."""
        ...

    def lease(self, stream: str) -> None:
        """Count a change of a stream's lease epoch."""
        ...

    def dead_letter(self, reason: str) -> None:
        """Count a dead letter by reason."""
        ...
