"""The proof of an adoption: up to where a table holds exactly the source's rows, day by day and by full-row digest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from consumer.domain.adoption import Counted, DifferingWindow, days, proven_from
from consumer.domain.errors import ConfigurationError, DivergenceError
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.mapping import TableMapping
from consumer.domain.phrasing import counted, instant_text
from consumer.domain.stream import Stream
from consumer.domain.window import MICROSECOND, Window
from consumer.ports import Catalog, Ledger, SourceTable, TargetTable
from consumer.service.adoption.ports import FileSource
from consumer.service.plan import Planner

_NARROWED_MAX = 10
"""How many days that differ are looked into more closely; the others are reported as they are."""
_HALVINGS_MAX = 12
"""How often such a day is halved: down to about twenty seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What was found of a table.

    Attributes:
        watermark: the first instant that the table does not cover: everything before it was compared.
        proven_from: from when on the hot tier could be compared; ``None`` if from the beginning.
        counted: what both tiers hold, day by day.
        unproven: rows of the table that the hot tier has lost by its TTL, before ``proven_from``.
        differing: where both tiers differ after it.
        snapshot_id: the table's snapshot that was compared.
    """

    watermark: datetime
    proven_from: datetime | None
    counted: Sequence[Counted]
    unproven: int
    differing: Sequence[DifferingWindow]
    snapshot_id: int | None

    @property
    def rows(self) -> Fingerprint:
        """Fingerprint of all rows of the table."""
        return sum((one.cold for one in self.counted), EMPTY)

    @property
    def missing(self) -> int:
        """Rows that stand in the hot tier only."""
        return sum(one.missing for one in self.differing)

    @property
    def surplus(self) -> int:
        """Rows that stand in the cold tier only, and that no TTL explains."""
        return sum(one.surplus for one in self.differing)


class Prover:
    """Compares a source with the data files of an existing table; changes nothing."""

    def __init__(self, *, source: FileSource, ledger: Ledger, catalog: Catalog) -> None:
        self._source = source
        self._catalog = catalog
        self._planner = Planner(source, ledger)

    def prove(
        self,
        stream: Stream,
        table: SourceTable,
        mapping: TableMapping,
        target: TargetTable,
        *,
        start: datetime,
        claimed: datetime | None,
    ) -> Proof:
        """Find the watermark, or take the ``claimed`` one, and compare everything from ``start`` up to it.

        Raises:
            ConfigurationError: if rows may still arrive below the watermark.
            DivergenceError: if the table has no rows, or such as lie outside of what can be compared.
            StreamError, TransientError: as source and catalog raise them.
        """
        paths = self._catalog.data_files(stream.target, stream.partition_by, None)
        cold = self._source.extent_files(stream, mapping, paths)
        if cold.first is None or cold.last is None:
            if claimed is None:
                raise _refused(
                    stream, f"{stream.target} holds no rows", "leave it to the first batch: nothing to adopt"
                )
            watermark, first = self._final(stream, claimed), None
        else:
            if cold.first < start:
                raise _refused(
                    stream,
                    f"{stream.target} holds rows from {instant_text(cold.first)} on, below the start"
                    f" {instant_text(start)}",
                    "set start to the beginning of what the table holds, under another name of the stream",
                )
            watermark, first = self._watermark(stream, cold.last, claimed), cold.first
        whole = Window(lower=start, upper=watermark)
        pieces = self._pieces(stream, whole, first)
        found = self._count(stream, mapping, pieces, paths)
        return self._judge(stream, table, mapping, target.snapshot_id, found)

    def _watermark(self, stream: Stream, last: datetime, claimed: datetime | None) -> datetime:
        """Return the greatest instant below which the table can hold everything: that of the next row it lacks."""
        if claimed is not None:
            if claimed <= last:
                raise _refused(
                    stream,
                    f"{stream.target} holds rows up to {instant_text(last)}, at or above the watermark"
                    f" {instant_text(claimed)}",
                    "correct the watermark, which is exclusive (the first instant that was not offloaded)",
                )
            return self._final(stream, claimed)
        cutoff = self._planner.cutoff(stream, self._source.now(), None).instant
        if last >= cutoff:
            return self._final(stream, last + MICROSECOND)
        following = self._source.first(stream, Window(lower=last + MICROSECOND, upper=cutoff))
        return cutoff if following is None else following

    def _final(self, stream: Stream, watermark: datetime) -> datetime:
        cutoff = self._planner.cutoff(stream, watermark, None)
        if cutoff.instant < watermark:
            raise ConfigurationError(
                f"stream {stream.name}: rows may still arrive below the watermark {watermark.isoformat()}:"
                f" {cutoff.detail}, which is {cutoff.instant.isoformat()}",
                remedy="wait until the settle lag has passed, and run the same command again",
            )
        return watermark

    def _pieces(self, stream: Stream, whole: Window, first: datetime | None) -> list[Window]:
        """Return the days from the first row of either tier to the watermark; the first one begins at the start."""
        present = [one for one in (first, self._source.first(stream, whole)) if one is not None]
        pieces = days(max(min(present, default=whole.upper - MICROSECOND), whole.lower), whole.upper)
        if pieces[0].lower < whole.lower:
            pieces[0] = Window(lower=whole.lower, upper=pieces[0].upper)
        return pieces

    def _judge(
        self,
        stream: Stream,
        table: SourceTable,
        mapping: TableMapping,
        snapshot_id: int | None,
        found: Sequence[Counted],
    ) -> Proof:
        """Tell what differs, apart from what the source's TTL has taken."""
        since = proven_from(found) if table.ttls else None
        differing: list[DifferingWindow] = []
        unproven = 0
        for one in found:
            if one.hot == one.cold:
                continue
            taken = None if since is None else self._taken(stream, mapping, one, since)
            if taken is not None:
                unproven += taken
                continue
            differing.append(self._look(stream, mapping, one.window, closely=len(differing) < _NARROWED_MAX))
        return Proof(
            watermark=found[-1].window.upper,
            proven_from=since if unproven else None,
            counted=found,
            unproven=unproven,
            differing=differing,
            snapshot_id=snapshot_id,
        )

    def _count(
        self, stream: Stream, mapping: TableMapping, windows: Sequence[Window], paths: Sequence[str]
    ) -> list[Counted]:
        hot = self._source.tally(stream, mapping, windows, exact=True)
        cold = self._source.tally_files(stream, mapping, windows, paths) if paths else [EMPTY] * len(windows)
        return [
            Counted(window=window, hot=one, cold=other) for window, one, other in zip(windows, hot, cold, strict=True)
        ]

    def _taken(self, stream: Stream, mapping: TableMapping, one: Counted, since: datetime) -> int | None:
        """Return how many rows a TTL has taken of the hot tier's first days; ``None`` if that explains not all."""
        if one.window.lower > since:
            return None
        if one.window.lower < since:
            return one.cold.rows
        found = self._look(stream, mapping, one.window, closely=False)
        return found.surplus if not found.missing else None

    def _look(self, stream: Stream, mapping: TableMapping, window: Window, *, closely: bool) -> DifferingWindow:
        """Count what differs in a window, in the smallest half of a half that has all of it."""
        paths = self._catalog.data_files(stream.target, stream.partition_by, window)
        for _ in range(_HALVINGS_MAX if closely else 0):
            middle = window.lower + (window.upper - window.lower) / 2
            halves = self._count(stream, mapping, list(_halves(window, middle)), paths)
            unlike = [one.window for one in halves if one.hot != one.cold]
            if len(unlike) != 1:
                break
            (window,) = unlike
        found = self._source.late_rows(stream, mapping, window, paths)
        return DifferingWindow(window=window, missing=found.missing, surplus=found.surplus)


def _halves(window: Window, middle: datetime) -> Iterator[Window]:
    yield Window(lower=window.lower, upper=middle)
    yield Window(lower=middle, upper=window.upper)


def check_proof(stream: Stream, proof: Proof, *, leave_missing: bool) -> None:
    """Make sure that a table may be adopted; with ``leave_missing`` rows that it lacks are left to be found later.

    Raises:
        DivergenceError: naming the windows that differ, by how many rows, and what to do.
    """
    if not proof.surplus and (leave_missing or not proof.missing):
        return
    shown = "; ".join(
        f"{one.window}: {one.missing:,} in the source only, {one.surplus:,} in the target only"
        for one in proof.differing[:_NARROWED_MAX]
    )
    more = len(proof.differing) - _NARROWED_MAX
    remedy = "run `icehaul adopt` with --leave-missing: the stream's next event adds them, each once"
    if proof.surplus:
        remedy = (
            "take out what the source does not hold (rows that were doubled, changed, or come from elsewhere), or"
            " offload into a fresh table, and drop the old one once `icehaul verify` finds both tiers equal"
        )
    hot = sum((one.hot for one in proof.counted), EMPTY)
    raise _refused(
        stream,
        f"below {instant_text(proof.watermark)} the source {stream.source} holds {counted(hot.rows, 'row')}, the target"
        f" {stream.target} holds {counted(proof.rows.rows, 'row')}; {proof.missing:,} stand in the source only,"
        f" {proof.surplus:,} in the target only: {shown}"
        + (f"; and {counted(more, 'window')} more" if more > 0 else ""),
        remedy,
    )


def _refused(stream: Stream, what: str, remedy: str) -> DivergenceError:
    return DivergenceError(f"stream {stream.name}: the table can't be adopted: {what}", remedy=remedy)
