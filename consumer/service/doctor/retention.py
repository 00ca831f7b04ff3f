"""The check of a stream's time to loss: is the source's TTL about to delete rows that were not offloaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from consumer.domain.duration import format_duration
from consumer.domain.phrasing import instant_text
from consumer.domain.stream import Stream
from consumer.ports import Ledger, Source
from consumer.service.doctor.finding import Statement, error, ok, warning
from consumer.service.retention import look_ahead


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionCheck:
    """Time to loss of one stream against its margin."""

    stream: Stream
    source: Source
    ledger: Ledger
    name: str = "retention"

    @property
    def subject(self) -> str:
        """The stream and its table."""
        return f"{self.stream.name} ({self.stream.source})"

    def run(self) -> Iterator[Statement]:
        """Look ahead from the watermark, as a consumer does."""
        record = self.ledger.read([self.stream.name]).get(self.stream.name)
        lowest = record.watermark if record is not None else self.stream.begins
        table = self.source.describe(self.stream.source)
        found = look_ahead(self.source, self.stream, table, lowest, self.source.now())
        for clause in found.unknown:
            yield warning(
                f"nobody can say when the TTL {clause!r} deletes rows that were not offloaded: the time to loss is"
                " unknown",
                f"write it as {self.stream.timestamp_column} + INTERVAL n UNIT, with toDate or toDateTime at most",
            )
        if found.left is None or found.at is None:
            if not found.unknown:
                yield ok("no TTL deletes rows that were not offloaded")
            return
        when = f"at {instant_text(found.at)} by the TTL {found.clause!r}"
        offload = "see that `icehaul run` and `icehaul emit` work, and what `icehaul plan` says of the stream"
        margin = format_duration(self.stream.retention.margin)
        if found.left.total_seconds() <= 0:
            yield error(f"rows that were not offloaded may have been deleted since {when[3:]}", offload)
        elif found.within(self.stream.retention.margin):
            yield warning(f"rows that were not offloaded may be deleted {when}, within the margin of {margin}", offload)
        else:
            yield ok(
                f"no row that was not offloaded is deleted before {instant_text(found.at)}; the margin is {margin}"
            )
