"""What an operator does, for the record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class ActionPhase(StrEnum):
    """What is recorded of an action. One that has begun and not ended broke off, or goes on: its outcome is unknown."""

    BEGUN = "begun"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Who asks for what, and why.

    Attributes:
        operator: user and machine as the client knows them, or the console and its client's address.
        command: name of the command, such as ``stream rename``.
        streams: names of the streams that it is about.
        arguments: what the command was told besides, as text.
        reason: why, in the operator's words; empty where none was given.
    """

    action_id: UUID
    operator: str
    command: str
    streams: tuple[str, ...] = ()
    arguments: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionEntry:
    """One row of the record.

    Attributes:
        at: the ledger server's time, UTC.
        database_user: who the ledger server knows the connection by.
        detail: the error of an action that failed; empty otherwise.
    """

    action: Action
    phase: ActionPhase
    at: datetime
    database_user: str
    detail: str = ""
