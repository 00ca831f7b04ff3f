"""What a batch engine needs of Spark, wherever the driver is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from spark.unit_task import JobContext, UnitOutcome, UnitTask


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLabel:
    """How a job shows in Spark: the pool it is scheduled in, the group it is cancelled by, its description."""

    pool: str
    group: str
    description: str


class BatchSession(Protocol):
    """A running session: takes jobs from several threads at once until it is stopped or lost."""

    @property
    def alive(self) -> bool:
        """Whether it takes jobs."""
        ...

    def run(self, label: JobLabel, context: JobContext, tasks: Sequence[UnitTask]) -> list[UnitOutcome]:
        """Run one task for each unit, and return the outcomes in any order.

        Raises whatever the session's library raises; :meth:`cause` puts it into words.
        """
        ...

    def cancel(self, group: str) -> None:
        """Cancel the jobs of a group, those too that are only about to be submitted; a lost session has none."""
        ...

    def cause(self, error: Exception) -> str:
        """Return the first of what went wrong in :meth:`run`, without the stack traces."""
        ...

    def last_words(self) -> str:
        """Return what is known about the end of a session that is no longer alive."""
        ...

    @property
    def loss_remedy(self) -> str:
        """What to do where sessions are lost again and again."""
        ...

    def stop(self) -> None:
        """End the session in whatever state it is; its running jobs end with an error."""
        ...
