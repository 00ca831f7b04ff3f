"""The order of a stream's events in one consumer: one at a time, none before an earlier one is done."""

from __future__ import annotations

from dataclasses import dataclass, field

from consumer.domain.event import Event
from consumer.service.threads import Signal
from tests.simulation.truth import Truth


@dataclass(slots=True)
class _Lane:
    """What one assignment of one consumer has done of a stream, of the offsets of one partition."""

    running: int | None = None
    reached: int = -1
    failed: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Ticket:
    """One attempt at one event."""

    lane: _Lane
    offset: int


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
        earlier = [failed for failed in lane.failed if failed < offset]
        if earlier or offset <= lane.reached:
            self._truth.violated(
                f"{consumer}: {event.stream}@{offset} begins out of order: {earlier} failed, {lane.reached} is done"
            )
        lane.running = offset
        lane.failed.discard(offset)
        return Ticket(lane, offset)

    def fails(self, ticket: Ticket) -> None:
        """A handler has failed; its event has to be tried again before later ones."""
        ticket.lane.running = None
        ticket.lane.failed.add(ticket.offset)

    def ends(self, ticket: Ticket) -> None:
        """A handler has done its event."""
        ticket.lane.running = None
        ticket.lane.reached = ticket.offset
