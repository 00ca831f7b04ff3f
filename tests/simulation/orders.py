"""The order of a stream's events in one consumer: one at a time, none before an earlier one that asks for more."""

from __future__ import annotations

from dataclasses import dataclass, field

from consumer.domain.event import Event, EventType
from consumer.service.threads import Signal
from tests.simulation.truth import Truth


@dataclass(slots=True)
class _Lane:
    """What one assignment of one consumer has done of a stream, of the offsets of one partition."""

    running: int | None = None
    reached: int = -1
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
        earlier = [at for at, failed in lane.failed.items() if at < offset and not _asks_no_more(failed, event)]
        if earlier or offset <= lane.reached:
            self._truth.violated(
                f"{consumer}: {event.stream}@{offset} begins out of order: {earlier} failed, {lane.reached} is done"
            )
        lane.running = offset
        lane.failed.pop(offset, None)
        return Ticket(lane, offset, event)

    def fails(self, ticket: Ticket) -> None:
        """A handler has failed; its event is to be tried again before later ones, unless one of them does all of it."""
        ticket.lane.running = None
        ticket.lane.failed[ticket.offset] = ticket.event

    def ends(self, ticket: Ticket) -> None:
        """A handler has done its event, and with it those before it that have failed."""
        ticket.lane.running = None
        ticket.lane.reached = ticket.offset
        ticket.lane.failed = {at: event for at, event in ticket.lane.failed.items() if at > ticket.offset}


def _asks_no_more(earlier: Event, later: Event) -> bool:
    """Tell whether the later event of a stream does all that the earlier one asks for.

    Every event asks for the rows below its cutoff, and a close for a comparison of its partition, too.
    """
    if earlier.cutoff > later.cutoff:
        return False
    close = earlier.type is EventType.PARTITION_CLOSED
    return not close or (later.partition_id, later.content_id) == (earlier.partition_id, earlier.content_id)
