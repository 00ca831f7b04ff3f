"""Replay: a stretch of time is gone through again, as if its events came once more, and told window by window."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from consumer.domain.divergence import repair_command
from consumer.domain.errors import DivergenceError
from consumer.domain.event import Event
from consumer.domain.event_factory import tick
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.mapping import TableMapping
from consumer.domain.phrasing import counted
from consumer.domain.reconcile import RecordedWindow
from consumer.domain.repair import runs
from consumer.domain.stream import OnDivergence, Stream
from consumer.domain.window import Window
from consumer.ports import Catalog, Ledger
from consumer.service.adoption.ports import FileSource
from consumer.service.prepare import Preparation
from consumer.service.repair.examination import Examination
from consumer.service.threads import Signal


class Recognition(StrEnum):
    """What a replay found of a window."""

    RECOGNISED = "recognised"
    """Its batches are in the table: nothing was added."""
    WRITTEN = "written"
    """The table did not hold it: it was written now."""
    SUPPLEMENTED = "supplemented"
    """Rows of it had arrived since it was written: they were added now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """One window after a replay.

    Attributes:
        added: rows that the replay has written.
        missing: rows that stand in the source only, and were not written: `icehaul status` says why.
        surplus: rows that stand in the table only: the source does not hold them any more.
    """

    window: Window
    recognition: Recognition
    rows: int
    added: int
    missing: int
    surplus: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A stream's windows after a replay; ``repaired`` is what was repaired before."""

    stream: Stream
    windows: Sequence[Replayed]
    repaired: Examination | None


class Repairing(Protocol):
    """What makes a ledger follow its table."""

    def repair(self, stream: Stream) -> Examination:
        """Make the ledger follow the table, and the stream active; return what was found."""
        ...


class Replays:
    """Goes through stretches of time again; safe to repeat."""

    def __init__(
        self,
        *,
        source: FileSource,
        ledger: Ledger,
        catalog: Catalog,
        repairs: Repairing,
        run: Callable[[Event, Signal, Window], None],
    ) -> None:
        self._source = source
        self._ledger = ledger
        self._catalog = catalog
        self._repairs = repairs
        self._run = run
        self._preparation = Preparation(source=source, ledger=ledger, catalog=catalog)

    def replay(self, stream: Stream, within: Window, abandoned: Signal, *, heal: bool) -> Replay:
        """Compare what the table holds with the record, then do what the events of this stretch would do.

        Args:
            stream: the stream.
            within: every window that overlaps this is gone through.
            abandoned: set to stop between two batches.
            heal: whether a divergence is repaired; the stream's own ``on_divergence`` says so, too.

        Raises:
            DivergenceError: if the table does not hold what the ledger has recorded; the stream is halted then.
            LeaseHeldError: if somebody works on the stream at this moment.
            StreamError, TransientError, FencedError: as the steps of a batch raise them.
        """
        repaired: Examination | None = None
        try:
            before = self._go(stream, within, abandoned)
        except DivergenceError as error:
            if not heal and stream.on_divergence is OnDivergence.HALT:
                self._ledger.halt(stream.name, reason=error.message, remedy=error.remedy, epoch=None)
                raise
            repaired = self._repairs.repair(stream)
            if not repaired.needed:
                raise
            before = self._go(stream, within, abandoned)
        return Replay(stream=stream, windows=self._judge(stream, within, before), repaired=repaired)

    def _go(self, stream: Stream, within: Window, abandoned: Signal) -> Mapping[Window, Fingerprint]:
        """Do the stretch once, and return what was recorded of its windows before."""
        recorded = self._recorded(stream, within)
        self._check(stream, recorded)
        self._run(tick(stream=stream.name, boundary=within.upper), abandoned, within)
        return {one.window: one.cold for one in recorded}

    def _recorded(self, stream: Stream, within: Window) -> Sequence[RecordedWindow]:
        self._ledger.register(stream.name, stream.begins)
        return self._ledger.windows(stream.name, within)

    def _check(self, stream: Stream, recorded: Sequence[RecordedWindow]) -> None:
        """Make sure that the table holds just what is recorded of each window."""
        found = self._table(stream, [one.window for one in recorded])
        differing = [one for one in recorded if found[one.window] != one.cold]
        if differing:
            first = differing[0]
            raise DivergenceError(
                f"stream {stream.name}: the table {stream.target} holds {found[first.window].rows} rows of the window"
                f" {first.window}, {first.cold.rows} are recorded"
                + (f"; {counted(len(differing), 'window')} differ in all" if len(differing) > 1 else ""),
                remedy=repair_command(stream.name),
            )

    def _table(self, stream: Stream, windows: Sequence[Window]) -> dict[Window, Fingerprint]:
        """Count the rows of windows in the table's live files."""
        if not windows:
            return {}
        target = self._catalog.inspect(stream.target)
        if target is None:
            return dict.fromkeys(windows, EMPTY)
        mapping = self._mapping(stream)
        found: dict[Window, Fingerprint] = {}
        for run in runs(windows):
            whole = Window(lower=run[0].lower, upper=run[-1].upper)
            paths = self._catalog.data_files(stream.target, stream.partition_by, whole)
            tallies = self._source.tally_files(stream, mapping.as_recorded, run, paths) if paths else [EMPTY] * len(run)
            found |= dict(zip(run, tallies, strict=True))
        return found

    def _judge(self, stream: Stream, within: Window, before: Mapping[Window, Fingerprint]) -> list[Replayed]:
        mapping = self._mapping(stream)
        judged = []
        recorded = {one.window: one.cold for one in self._ledger.windows(stream.name, within)}
        for run in runs(list(recorded)):
            for window, hot in zip(run, self._source.tally(stream, mapping, run, exact=True), strict=True):
                cold = recorded[window]
                missing, surplus = self._difference(stream, mapping, window) if hot != cold else (0, 0)
                judged.append(_replayed(window, before.get(window), cold, missing=missing, surplus=surplus))
        return judged

    def _difference(self, stream: Stream, mapping: TableMapping, window: Window) -> tuple[int, int]:
        """Return how many rows of a window are in the source only, and in the table only."""
        paths = self._catalog.data_files(stream.target, stream.partition_by, window)
        difference = self._source.late_rows(stream, mapping, window, paths)
        return difference.missing, difference.surplus

    def _mapping(self, stream: Stream) -> TableMapping:
        record = self._ledger.read([stream.name]).get(stream.name)
        return self._preparation.read_source(stream, record)[1]


def _replayed(window: Window, before: Fingerprint | None, cold: Fingerprint, *, missing: int, surplus: int) -> Replayed:
    known = EMPTY if before is None else before
    recognition = Recognition.RECOGNISED
    if cold != known:
        recognition = Recognition.WRITTEN if before is None else Recognition.SUPPLEMENTED
    return Replayed(
        window=window,
        recognition=recognition,
        rows=cold.rows,
        added=cold.rows - known.rows,
        missing=missing,
        surplus=surplus,
    )
