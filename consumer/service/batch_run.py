"""Running one batch: write, check, publish."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import structlog
from opentelemetry.trace import Span

from consumer.domain.batch import Batch, BatchKind, BatchStatus, WrittenFile
from consumer.domain.errors import (
    BaseMovedError,
    IcehaulError,
    LedgerUnavailableError,
    SourceMissingError,
    UnknownCommitError,
)
from consumer.domain.event import Event
from consumer.domain.event_factory import batch_committed
from consumer.domain.proof import Proof
from consumer.domain.replacement import check_replacement
from consumer.failpoints.acting import Failpoints
from consumer.ports import (
    BatchEngine,
    BatchRecord,
    Catalog,
    Claim,
    Ledger,
    Metrics,
    Publication,
    Source,
)
from consumer.service.batch_account import BatchAccount, BatchOutcome, accounted
from consumer.service.batch_context import BatchContext
from consumer.service.file_check import FileCheck
from consumer.service.moved_schema import moved_or
from consumer.service.retrying import retrying
from consumer.service.rewrite_check import RewriteCheck
from consumer.service.steps import current_traceparent, step

_log = structlog.get_logger(__name__)

_RESTAGES_MAX = 10
"""How often a moved base is restaged before the attempt counts as failed."""


class BatchRunner:
    """Carries one batch through steps 4 to 6 of the protocol; safe to repeat after any failure."""

    def __init__(
        self,
        *,
        source: Source,
        ledger: Ledger,
        catalog: Catalog,
        engine: BatchEngine,
        metrics: Metrics,
        failpoints: Failpoints,
    ) -> None:
        self._source = source
        self._files = FileCheck(source=source, catalog=catalog, metrics=metrics)
        self._rewrites = RewriteCheck(source=source, metrics=metrics)
        self._ledger = ledger
        self._catalog = catalog
        self._engine = engine
        self._metrics = metrics
        self._failpoints = failpoints

    def run(self, context: BatchContext, claim: Claim, batch: Batch) -> Claim:
        """Run the batch to its end, and return the claim with the ledger's new state in it.

        Raises:
            FencedError, StreamError, TransientError
        """
        context.still_ours()
        context.started(batch.id)
        with accounted(context, batch) as account:
            try:
                return self._run(context, claim, batch, account)
            except SourceMissingError as error:
                # A column that was dropped, or renamed, after the batch was planned.
                raise moved_or(error, self._source, context) from error

    def _run(self, context: BatchContext, claim: Claim, batch: Batch, account: BatchAccount) -> Claim:
        started = time.monotonic()
        if batch.empty:
            account.without_rows(BatchOutcome.EMPTY)
            return self._advance(context, claim, batch)
        prefix = f"{context.work.target.location}/data/{batch.id}"
        try:
            with self._failpoints.around("batch.begin"):
                self._ledger.begin(claim, batch, context.trigger, prefix)
        except UnknownCommitError:
            landed = self._read_back(context, claim, batch)
            if landed is None:
                raise
            account.published(landed)
            return _after(claim, batch)
        try:
            files = self._write(context, claim, batch, prefix)
            account.wrote(files)
            if not files and batch.replacement is None and batch.rewrite is None:
                # Every row has gone since the plan was made (TTL, a dropped partition).
                return self._nothing_left(context, claim, batch, account)
            check_replacement(batch, files)
            proof = self._files.check(context, batch, files)
            context.still_ours()
            snapshot_id = self._publish(context, claim, batch, files, proof)
        except IcehaulError as error:
            self._failed(context, claim, batch, error, time.monotonic() - started)
            raise
        account.published(snapshot_id)
        self._succeeded(batch, account, time.monotonic() - started)
        return _after(claim, batch)

    def settle(self, context: BatchContext, claim: Claim) -> None:
        """Keep commits from landing late: they would bring rows into a window that is recorded as empty."""
        self._catalog.heal(context.stream, claim, final=True)

    def _nothing_left(self, context: BatchContext, claim: Claim, batch: Batch, account: BatchAccount) -> Claim:
        if batch.kind is BatchKind.WINDOW:
            account.without_rows(BatchOutcome.EMPTY)
            return self._advance(context, claim, replace(batch, units=()))
        with self._failpoints.around("batch.fail"):
            self._ledger.fail(claim, batch.id, "the rows had gone from the source before they were read")
        account.without_rows(BatchOutcome.GONE)
        return claim

    def _advance(self, context: BatchContext, claim: Claim, batch: Batch) -> Claim:
        with step(self._metrics, batch.stream, "publish", offload_batch_id=str(batch.id), offload_rows=0):
            self.settle(context, claim)
            try:
                with self._failpoints.around("batch.advance"):
                    self._ledger.advance(claim, batch, context.trigger, self._wakes(context, batch, batch.window.upper))
            except UnknownCommitError:
                if not self._landed_empty(context, batch):
                    raise LedgerUnavailableError(
                        f"stream {batch.stream}: the advance to {batch.window.upper.isoformat()} did not land",
                        remedy="nothing to do: it is tried again",
                    ) from None
        return replace(claim, record=replace(claim.record, watermark=batch.window.upper))

    def _landed_empty(self, context: BatchContext, batch: Batch) -> bool:
        def read() -> bool:
            self._ledger.resolve(batch.stream, batch.id)
            return self._ledger.read([batch.stream])[batch.stream].watermark >= batch.window.upper

        landed = retrying(context.stream, context.abandoned, read)
        self._metrics.unknown_commit(batch.stream, "landed" if landed else "not_landed")
        return landed

    def _write(self, context: BatchContext, claim: Claim, batch: Batch, prefix: str) -> Sequence[WrittenFile]:
        attributes = _attributes(batch)
        with step(self._metrics, batch.stream, "write", **attributes) as span:
            with self._failpoints.around("batch.write"):
                reports = self._engine.write(
                    stream=context.stream,
                    mapping=context.work.mapping,
                    target=context.work.target,
                    batch=batch,
                    prefix=prefix,
                    traceparent=current_traceparent(),
                )
            if batch.rewrite is None:
                files = [report.file for report in reports]
            else:
                files = self._rewrites.proved(context, batch, reports)
            for report in reports:
                self._metrics.unit(report.seconds)
            span.set_attribute("offload.rows", sum(file.fingerprint.rows for file in files))
            span.set_attribute("offload.bytes", sum(file.bytes for file in files))
            with self._failpoints.around("attempt.stage"):
                self._ledger.stage(claim, batch.id, prefix, files)
        return files

    def _publish(
        self, context: BatchContext, claim: Claim, batch: Batch, files: Sequence[WrittenFile], proof: Proof
    ) -> int:
        with step(self._metrics, batch.stream, "publish", **_attributes(batch)) as span:
            publication = Publication(
                claim=claim,
                stream=context.stream,
                batch=batch,
                trigger=context.trigger,
                files=files,
                proof=proof,
                outbox=self._wakes(context, batch, max(claim.record.watermark, batch.window.upper)),
                # Old rows bring no new columns.
                evolution=None if batch.rewrite is not None else context.work.target.evolution,
            )
            for _ in range(_RESTAGES_MAX):
                snapshot_id = self._publish_once(context, publication)
                if snapshot_id is not None:
                    _describe_snapshot(span, publication, snapshot_id)
                    return snapshot_id
            raise LedgerUnavailableError(
                f"stream {batch.stream}: the table moved {_RESTAGES_MAX} times while the batch was being published",
                remedy="find out who else commits to the table that often; the batch is tried again",
            )

    def _publish_once(self, context: BatchContext, publication: Publication) -> int | None:
        """Publish, and return the snapshot id; ``None`` if the batch has to be staged again."""
        try:
            return self._catalog.publish(publication)
        except BaseMovedError:
            self._metrics.conflict(context.stream.name)
            return None
        except UnknownCommitError:
            return self._read_back(context, publication.claim, publication.batch)

    def _read_back(self, context: BatchContext, claim: Claim, batch: Batch) -> int | None:
        def read() -> BatchRecord | None:
            self._catalog.heal(context.stream, claim, final=False)
            return self._ledger.resolve(batch.stream, batch.id)

        found = retrying(context.stream, context.abandoned, read)
        landed = found is not None and found.status is BatchStatus.PUBLISHED
        self._metrics.unknown_commit(batch.stream, "landed" if landed else "not_landed")
        _log.warning("unknown_commit.read_back", stream=batch.stream, batch=str(batch.id), landed=landed)
        return found.snapshot_id if found is not None and landed else None

    def _wakes(self, context: BatchContext, batch: Batch, watermark: datetime) -> list[Event]:
        """Return an event for each dependant of the stream, with the watermark that the batch leaves.

        It goes on with the trace where it is made: below the span of the publish.

        Neither a rewind nor a rewrite wakes anybody: there is nothing that could be read now, and could not before.
        """
        if not context.dependants or batch.rewind is not None or batch.rewrite is not None:
            return []
        now = self._source.now()
        return [
            batch_committed(
                dependant=dependant,
                upstream=batch.stream,
                batch_id=batch.id,
                watermark=watermark,
                time=now,
                traceparent=current_traceparent(),
            )
            for dependant in context.dependants
        ]

    def _succeeded(self, batch: Batch, account: BatchAccount, seconds: float) -> None:
        rows, size = account.rows or 0, account.bytes or 0
        self._metrics.batch(batch.stream, batch.kind, "published", rows=rows, bytes=size, seconds=seconds)

    def _failed(self, context: BatchContext, claim: Claim, batch: Batch, error: IcehaulError, seconds: float) -> None:
        self._metrics.batch(batch.stream, batch.kind, type(error).__name__, rows=0, bytes=0, seconds=seconds)
        try:
            with self._failpoints.around("batch.fail"):
                self._ledger.fail(claim, batch.id, str(error))
        except IcehaulError as second:
            # The record of a failure is a courtesy; the failure itself is what is raised.
            _log.warning("batch.failure_not_recorded", stream=context.stream.name, error=str(second))


def _after(claim: Claim, batch: Batch) -> Claim:
    """Return the claim with the record as the ledger holds it after the batch."""
    return replace(claim, record=claim.record.after(batch))


def _attributes(batch: Batch) -> dict[str, str]:
    return {
        "offload_batch_id": str(batch.id),
        "offload_window_lower": batch.window.lower.isoformat(),
        "offload_window_upper": batch.window.upper.isoformat(),
    }


def _describe_snapshot(span: Span, publication: Publication, snapshot_id: int) -> None:
    span.set_attribute("offload.rows", publication.fingerprint.rows)
    span.set_attribute("offload.bytes", sum(file.bytes for file in publication.files))
    span.set_attribute("iceberg.snapshot.id", snapshot_id)
