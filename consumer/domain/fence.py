"""What must hold before an owner may write: the fence, and the predicate of a window's publish."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from consumer.domain.batch import Batch, BatchStatus
from consumer.domain.divergence import repair_command
from consumer.domain.errors import (
    DivergenceError,
    FencedError,
    SourceChangedError,
    StaleDifferenceError,
    UnknownCommitError,
)
from consumer.domain.reconcile import Content

_DONE = (BatchStatus.PUBLISHED, BatchStatus.EMPTY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where the ledger has a stream, read under the lock of its row.

    Attributes:
        status: status of the batch in question, ``None`` where the ledger has not seen it.
        overlapped: whether a window that is done overlaps the batch's.
    """

    watermark: datetime
    generation: int
    status: BatchStatus | None
    overlapped: bool


def missing_row(stream: str) -> DivergenceError:
    """Return the error for a stream that has no row in the ledger though it is being worked on."""
    return DivergenceError(
        f"stream {stream}: the ledger has no row for it",
        remedy=repair_command(stream),
    )


def check_fence(*, stream: str, epoch: int, owner: str, current_epoch: int, current_owner: str | None) -> None:
    """Compare the lease under which somebody works with the one in the ledger.

    Raises:
        FencedError: if epoch or owner differ.
    """
    if (epoch, owner) == (current_epoch, current_owner):
        return
    holder = "nobody" if current_owner is None else current_owner
    raise FencedError(
        f"stream {stream}: {owner} works at epoch {epoch}, but the lease is at epoch {current_epoch} and"
        f" belongs to {holder}",
        remedy="nothing has to be done: the work is abandoned, and its new owner does it",
    )


def check_window(batch: Batch, position: Position) -> None:
    """Check the predicate of a window: it continues the watermark, and is not done yet.

    Raises:
        UnknownCommitError: if the batch is done and the watermark has passed it: an earlier commit has landed.
        DivergenceError: if the ledger contradicts itself or the plan.
    """
    if position.status in _DONE and position.watermark >= batch.window.upper:
        raise UnknownCommitError(
            f"stream {batch.stream}: batch {batch.id} {batch.window} is {position.status} already",
            remedy="the ledger is read back before anything else; nothing has to be done by hand",
        )
    problem = _contradiction(batch, position)
    if problem is not None:
        raise DivergenceError(
            f"stream {batch.stream}: {problem}",
            remedy=repair_command(batch.stream),
        )


def check_chain(stream: str, *, start: datetime, watermark: datetime, covered: timedelta) -> None:
    """Check that the windows that are done add up to what lies between the start and the watermark.

    They never overlap, so that a sum that fits leaves no gap.

    Raises:
        DivergenceError: if it does not fit.
    """
    if covered != watermark - start:
        raise broken_chain(stream, watermark)


def broken_chain(stream: str, watermark: datetime) -> DivergenceError:
    """Return the error for a watermark that the windows that are done do not lead to."""
    return DivergenceError(
        f"stream {stream}: the windows that the ledger has as done do not lead to its watermark"
        f" {watermark.isoformat()}: somebody has edited the watermark, or deleted batches",
        remedy=repair_command(stream),
    )


def check_content(batch: Batch, status: BatchStatus | None, recorded: Content, generation: int) -> None:
    """Check the predicate of a supplement or replacement: its window holds what it was computed from.

    Raises:
        UnknownCommitError: if it is published already: an earlier commit has landed.
        StaleDifferenceError: if the window has got another content since.
        DivergenceError: if the batch is of another generation.
    """
    if status in _DONE:
        raise UnknownCommitError(
            f"stream {batch.stream}: {batch.kind} {batch.id} {batch.window} is {status} already",
            remedy="the ledger is read back before anything else; nothing has to be done by hand",
        )
    if generation != batch.generation:
        raise DivergenceError(
            f"stream {batch.stream}: the {batch.kind} is of generation {batch.generation}, the ledger is at generation"
            f" {generation}",
            remedy=repair_command(batch.stream),
        )
    if (recorded.fingerprint, recorded.revision) != (batch.base, batch.base_revision):
        raise StaleDifferenceError(
            f"stream {batch.stream}: the window {batch.window} holds {recorded.fingerprint.rows} rows with digest"
            f" {recorded.fingerprint.hex} now (replaced {recorded.revision} times), another content than the"
            f" {batch.kind} was computed from",
            remedy="nothing has to be done: the difference is computed again",
        )


def _contradiction(batch: Batch, position: Position) -> str | None:
    if position.status in _DONE:
        return (
            f"batch {batch.id} {batch.window} is {position.status}, though the watermark is only"
            f" {position.watermark.isoformat()}"
        )
    if position.generation != batch.generation:
        return f"the batch is of generation {batch.generation}, the ledger is at generation {position.generation}"
    if position.watermark != batch.window.lower:
        return (
            f"the watermark is {position.watermark.isoformat()}, which is not the lower bound of the window"
            f" {batch.window}"
        )
    if position.overlapped:
        return f"a window of generation {batch.generation} that is done already overlaps {batch.window}"
    return None


def check_binding(
    *,
    stream: str,
    source_uuid: UUID,
    target_uuid: UUID,
    current_source: UUID | None,
    current_target: UUID | None,
) -> None:
    """Compare the tables that an owner sees with the ones that the ledger knows, if it knows any.

    Raises:
        SourceChangedError: if the source is another table.
        DivergenceError: if the target is another table.
    """
    if current_source not in {None, source_uuid}:
        raise SourceChangedError(
            f"stream {stream}: the source table is {source_uuid}, the ledger is bound to {current_source}",
            remedy="the source was dropped and created again, or renamed: put it back, or use a stream of another name",
        )
    if current_target not in {None, target_uuid}:
        raise DivergenceError(
            f"stream {stream}: the target table is {target_uuid}, the ledger is bound to {current_target}",
            remedy="find out who dropped or recreated the target, and put the old table back; then run"
            f" `icehaul resume {stream}`",
        )
