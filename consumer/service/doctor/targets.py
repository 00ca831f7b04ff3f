"""The check of a stream's target: does it fit the stream, and does it agree with the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol
from uuid import UUID

from consumer.domain.batch import BatchStatus, Progress
from consumer.domain.divergence import check_divergence
from consumer.domain.errors import IcehaulError
from consumer.domain.mapping import TableMapping
from consumer.domain.schema_history import SchemaHistory
from consumer.domain.stream import Stream, TableName
from consumer.domain.type_mapping import map_source
from consumer.ports import BatchRecord, SourceTable, StreamRecord, StreamState, TargetTable
from consumer.service.doctor.finding import Statement, error, info, ok, warning
from consumer.service.prepare import renamed_history

_LATEST = 10
_KEEP = "history.expire.min-snapshots-to-keep"


class TargetReader(Protocol):
    """What the check asks of the cold tier."""

    def inspect(self, table: TableName) -> TargetTable | None:
        """Load a target; ``None`` where there is none."""
        ...

    def ensure(
        self, stream: Stream, mapping: TableMapping, *, expected_uuid: UUID | None, history: SchemaHistory = ()
    ) -> TargetTable:
        """Compare a target with its stream."""
        ...

    def properties(self, table: TableName) -> Mapping[str, str]:
        """Return the properties of a table."""
        ...


class RecordReader(Protocol):
    """What the check asks of the ledger."""

    def read(self, streams: Sequence[str]) -> Mapping[str, StreamRecord]:
        """Return the records of the streams that have one."""
        ...

    def batches(self, stream: str, limit: int) -> Sequence[BatchRecord]:
        """Return the stream's latest batches."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetCheck:
    """Existence, schema, partition spec, properties, and evidence against ledger."""

    stream: Stream
    describe: Callable[[TableName], SourceTable]
    ledger: RecordReader
    catalog: TargetReader
    name: str = "target"

    @property
    def subject(self) -> str:
        """The stream and its table."""
        return f"{self.stream.name} ({self.stream.target})"

    def run(self) -> Iterator[Statement]:
        """Look at the target, compare it as a run would, and never make it."""
        record = self.ledger.read([self.stream.name]).get(self.stream.name)
        if record is not None and record.state is StreamState.HALTED:
            yield error(
                f"the stream is halted: {record.halt_reason}",
                f"{record.halt_remedy}; then `icehaul resume {self.stream.name}`",
            )
        target = self.catalog.inspect(self.stream.target)
        yield from self._agreement(record, target)
        if target is None:
            yield self._absent()
            return
        yield from self._shape(record)
        yield from self._properties()

    def _absent(self) -> Statement:
        if self.stream.create_target:
            return ok("it does not exist yet: the first batch makes it")
        return error(
            "it does not exist, and create_target is off",
            f"create the table {self.stream.target}, or set create_target: true",
        )

    def _agreement(self, record: StreamRecord | None, target: TargetTable | None) -> Iterator[Statement]:
        interrupted = self._interrupted(target)
        if interrupted is not None:
            yield info(
                f"batch {interrupted.batch_id} {interrupted.window} is in the table, and not recorded: its publish was"
                " interrupted, or is under way",
                f"nothing has to be done: the next event completes it, or `icehaul offload {self.stream.name}`",
            )
            return
        try:
            check_divergence(
                stream=self.stream.name,
                recorded=record.progress if record is not None else Progress(),
                evidence=target.evidence if target is not None else None,
            )
        except IcehaulError as failure:
            yield error(failure.message, failure.remedy)
        else:
            yield ok("ledger and table tell the same story")

    def _interrupted(self, target: TargetTable | None) -> BatchRecord | None:
        """Return the batch that the table proves and the ledger is about to record, where a publish has two steps."""
        if target is None or target.evidence is None:
            return None
        for batch in self.ledger.batches(self.stream.name, _LATEST):
            if batch.status is BatchStatus.PUBLISHING and batch.batch_id == target.evidence.batch_id:
                return batch
        return None

    def _shape(self, record: StreamRecord | None) -> Iterator[Statement]:
        try:
            described = self.describe(self.stream.source)
            mapping = map_source(self.stream, described.columns)
        except IcehaulError as failure:
            yield info(f"schema and partition spec are not compared, for the source can't be read: {failure.message}")
            return
        try:
            # Never made here, not even if somebody drops it at this moment.
            found = self.catalog.ensure(
                replace(self.stream, create_target=False),
                mapping,
                expected_uuid=record.target_uuid if record is not None else None,
                history=() if record is None else renamed_history(self.stream, described, record.schemas),
            )
        except IcehaulError as failure:
            yield error(failure.message, failure.remedy)
            return
        yield ok("schema and partition spec are the stream's")
        if found.evolution is not None and found.evolution.pending:
            yield info(f"its columns change with the next rows: {'; '.join(found.evolution.changes)}")

    def _properties(self) -> Iterator[Statement]:
        properties = self.catalog.properties(self.stream.target)
        kept = properties.get(_KEEP, "1")
        if kept.isdecimal() and int(kept) < self.stream.retain_snapshots:
            yield warning(
                f"table property {_KEEP} is {kept}, below retain_snapshots ({self.stream.retain_snapshots}): another"
                " engine's expiry may remove snapshots that the proof of progress rests on",
                f"ALTER TABLE … SET TBLPROPERTIES ('{_KEEP}' = '{self.stream.retain_snapshots}')",
            )
        if properties.get("write.parquet.compression-codec", "zstd") == "uncompressed":
            yield info(
                "table property write.parquet.compression-codec is uncompressed: files are several times as large"
            )
