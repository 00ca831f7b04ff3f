"""What an incident of a partition's offsets makes happen: its streams are reconciled from their watermarks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from consumer.domain.event import Event
from consumer.domain.event_factory import CONSUMER, tick
from consumer.domain.offset_incident import IncidentKind, OffsetIncident
from consumer.service.runtime.ports import RuntimeMetrics

Reconciling = Callable[[OffsetIncident], Sequence[Event]]
"""Tells which events to handle because of an incident."""

_EXPECTED = frozenset({IncidentKind.MOVED, IncidentKind.OFFSETS_LOST})
"""What people do on purpose, too."""

_log = structlog.get_logger(__name__)


def no_reconciling(_incident: OffsetIncident) -> Sequence[Event]:
    """Reconcile nothing."""
    return ()


class StreamsOfPartitions:
    """Makes a tick of the present moment for every stream whose events stand in an incident's partition.

    What those events would have said is lost; a tick asks for everything up to now, and compares every partition
    of the source with what was recorded.

    Args:
        streams: names of all configured streams.
        place: the partition of a stream's events, of so many.
        now: the present moment.
    """

    def __init__(
        self,
        streams: Iterable[str],
        place: Callable[[str, int], int],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._streams = tuple(streams)
        self._place = place
        self._now = now

    def __call__(self, incident: OffsetIncident) -> Sequence[Event]:
        """Return the events."""
        boundary = self._now()
        return [
            replace(tick(stream=stream, boundary=boundary), source=CONSUMER)
            for stream in self._streams
            if self._place(stream, incident.partitions) == incident.partition
        ]


def report(incident: OffsetIncident, events: Sequence[Event], metrics: RuntimeMetrics) -> None:
    """Count and log an incident, with the streams that are reconciled because of it."""
    metrics.offset_incident(incident.kind)
    log = _log.warning if incident.kind in _EXPECTED else _log.error
    standing, bounds = incident.standing, incident.bounds
    log(
        "consumer.offset_incident",
        kind=incident.kind,
        topic=incident.topic,
        partition=incident.partition,
        committed=standing.committed,
        remembered=standing.remembered,
        topic_id=standing.topic_id,
        first=bounds.first,
        end=bounds.end,
        start=incident.start,
        streams=[event.stream for event in events],
        what=incident.message,
        remedy=incident.remedy,
    )
