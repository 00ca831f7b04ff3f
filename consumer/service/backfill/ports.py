"""What backfills need of the ledger, besides what every batch needs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from consumer.domain.backfill import BackfillRequest
from consumer.domain.batch import Batch
from consumer.domain.event import Event
from consumer.ports import Claim, Trigger


class Backfills(Protocol):
    """The ledger's record of ranges that are to be backfilled."""

    def request(self, request: BackfillRequest, hint: Event) -> None:
        """Record a request, and put the hint for its stream into the outbox; the same request twice is kept once.

        Raises:
            ConfigurationError: if an open request overlaps it.
            DivergenceError: if the ledger has no row for the stream.
        """
        ...

    def cancel(self, stream: str, request: UUID | None) -> Sequence[BackfillRequest]:
        """Cancel an open request, or all of a stream's, and return them; what they have done stays."""
        ...

    def open(self, stream: str) -> Sequence[BackfillRequest]:
        """Return the stream's open requests, oldest first."""
        ...

    def all(self, streams: Sequence[str]) -> Sequence[BackfillRequest]:
        """Return every request of these streams, newest first."""
        ...

    def skip(self, claim: Claim, request: UUID, position: datetime) -> None:
        """Move an open request on over what was done before it; under the fence.

        Raises:
            FencedError: if the epoch has moved on.
            BackfillChangedError: if the request is not open, or past the position already.
        """
        ...

    def pass_over(self, claim: Claim, batch: Batch, trigger: Trigger, outbox: Sequence[Event]) -> None:
        """Record a backfill's window without rows as done, and move its request on; under the fence.

        Raises:
            FencedError: if the epoch has moved on.
            BackfillChangedError: if the request is not open, or past the window already.
            DivergenceError: if a window that is done overlaps it.
        """
        ...
