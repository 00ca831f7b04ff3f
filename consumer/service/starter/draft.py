"""Drafting streams: one for each table, or the reason why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from consumer.domain.duration import format_duration
from consumer.domain.engine_semantics import ENGINE_REMEDY, merge_semantics
from consumer.domain.errors import IcehaulError
from consumer.domain.mapping import SourceColumn
from consumer.domain.mode_rules import TableShape, proposed_mode
from consumer.domain.stream import IDENTIFIER, Layer, Mode
from consumer.domain.table_facts import ColumnFacts, TableFacts, ValueRange
from consumer.domain.table_ttl import TtlAction, has_column_ttl, row_ttls
from consumer.domain.type_choices import As
from consumer.domain.type_mapping import map_table
from consumer.domain.window import PartitionBy
from consumer.service.doctor.sources import TTL_MARGIN
from consumer.service.starter import shape
from consumer.service.starter.time_column import Candidate, Ranking, mentions, rank

SETTLE_LAG = timedelta(minutes=5)
_DAY = timedelta(days=1)
_LONGEST_NAME = 127


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnDraft:
    """A column, and what becomes of it; with an ``obstacle`` the stream can't run as it is.

    ``proposed`` is the first of what such a column may become by choice, ``None`` where its type leaves none.
    """

    name: str
    source_type: str
    becomes: str
    obstacle: str | None = None
    choices: str | None = None
    proposed: As | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamDraft:
    """A stream as it would be written; one with obstacles is written commented out."""

    table: TableFacts
    name: str
    target: str
    layer: Layer
    layer_known: bool
    ranking: Ranking
    time_column: Candidate | None
    sequence_columns: tuple[str, ...] = ()
    sequence_reason: str = ""
    partition_by: PartitionBy = PartitionBy.DAY
    partition_reason: str = ""
    settle_lag: timedelta = SETTLE_LAG
    columns: tuple[ColumnDraft, ...] = ()

    @property
    def source(self) -> str:
        """The table in ClickHouse."""
        return f"{self.table.database}.{self.table.table}"

    @property
    def row_span(self) -> timedelta:
        """How long a row may still come or change after its timestamp, which stands for a whole day in a date."""
        return _DAY if self.time_column is not None and self.time_column.is_date else timedelta(0)

    @property
    def mode(self) -> tuple[Mode, str]:
        """The mode that suits the table, and why."""
        return proposed_mode(
            TableShape(
                engine=self.table.engine,
                partition_key=self.table.partition_key,
                sorting_key=self.table.sorting_key,
                columns=[SourceColumn(name=one.name, type=one.source_type) for one in self.columns],
                ttl_changes_rows=has_column_ttl(self.table.create_query)
                or any(ttl.action is TtlAction.ROLL_UP for ttl in row_ttls(self.table.engine_full)),
            ),
            time_column=self.time_column.column.name if self.time_column is not None else "",
        )

    @property
    def obstacles(self) -> tuple[str, ...]:
        """Why the stream can't run as it is; empty where it can."""
        found = [f"{one.obstacle}; {one.choices}" for one in self.columns if one.obstacle is not None]
        if not self.table.has_uuid:
            found.insert(0, "the table has no UUID: move it to a database with the engine Atomic or Replicated")
        if self.time_column is None:
            found.insert(
                0,
                "no column can be the time column: it must be a Date, Date32, DateTime or DateTime64(0 to 6), not"
                " Nullable; add one, or offload another table that has one, fed by a materialized view",
            )
        return tuple(found)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What works, and may surprise."""
        found = []
        meaning = merge_semantics(self.table.engine)
        if meaning is not None and self.mode[0] is Mode.APPEND:
            found.append(f"{meaning}. Choices: {ENGINE_REMEDY}")
        shortest = self.settle_lag + self.row_span + TTL_MARGIN
        for ttl in row_ttls(self.table.engine_full):
            after = ttl.after(self.time_column.column.name) if self.time_column is not None else None
            if after is None:
                found.append(f"the TTL {ttl.clause} deletes rows after a time that can't be told from here")
            elif after < shortest:
                found.append(
                    f"the TTL {ttl.clause} deletes rows after {format_duration(after)}, shorter than the"
                    f" {format_duration(shortest)} of settle lag, row span and 20 minutes: rows vanish before they are"
                    " offloaded; lengthen the TTL"
                )
        if has_column_ttl(self.table.create_query):
            found.append("a column has a TTL of its own, which resets values: both tiers differ from then on")
        column = self.time_column
        if column is not None and not any(
            mentions(key, column.column.name) for key in (self.table.partition_key, self.table.sorting_key)
        ):
            found.append(f"{column.column.name} is in neither key of the table: every window reads the whole column")
        if column is not None and not self.ranking.sure:
            found.append("the time column is a guess that may be wrong: look at the alternatives")
        return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A table or view that no stream is written for, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What is the same for all tables of one look."""

    now: datetime
    server_zone: str
    settle_lag: timedelta = SETTLE_LAG


@dataclass(slots=True)
class Names:
    """The names that drafts have used so far."""

    streams: set[str] = field(default_factory=set)
    targets: set[str] = field(default_factory=set)


def why_skipped(table: TableFacts) -> str | None:
    """Return why no stream is written for a table; ``None`` where one is."""
    if table.table.startswith(".inner"):
        return "the hidden table of a materialized view: give the view a TO table, and offload that"
    if "View" in table.engine:
        return "a view has no rows of its own: the tables that it reads from, or writes to, are what is offloaded"
    if not table.offloadable:
        return f"a {table.engine} table has no parts of its own: offload a MergeTree table"
    if IDENTIFIER.fullmatch(table.database) is None or IDENTIFIER.fullmatch(table.table) is None:
        return "its name is not made of the letters a to z, digits and _: rename it, or feed another table from it"
    return None


def draft_stream(
    table: TableFacts,
    ranges: Mapping[str, ValueRange],
    around: Surroundings,
    names: Names,
) -> StreamDraft:
    """Draft a stream for a table that is not skipped, under names that ``names`` does not hold yet."""
    ranking = rank(table, ranges, around.now)
    found_layer, rest = shape.layer(table.database, table.table)
    stream_layer = found_layer or Layer.BRONZE
    name, target = _names(table, stream_layer, rest, names)
    draft = StreamDraft(
        table=table,
        name=name,
        target=target,
        layer=stream_layer,
        layer_known=found_layer is not None,
        ranking=ranking,
        time_column=None,
        settle_lag=around.settle_lag,
        columns=tuple(_column(column) for column in table.columns if column.stored),
    )
    return draft if ranking.best is None else with_time_column(draft, ranking.best, around)


def with_time_column(draft: StreamDraft, chosen: Candidate, around: Surroundings) -> StreamDraft:
    """Return the draft with a time column, and what follows from it."""
    sequence, sequence_reason = shape.sequence_columns(draft.table, chosen.column.name)
    period, reason = shape.partition_by(draft.table, chosen.column.name, chosen.column.type, around.server_zone)
    return replace(
        draft,
        time_column=chosen,
        sequence_columns=sequence,
        sequence_reason=sequence_reason,
        partition_by=period,
        partition_reason=reason,
    )


def _names(table: TableFacts, layer: Layer, rest: str, names: Names) -> tuple[str, str]:
    """Return a stream name and a target that no other draft has: ``database_table`` and ``layer.database_rest``."""
    prefix = "" if table.database == "default" else f"{table.database}_"
    name = shape.unused(_short([f"{prefix}{table.table}"]), names.streams)
    targets = [f"{layer}.{short}" for short in _short([f"{prefix}{rest}", f"{prefix}{table.table}"])]
    target = shape.unused(targets, names.targets)
    names.streams.add(name)
    names.targets.add(target)
    return name, target


def _short(wanted: Sequence[str]) -> list[str]:
    """Return the names as identifiers, with room for a number."""
    cut = [name[: _LONGEST_NAME - 4] for name in wanted]
    return [name if IDENTIFIER.fullmatch(name) else f"_{name}" for name in cut]


def _column(column: ColumnFacts) -> ColumnDraft:
    try:
        return ColumnDraft(name=column.name, source_type=column.type, becomes=_becomes(column))
    except IcehaulError as error:
        proposed = next((choice for choice in As if _may_become(column, choice)), None)
        return ColumnDraft(
            name=column.name,
            source_type=column.type,
            becomes="(nothing)" if proposed is None else f"{_becomes(column, proposed)}, if you choose so",
            obstacle=error.message,
            choices=error.remedy,
            proposed=proposed,
        )


def _may_become(column: ColumnFacts, choice: As) -> bool:
    try:
        _becomes(column, choice)
    except IcehaulError:
        return False
    return True


def _becomes(column: ColumnFacts, chosen: As | None = None) -> str:
    time = SourceColumn(name="_" if column.name != "_" else "__", type="Date")
    mapping = map_table(
        [time, SourceColumn(name=column.name, type=column.type)],
        timestamp_column=time.name,
        chosen={} if chosen is None else {column.name: chosen},
    )
    mapped = mapping.columns[-1]
    return f"{mapped.iceberg_type}{', required' if mapped.required else ''}"
