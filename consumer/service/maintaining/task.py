"""What a task of maintenance is to whoever runs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from consumer.domain.maintenance import Part, TaskName, TaskPlan
from consumer.domain.stream import Stream
from consumer.ports import Claim
from consumer.service.batch_context import BatchContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Performed:
    """What one bounded piece of work has done, whether there is ``more`` to do, and what is ``left`` alone, and why."""

    parts: Sequence[Part] = ()
    more: bool = False
    left: Sequence[str] = ()


class MaintenanceTask(Protocol):
    """One kind of maintenance: looks first, and does a bounded piece of it at a time."""

    @property
    def name(self) -> TaskName:
        """By which it is chosen."""
        ...

    def review(self, stream: Stream) -> TaskPlan:
        """Return what there is to do, without the lease; changes nothing.

        Raises:
            StreamError, TransientError: as ledger, catalog and store raise them.
        """
        ...

    def perform(self, context: BatchContext, claim: Claim) -> Performed:
        """Look at the table as it is now, and do the next bounded piece; safe to repeat after any failure.

        Args:
            context: what runs with the lease; ``still_ours`` is asked before every effect.
            claim: the lease; ``claim.record`` is the ledger's record of now.

        Raises:
            FencedError: if the lease was lost.
            StreamError, TransientError: as ledger, catalog, store and engine raise them.
        """
        ...
