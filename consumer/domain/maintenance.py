"""Maintenance of target tables: what a stream asks for, and what a task finds to do; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from consumer.domain.removal_policy import RemovalPolicy


class TaskName(StrEnum):
    """What is maintained, in the order in which it is done."""

    COMPACTION = "compaction"
    """Small data files of closed partitions become larger ones; deletes of other engines are applied."""
    REMOVAL = "removal"
    """Files that nothing refers to any more are deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactionPolicy:
    """How a stream's data files are put together.

    Attributes:
        target_file_bytes: bytes that a file should have, at most; ``None`` is what the table's property
            ``write.target-file-size-bytes`` says, or Iceberg's own default.
        min_input_files: how many files have to become one, at least.
        batch_bytes: bytes of the files that one batch rewrites, at most; one file may be larger.
    """

    target_file_bytes: int | None = None
    min_input_files: int = 2
    batch_bytes: int = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenancePolicy:
    """What is maintained of a stream's target by its consumers, and when.

    Attributes:
        enabled: whether consumers do it by themselves; `icehaul maintain` does it whatever this says.
        every: how long after a look that found nothing more to do the next one is due.
        patience: for how long work that is due waits until a consumer has no event to handle.
        compaction: how data files are put together.
        removal: after how long files that nothing refers to are deleted.
    """

    enabled: bool = False
    every: timedelta = timedelta(hours=1)
    patience: timedelta = timedelta(hours=6)
    compaction: CompactionPolicy = field(default_factory=CompactionPolicy)
    removal: RemovalPolicy = field(default_factory=RemovalPolicy)

    def urgency(self, looked: datetime, now: datetime) -> Urgency:
        """Tell whether a task is to be done that last found nothing more to do at that instant."""
        if now < looked + self.every:
            return Urgency.RESTING
        return Urgency.OVERDUE if now >= looked + self.every + self.patience else Urgency.DUE


class Urgency(StrEnum):
    """Whether a task of a stream is to be done now."""

    RESTING = "resting"
    DUE = "due"
    """It is done when a consumer has nothing else to do."""
    OVERDUE = "overdue"
    """It has waited for as long as it may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of what a task does, such as a partition: how many files and bytes it is before and after.

    What is only planned says of ``bytes_after`` what is expected.
    """

    what: str
    files: int
    bytes: int
    files_after: int
    bytes_after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPlan:
    """What a task finds to do in a stream's target.

    Attributes:
        task: whose it is.
        parts: what there is to do, in the order in which it is done.
        left: why something that looks like work is left alone, in words.
    """

    task: TaskName
    parts: Sequence[Part] = ()
    left: Sequence[str] = ()

    @property
    def files_gone(self) -> int:
        """By how many files the table has less afterwards."""
        return sum(part.files - part.files_after for part in self.parts)

    @property
    def bytes_gone(self) -> int:
        """By how many bytes the table has less afterwards."""
        return sum(part.bytes - part.bytes_after for part in self.parts)
