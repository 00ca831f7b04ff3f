"""Looking before restoring: what would come back, whether the cold tier holds just that, and may it go there?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from consumer.domain.errors import StreamError
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.hot_drop import HotDrop
from consumer.domain.mapping import TableMapping
from consumer.domain.phrasing import counted
from consumer.domain.restore import RestoreChoice, RestoredWindow, pieces_of, prove
from consumer.domain.restore_query import create_statement, destination_mapping, lost_columns
from consumer.domain.restored_columns import restored_columns
from consumer.domain.stream import Stream, TableName
from consumer.domain.window import EVER, Window
from consumer.ports import Ledger, Source, SourceTable
from consumer.service.restoring.destination import Destinations
from consumer.service.restoring.origin import ColdRows, Origin
from consumer.service.restoring.ports import DataFile, DroppedRows, PastTables, RestoreServer


class Standing(StrEnum):
    """What the destination holds of the stretch that is restored."""

    ABSENT = "absent"
    """There is no table."""
    EMPTY = "empty"
    """It has no row of the stretch."""
    PARTLY = "partly"
    """It has some of the rows, and a staging table of an earlier run has the others."""
    RESTORED = "restored"
    """It has just the rows of the cold tier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would be restored, or is to be.

    Attributes:
        stream: the stream.
        choice: what was asked for.
        origin: where the rows come from.
        mapping: the columns with the destination's types, as the data files of all times hold them.
        windows: the stretches that have rows, as the cold tier holds them.
        wanted: all stretches, contiguous.
        expected: what the cold tier holds of each of them, by the digest over the destination's columns.
        files: the data files that hold these rows.
        lost: what is gone for good of columns that were not kept exactly, by column.
        left_out: columns that the source has dropped, and the destination lacks.
        standing: what the destination holds of it.
        leftovers: staging tables of earlier runs; the first one holds what is missing where ``finishing``.
        drops: drops of the source whose rows come back by this.
    """

    stream: Stream
    choice: RestoreChoice
    origin: Origin
    mapping: TableMapping
    windows: Sequence[RestoredWindow]
    wanted: Sequence[Window]
    expected: Sequence[Fingerprint]
    files: Sequence[DataFile]
    lost: Mapping[str, str]
    left_out: Sequence[str]
    standing: Standing
    leftovers: Sequence[TableName]
    finishing: bool
    drops: Sequence[HotDrop]

    @property
    def total(self) -> Fingerprint:
        """Fingerprint of all rows."""
        return sum(self.expected, EMPTY)

    @property
    def own(self) -> bool:
        """Whether the rows go back to the stream's own source."""
        return self.choice.into == self.stream.source


class Review:
    """Finds out what would be restored; reads both tiers, and changes nothing."""

    def __init__(
        self,
        *,
        streams: Mapping[str, Stream],
        source: Source,
        ledger: Ledger,
        past: PastTables,
        drops: DroppedRows,
        server: RestoreServer,
    ) -> None:
        self._cold = ColdRows(source=source, ledger=ledger, past=past, server=server)
        self._server = server
        self._destinations = Destinations(streams=streams, drops=drops, server=server)

    def definition(self, stream: Stream, choice: RestoreChoice) -> str:
        """Return the statement that would make the table.

        Raises:
            StreamError, TransientError: as :meth:`review` raises them.
        """
        origin = self._cold.origin(stream, choice)
        return create_statement(choice.into, origin.columns.mapping, origin.layout)

    def review(self, stream: Stream, choice: RestoreChoice) -> Plan:
        """Return what would be restored, once it is proved that the cold tier holds just what is recorded.

        Raises:
            ConfigurationError: if snapshot or destination don't exist.
            DivergenceError: if ledger and cold tier differ.
            AccessDeniedError: naming the missing grants.
            StreamError: if the rows can't be restored exactly, or must not be put there.
            TransientError: if something can't be asked now.
        """
        origin = self._cold.origin(stream, choice)
        columns, stream = origin.columns, origin.columns.stream
        there = self._destinations.find(stream, choice, origin.record, origin.source)
        mapping = columns.mapping
        if there is not None:
            mapping = destination_mapping(stream, mapping, choice.into, there.columns, optional=columns.dropped)
        mapping = restored_columns(stream, mapping, columns.history)
        lost = lost_columns(stream, mapping)
        if lost and not choice.accept_loss:
            raise StreamError(
                f"stream {stream.name}: {_losses(lost)} went on the way to Iceberg, and can't be brought back",
                remedy="give --accept-loss to restore the rest of them",
            )
        pieces = pieces_of(choice.within, [one.window for one in origin.windows])
        found = self._cold.contents(stream, origin, [one.window for one in pieces])
        windows = prove(stream, origin.windows, pieces, found, origin.past.changes)
        wanted = [one.window for one in pieces if one.wanted]
        expected = [one for piece, one in zip(pieces, found, strict=True) if piece.wanted]
        if columns.changed:
            # What is recorded is no hash over just the columns that are restored.
            expected = list(self._cold.tally(stream, origin, mapping, wanted))
        files = self._cold.files(stream, origin, choice.within) if windows else ()
        self._destinations.check_ttl(stream, there, mapping, files)
        plan = Plan(
            stream=stream,
            choice=choice,
            origin=origin,
            mapping=mapping,
            windows=windows,
            wanted=wanted,
            expected=expected,
            files=files,
            lost=lost,
            left_out=[name for name in columns.dropped if all(name != one.name for one in mapping.columns)],
            standing=Standing.ABSENT if there is None else Standing.EMPTY,
            leftovers=self._leftovers(stream, choice.into),
            finishing=False,
            drops=self._destinations.returning(stream, choice),
        )
        return self._stood(plan)

    def rows_in(self, plan: Plan, table: TableName) -> Sequence[Fingerprint]:
        """Return what a table holds of each stretch; nothing where there is no table.

        Raises:
            StreamError: if its columns are not those that are restored.
        """
        there = self._server.describe(table)
        if there is None:
            return [EMPTY] * len(plan.wanted)
        return self._tally(plan, there, plan.wanted)

    def completes(self, plan: Plan, here: Sequence[Fingerprint], staging: TableName) -> bool:
        """Tell whether a staging table holds just the rows that the destination lacks, of which it has ``here``."""
        there, into = self._server.describe(staging), self._server.describe(plan.choice.into)
        if there is None or (into is not None and there.columns != into.columns):
            return False
        try:
            staged = self._tally(plan, there, plan.wanted)
            (everything,) = self._tally(plan, there, [EVER])
        except StreamError:
            return False
        sums = [one + other for one, other in zip(here, staged, strict=True)]
        return sums == list(plan.expected) and everything == sum(staged, EMPTY)

    def _tally(self, plan: Plan, table: SourceTable, windows: Sequence[Window]) -> Sequence[Fingerprint]:
        mapping = destination_mapping(plan.stream, plan.mapping, table.name, table.columns)
        return list(self._server.tally(replace(plan.stream, source=table.name), mapping, windows))

    # ---------------------------------------------------------------------------------- the destination

    def _leftovers(self, stream: Stream, into: TableName) -> Sequence[TableName]:
        found = self._server.stagings(into)
        return [table for table, mark in found if (mark.stream, mark.into) == (stream.name, str(into))]

    def _stood(self, plan: Plan) -> Plan:
        """Return the plan with what the destination, and the staging tables of earlier runs, hold of its rows."""
        here = self.rows_in(plan, plan.choice.into)
        if plan.standing is not Standing.ABSENT and list(here) == list(plan.expected):
            return replace(plan, standing=Standing.RESTORED)
        for leftover in plan.leftovers:
            if self.completes(plan, here, leftover):
                others = [one for one in plan.leftovers if one != leftover]
                standing = Standing.PARTLY if sum(here, EMPTY).rows else plan.standing
                return replace(plan, standing=standing, leftovers=[leftover, *others], finishing=True)
        if sum(here, EMPTY).rows:
            raise self._occupied(plan, sum(here, EMPTY).rows)
        return plan

    def _occupied(self, plan: Plan, rows: int) -> StreamError:
        there = replace(plan.stream, source=plan.choice.into)
        only_there, _ = self._server.difference(there, plan.mapping, plan.choice.within, plan.files)
        return StreamError(
            f"stream {plan.stream.name}: {plan.choice.into} holds {counted(rows, 'row')} of the stretch already:"
            f" {counted(rows - only_there, 'row')} that would be restored would stand there twice, and"
            f" {counted(only_there, 'row')} the cold tier does not hold",
            remedy="restore a stretch of which the table has no row, or into another table (--create makes one); or"
            " take those rows out of it first",
        )


def _losses(lost: Mapping[str, str]) -> str:
    return "; ".join(f"of column {name} {what}" for name, what in lost.items())
