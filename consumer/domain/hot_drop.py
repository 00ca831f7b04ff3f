"""Dropping partitions from the hot tier: which ones, through which table, and how it ended."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from uuid import UUID

from consumer.domain.errors import ConfigurationError, DropRefusedError
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.phrasing import instant_text
from consumer.domain.stream import Stream, TableName
from consumer.domain.window import Window

_PREFIX = "icehaul_quarantine_"
_STEM_LENGTH = 80
_SHOWN = 20


class DropState(StrEnum):
    """How far the drop of one partition is."""

    MOVING = "moving"
    """It is about to be moved into the quarantine table, or is there, and was not compared yet."""
    VERIFIED = "verified"
    """The cold tier holds every row of the quarantined partition."""
    DROPPED = "dropped"
    """It is gone from the hot tier."""
    RETURNED = "returned"
    """It stands in the source again, or never left it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HotPartition:
    """A partition of a source, or of its quarantine table.

    Attributes:
        id: ClickHouse's partition id.
        content_id: hash of what merges preserve, and inserts and mutations change.
        rows: rows of its active parts.
        bytes: their bytes on disk.
        window: from its first row's time up to but without the next possible time after its last row's.
    """

    id: str
    content_id: str
    rows: int
    bytes: int
    window: Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A hot partition against the data files of its stretch of time.

    Attributes:
        hot: fingerprint of the partition's rows.
        cold: fingerprint of all rows of the data files that may hold one of them.
        missing: rows of the partition that no data file holds, counted with multiplicity.
        snapshot_id: the target's snapshot that was compared with.
    """

    hot: Fingerprint
    cold: Fingerprint
    missing: int
    snapshot_id: int | None

    @property
    def contained(self) -> bool:
        """Whether the cold tier holds every row of the partition."""
        return self.missing == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HotDrop:
    """One drop, as the ledger keeps it; ``fingerprint`` and ``snapshot_id`` are known once it is verified."""

    id: UUID
    stream: str
    partition: HotPartition
    quarantine: TableName
    requested_by: str
    state: DropState
    fingerprint: Fingerprint | None = None
    snapshot_id: int | None = None


def quarantine_table(stream: Stream, epoch: int) -> TableName:
    """Return the quarantine table of one owner of the stream's lease, beside the source.

    Each epoch has its own: what a process does that was taken for dead reaches no other one's partitions.
    """
    return TableName(database=stream.source.database, table=f"{quarantine_prefix(stream)}{epoch}")


def quarantine_prefix(stream: Stream) -> str:
    """Return what the names of all quarantine tables of a stream begin with."""
    return f"{_stem(stream.name)}_"


def quarantine_epoch(stream: Stream, table: str) -> int | None:
    """Return the epoch of a quarantine table's name; ``None`` if it is none of this stream."""
    match = re.fullmatch(rf"{re.escape(quarantine_prefix(stream))}(\d+)", table)
    return int(match.group(1)) if match else None


def _stem(stream: str) -> str:
    if len(stream) > _STEM_LENGTH:
        stream = f"{stream[: _STEM_LENGTH - 9]}_{sha256(stream.encode()).hexdigest()[:8]}"
    return f"{_PREFIX}{stream}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What an operator wants to drop: partitions by id, or all whose rows lie before an instant."""

    partitions: tuple[str, ...] = ()
    before: datetime | None = None

    def choose(self, stream: Stream, there: Sequence[HotPartition], watermark: datetime) -> list[HotPartition]:
        """Return the chosen ones of the partitions that are there.

        Raises:
            ConfigurationError: if one is named that is not there.
            DropRefusedError: if one has rows at or above the watermark.
        """
        by_id = {one.id: one for one in there}
        if unknown := [name for name in self.partitions if name not in by_id]:
            raise ConfigurationError(
                f"--partition: {stream.source} has no partition {', '.join(unknown)}",
                remedy=f"name an id from system.parts; there are: {_some(sorted(by_id)) or '(none)'}",
            )
        chosen = [by_id[name] for name in dict.fromkeys(self.partitions)]
        if self.before is not None:
            chosen += [one for one in there if one.window.upper <= self.before]
        if above := [one.id for one in chosen if one.window.upper > watermark]:
            raise DropRefusedError(
                f"stream {stream.name}: partition {_some(above)} of {stream.source} has rows at or above the watermark"
                f" {instant_text(watermark)}, which were not offloaded",
                remedy="choose partitions that lie wholly below the watermark, or wait until it has passed them",
            )
        return chosen


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
