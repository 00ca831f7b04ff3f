"""What changes of the register of streams need of ledger and catalog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from consumer.domain.stream import TableName
from consumer.ports import Claim, StreamState


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownStream:
    """A stream of the ledger; ``removed`` is when it was removed, and then its name is the one of its remains."""

    name: str
    watermark: datetime
    start: datetime
    state: StreamState
    owner: str | None
    lease_expires: datetime | None
    removed: datetime | None


class Register(Protocol):
    """The streams of the ledger, with their tables in the catalog; every change is one transaction, under the fence.

    Raises:
        FencedError: of every change, if the epoch has moved on.
    """

    def known(self) -> Sequence[KnownStream]:
        """Return every stream of the ledger, those that were removed last."""
        ...

    def counts(self, stream: str) -> Mapping[str, int]:
        """Return how many rows the ledger has of a stream, by what they are."""
        ...

    def rename(self, claim: Claim, new: str, target: TableName) -> None:
        """Give a stream another name, in the ledger, in events that wait, and in its table's properties.

        Raises:
            DivergenceError: if somebody commits to the table at this moment, or a stream has the name.
        """
        ...

    def archive(self, claim: Claim, remains: str) -> None:
        """Keep what the ledger has of a stream under another name, which no stream can have."""
        ...

    def purge(self, claim: Claim) -> None:
        """Delete everything that the ledger has of a stream."""
        ...

    def move(self, claim: Claim, old: TableName, new: TableName) -> None:
        """Give a stream's table another name in the catalog.

        Raises:
            DivergenceError: if there is no such table, or another one has the new name.
        """
        ...
