"""Compaction: which data files of a target are worth rewriting, and which of them become one; pure.

A *bin* is what one task makes one data file of. Files of one bin lie in one partition and were written with the same
columns, so that the file that takes their place is read as they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid5

from consumer.domain.batch import BATCH_NAMESPACE, Batch, BatchKind, BatchStatus, Unit
from consumer.domain.errors import StaleDifferenceError, UnknownCommitError
from consumer.domain.maintenance import Part
from consumer.domain.phrasing import instant_text
from consumer.domain.rewriting import Rewrite, Rewriting, RewrittenFile
from consumer.domain.window import Window

DEFAULT_FILE_BYTES = 512 * 1024**2
"""Iceberg's own default of ``write.target-file-size-bytes``."""

_FULL = 2
"""A file of less than one part in so many of what it may hold is small: of two small ones one can be made."""
_UNITS_MAX = 64
"""Files that one batch writes, at most."""
_DONE = (BatchStatus.PUBLISHED, BatchStatus.EMPTY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a data file was written: an Iceberg schema as JSON, and the leaf columns that the file has of it."""

    schema: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFile:
    """A live data file, as the table's manifests tell of it.

    Attributes:
        partition: the stretch of time of its partition; everything below the watermark in a table without partitions.
        sequence: its data sequence number.
        deletes: paths of position-delete files that apply to it, ascending.
    """

    path: str
    bytes: int
    rows: int
    partition: Window
    sequence: int
    deletes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TableState:
    """The files of a table's current snapshot, as far as they can be put together.

    Attributes:
        snapshot_id: that snapshot.
        sequence: its sequence number, which what is rewritten gets as its data sequence number.
        files: live data files of the present partition spec.
        foreign: how many live data files are left, for they are divided by another spec.
        obstacle: why none of them may be rewritten; ``None`` where nothing speaks against it.
    """

    snapshot_id: int
    sequence: int
    files: tuple[TableFile, ...]
    foreign: int = 0
    obstacle: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one data file may hold, and how many have to become one at least."""

    file_bytes: int
    file_rows: int
    min_input_files: int = 2

    def small(self, file: TableFile) -> bool:
        """Tell whether a file holds less than half of what it may."""
        return file.bytes * _FULL < self.file_bytes and file.rows * _FULL < self.file_rows

    def fits(self, files: Iterable[TableFile]) -> bool:
        """Tell whether files have room in one."""
        listed = list(files)
        return sum(file.bytes for file in listed) <= self.file_bytes and sum(file.rows for file in listed) <= (
            self.file_rows
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Files that become one."""

    partition: Window
    layout: Layout
    files: tuple[TableFile, ...]

    @property
    def rows(self) -> int:
        """How many rows the files hold, with those that are deleted."""
        return sum(file.rows for file in self.files)

    @property
    def bytes(self) -> int:
        """How many bytes the files have."""
        return sum(file.bytes for file in self.files)

    @property
    def deletes(self) -> tuple[str, ...]:
        """The position-delete files that apply to any of them."""
        return tuple(sorted({path for file in self.files for path in file.deletes}))


def candidates(files: Iterable[TableFile], watermark: datetime, limits: Limits) -> list[TableFile]:
    """Return the files that may be worth rewriting, by partition, oldest first.

    No window writes into a partition any more that lies wholly below the watermark; what late rows add to it later is
    a file of its own, and put together with the others another time.
    """
    chosen = [file for file in files if file.partition.upper <= watermark and (file.deletes or (limits.small(file)))]
    alone = _counts(chosen)
    worth = [file for file in chosen if file.deletes or alone[file.partition] >= limits.min_input_files]
    return sorted(worth, key=lambda file: (file.partition.lower, file.sequence, file.path))


def _counts(files: Iterable[TableFile]) -> Mapping[Window, int]:
    counts: dict[Window, int] = {}
    for file in files:
        counts[file.partition] = counts.get(file.partition, 0) + 1
    return counts


@dataclass(slots=True)
class _Open:
    """A bin that may still get files."""

    files: list[TableFile] = field(default_factory=list)


def bins(files: Sequence[TableFile], layouts: Mapping[str, Layout], limits: Limits) -> list[Bin]:
    """Put files into bins, first fit, in the order in which they come.

    Of the bins of one partition and layout one at most is less than half full: what is left can't be put together any
    further. A bin is left out that has fewer files than are asked for, unless rows of it are deleted.

    Args:
        files: what :func:`candidates` has chosen.
        layouts: how they were written, by path; a file without one is left alone.
        limits: how much a file may hold.
    """
    groups: dict[tuple[Window, Layout], list[_Open]] = {}
    for file in files:
        layout = layouts.get(file.path)
        if layout is None:
            continue
        opened = groups.setdefault((file.partition, layout), [])
        place = next((one for one in opened if limits.fits([*one.files, file])), None)
        if place is None:
            place = _Open()
            opened.append(place)
        place.files.append(file)
    found = [
        Bin(partition=partition, layout=layout, files=tuple(one.files))
        for (partition, layout), opened in groups.items()
        for one in opened
    ]
    worth = [one for one in found if one.deletes or len(one.files) >= limits.min_input_files]
    return sorted(worth, key=lambda one: (one.partition.lower, one.files[0].sequence, one.files[0].path))


def first_batch(found: Sequence[Bin], batch_bytes: int) -> Sequence[Bin]:
    """Return the bins that one batch rewrites: the first ones, as many as are allowed, and one at least."""
    chosen: list[Bin] = []
    room = batch_bytes
    for one in found:
        if chosen and (one.bytes > room or len(chosen) == _UNITS_MAX):
            break
        chosen.append(one)
        room -= one.bytes
    return chosen


def parts_of(found: Iterable[Bin]) -> list[Part]:
    """Return what becomes of each partition: files and bytes, the latter as if nothing were gained by joining."""
    parts: dict[Window, Part] = {}
    for one in found:
        known = parts.get(one.partition)
        files, size = len(one.files) + len(one.deletes), one.bytes
        parts[one.partition] = Part(
            what=_named(one.partition),
            files=files + (known.files if known else 0),
            bytes=size + (known.bytes if known else 0),
            files_after=1 + (known.files_after if known else 0),
            bytes_after=size + (known.bytes_after if known else 0),
        )
    return [parts[partition] for partition in sorted(parts)]


def _named(partition: Window) -> str:
    return f"{instant_text(partition.lower)} to {instant_text(partition.upper)}"


def compaction_batch(
    *, stream: str, target_uuid: UUID, generation: int, epoch: int, state: TableState, chosen: Sequence[Bin]
) -> Batch:
    """Return the batch that rewrites bins.

    Its id is derived from the lease's epoch, too: files that come back (after a rollback) are rewritten by another
    batch. Repeating one is never needed, for files that are not live any more are not rewritten.
    """
    files = tuple(
        RewrittenFile(path=file.path, deletes=file.deletes) for one in chosen for file in sorted(one.files, key=_path)
    )
    window = Window(lower=min(one.partition.lower for one in chosen), upper=max(one.partition.upper for one in chosen))
    names = "|".join(sorted(file.path for file in files))
    return Batch(
        id=uuid5(BATCH_NAMESPACE, f"{target_uuid}|{BatchKind.MAINTENANCE}|{generation}|{epoch}|{names}"),
        stream=stream,
        kind=BatchKind.MAINTENANCE,
        window=window,
        generation=generation,
        units=tuple(_unit(number, one) for number, one in enumerate(chosen)),
        rewrite=Rewrite(files=files, snapshot_id=state.snapshot_id, sequence=state.sequence),
    )


def _path(file: TableFile) -> str:
    return file.path


def _unit(number: int, one: Bin) -> Unit:
    return Unit(
        index=number,
        window=one.partition,
        rows=one.rows,
        bytes=one.bytes,
        rewriting=Rewriting(
            paths=tuple(file.path for file in one.files), deletes=one.deletes, schema=one.layout.schema, rows=one.rows
        ),
    )


def check_rewrite(batch: Batch, status: BatchStatus | None, generation: int) -> None:
    """Check the ledger's part of the predicate of a rewrite; that all its files are still live, the table tells.

    Raises:
        UnknownCommitError: if it is published already: an earlier commit has landed.
        StaleDifferenceError: if the stream is of another generation: it was rewound or repaired meanwhile.
    """
    if status in _DONE:
        raise UnknownCommitError(
            f"stream {batch.stream}: {batch.kind} {batch.id} {batch.window} is {status} already",
            remedy="the ledger is read back before anything else; nothing has to be done by hand",
        )
    if generation != batch.generation:
        raise StaleDifferenceError(
            f"stream {batch.stream}: the {batch.kind} {batch.id} is of generation {batch.generation}, the ledger is at"
            f" generation {generation}",
            remedy="nothing has to be done: the table's files are looked at again",
        )


def check_still_live(batch: Batch, live: Mapping[str, tuple[str, ...]]) -> None:
    """Check the table's part of it: every file is live, and no row of it was deleted since it was looked at.

    Args:
        batch: the rewrite.
        live: the deletes that apply to each live data file, by path.

    Raises:
        StaleDifferenceError: naming the first file of which it is not so.
    """
    for file in () if batch.rewrite is None else batch.rewrite.files:
        found = live.get(file.path)
        if found != file.deletes:
            what = "is not live any more" if found is None else "has other deletes now"
            raise StaleDifferenceError(
                f"stream {batch.stream}: {file.path}, which was to be rewritten, {what}",
                remedy="nothing has to be done: the table's files are looked at again",
            )
