"""How late rows are: from when the oldest row of a quarter hour was final until all of them were in the cold tier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from consumer.demo.market import BARS
from consumer.domain.planning import floor_to_span
from consumer.domain.window import MICROSECOND
from tests.platform.trading import CYCLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """One stream's rows of one quarter hour.

    Attributes:
        tick: number of the quarter hour, from 0.
        seconds: simulated seconds from the instant at which the oldest row was final (its time, for a bar the bar's
            end) to that at which all of them were committed; real seconds of work are simulated ones.
    """

    stream: str
    tick: int
    seconds: float


def oldest_final(stream: str, boundary: datetime) -> datetime | None:
    """Return when the oldest row was final of those that a tick at ``boundary`` asks for; ``None`` without rows."""
    span = BARS.get(stream)
    if span is None:
        return boundary - CYCLE
    if floor_to_span(boundary, span) != boundary:
        return None  # such a bar ends with a later tick
    return boundary - max(CYCLE - span, timedelta(0))


def target(stream: str, boundary: datetime) -> datetime:
    """Return the watermark that a stream has to reach by a tick at ``boundary``: above every row that is final then."""
    span = BARS.get(stream)
    return boundary if span is None else floor_to_span(boundary, span) - span + MICROSECOND


@dataclass
class LagMeter:
    """Takes the time of quarter hours until they are complete."""

    found: list[Lag] = field(default_factory=list)
    _waiting: dict[tuple[str, int], datetime] = field(default_factory=dict)

    def begin(self, tick: int, boundary: datetime, streams: Sequence[str]) -> None:
        """Take the time of the rows that a tick at ``boundary`` asks for."""
        for stream in streams:
            final = oldest_final(stream, boundary)
            if final is not None:
                self._waiting[stream, tick] = final

    def complete(self, streams: Sequence[str], now: datetime) -> None:
        """Note that every row of these streams is in the cold tier by now."""
        for stream, tick in list(self._waiting):
            if stream in streams:
                final = self._waiting.pop((stream, tick))
                self.found.append(Lag(stream=stream, tick=tick, seconds=(now - final).total_seconds()))

    @property
    def waiting(self) -> Mapping[tuple[str, int], datetime]:
        """The quarter hours that are not complete: when their oldest row was final, by stream and tick."""
        return dict(self._waiting)
