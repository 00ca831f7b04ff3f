"""The table that restored rows go to: whether they may, and would stay there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from consumer.domain.errors import AccessDeniedError, ConfigurationError, SourceChangedError, StreamError
from consumer.domain.hot_drop import HotDrop
from consumer.domain.mapping import TableMapping
from consumer.domain.phrasing import instant_text
from consumer.domain.restore import RestoreChoice, looks_staged
from consumer.domain.stream import Stream
from consumer.domain.window import Window
from consumer.ports import SourceTable, StreamRecord
from consumer.service.restoring.ports import DataFile, DroppedRows, RestoreServer

_KEEPING = frozenset({"MergeTree", "ReplicatedMergeTree", "SharedMergeTree"})
"""Engines that keep every row as it was inserted."""


class Destinations:
    """Checks the tables that rows are restored into."""

    def __init__(self, *, streams: Mapping[str, Stream], drops: DroppedRows, server: RestoreServer) -> None:
        self._streams = streams
        self._drops = drops
        self._server = server

    def find(
        self, stream: Stream, choice: RestoreChoice, record: StreamRecord, source: SourceTable | None
    ) -> SourceTable | None:
        """Return the table; ``None`` where it is to be made.

        Raises:
            ConfigurationError: if it does not exist and may not be made, or its name is a staging table's.
            AccessDeniedError: naming the missing grants.
            StreamError: if the rows must not be put there.
        """
        into = choice.into
        if looks_staged(into):
            raise ConfigurationError(
                f"--into {into}: the name is one of staging tables, which later runs remove",
                remedy="name another table",
            )
        for other in self._streams.values():
            if other.source == into and other.name != stream.name:
                raise StreamError(
                    f"--into {into}: the stream {other.name} reads this table, and would offload what is restored",
                    remedy="name a table that no stream reads",
                )
        there = self._server.describe(into)
        if into == stream.source:
            _check_own(stream, choice, record, source)
        if there is None and not choice.create:
            raise ConfigurationError(
                f"--into {into}: there is no such table",
                remedy="give --create to make it, or make it with the statement that --ddl prints",
            )
        if there is not None and there.engine not in _KEEPING:
            raise StreamError(
                f"--into {into}: its engine {there.engine} merges rows with one another, so restored ones would not"
                " stay as they are",
                remedy="restore into a plain MergeTree (--create makes one), and insert from there what you need",
            )
        if lacking := self._server.lacking(into):
            raise AccessDeniedError(
                f"stream {stream.name}: the user of clickhouse.user lacks the grants: {'; '.join(lacking)}",
                remedy=f"run as an administrator of ClickHouse: {'; '.join(f'GRANT {one} TO …' for one in lacking)}",
            )
        return there

    def check_ttl(
        self, stream: Stream, there: SourceTable | None, mapping: TableMapping, files: Sequence[DataFile]
    ) -> None:
        """Check that no TTL of the table takes the restored rows away again.

        Raises:
            StreamError: naming the rule.
        """
        if there is None or not there.ttls or not files:
            return
        first = self._server.first_instant(stream, mapping, files)
        for rule in there.ttls:
            span = rule.after(stream.timestamp_column)
            if first is not None and (span is None or first + span <= self._server.now()):
                raise StreamError(
                    f"--into {there.name}: its TTL {rule.clause} takes restored rows away again, the first of which are"
                    f" of {instant_text(first)}",
                    remedy=f"ALTER TABLE {there.name} REMOVE TTL while they are needed; or restore into another table",
                )

    def returning(self, stream: Stream, choice: RestoreChoice) -> Sequence[HotDrop]:
        """Return the drops whose rows come back to the stream's own source; none for another table.

        Raises:
            StreamError: if a drop is under way there, or only a part of what one has dropped would come back.
        """
        if choice.into != stream.source:
            return ()
        for drop in self._drops.open(stream.name):
            if _overlap(drop.partition.window, choice.within):
                raise StreamError(
                    f"stream {stream.name}: partition {drop.partition.id} is being dropped from the hot tier",
                    remedy="finish that first: run the same icehaul drop-hot again",
                )
        drops = [one for one in self._drops.gone(stream.name) if _overlap(one.partition.window, choice.within)]
        for drop in drops:
            window = drop.partition.window
            if window.lower < choice.within.lower or window.upper > choice.within.upper:
                raise StreamError(
                    f"stream {stream.name}: partition {drop.partition.id} was dropped as a whole, and reaches from"
                    f" {instant_text(window.lower)} to {instant_text(window.upper)}: of a part of it, nobody could tell"
                    " what is still missing in the hot tier",
                    remedy="name a stretch that holds all of it",
                )
        return drops


def _overlap(one: Window, other: Window) -> bool:
    return one.lower < other.upper and other.lower < one.upper


def _check_own(stream: Stream, choice: RestoreChoice, record: StreamRecord, source: SourceTable | None) -> None:
    if source is None:
        raise SourceChangedError(
            f"stream {stream.name}: the source {stream.source} is not the table {record.source_uuid} that the ledger"
            " knows: what is restored under its name would be taken for another table",
            remedy="restore into a table of another name, and give that a stream of its own",
        )
    if choice.snapshot is not None:
        raise StreamError(
            f"--into {stream.source}: the stream reads this table, and would take former rows for new ones",
            remedy="leave --snapshot and --tag out, or name a table that no stream reads",
        )
