"""What must be true: a model of its own, kept beside the service by watching what lands, and never by asking it.

A row belongs to the window that holds its time. It must be in the cold tier once if the source held it all the while
from the look that planned the window to the last read of the attempt that was published, and may be there if the source
held it at some moment of it. A row that came later is late: the same holds for it and each supplement of its window.
A replacement of the window begins anew: what was read before it does not count any more. A rewind takes windows away,
and cuts the one that it leaves a part of: what was read of that part still counts.
Of rows that are alike, as many must be there as the reading that saw most of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from consumer.domain.batch import Batch, BatchKind, Rewind
from consumer.domain.planning import floor_to_span
from consumer.domain.stream import Stream
from consumer.domain.window import BEGINNING, Window
from consumer.ports import Claim
from consumer.testing.rows import Row


class Violation(AssertionError):  # noqa: N818 - the word for a broken invariant
    """Something is true that must never be."""


@dataclass(slots=True)
class Held:
    """A row of the source, from the step at which it came to the one at which it went."""

    row: Row
    came: int
    went: int | None = None

    def during(self, first: int, last: int) -> tuple[bool, bool]:
        """Tell whether the source held it all the while, and whether at some moment."""
        sometime = self.came <= last and (self.went is None or self.went > first)
        always = self.came <= first and (self.went is None or self.went > last)
        return always, sometime


@dataclass(slots=True)
class Reading:
    """An attempt at a batch: the steps of the look that planned it, and of its last read so far."""

    batch: Batch
    planned: int
    last: int


@dataclass(frozen=True, slots=True)
class Landed:
    """A window that is done, with the steps between which its rows were read: by itself, then by each supplement.

    A ``counted`` one was there when the ledger was made to follow the table: nobody knows which of its rows were read
    when, and the end of the run judges them.
    """

    window: Window
    readings: list[tuple[int, int]]
    counted: bool = False


@dataclass(slots=True)
class StreamTruth:
    """What is known of one stream."""

    stream: Stream
    rows: list[Held] = field(default_factory=list)
    windows: list[Landed] = field(default_factory=list)
    backfilled: list[Landed] = field(default_factory=list)
    epoch: int = 0
    holder: str | None = None
    rolled_back: bool = False
    diverged: bool = False
    repairs: int = 0
    # How far it had been read before a repair set it back: what depends on it may have been planned by then.
    reached: datetime = BEGINNING

    @property
    def watermark(self) -> datetime:
        """The end of the last window that is done."""
        return self.windows[-1].window.upper if self.windows else self.stream.begins

    @property
    def done(self) -> list[Landed]:
        """All windows that are done, backfilled ones too."""
        return [*self.backfilled, *self.windows]

    def covers(self, instant: datetime) -> bool:
        """Tell whether rows of an instant belong into the cold tier by now."""
        if self.stream.begins <= instant < self.watermark or (self.stream.start is None and instant < self.watermark):
            return True
        return any(landed.window.contains(instant) for landed in self.backfilled)

    def bounds(self) -> tuple[Counter[Row], Counter[Row]]:
        """Return the rows that must be in the cold tier, and those that may be."""
        must: Counter[Row] = Counter()
        may: Counter[Row] = Counter()
        for landed in self.done:
            inside = [held for held in self.rows if landed.window.contains(held.row.ts)]
            if landed.counted:
                may |= Counter(held.row for held in inside)
                continue
            for first, last in landed.readings:
                seen = [(held.row, *held.during(first, last)) for held in inside]
                must |= Counter(row for row, always, _ in seen if always)
                may |= Counter(row for row, _, sometime in seen if sometime)
        return must, may


class Truth:
    """The model.

    Attributes:
        step: how many rules were played.
        latest: the greatest time that the source's clock has shown.
        halts: how often a stream was halted.
        several_units: how many windows were published that consist of several units.
        rewinds: how often a stream was set back.
        rewinds_without_rows: how often of these no row was in the windows that were withdrawn.
        found: what was violated inside of a thread.
    """

    def __init__(self, streams: Mapping[str, Stream]) -> None:
        self.step = 0
        self.latest = BEGINNING
        self.halts = 0
        self.several_units = 0
        self.rewinds = 0
        self.rewinds_without_rows = 0
        self.found: list[str] = []
        self.streams = {name: StreamTruth(stream) for name, stream in streams.items()}
        self.prefixes: set[str] = set()
        self.staged: set[str] = set()
        self._looks: dict[tuple[str, str], tuple[int, int]] = {}
        self._readings: dict[str, Reading] = {}
        self._attempts: dict[str, Reading] = {}
        self._begun: dict[UUID, tuple[int, int]] = {}

    @property
    def rolled_back(self) -> list[str]:
        """The streams whose table somebody has rolled back and not put back."""
        return [name for name, known in self.streams.items() if known.rolled_back]

    def violated(self, what: str) -> None:
        """Keep a violation: an exception could be swallowed by the code that is examined."""
        self.found.append(what)

    # ------------------------------------------------------------------------------------------- source

    def inserted(self, stream: str, rows: Iterable[Row]) -> None:
        """The source holds more rows."""
        self.streams[stream].rows += [Held(row, self.step) for row in rows]

    def deleted(self, stream: str, rows: Sequence[Row]) -> None:
        """The source holds fewer rows."""
        gone = Counter(rows)
        for held in self.streams[stream].rows:
            if held.went is None and gone[held.row] > 0:
                held.went = self.step
                gone[held.row] -= 1

    def looked(self, thread: str, stream: str) -> None:
        """A thread has begun to look at what there is to be read."""
        self._looks[thread, stream] = self.step, self.step

    def counted(self, thread: str, stream: str) -> None:
        """A thread still looks, and plans by what it sees now."""
        first, _ = self._looks[thread, stream]
        self._looks[thread, stream] = first, self.step

    # ------------------------------------------------------------------------------------------- reading

    def begun(self, thread: str, batch: Batch) -> None:
        """A thread has begun a batch: a replacement by nothing reads nothing after that."""
        self._begun[batch.id] = self._look(thread, batch), self.step

    def begins(self, thread: str, batch: Batch, prefix: str) -> None:
        """A thread begins to write a batch."""
        if prefix not in self.prefixes:
            self.violated(f"{batch.stream}: files are written under {prefix}, which the ledger does not know")
        self._readings[thread] = Reading(batch, self._look(thread, batch), self.step)

    def _look(self, thread: str, batch: Batch) -> int:
        """Return the step at which a batch was planned; rewinds and rewrites look at nothing that they read."""
        return (
            self.step if batch.rewind is not None or batch.rewrite is not None else self._looks[thread, batch.stream][0]
        )

    def reads(self, thread: str) -> None:
        """A thread reads a unit now."""
        self._readings[thread].last = self.step

    def wrote(self, thread: str, paths: Iterable[str]) -> None:
        """A thread has written the files of its attempt."""
        self._attempts.update(dict.fromkeys(paths, self._readings[thread]))

    def writes(self, thread: str) -> str | None:
        """Return the stream that a thread has written files for last."""
        reading = self._readings.get(thread)
        return None if reading is None else reading.batch.stream

    # ------------------------------------------------------------------------------------------- ledger

    def claimed(self, claim: Claim) -> None:
        """Somebody has the lease."""
        known = self.streams[claim.stream]
        known.epoch += 1
        known.holder = claim.owner
        if claim.epoch != known.epoch:
            self.violated(f"{claim.stream}: the claim number {known.epoch} has the epoch {claim.epoch}")

    def fenced(self, stream: str, epoch: int) -> None:
        """Nobody has the lease any more, whoever had it."""
        known = self.streams[stream]
        known.epoch, known.holder = known.epoch + 1, None
        if epoch != known.epoch:
            self.violated(f"{stream}: the lease was ended at epoch {epoch} instead of {known.epoch}")

    def released(self, claim: Claim) -> None:
        """A claim is given back."""
        known = self.streams[claim.stream]
        if (claim.epoch, claim.owner) == (known.epoch, known.holder):
            known.holder = None

    def published(self, claim: Claim, batch: Batch, paths: Sequence[str], watermarks: Mapping[str, datetime]) -> None:
        """A publish has landed."""
        known = self.streams[batch.stream]
        self._check_fence(claim, batch)
        missing = [path for path in paths if path not in self.staged]
        if missing:
            self.violated(f"{batch.stream}: {missing} are published, but were never staged")
        if known.rolled_back:
            self.violated(f"{batch.stream}: {batch.window} is published on a table that was rolled back")
        if batch.rewind is not None or batch.rewrite is not None:
            return
        if batch.replacement is not None and not paths:
            self._replaced(batch, self._begun[batch.id])
            return
        readings = [self._attempts[path] for path in paths]
        if not readings or any(reading.batch.id != batch.id for reading in readings):
            self.violated(f"{batch.stream}: {batch.window} is published with files of other batches: {paths}")
            return
        span = min(reading.planned for reading in readings), max(reading.last for reading in readings)
        if batch.kind is BatchKind.SUPPLEMENT:
            self._supplemented(batch, span)
        elif batch.kind is BatchKind.BACKFILL:
            self._backfilled(batch, span, watermarks)
        elif batch.kind is BatchKind.REPLACE:
            self._replaced(batch, span)
        else:
            self._done(batch, span, watermarks)

    def rewound(self, batch: Batch, rewind: Rewind, watermarks: Mapping[str, datetime]) -> None:
        """A stream is set back."""
        known, to = self.streams[batch.stream], rewind.watermark
        self.rewinds += 1
        self.rewinds_without_rows += not rewind.windows or not any(one.cold.rows for one in rewind.windows)
        if batch.window.upper != known.watermark or to < known.stream.begins:
            self.violated(f"{batch.stream}: {batch.window} is rewound, but windows lead up to {known.watermark}")
        for name, other in self.streams.items():
            bound = floor_to_span(to, other.stream.row_span) if other.stream.row_span else to
            above = name in watermarks and watermarks[name] > max(bound, other.stream.begins)
            if batch.stream in other.stream.upstreams and above and rewind.reason is None:
                self.violated(f"{batch.stream} is rewound to {to}, but {name} has been read up to {watermarks[name]}")
        known.windows = [
            Landed(Window(lower=one.window.lower, upper=min(one.window.upper, to)), one.readings, counted=one.counted)
            for one in known.windows
            if one.window.lower < to
        ]

    def set_back(self, claim: Claim, batch: Batch) -> None:
        """A stream was set back without a publish."""
        self._check_fence(claim, batch)

    def passed_over(self, thread: str, claim: Claim, batch: Batch, watermarks: Mapping[str, datetime]) -> None:
        """A backfill's window without rows is done."""
        self._check_fence(claim, batch)
        self._backfilled(batch, self._looks.get((thread, batch.stream), (self.step, self.step)), watermarks)

    def advanced(self, thread: str, claim: Claim, batch: Batch, watermarks: Mapping[str, datetime]) -> None:
        """An advance over a window without rows has landed."""
        planned, counted = self._looks.get((thread, batch.stream), (self.step, self.step))
        reading = self._readings.get(thread)
        last = reading.last if reading is not None and reading.batch.id == batch.id else counted
        self._check_fence(claim, batch)
        self._done(batch, (planned, max(planned, last)), watermarks)

    def repaired(self, claim: Claim, windows: Sequence[Window], *, follows: bool) -> None:
        """The ledger was made to follow the table as it was looked at, and the table is still so, or is not."""
        known = self.streams[claim.stream]
        if (claim.epoch, claim.owner) != (known.epoch, known.holder):
            self.violated(f"{claim.stream}: a repair of {claim.owner} at epoch {claim.epoch} has landed, fenced or not")
        known.reached = max(known.reached, known.watermark)
        counted = [Landed(window, [], counted=True) for window in windows]
        known.windows = [landed for landed in counted if landed.window.lower >= known.stream.begins]
        known.backfilled = [landed for landed in counted if landed.window.lower < known.stream.begins]
        known.rolled_back, known.diverged = not follows, True
        known.repairs += 1

    def _check_fence(self, claim: Claim, batch: Batch) -> None:
        known = self.streams[batch.stream]
        if (claim.epoch, claim.owner) != (known.epoch, known.holder):
            self.violated(
                f"{batch.stream}: {batch.window} of {claim.owner} at epoch {claim.epoch} has landed, while"
                f" {known.holder} holds the lease at epoch {known.epoch}"
            )

    def _supplemented(self, batch: Batch, span: tuple[int, int]) -> None:
        for landed in self._landed(batch):
            landed.readings.append(span)

    def _replaced(self, batch: Batch, span: tuple[int, int]) -> None:
        for landed in self._landed(batch):
            landed.readings[:] = [span]

    def _landed(self, batch: Batch) -> Iterator[Landed]:
        """Yield the windows that a batch changes. Windows without rows are one in the ledger."""
        known = self.streams[batch.stream]
        if batch.window.upper > known.watermark:
            self.violated(f"{batch.stream}: a {batch.kind} to {batch.window}, which is not done, has landed")
        for landed in known.done:
            if landed.window.lower < batch.window.upper and batch.window.lower < landed.window.upper:
                yield landed

    def _backfilled(self, batch: Batch, span: tuple[int, int], watermarks: Mapping[str, datetime]) -> None:
        known, window = self.streams[batch.stream], batch.window
        if window.upper > known.stream.begins:
            self.violated(f"{batch.stream}: {window} is backfilled, but live windows start at {known.stream.begins}")
        for landed in known.backfilled:
            if landed.window.lower < window.upper and window.lower < landed.window.upper:
                self.violated(f"{batch.stream}: {window} is backfilled over {landed.window}, which is done")
        self._check_finality(known, window, watermarks)
        known.backfilled.append(Landed(window, [span]))

    def _done(self, batch: Batch, span: tuple[int, int], watermarks: Mapping[str, datetime]) -> None:
        known = self.streams[batch.stream]
        window = batch.window
        if window.lower != known.watermark:
            self.violated(f"{batch.stream}: {window} is done, but the one before ends at {known.watermark}")
        self._check_finality(known, window, watermarks)
        known.windows.append(Landed(window, [span]))

    def _check_finality(self, known: StreamTruth, window: Window, watermarks: Mapping[str, datetime]) -> None:
        stream = known.stream
        final = self.latest - stream.settle_lag - stream.row_span
        if window.upper > final:
            self.violated(f"{stream.name}: {window} is done, but rows are final up to {final} only")
        for upstream in stream.upstreams:
            bound = max(watermarks.get(upstream, BEGINNING), self.streams[upstream].reached)
            covered = floor_to_span(bound, stream.row_span) if stream.row_span else bound
            if window.upper > covered:
                self.violated(f"{stream.name}: {window} is done, but {upstream} has been read up to {bound} only")
