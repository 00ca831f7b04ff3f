"""A record of actions in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from consumer.domain.action import Action, ActionEntry, ActionPhase


class MemoryActionLog:
    """What ``0015_actions.sql`` holds."""

    def __init__(self) -> None:
        self._entries: list[ActionEntry] = []

    def add(self, action: Action, phase: ActionPhase, detail: str = "") -> None:
        """Add an entry."""
        self._entries.append(
            ActionEntry(action=action, phase=phase, at=datetime.now(UTC), database_user="memory", detail=detail)
        )

    def latest(self, limit: int, stream: str | None = None) -> Sequence[ActionEntry]:
        """Return the latest entries, oldest first."""
        return [entry for entry in self._entries if stream is None or stream in entry.action.streams][-limit:]
