"""Streams that are derived from one that is to be rewound, and have been read beyond the instant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from consumer.domain.cut import bound_of
from consumer.domain.phrasing import instant_text
from consumer.domain.stream import Stream
from consumer.ports import Ledger
from consumer.service.batch_context import dependants_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """A dependant, direct or not, whose watermark is above the instant, and where it has to be rewound to first."""

    stream: str
    watermark: datetime
    to: datetime

    @property
    def objection(self) -> str:
        """Why the stream itself should not be rewound before."""
        return (
            f"stream {self.stream}, which is derived from it, has been read up to {instant_text(self.watermark)}:"
            f" rewind it first (icehaul rewind {self.stream} --to {self.to.isoformat()})"
        )


class Lineage:
    """Which streams are derived from which."""

    def __init__(self, streams: Mapping[str, Stream], ledger: Ledger) -> None:
        self._streams = streams
        self._ledger = ledger

    def direct(self, stream: Stream) -> Sequence[Stream]:
        """Return the streams that name this one as an upstream."""
        return [self._streams[name] for name in dependants_of(stream, self._streams)]

    def ahead(self, stream: Stream, to: datetime) -> Sequence[Ahead]:
        """Return the dependants that are above the instant, those that nothing else depends on first."""
        bounds: dict[str, datetime] = {}
        for one, bound in self._below(stream, to, frozenset({stream.name})):
            # One that is reached twice stands after everything that it is derived from.
            bounds[one.name] = min(bound, bounds.pop(one.name, bound))
        records = self._ledger.read(list(bounds))
        found = [
            Ahead(stream=name, watermark=records[name].watermark, to=bound)
            for name, bound in bounds.items()
            if name in records and not records[name].unread and records[name].watermark > bound
        ]
        return found[::-1]

    def _below(self, stream: Stream, to: datetime, seen: frozenset[str]) -> Iterator[tuple[Stream, datetime]]:
        """Yield each dependant after all that it is derived from, with the instant up to which its rows stay final."""
        for one in self.direct(stream):
            if one.name not in seen:
                bound = bound_of(one, to)
                yield one, bound
                yield from self._below(one, bound, seen | {one.name})
