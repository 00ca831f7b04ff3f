"""The record of what operators did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from consumer.domain.action import Action, ActionEntry, ActionPhase


class ActionLog(Protocol):
    """Keeps entries; none is ever changed or removed."""

    def add(self, action: Action, phase: ActionPhase, detail: str = "") -> None:
        """Add an entry, which is durable once this returns.

        Raises:
            TransientError: if the ledger can't be asked now.
            UnknownCommitError: if it is not known whether the entry was added.
        """
        ...

    def latest(self, limit: int, stream: str | None = None) -> Sequence[ActionEntry]:
        """Return the latest entries, of one stream or of all, oldest first.

        Raises:
            TransientError: if the ledger can't be asked now.
        """
        ...
