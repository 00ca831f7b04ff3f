"""Checking the files of a batch before they are published: by their footers, and by what ClickHouse reads in them."""

from __future__ import annotations

from collections.abc import Sequence

from consumer.domain.batch import Batch, WrittenFile
from consumer.domain.errors import CheckFailedError
from consumer.domain.fingerprint import EMPTY
from consumer.domain.proof import Proof, files_to_prove
from consumer.domain.stream import DigestPolicy
from consumer.ports import Catalog, Metrics, Source
from consumer.service.batch_context import BatchContext
from consumer.service.steps import step


class FileCheck:
    """Step 5 of the protocol: what is about to be published is what was read, as far as the stream's policy asks."""

    def __init__(self, *, source: Source, catalog: Catalog, metrics: Metrics) -> None:
        self._source = source
        self._catalog = catalog
        self._metrics = metrics

    def check(self, context: BatchContext, batch: Batch, files: Sequence[WrittenFile]) -> Proof:
        """Check files against what their tasks have read, and return what was found.

        Raises:
            CheckFailedError: if a file is not as its task reported it, or holds other rows than were read.
        """
        stream = context.stream
        if batch.rewrite is not None:
            return self._rewritten(context, batch, files)
        with step(self._metrics, stream.name, "check") as span:
            self._catalog.check(context.work.target, stream, files)
            chosen = files_to_prove(stream, batch.id, files)
            if not chosen:
                return Proof(policy=stream.digest)
            read = sum((file.fingerprint for file in chosen), EMPTY)
            written = self._source.fingerprint_files(context.work.mapping.as_recorded, [file.path for file in chosen])
            span.set_attribute("offload.rows", written.rows)
            if written != read:
                raise CheckFailedError(
                    f"stream {stream.name}: {read.rows} rows with digest {read.hex} were read,"
                    f" {written.rows} rows with digest {written.hex} stand in the files",
                    remedy="nothing to do once: the batch is written again; if it repeats, look at store and network",
                )
        return Proof(policy=stream.digest, files=len(chosen), content=written)

    def _rewritten(self, context: BatchContext, batch: Batch, files: Sequence[WrittenFile]) -> Proof:
        """Check the footers of a rewrite's files, whose rows were compared with those of the old files before."""
        schemas = {unit.index: unit.rewriting.schema for unit in batch.units if unit.rewriting is not None}
        with step(self._metrics, batch.stream, "check"):
            for file in files:
                self._catalog.check(context.work.target.written_with(schemas[file.unit]), context.stream, [file])
        content = sum((file.fingerprint for file in files), EMPTY)
        return Proof(policy=DigestPolicy.ALWAYS, files=len(files), content=content)
