"""Committed offsets that do not say where to go on: what happened to them, and what is to be done about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from consumer.domain.phrasing import counted


class IncidentKind(StrEnum):
    """What happened to a partition, its topic or its group."""

    RETENTION = "retention"
    """Events behind the committed offset were deleted before they were read."""
    BEYOND_END = "beyond_end"
    """The committed offset lies beyond the partition's end."""
    TRUNCATED = "truncated"
    """The broker cut the partition's log off, and wrote on from there."""
    TOPIC_RECREATED = "topic_recreated"
    """The offset was committed for a topic that was deleted since; another one has its name now."""
    OFFSETS_LOST = "offsets_lost"
    """The group has no offset although batches of the partition's events are done."""
    MOVED = "moved"
    """The offset was committed by something else than a consumer of icehaul, such as Kafka's own tools."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The offsets of the first event that a partition still holds, and of the next one to be written."""

    first: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is known of the place at which a group goes on in a partition.

    Attributes:
        committed: the committed offset; ``None`` if there is none.
        marked: whether a consumer of icehaul committed it.
        topic_id_then: id of the topic for which it was committed; ``None`` if that is unknown.
        topic_id: id of the topic now; ``None`` if that is unknown.
        remembered: largest offset of an event of the partition for which the ledger has a batch that is done.
    """

    committed: int | None
    marked: bool = True
    topic_id_then: str | None = None
    topic_id: str | None = None
    remembered: int | None = None

    @property
    def recreated(self) -> bool:
        """Whether the topic is another one than the offset is of."""
        return None not in {self.topic_id, self.topic_id_then} and self.topic_id != self.topic_id_then

    @property
    def suspicious(self) -> bool:
        """Whether there may be an incident whatever the partition holds."""
        if self.committed is None:
            return self.remembered is not None
        return self.recreated or not self.marked


def judge_standing(standing: Standing, bounds: Bounds) -> IncidentKind | None:
    """Tell what is wrong with the place at which a group goes on; ``None`` if nothing is."""
    if standing.committed is None:
        if standing.remembered is None:
            return None
        return IncidentKind.TOPIC_RECREATED if bounds.end <= standing.remembered else IncidentKind.OFFSETS_LOST
    if standing.recreated:
        return IncidentKind.TOPIC_RECREATED
    if standing.committed < bounds.first:
        return IncidentKind.RETENTION
    if standing.committed > bounds.end:
        return IncidentKind.BEYOND_END
    return None if standing.marked else IncidentKind.MOVED


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetIncident:
    """A partition that is not simply read on from where its group left off.

    Attributes:
        partitions: how many partitions the topic has: where a stream's events stand depends on it.
        attempted: the offset that was asked for in vain, where a running consumer met the incident.
    """

    kind: IncidentKind
    topic: str
    partition: int
    partitions: int
    standing: Standing
    bounds: Bounds
    attempted: int | None = None

    @property
    def start(self) -> int:
        """The offset that is read next."""
        if self.kind is IncidentKind.MOVED and self.standing.committed is not None:
            return self.standing.committed
        return self.bounds.first

    @property
    def message(self) -> str:
        """What happened, in one sentence."""
        return f"{self.topic}/{self.partition}: {self._what()}; reading goes on at offset {self.start}"

    @property
    def remedy(self) -> str:
        """What is to be done about it."""
        return f"{_REMEDIES[self.kind]}; no row is lost or doubled: the partition's streams are reconciled"

    def _what(self) -> str:
        first, end, standing = self.bounds.first, self.bounds.end, self.standing
        at = self.attempted if self.attempted is not None else standing.committed
        match self.kind:
            case IncidentKind.RETENTION:
                gone = counted(first - (at or 0), "event")
                what = f"{gone} from offset {at} on were deleted before they were read"
            case IncidentKind.BEYOND_END:
                what = f"offset {at} lies beyond the partition's end, which is {end}"
            case IncidentKind.TRUNCATED:
                what = f"the broker has cut the log off before offset {at}, and it ends at {end} now"
            case IncidentKind.TOPIC_RECREATED if standing.recreated:
                what = (
                    f"its offsets are of the topic with the id {standing.topic_id_then}, which was deleted; the topic"
                    f" of this name has the id {standing.topic_id}"
                )
            case IncidentKind.TOPIC_RECREATED:
                what = (
                    f"batches of its events up to offset {standing.remembered} are done, but it ends at {end}:"
                    " the topic was deleted and created anew"
                )
            case IncidentKind.OFFSETS_LOST:
                what = (
                    f"batches of its events up to offset {standing.remembered} are done, but the group has no"
                    " committed offset"
                )
            case IncidentKind.MOVED:
                what = f"the committed offset {standing.committed} was set by something else than icehaul"
        return what


_REMEDIES = {
    IncidentKind.RETENTION: "if it comes back, keep events for longer (retention.ms) or start more consumers",
    IncidentKind.BEYOND_END: "find out who restored the broker or set the group's offset",
    IncidentKind.TRUNCATED: "keep unclean.leader.election.enable off, and more than one replica",
    IncidentKind.TOPIC_RECREATED: "find out who deleted the topic, and who else has the right to",
    IncidentKind.OFFSETS_LOST: (
        "find out whether the group was deleted, kafka.group changed, or the consumers stood still for longer than"
        " offsets.retention.minutes; after a consumer that was killed in its first batch this is normal"
    ),
    IncidentKind.MOVED: "nothing to do if somebody reset the group's offsets on purpose",
}
