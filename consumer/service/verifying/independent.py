"""The independent check: the statement that compares both tiers of a stream wherever ClickHouse runs."""

from __future__ import annotations

from typing import Protocol

from consumer.domain.errors import ConfigurationError
from consumer.domain.mapping import TableMapping
from consumer.domain.stream import Stream
from consumer.domain.window import EVER, Window
from consumer.ports import Catalog, Ledger, Source
from consumer.service.prepare import Preparation
from consumer.service.verify import Look, Verifier


class StatementWriter(Protocol):
    """Writes the statement in the dialect of the hot tier."""

    def write(self, look: Look, mapping: TableMapping) -> str:
        """Return the statement that compares what a look has seen; no secret stands in it."""
        ...


class IndependentCheck:
    """Tells others how to compare a stream's tiers themselves; compares nothing."""

    def __init__(
        self, *, source: Source, ledger: Ledger, catalog: Catalog, verifier: Verifier, writer: StatementWriter
    ) -> None:
        self._preparation = Preparation(source=source, ledger=ledger, catalog=catalog)
        self._verifier = verifier
        self._writer = writer

    def statement(self, stream: Stream, within: Window = EVER) -> str:
        """Return the statement for the rows below the stream's watermark, or for those of a range, as things stand now.

        Raises:
            ConfigurationError: if nothing of that was read yet.
            TargetMissingError, StreamError, TransientError: as source, ledger and catalog raise them.
        """
        look = self._verifier.look(stream, within)
        if look.record is None or not look.inside:
            raise ConfigurationError(
                f"--sql: nothing of stream {stream.name} was offloaded yet, so there is nothing to compare",
                remedy="print the statement once the stream has a watermark; see: icehaul status",
            )
        _, mapping = self._preparation.read_source(stream, look.record)
        return self._writer.write(look, mapping)
