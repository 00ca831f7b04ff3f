"""What a snapshot, a batch or an event goes back to: batch, event, place in Kafka, and trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol
from uuid import UUID

from consumer.domain.batch import BatchKind, BatchStatus
from consumer.domain.errors import ConfigurationError
from consumer.domain.event import Coordinates
from consumer.domain.stream import Stream
from consumer.domain.window import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A batch with the events on whose behalf it was attempted, oldest first.

    ``coordinates`` and ``trace_id`` are of its latest attempt. ``sampled`` tells whether that trace was recorded;
    ``None`` where only a snapshot could tell, and there is none any more.
    """

    stream: str
    batch_id: UUID
    kind: BatchKind
    status: BatchStatus
    window: Window
    rows: int
    snapshot_id: int | None
    event_ids: Sequence[str]
    coordinates: Coordinates | None
    trace_id: str | None
    started: datetime | None
    ended: datetime | None
    sampled: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A snapshot of a stream's target; ``origin`` is ``None`` where it says nothing of a batch, ``by`` tells whose."""

    origin: Origin | None
    by: str


class Recorded(Protocol):
    """What the ledger has recorded of batches; each answer is empty where it knows of none."""

    def of_snapshot(self, snapshot_id: int) -> Sequence[Origin]:
        """Return the batches that a snapshot published: one for each stream with a snapshot of that id."""
        ...

    def of_batch(self, batch_id: UUID) -> Sequence[Origin]:
        """Return the batch of an id."""
        ...

    def of_event(self, event_id: str) -> Sequence[Origin]:
        """Return the batches that were attempted on behalf of an event, oldest first."""
        ...


class Snapshots(Protocol):
    """What targets say of their snapshots."""

    def snapshot(self, stream: Stream, snapshot_id: int) -> Snapshot | None:
        """Return a snapshot that the stream's target still lists."""
        ...


class Origins:
    """Finds origins: in the ledger, and in the targets for what the ledger does not know."""

    def __init__(self, *, recorded: Recorded, snapshots: Snapshots, streams: Mapping[str, Stream]) -> None:
        self._recorded = recorded
        self._snapshots = snapshots
        self._streams = streams

    def of_snapshot(self, snapshot_id: int, stream: str | None = None) -> Origin:
        """Return the origin of a snapshot; ``stream`` says whose, where several have one of that id.

        Raises:
            ConfigurationError: if nobody knows it, icehaul did not write it, or several streams have it.
        """
        found = [one for one in self._recorded.of_snapshot(snapshot_id) if stream in {None, one.stream}]
        if len(found) > 1:
            raise ConfigurationError(
                f"--snapshot {snapshot_id}: {_names(found)} have a snapshot of that id",
                remedy="name the stream besides: icehaul trace STREAM --snapshot ID",
            )
        return self._sampled(found[0]) if found else self._unrecorded(snapshot_id, stream)

    def of_batch(self, batch_id: UUID) -> Origin:
        """Return the origin of a batch.

        Raises:
            ConfigurationError: if the ledger does not know it.
        """
        for origin in self._recorded.of_batch(batch_id):
            return self._sampled(origin)
        raise ConfigurationError(
            f"--batch {batch_id}: the ledger has no such batch",
            remedy="list a stream's batches: icehaul status STREAM --output json",
        )

    def of_event(self, event_id: str, stream: str | None = None) -> Sequence[Origin]:
        """Return the batches that were attempted on behalf of an event, oldest first; none if it caused none."""
        found = [one for one in self._recorded.of_event(event_id) if stream in {None, one.stream}]
        return [self._sampled(one) for one in found]

    def _sampled(self, origin: Origin) -> Origin:
        stream = self._streams.get(origin.stream)
        if origin.snapshot_id is None or origin.trace_id is None or stream is None:
            return origin
        found = self._snapshots.snapshot(stream, origin.snapshot_id)
        known = None if found is None else found.origin
        return origin if known is None else replace(origin, sampled=known.sampled)

    def _unrecorded(self, snapshot_id: int, stream: str | None) -> Origin:
        """Return what a target says of a snapshot of which the ledger knows nothing."""
        chosen = [one for name, one in self._streams.items() if stream in {None, name}]
        for one in chosen:
            found = self._snapshots.snapshot(one, snapshot_id)
            if found is None:
                continue
            if found.origin is None:
                raise ConfigurationError(
                    f"--snapshot {snapshot_id}: it was not written by icehaul: in {one.target} it is {found.by}",
                    remedy="ask whoever maintains that table; icehaul's own snapshots have icehaul.batch-id in their"
                    " summary",
                )
            return found.origin
        raise ConfigurationError(
            f"--snapshot {snapshot_id}: neither the ledger nor the target of"
            f" {'any configured stream' if stream is None else f'stream {stream}'} has it",
            remedy="take an id from the table's snapshots, or from `icehaul status STREAM --output json`",
        )


def _names(origins: Sequence[Origin]) -> str:
    return " and ".join(sorted(f"stream {one.stream}" for one in origins))
