"""Where a member begins to read, and whether that is where its group left off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from consumer.adapters.kafka.client import error_of
from consumer.adapters.kafka.topic_facts import TopicFacts, TopicObserver
from consumer.domain.errors import IcehaulError
from consumer.domain.offset_incident import Bounds, IncidentKind, OffsetIncident, Standing, judge_standing
from consumer.service.doctor.broker import GroupStanding
from consumer.service.runtime.ports import Partition

Memory = Callable[[Partition], int | None]
"""Tells the largest offset of a partition's events for which a batch is done; ``None`` if there is none."""

Place = tuple[TopicPartition, OffsetIncident | None]

_SECONDS = 10.0
_MARK = "icehaul topic-id="
_CUT = KafkaError._LOG_TRUNCATION  # noqa: SLF001 - librdkafka's official name

_log = structlog.get_logger(__name__)


def remember_nothing(_partition: Partition) -> int | None:
    """Remember no offset."""
    return None


class Positions:
    """Finds the offsets at which a member begins. Owned by the thread that polls.

    A committed offset carries the id of the topic that it is of, as its metadata: so an offset of a topic that was
    deleted since is told from one of the topic that has its name now, and one that another tool has set from one
    that a consumer has committed.
    """

    def __init__(self, client: Consumer, topic: TopicObserver, memory: Memory = remember_nothing) -> None:
        self._client = client
        self._topic = topic
        self._memory = memory
        self._facts: TopicFacts | None = None
        self._ids: dict[Partition, str] = {}

    def mark(self, partition: Partition) -> str:
        """Return what is committed beside an offset: the id of the topic that the partition is read of."""
        return _MARK + self._ids.get(partition, "")

    def find(self, partitions: Sequence[TopicPartition]) -> list[Place]:
        """Return where to begin in each partition, with the incident if that is not simply where the group left off.

        A partition whose committed offset the broker does not tell stays as it is: the client asks again by itself,
        and says so if it finds none.
        """
        if not partitions:
            return []  # a rebalance that gives nothing; the group waits for this member meanwhile
        self._look_at(partitions)
        try:
            committed = self._client.committed(list(partitions), timeout=_SECONDS)
        except KafkaException as error:
            _log.warning("consumer.committed_unknown", error=error_of(error).str())
            return [(place, None) for place in partitions]
        return [self._judge(found) for found in committed]

    def find_again(self, place: TopicPartition, error: KafkaError) -> Place:
        """Return where to go on after the broker refused to read on from an offset."""
        before = self._ids.get(partition_at(place))
        self._look_at([place])
        committed = self._committed(place)
        standing = self._standing(committed)
        attempted = place.offset if place.offset >= 0 else standing.committed
        bounds = self._bounds(place)
        if attempted is None or bounds is None:
            return self._judge(committed)
        kind = IncidentKind.RETENTION if attempted < bounds.first else IncidentKind.BEYOND_END
        if error.code() == _CUT:
            kind = IncidentKind.TRUNCATED
        running = replace(standing, topic_id_then=before)
        if running.recreated:
            kind, standing = IncidentKind.TOPIC_RECREATED, running
        return self._incident(place, kind, standing, bounds, attempted=attempted)

    def recreated(self, partitions: Sequence[Partition]) -> list[Place]:
        """Return where to begin in those partitions whose topic has turned out to be another one; seldom waits."""
        facts = self._topic.look()
        if facts is None:
            return []
        self._facts = facts
        changed = [one for one in partitions if self._ids.get(one, facts.id) != facts.id]
        bounds = {one: self._bounds(TopicPartition(*one)) for one in changed if one.number < facts.partitions}
        if None in bounds.values():
            return []  # no leader yet: the next look finds the same
        places: list[Place] = []
        for partition, found in bounds.items():
            if found is not None:
                standing = Standing(committed=None, topic_id_then=self._ids[partition], topic_id=facts.id)
                place = TopicPartition(*partition)
                places.append(self._incident(place, IncidentKind.TOPIC_RECREATED, standing, found))
                self._ids[partition] = facts.id
        return places

    def standing(self, partitions: Sequence[TopicPartition]) -> GroupStanding:
        """Return what a member would find that takes over these partitions, which is asked for and not done.

        Raises:
            KafkaException: if the broker does not answer.
        """
        self._look_at(partitions)
        behind, incidents = 0, []
        for found in self._client.committed(list(partitions), timeout=_SECONDS):
            standing, bounds = self._standing(found), self._bounds(found)
            if bounds is None:
                raise KafkaException(KafkaError(KafkaError.REQUEST_TIMED_OUT))
            kind = judge_standing(standing, bounds)
            if kind is None:
                behind += bounds.end - max(bounds.first, standing.committed or 0)
                continue
            incident = self._incident(found, kind, standing, bounds)[1]
            incidents += [incident] if incident is not None else []
        return GroupStanding(behind=behind, incidents=incidents)

    def _look_at(self, partitions: Sequence[TopicPartition]) -> None:
        """Ask which topic the partitions are of; where the broker does not tell, that is not known."""
        facts = self._topic.ask()
        self._facts = facts or self._facts
        for place in partitions:
            self._ids.pop(partition_at(place), None)
            if facts is not None:
                self._ids[partition_at(place)] = facts.id

    def _judge(self, found: TopicPartition) -> Place:
        place = TopicPartition(found.topic, found.partition, found.offset)
        if found.error is not None:
            return place, None
        standing = self._standing(found)
        bounds = self._bounds(place) if standing.suspicious else None
        kind = judge_standing(standing, bounds) if bounds is not None else None
        if kind is not None and bounds is not None:
            return self._incident(place, kind, standing, bounds)
        if standing.committed is None:
            _log.info("consumer.starts_at_beginning", partition=f"{place.topic}/{place.partition}")
            place.offset = OFFSET_BEGINNING
        return place, None

    def _incident(
        self,
        place: TopicPartition,
        kind: IncidentKind,
        standing: Standing,
        bounds: Bounds,
        *,
        attempted: int | None = None,
    ) -> Place:
        incident = OffsetIncident(
            kind=kind,
            topic=place.topic,
            partition=place.partition,
            partitions=self._facts.partitions if self._facts is not None else place.partition + 1,
            standing=standing,
            bounds=bounds,
            attempted=attempted,
        )
        return TopicPartition(place.topic, place.partition, incident.start), incident

    def _standing(self, found: TopicPartition) -> Standing:
        committed = found.offset if found.offset >= 0 else None
        mark = found.metadata or ""
        return Standing(
            committed=committed,
            marked=mark.startswith(_MARK),
            topic_id_then=mark.removeprefix(_MARK) or None if mark.startswith(_MARK) else None,
            topic_id=self._ids.get(partition_at(found)),
            remembered=self._remembered(partition_at(found)) if committed is None else None,
        )

    def _remembered(self, partition: Partition) -> int | None:
        try:
            return self._memory(partition)
        except IcehaulError as error:
            # Reading starts at the beginning either way; only the reason is not known.
            _log.warning("consumer.memory_unavailable", partition=str(partition), error=error.message)
            return None

    def _committed(self, place: TopicPartition) -> TopicPartition:
        try:
            return self._client.committed([TopicPartition(place.topic, place.partition)], timeout=_SECONDS)[0]
        except KafkaException:
            return TopicPartition(place.topic, place.partition)

    def _bounds(self, place: TopicPartition) -> Bounds | None:
        try:
            found = self._client.get_watermark_offsets(place, timeout=_SECONDS)
        except KafkaException:
            return None
        return Bounds(first=found[0], end=found[1]) if found is not None else None


def partition_at(place: TopicPartition) -> Partition:
    """Return which partition a place is in."""
    return Partition(place.topic, place.partition)
