"""The check of a stream's start: is the configured one the one that counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from consumer.domain.phrasing import instant_text
from consumer.domain.stream import Stream
from consumer.domain.window import BEGINNING
from consumer.ports import Ledger
from consumer.service.doctor.finding import Statement, ok, warning


@dataclass(frozen=True, slots=True, kw_only=True)
class StartCheck:
    """The configured start of one stream against the ledger's."""

    stream: Stream
    ledger: Ledger
    name: str = "start"

    @property
    def subject(self) -> str:
        """The stream."""
        return self.stream.name

    def run(self) -> Iterator[Statement]:
        """Compare both, once somebody has claimed the stream; say nothing of a stream without either."""
        record = self.ledger.read([self.stream.name]).get(self.stream.name)
        wanted = self.stream.begins
        if record is None or record.epoch == 0 or record.start == wanted:
            if wanted != BEGINNING:
                yield ok(f"live windows start at {instant_text(wanted)}")
            return
        configured = "no start" if wanted == BEGINNING else f"start {instant_text(wanted)}"
        started = "the beginning" if record.start == BEGINNING else instant_text(record.start)
        yield warning(
            f"{configured} is configured, but the stream has started at {started}, and that counts",
            f"set start to what counts; what is missing below it comes by `icehaul backfill {self.stream.name}`",
        )
