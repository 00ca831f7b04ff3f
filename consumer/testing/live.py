"""What a publish to a table in memory does: which files go, whether they may, and what the snapshot proves."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from consumer.domain.batch import Batch, BatchKind, Evidence
from consumer.domain.compaction import check_still_live
from consumer.domain.errors import StaleDifferenceError
from consumer.ports import Publication


def going(batch: Batch) -> Collection[str]:
    """Return the paths of the files that a batch removes."""
    if batch.rewrite is not None:
        return {file.path for file in batch.rewrite.files}
    return () if batch.replacement is None else batch.replacement.files


def check_removed(batch: Batch, live: Mapping[str, tuple[str, ...]]) -> None:
    """Check that the files which a batch removes are live; ``live`` has the deletes that apply to each.

    Raises:
        StaleDifferenceError: if one is not, or rows of one that is rewritten were deleted.
    """
    check_still_live(batch, live)
    for path in going(batch):
        if path not in live:
            raise StaleDifferenceError(
                f"stream {batch.stream}: {path}, which holds rows of the window {batch.window}, is not live any more",
                remedy="the window is looked at again",
            )


def evidence_of(publication: Publication, snapshot_id: int) -> Evidence:
    """Return what the snapshot says of the stream's progress; a supplement carries forward how far it was."""
    batch, record = publication.batch, publication.claim.record
    upper = batch.window.upper if batch.kind is BatchKind.WINDOW else record.last_upper
    if batch.rewind is not None:
        upper = batch.rewind.last_upper
    return Evidence(upper=upper, generation=batch.proves, batch_id=batch.id, snapshot_id=snapshot_id)
