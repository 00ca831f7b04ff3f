"""Replacing a window's rows: what its data files hold, what may be replaced, and what a replacement must have read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from consumer.domain.batch import Batch, WrittenFile, content_of_files
from consumer.domain.divergence import held_otherwise
from consumer.domain.errors import CheckFailedError, StaleDifferenceError
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.reconcile import RecordedWindow
from consumer.domain.stream import Stream


@dataclass(frozen=True, slots=True, kw_only=True)
class FileShare:
    """How the rows of a data file lie to a window: rows inside and outside, and the first instant of each, if any is.

    Files hold rows of several windows once another engine has put them together.
    """

    path: str
    inside: Fingerprint
    outside: Fingerprint
    first: datetime | None
    elsewhere: datetime | None


def files_of(stream: Stream, recorded: RecordedWindow, shares: Sequence[FileShare]) -> list[FileShare]:
    """Return the files that hold rows of a window, once they are proved to hold just what is recorded of it.

    Raises:
        DivergenceError: if they hold other rows.
    """
    holding = [share for share in shares if share.inside.rows]
    found = sum((share.inside for share in holding), EMPTY)
    if found != recorded.cold:
        remedy = (
            f"find out with `icehaul verify --all {stream.name}` what was changed, and put it back, before rows are"
            " replaced"
        )
        raise held_otherwise(stream, recorded, found, remedy)
    return holding


def check_replacement(batch: Batch, files: Sequence[WrittenFile]) -> None:
    """Check that the files of a replacement hold the rows that it was planned with, and keep what must stay.

    Raises:
        StaleDifferenceError: if the hot tier has changed since the replacement was planned.
        CheckFailedError: if kept rows are not those that the file held which goes.
    """
    if batch.replacement is None:
        return
    planned, content = batch.replacement.content, content_of_files(files)
    if content != planned:
        raise StaleDifferenceError(
            f"stream {batch.stream}: {content.rows} rows of the window {batch.window} with digest {content.hex} were"
            f" read, {planned.rows} rows with digest {planned.hex} were looked at before",
            remedy="nothing to do once: the window is looked at again; if it repeats, wait until the source is quiet",
        )
    kept = {file.unit: file.fingerprint for file in files if file.kept}
    for unit in batch.units:
        if unit.kept is not None and kept.get(unit.index, EMPTY) != unit.kept.fingerprint:
            raise CheckFailedError(
                f"stream {batch.stream}: the rows of {unit.kept.path} outside of the window {batch.window} were not"
                f" read as they stand there ({unit.kept.fingerprint.rows} rows)",
                remedy="nothing to do once: the batch is written again; if it repeats, look at store and network",
            )
