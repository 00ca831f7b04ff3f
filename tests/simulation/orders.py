"""The order of a stream's events in one consumer: one at a time, none before an earlier one unless it asks for more.

A stream that is behind is read as far as its latest event asks in one go: that one goes ahead, and what it does not
cover (a partition close, which is compared besides) follows.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from consumer.domain.event import Event, EventType
from consumer.service.threads import Signal
from tests.simulation.truth import Truth


@dataclass(slots=True)
class _Lane:
    """What one assignment of one consumer has done of a stream, of the offsets of one partition."""

    running: int | None = None
    done: dict[int, Event] = field(default_factory=dict)
    failed: dict[int, Event] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ticket:
    """One attempt at one event."""

    lane: _Lane
    offset: int
    event: Event


class Orders:
    """Watches the handlers of all consumers; ``abandoned`` tells assignments apart, as it belongs to one each."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._lanes: dict[tuple[str, str, int], tuple[Signal, _Lane]] = {}

    def begins(self, consumer: str, event: Event, abandoned: Signal) -> Ticket:
        """A handler begins."""
        offset = event.coordinates.offset if event.coordinates is not None else -1
        # The signal is kept, so that no later one gets its id.
        _, lane = self._lanes.setdefault((consumer, event.stream, id(abandoned)), (abandoned, _Lane()))
        if lane.running is not None:
            self._truth.violated(f"{consumer}: {event.stream}@{offset} begins while @{lane.running} runs")
        earlier = [one for one, known in lane.failed.items() if one < offset and known.cutoff >= event.cutoff]
        later = _done_already(lane, event, offset)
        if earlier or later:
            self._truth.violated(
                f"{consumer}: {event.stream}@{offset} begins out of order: {earlier} failed, {later} is done"
            )
        lane.running = offset
        lane.failed.pop(offset, None)
        return Ticket(lane, offset, event)

    def fails(self, ticket: Ticket) -> None:
        """A handler has failed; its event has to be tried again before later ones."""
        ticket.lane.running = None
        ticket.lane.failed[ticket.offset] = ticket.event

    def ends(self, ticket: Ticket) -> None:
        """A handler has done its event, and with it what had failed and asks for no more."""
        lane = ticket.lane
        lane.running = None
        lane.done[ticket.offset] = ticket.event
        lane.failed = {one: known for one, known in lane.failed.items() if not _covered(known, ticket.event)}


def _covered(known: Event, by: Event) -> bool:
    if known.type is EventType.PARTITION_CLOSED and known.partition_id != by.partition_id:
        return False
    return known.cutoff <= by.cutoff


def _done_already(lane: _Lane, event: Event, offset: int) -> list[int]:
    """Return which events that are done an event should have come before, or is covered by.

    Only a close follows a later event, and only one that asks for more.
    """
    close = event.type is EventType.PARTITION_CLOSED
    return [
        one
        for one, known in lane.done.items()
        if one == offset or (one > offset and not (close and known.cutoff > event.cutoff))
    ]
