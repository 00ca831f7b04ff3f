"""The check of a stream's source table: can it be read, and does it behave as an offload expects."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from consumer.domain.clickhouse_type import TypeSyntaxError
from consumer.domain.duration import format_duration
from consumer.domain.engine_semantics import ENGINE_REMEDY, merge_semantics
from consumer.domain.errors import IcehaulError
from consumer.domain.inventory import find_period
from consumer.domain.mapping import TableMapping
from consumer.domain.mode_rules import ModeObstacle, mode_meaning, mode_obstacle
from consumer.domain.stream import Mode, Stream, TableName
from consumer.domain.table_facts import TableFacts
from consumer.domain.table_ttl import has_column_ttl, row_ttls
from consumer.domain.type_mapping import map_source
from consumer.domain.window import Window
from consumer.ports import Extent, SourceTable
from consumer.service.doctor.finding import Statement, error, info, ok, warning

TTL_MARGIN = timedelta(minutes=20)
"""What a TTL must leave beyond settle lag and row span: a tick of 15 minutes, and some minutes to publish."""


class SourceReader(Protocol):
    """What the check asks of the hot tier, as a run would."""

    def describe(self, table: TableName) -> SourceTable:
        """Describe a table, and prove that it may be read."""
        ...

    def extent(self, stream: Stream, window: Window) -> Extent:
        """Count the rows in a window."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCheck:
    """Grants, time column, column types, the engine's semantics and the TTL of one stream's source."""

    stream: Stream
    source: SourceReader
    facts: Callable[[TableName], TableFacts | None]
    time_zone: Callable[[], str]
    latest: Callable[[Stream], Window]
    name: str = "source"

    @property
    def subject(self) -> str:
        """The stream and its table."""
        return f"{self.stream.name} ({self.stream.source})"

    def run(self) -> Iterator[Statement]:
        """Describe and map the table as a run does, read it a little, then look at what only a doctor looks at."""
        described = self.source.describe(self.stream.source)
        yield ok(f"it exists ({described.engine}), and the user may read all {len(described.columns)} columns")
        obstacle = mode_obstacle(self.stream.mode, described.shape, time_column=self.stream.timestamp_column)
        yield from self._mapping(described, readable=obstacle is None)
        facts = self.facts(self.stream.source)
        yield from _mode(self.stream, described, obstacle)
        if facts is not None:
            yield from _ttl(self.stream, facts)
        yield from self._keys(described)

    def _mapping(self, described: SourceTable, *, readable: bool) -> Iterator[Statement]:
        try:
            mapping: TableMapping = map_source(self.stream, described.columns)
        except IcehaulError as failure:
            yield error(failure.message, failure.remedy)
            return
        if not readable:
            return
        self.source.extent(self.stream, self.latest(self.stream))
        yield ok(f"all {len(mapping.columns)} columns have an exact Iceberg type, and a small query answers")

    def _keys(self, described: SourceTable) -> Iterator[Statement]:
        column = self.stream.timestamp_column
        keys = f"{described.partition_key}, {described.sorting_key}"
        if re.search(rf"\b{re.escape(column)}\b", keys) is None:
            yield warning(
                f"time column {column} is neither in the partition key ({described.partition_key or 'none'}) nor in the"
                f" sorting key ({described.sorting_key or 'none'}): every window reads the whole column",
                f"PARTITION BY toDate({column}) or a sorting key with {column}, in a table fed by a materialized view",
            )
            return
        if not described.partition_key:
            yield info("the table has no partition key: there are no partition closes, only ticks")
            return
        types = [one.type for one in described.columns if one.name == column]
        try:
            period = find_period(
                partition_key=described.partition_key,
                time_column=column,
                time_type=types[0],
                server_zone=self.time_zone(),
            )
        except (IndexError, TypeSyntaxError):
            return  # stated above already
        if period is None:
            yield info(f"the partition key ({described.partition_key}) tells no UTC period of {column}")


def _mode(stream: Stream, described: SourceTable, obstacle: ModeObstacle | None) -> Iterator[Statement]:
    """State what the target follows, and why that is sound, or not."""
    if obstacle is not None:
        yield error(f"mode {stream.mode} is not possible: {obstacle.reason}", obstacle.remedy)
        return
    if stream.mode is Mode.APPEND:
        meaning = merge_semantics(described.engine)
        if meaning is not None:
            yield warning(meaning, ENGINE_REMEDY)
        return
    yield ok(f"mode {stream.mode}: {mode_meaning(stream.mode)}")
    if stream.mode is Mode.LATEST_VERSION and not stream.replace.remove_rows:
        yield info(
            "rows that are deleted by a tombstone, a sign or a mutation stay in the target, as findings",
            "set replace.remove_rows: true if they are to go",
        )


def _ttl(stream: Stream, facts: TableFacts) -> Iterator[Statement]:
    shortest = stream.settle_lag + stream.row_span + TTL_MARGIN
    needed = format_duration(shortest)
    for ttl in row_ttls(facts.engine_full):
        after = ttl.after(stream.timestamp_column)
        if after is None:
            yield warning(
                f"the TTL {ttl.clause!r} deletes rows after a time that can't be told",
                f"make sure that rows stay {needed} at least: settle lag, row span and 20 minutes",
            )
            continue
        deletes = f"the TTL {ttl.clause!r} deletes rows after {format_duration(after)}"
        if after < shortest:
            yield error(
                f"{deletes}, which is shorter than the {needed} of settle lag, row span and 20 minutes: rows vanish"
                " before they are offloaded",
                f"ALTER TABLE {stream.source} MODIFY TTL … to {needed} or more, or shorten the stream's settle_lag",
            )
        else:
            yield info(f"{deletes}: a comparison of both tiers covers what is left")
    if has_column_ttl(facts.create_query):
        yield warning(
            "a column has a TTL of its own: its values are reset in the source, and both tiers differ from then on",
            "remove the column's TTL, or expect `icehaul verify` to report such rows",
        )
