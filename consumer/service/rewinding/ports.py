"""What a rewind asks of the ledger besides what a publish does."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from consumer.domain.batch import Batch, Rewind
from consumer.ports import Claim, Trigger


class RewindLedger(Protocol):
    """The ledger, as a rewind sees it."""

    def last_rows(self, stream: str, before: datetime) -> datetime | None:
        """Return the upper bound of the last window with rows that ends at an instant or before it."""
        ...

    def set_back(self, claim: Claim, batch: Batch, rewind: Rewind, trigger: Trigger) -> None:
        """Rewind a stream over windows without rows, for which the table need not change; under the fence.

        Raises:
            FencedError: if the epoch has moved on.
            StaleDifferenceError: if the ledger does not hold any more what was looked at.
            UnknownCommitError: if it is done already, or nobody knows whether the commit landed.
        """
        ...
