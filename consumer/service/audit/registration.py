"""Which live data files belong to which batches, and the check that they do so one to one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from consumer.domain.audit import (
    Check,
    CheckName,
    Figures,
    LiveFile,
    RecordedFile,
    failed,
    not_applicable,
    passed,
    plain_path,
)
from consumer.domain.errors import DivergenceError
from consumer.domain.fingerprint import EMPTY
from consumer.domain.phrasing import counted
from consumer.service.audit.observation import Cold, Observation

_REWRITE = "replace"

NO_TABLE = "there is no target table yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class TornBatch:
    """A published batch of ``rows`` rows of which ``live`` are in live files; ``absent`` files of it are not live."""

    batch_id: UUID
    rows: int
    live: int
    absent: Sequence[str]

    def __str__(self) -> str:
        files = f"; not live: {', '.join(self.absent)}" if self.absent else ""
        digest = ", with another digest" if self.live == self.rows else ""
        rows = f"{self.live:,} of the {self.rows:,} rows that it published are live"
        return f"batch {self.batch_id}: {rows}{digest}{files}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """The live data files, told apart by who put them there.

    Attributes:
        own: those that a published batch of the stream recorded.
        prior: those that were there when the stream took the table over.
        foreign: the others.
        moved: rows in live files of replacements and rewrites that come from files of other batches.
        torn: published batches whose live files do not add up to what they were published with, and whose rows were
            not replaced.
    """

    own: Sequence[LiveFile]
    prior: Sequence[LiveFile]
    foreign: Sequence[LiveFile]
    moved: int
    torn: Sequence[TornBatch]


def check_readable(cold: Cold) -> None:
    """Make sure that it is known which files the retained snapshots refer to.

    Raises:
        DivergenceError: naming a manifest or manifest list that can't be read.
    """
    if cold.census.unreadable:
        raise DivergenceError(
            f"{cold.census.unreadable[0]} can't be read, so nobody knows which files the table holds",
            remedy="restore the file, or roll the table back to the newest snapshot that is whole",
        )


def registration(seen: Observation, cold: Cold) -> Registration:
    """Tell the live data files apart.

    Files that were there before have sequence numbers below those of every batch; a rewrite keeps these numbers.

    Raises:
        DivergenceError: if a manifest can't be read, so that some of the live files are not known.
    """
    check_readable(cold)
    published = {plain_path(file.path): file for file in seen.files if file.belongs}
    live = {file.path: file for file in cold.census.live}
    own = [file for path, file in live.items() if path in published]
    first = min((file.sequence for file in own), default=None)
    prior: list[LiveFile] = []
    foreign: list[LiveFile] = []
    for path, file in live.items():
        if path in published:
            continue
        before = seen.taken_over and (first is None or file.sequence < first)
        (prior if before and _operation(cold, file) != _REWRITE else foreign).append(file)
    moved = sum(file.rows for file in own if published[file.path].kept)
    return Registration(own=own, prior=prior, foreign=foreign, moved=moved, torn=list(_torn(published, live)))


def _torn(published: Mapping[str, RecordedFile], live: Collection[str]) -> Iterator[TornBatch]:
    """Yield the batches that are not wholly live; files of earlier attempts at a batch are not missed."""
    batches: dict[UUID, list[tuple[str, RecordedFile]]] = {}
    for path, file in published.items():
        if not file.kept:
            batches.setdefault(file.batch_id, []).append((path, file))
    for batch_id, files in batches.items():
        expected = files[0][1].published or EMPTY
        found = sum((file.fingerprint for path, file in files if path in live), EMPTY)
        if found != expected:
            absent = [path for path, _ in files if path not in live]
            yield TornBatch(batch_id=batch_id, rows=expected.rows, live=found.rows, absent=absent)


def check_registered(seen: Observation) -> Check:
    """Check that live data files and published batches belong together, one to one."""
    cold = seen.table()
    if cold is None:
        return not_applicable(CheckName.REGISTERED, NO_TABLE)
    found = registration(seen, cold)
    twice = [path for path, times in Counter(file.path for file in cold.census.live).items() if times > 1]
    rewritten = _is_rewrite(seen, cold, found)
    problems = [f"{path}: registered more than once" for path in twice]
    problems += _unlike(seen, found.own)
    if not rewritten:
        by_path = {plain_path(file.path): file for file in seen.files}
        problems += [f"{file.path}: live, {_recorder(by_path.get(file.path))}" for file in found.foreign]
        problems += map(str, found.torn)
    figures: Figures = {
        "live files": len(cold.census.live),
        "live and published": len(found.own),
        "live, not published": len(found.foreign),
        "rows published, not live": sum(batch.rows - batch.live for batch in found.torn),
        "there before the takeover": len(found.prior),
    }
    if problems:
        return failed(
            CheckName.REGISTERED,
            f"{counted(len(problems), 'difference')} between live files and published batches",
            figures,
            listed=problems,
            remedy="find out who changed the table (its snapshots say when and by which engine), and roll it back to"
            " the newest snapshot that is right; then audit again",
        )
    message = f"{counted(len(found.own), 'live file')}, each published by one batch"
    if rewritten:
        message += (
            f"; the files of {counted(len(found.torn), 'batch', 'batches')} were rewritten with as many rows:"
            f" {len(found.foreign):,} by another engine"
            + (f", {counted(found.moved, 'row')} by maintenance and replacements" if found.moved else "")
        )
    if found.prior:
        message += f"; {counted(len(found.prior), 'file')} from before the takeover"
    return passed(CheckName.REGISTERED, message, figures)


def _is_rewrite(seen: Observation, cold: Cold, found: Registration) -> bool:
    """Tell whether the foreign files are what another engine made of those that are gone."""
    if not (found.foreign or found.moved) or not found.torn:
        return False
    rows = found.moved + sum(file.rows for file in found.foreign)
    former = sum(batch.rows - batch.live for batch in found.torn)
    as_many = rows == former or (seen.taken_over and rows > former)
    return as_many and all(_operation(cold, file) in {None, _REWRITE} for file in found.foreign)


def _operation(cold: Cold, file: LiveFile) -> str | None:
    """Return what the snapshot that added a file did; ``None`` where it has expired."""
    return None if file.snapshot_id is None else cold.census.operations.get(file.snapshot_id)


def _recorder(file: RecordedFile | None) -> str:
    if file is None:
        return "and no batch of this stream has recorded it"
    what = "was replaced" if file.superseded else f"is {file.status.value}"
    return f"and batch {file.batch_id}, which recorded it, {what}"


def _unlike(seen: Observation, own: Sequence[LiveFile]) -> Iterator[str]:
    recorded = {plain_path(file.path): file for file in seen.files}
    for file in own:
        known = recorded[file.path]
        if (file.rows, file.bytes) != (known.fingerprint.rows, known.bytes):
            yield (
                f"{file.path}: {file.rows:,} rows in {file.bytes:,} bytes in the table,"
                f" {known.fingerprint.rows:,} rows in {known.bytes:,} bytes in the ledger"
            )
