"""When an offset may be committed: a model of what each delivered message still asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from consumer.domain.event import Event, EventType
from consumer.domain.planning import floor_to_span
from consumer.domain.stream import Stream
from consumer.domain.window import BEGINNING
from consumer.service.runtime.ports import Partition
from consumer.testing.broker import BrokerMessage


@dataclass(frozen=True, slots=True)
class _Delivery:
    message: BrokerMessage
    step: int
    time: datetime
    upstreams: Mapping[str, datetime]


class Deliveries:
    """Judges every commit of the group.

    A delivered event is done once the watermark has reached what its handler must at least have read for: its cutoff,
    but no more than was final by the source's clock since the delivery, and no more than its upstreams had then. It is
    done, too, once it was parked since, or another one that asks for as much; what is no event, once its dead letter
    is sent.
    """

    def __init__(self, streams: Mapping[str, Stream], watermarks: Callable[[], Mapping[str, datetime]]) -> None:
        self._streams = streams
        self._watermarks = watermarks
        self._open: dict[tuple[int, Partition], dict[int, _Delivery]] = {}
        self._acknowledged: dict[tuple[int, Partition], int] = {}
        self._lows: list[tuple[int, datetime]] = []
        self._parked: list[tuple[int, Event]] = []
        self._letters: dict[tuple[Partition, int], int] = {}
        self._rewinds: list[tuple[int, str, datetime, datetime]] = []

    def stepped_back(self, step: int, now: datetime) -> None:
        """The source's clock has gone back."""
        self._lows.append((step, now))

    def rewound(self, stream: str, step: int, before: datetime, to: datetime) -> None:
        """A stream's watermark was set back: what had been read up to it before, was read."""
        self._rewinds.append((step, stream, before, to))

    def handed_over(self, member: int, partition: Partition, offset: int) -> None:
        """A member begins with a partition at an offset."""
        self._open[member, partition] = {}
        self._acknowledged[member, partition] = offset

    def delivered(self, member: int, message: BrokerMessage, step: int, now: datetime) -> None:
        """A member has received a message."""
        watermarks = self._watermarks()
        self._open[member, message.at][message.number] = _Delivery(message, step, now, watermarks)

    def parked(self, event: Event, step: int) -> None:
        """An event is kept in the ledger."""
        self._parked.append((step, event))

    def buried(self, message: BrokerMessage, step: int) -> None:
        """A message is among the dead letters."""
        self._letters[message.at, message.number] = step

    def committed(self, member: int, partition: Partition, offset: int, present: Sequence[int]) -> list[str]:
        """Return what is wrong with a commit; ``present`` are the offsets that the partition holds messages at."""
        taken = self._open[member, partition]
        begin = self._acknowledged[member, partition]
        skipped = [number for number in present if begin <= number < offset and number not in taken]
        self._acknowledged[member, partition] = max(begin, offset)
        acknowledged = [taken.pop(number) for number in sorted(taken) if number < offset]
        wrong = [problem for each in acknowledged if (problem := self._unfinished(each)) is not None]
        if skipped:
            wrong.append(f"{partition}: {offset} is committed, but {skipped} were never received")
        return wrong

    def _unfinished(self, delivery: _Delivery) -> str | None:
        message, event = delivery.message, delivery.message.event
        place = f"{message.at}@{message.number}"
        if event is None or event.stream not in self._streams:
            if self._letters.get((message.at, message.number), -1) < delivery.step:
                return f"{place} is acknowledged, but is no event, and no dead letter was sent"
            return None
        if any(step >= delivery.step and _stands_for(parked, event) for step, parked in self._parked):
            return None
        needed = self._needed(delivery, event)
        back = [before for step, name, before, _ in self._rewinds if name == event.stream and step >= delivery.step]
        reached = max([self._watermarks().get(event.stream, BEGINNING), *back])
        if reached < needed:
            return (
                f"{place} is acknowledged, but {event.stream} has been read up to {reached} only, not up to {needed},"
                " and the event is not parked"
            )
        return None

    def _needed(self, delivery: _Delivery, event: Event) -> datetime:
        stream = self._streams[event.stream]
        lows = [low for step, low in self._lows if step >= delivery.step]
        needed = min([delivery.time, *lows]) - stream.settle_lag - stream.row_span
        for upstream in stream.upstreams:
            back = [to for step, name, _, to in self._rewinds if name == upstream and step >= delivery.step]
            reached = min([delivery.upstreams.get(upstream, BEGINNING), *back])
            needed = min(needed, floor_to_span(reached, stream.row_span) if stream.row_span else reached)
        return min(needed, event.cutoff)


def _stands_for(parked: Event, event: Event) -> bool:
    """Tell whether taking up the parked event will do all that the other one asks for."""
    if parked.stream != event.stream or parked.cutoff < event.cutoff:
        return False
    if event.type is not EventType.PARTITION_CLOSED:
        return True
    return (parked.partition_id, parked.content_id) == (event.partition_id, event.content_id)
