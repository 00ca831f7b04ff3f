"""Checking a rewrite before it is published: the new files hold just the rows that the old ones show to readers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from consumer.domain.batch import Batch, WrittenFile
from consumer.domain.errors import CheckFailedError
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.mapping import TableMapping
from consumer.domain.rewriting import Rewriting
from consumer.ports import Metrics, Source, UnitReport
from consumer.service.batch_context import BatchContext
from consumer.service.steps import step


class RewriteCheck:
    """Lets ClickHouse read old and new files, and compares their rows by count and order-independent digest.

    The tasks read and write the files themselves, so a row that one of the two would take for another is found. Rows
    that were deleted stand in a file of their own beside the new one, which no table ever has: old is new and deleted.
    """

    def __init__(self, *, source: Source, metrics: Metrics) -> None:
        self._source = source
        self._metrics = metrics

    def proved(self, context: BatchContext, batch: Batch, reports: Sequence[UnitReport]) -> list[WrittenFile]:
        """Return the new files with the fingerprints of their rows, once these are proved to be the old files' rows.

        Raises:
            CheckFailedError: naming the unit, and what was found on both sides.
        """
        mapping = context.work.mapping.as_recorded
        files: list[WrittenFile] = []
        with step(self._metrics, batch.stream, "check") as span:
            for unit in batch.units:
                if unit.rewriting is None:
                    raise AssertionError(f"unit {unit.index} of the rewrite {batch.id} rewrites nothing")
                own = [report for report in reports if report.file.unit == unit.index]
                files += self._proved(batch, mapping, unit.rewriting, own)
            span.set_attribute("offload.rows", sum(file.fingerprint.rows for file in files))
        return files

    def _proved(
        self, batch: Batch, mapping: TableMapping, rewriting: Rewriting, reports: Sequence[UnitReport]
    ) -> list[WrittenFile]:
        written = [report.file for report in reports if not report.removed]
        removed = [report.file for report in reports if report.removed]
        old = self._read(mapping, rewriting.paths)
        new = self._read(mapping, [file.path for file in written])
        deleted = self._read(mapping, [file.path for file in removed])
        if old.rows != rewriting.rows or old != new + deleted or (deleted.rows and not rewriting.deletes):
            raise CheckFailedError(
                f"stream {batch.stream}: the rewrite of {rewriting.paths[0]} and {len(rewriting.paths) - 1} others:"
                f" {old.rows} rows with digest {old.hex} stand in the old files ({rewriting.rows} by the table),"
                f" {new.rows} with digest {new.hex} in the new one, {deleted.rows} with digest {deleted.hex} were"
                " deleted",
                remedy="nothing to do once: the files are rewritten again; if it repeats, run"
                f" `icehaul verify --all {batch.stream}`, and look at store and network",
            )
        # The rows are those of other batches, and stay theirs.
        return [replace(file, fingerprint=new, kept=True) for file in written]

    def _read(self, mapping: TableMapping, paths: Sequence[str]) -> Fingerprint:
        return self._source.fingerprint_files(mapping, paths) if paths else EMPTY
