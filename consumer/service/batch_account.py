"""The account of a batch: what one attempt at it has come to, told in one canonical log line when it ends."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum

import structlog

from consumer.domain.batch import Batch, WrittenFile, content_of_files
from consumer.domain.errors import IcehaulError
from consumer.service.batch_context import BatchContext
from consumer.service.steps import timed_steps

_log = structlog.get_logger(__name__)


class BatchOutcome(StrEnum):
    """How an attempt at a batch has ended."""

    PUBLISHED = "published"
    EMPTY = "empty"
    """The source holds no row of the window: the watermark, or the backfill, has moved on without a snapshot."""
    GONE = "gone"
    """The rows had gone from the source before they were read; nothing was published, the window is as it was."""
    FAILED = "failed"


class BatchAccount:
    """What one attempt at a batch has come to so far; it has failed until it is told otherwise."""

    def __init__(self, batch: Batch) -> None:
        self._moves_rows = batch.rewrite is not None
        self.outcome = BatchOutcome.FAILED
        self.rows: int | None = None
        self.bytes: int | None = None
        self.files: int | None = None
        self.snapshot_id: int | None = None

    def wrote(self, files: Sequence[WrittenFile]) -> None:
        """Take note of the data files, which tell rows and bytes; all rows of a rewrite are other batches'."""
        self.rows = sum(file.fingerprint.rows for file in files) if self._moves_rows else content_of_files(files).rows
        self.bytes = sum(file.bytes for file in files)
        self.files = len(files)

    def published(self, snapshot_id: int | None) -> None:
        """Take note of the snapshot; what an earlier attempt has written is not counted again."""
        self.outcome, self.snapshot_id = BatchOutcome.PUBLISHED, snapshot_id

    def without_rows(self, outcome: BatchOutcome) -> None:
        """Take note that there was nothing to write."""
        self.outcome, self.rows, self.bytes, self.files = outcome, 0, 0, 0


@contextmanager
def accounted(context: BatchContext, batch: Batch) -> Iterator[BatchAccount]:
    """Run an attempt at a batch, and log one line ``batch.ended`` whatever becomes of it."""
    account, started = BatchAccount(batch), time.monotonic()
    with timed_steps() as steps:
        try:
            yield account
        except Exception as error:
            account.outcome = BatchOutcome.FAILED
            line = _line(context, batch, account, steps, time.monotonic() - started)
            message, remedy = (error.message, error.remedy) if isinstance(error, IcehaulError) else (str(error), None)
            line.warning("batch.ended", error_type=type(error).__name__, error=message, remedy=remedy)
            raise
    line = _line(context, batch, account, steps, time.monotonic() - started)
    if account.outcome is BatchOutcome.GONE:
        line.warning("batch.ended")
    else:
        line.info("batch.ended")


def _line(
    context: BatchContext, batch: Batch, account: BatchAccount, steps: Mapping[str, float], seconds: float
) -> structlog.typing.FilteringBoundLogger:
    """Return a logger that knows the fields; all of them stand in each line, so that a column is never missing."""
    trigger = context.trigger
    line: structlog.typing.FilteringBoundLogger = _log.bind(
        stream=batch.stream,
        batch=str(batch.id),
        kind=batch.kind.value,
        outcome=account.outcome.value,
        window=str(batch.window),
        rows=account.rows,
        bytes=account.bytes,
        files=account.files,
        units=len(batch.units),
        snapshot=account.snapshot_id,
        seconds=round(seconds, 3),
        write_seconds=_rounded(steps.get("write")),
        check_seconds=_rounded(steps.get("check")),
        publish_seconds=_rounded(steps.get("publish")),
        trigger=trigger.event_id,
        event_at=None if trigger.coordinates is None else str(trigger.coordinates),
    )
    return line


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
