"""Cuts: which snapshots of many streams belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from consumer.domain.batch import Evidence, Progress
from consumer.domain.cut import Fit, History, Part, bound_of, find_part
from consumer.domain.divergence import check_divergence
from consumer.domain.errors import ConfigurationError, StreamError
from consumer.domain.stream import Stream, TableName
from consumer.domain.window import BEGINNING
from consumer.ports import StreamRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """What the ledger and the catalog said of a stream at one moment; ``record`` is ``None`` for an unseen stream."""

    record: StreamRecord | None
    evidence: Evidence | None
    history: History

    @property
    def watermark(self) -> datetime:
        """The stream's watermark; ``BEGINNING`` where nothing was read."""
        return BEGINNING if self.record is None else self.record.watermark


class CutTables(Protocol):
    """What a cut asks of ledger and catalog."""

    def stands(self, streams: Sequence[Stream]) -> Mapping[str, Stand]:
        """Return where every stream stands, all of the same moment."""
        ...

    def tag(self, name: str, snapshots: Mapping[TableName, int]) -> None:
        """Give one tag to a snapshot of each table, to all or to none."""
        ...

    def untag(self, name: str, tables: Sequence[TableName]) -> Sequence[TableName]:
        """Remove a tag from all tables that have it, and return them."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamCut:
    """A stream's part of a cut: ``below`` is the instant below which its rows belong to it."""

    stream: Stream
    watermark: datetime
    below: datetime
    part: Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A cut through several streams at one instant."""

    instant: datetime
    parts: Sequence[StreamCut]

    @property
    def complete(self) -> bool:
        """Whether every stream's snapshot is still there."""
        return all(one.part.fit is not Fit.NOT_RETAINED for one in self.parts)


class Cuts:
    """Finds consistent cuts, and tags them."""

    def __init__(self, tables: CutTables) -> None:
        self._tables = tables

    def find(self, streams: Sequence[Stream], at: datetime | None) -> Cut:
        """Return the cut at an instant, or without one at the least of the streams' watermarks.

        Raises:
            ConfigurationError: if a stream has not been read up to the instant, or never.
            DivergenceError: if a table does not prove what the ledger has recorded.
            TransientError, StreamError: as ledger and catalog raise them.
        """
        if not streams:
            raise ConfigurationError("STREAMS: no stream is configured", remedy="add one under streams")
        found = self._tables.stands(streams)
        for stream in streams:
            _check(stream, found[stream.name], at)
        instant = at if at is not None else min(one.watermark for one in found.values())
        parts = []
        for stream in streams:
            stand, below = found[stream.name], bound_of(stream, instant)
            part = find_part(stand.history, below)
            parts.append(StreamCut(stream=stream, watermark=stand.watermark, below=below, part=part))
        return Cut(instant=instant, parts=parts)

    def tag(self, cut: Cut, name: str) -> int:
        """Give the snapshots of a cut one tag, and return how many have it now.

        Raises:
            StreamError: if a snapshot of the cut has expired: a tag on a part of it would tell a lie.
            ConfigurationError: if the name is no name of a tag, or names another snapshot already.
        """
        if not cut.complete:
            gone = ", ".join(one.stream.name for one in cut.parts if one.part.fit is Fit.NOT_RETAINED)
            raise StreamError(
                f"--tag {name}: nothing was tagged, for the snapshot of {gone} has expired",
                remedy="choose a later instant, leave the stream out, or raise its retain_snapshots for the next time",
            )
        chosen = {one.stream.target: one.part.snapshot_id for one in cut.parts if one.part.snapshot_id is not None}
        self._tables.tag(name, chosen)
        return len(chosen)

    def untag(self, name: str, streams: Sequence[Stream]) -> Sequence[Stream]:
        """Remove a tag, and return the streams whose tables had it."""
        removed = set(self._tables.untag(name, [stream.target for stream in streams]))
        return [stream for stream in streams if stream.target in removed]


def _check(stream: Stream, stand: Stand, at: datetime | None) -> None:
    if stand.record is None or stand.record.unread:
        raise ConfigurationError(
            f"stream {stream.name} was never read, so no cut reaches it",
            remedy="name the streams of the cut, without it; or wait for its first batch",
        )
    if at is not None and at > stand.watermark:
        raise ConfigurationError(
            f"--at {at.isoformat()}: stream {stream.name} has been read up to {stand.watermark.isoformat()} only",
            remedy="name an instant that all streams have passed, or none; or name the streams of the cut",
        )
    recorded = Progress() if stand.record is None else stand.record.progress
    check_divergence(stream=stream.name, recorded=recorded, evidence=stand.evidence)
