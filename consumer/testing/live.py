"""The live files of a table in memory, as a publish that removes some of them looks at them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from consumer.domain.batch import Batch
from consumer.domain.compaction import check_still_live
from consumer.domain.errors import StaleDifferenceError


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
