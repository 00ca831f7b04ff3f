"""Preparation: everything that has to be known and agreed before the first row is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from consumer.domain.batch import Batch
from consumer.domain.divergence import check_divergence
from consumer.domain.errors import SourceChangedError, TargetMissingError
from consumer.domain.fence import broken_chain
from consumer.domain.history_mapping import map_history
from consumer.domain.mapping import TableMapping
from consumer.domain.mode_rules import check_mode
from consumer.domain.planning import Cutoff
from consumer.domain.schema_change import columns_of
from consumer.domain.schema_history import SchemaEra, SchemaHistory, extended, known_columns, with_new_names
from consumer.domain.stream import Stream, TableName
from consumer.domain.window import BEGINNING
from consumer.failpoints.acting import Failpoints
from consumer.ports import Catalog, Claim, Ledger, Source, SourceTable, StreamRecord, TargetTable
from consumer.service.course import Course
from consumer.service.plan import Identity, Planner, fitted, partitioned


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one event of one stream asks for now; ``stream`` is partitioned as its target is."""

    stream: Stream
    source: SourceTable
    mapping: TableMapping
    target: TargetTable
    cutoff: Cutoff
    course: Course

    def identity(self, generation: int) -> Identity:
        """What the ids of batches between the two tables derive from."""
        return Identity(source_uuid=self.source.uuid, target_uuid=self.target.uuid, generation=generation)


class Preparation:
    """Compares source, target and ledger of a stream, and plans its batches."""

    def __init__(
        self, *, source: Source, ledger: Ledger, catalog: Catalog, failpoints: Failpoints | None = None
    ) -> None:
        self._failpoints = failpoints or Failpoints()
        self._source = source
        self._ledger = ledger
        self._catalog = catalog
        self._planner = Planner(source, ledger)
        self._mappings: dict[str, tuple[Stream, SourceTable, SchemaHistory, TableMapping]] = {}

    def prepare(
        self,
        stream: Stream,
        claim: Claim,
        event_cutoff: datetime,
        *,
        table: SourceTable | None = None,
        unread: bool = True,
    ) -> Work:
        """Return the work that leads from the claim's watermark to the event's cutoff.

        The target is created where that is allowed, and both tables' UUIDs are recorded at first sight.

        Args:
            stream: the stream.
            claim: the lease on it.
            event_cutoff: how far the event asks for.
            table: what the source looks like now; ``None`` to describe it.
            unread: whether the source may hold rows at or above the watermark.

        Raises:
            StreamError: if source, target and ledger do not fit together.
            TransientError: if one of them can't be asked now.
        """
        record = claim.record
        described = self._described(stream, record, table)
        recorded = renamed_history(stream, described, self.recorded_history(stream, record, described))
        history = history_now(stream, record, described, recorded)
        mapping = self._mapped(stream, described, history)
        if record.target_uuid is None:
            self._check_not_lost(stream)
        target = self._catalog.ensure(stream, mapping, expected_uuid=record.target_uuid, history=recorded)
        if not claim.continuous:
            raise broken_chain(stream.name, record.watermark)
        check_divergence(
            stream=stream.name,
            recorded=record.progress,
            evidence=target.evidence,
        )
        if record.source_uuid is None or record.target_uuid is None or record.schemas != history:
            # Before anything is read with these columns: what is below the watermark now was read with others.
            with self._failpoints.around("stream.bind"):
                self._ledger.bind(claim, source_uuid=described.uuid, target_uuid=target.uuid, schemas=history)
        sized = fitted(stream, target)
        cutoff, course = self.plan(sized, described, target.uuid, event_cutoff, unread=unread)
        if cutoff.obstacle is not None:
            raise cutoff.obstacle
        return Work(
            stream=partitioned(stream, target),
            source=described,
            mapping=mapping,
            target=target,
            cutoff=cutoff,
            course=course,
        )

    def _check_not_lost(self, stream: Stream) -> None:
        """Check that a new target would not be made over one that ledger and catalog have lost: rows would be missed.

        Raises:
            TargetMissingError: if the store holds such a table.
        """
        if self._catalog.inspect(stream.target) is not None:
            return
        remains = self._catalog.remains(stream.target)
        if remains is not None:
            raise TargetMissingError(
                f"stream {stream.name}: neither ledger nor catalog has the target {stream.target}, but the store holds"
                f" a table there: {remains}",
                remedy=f"run `icehaul recover {stream.name}`, which shows what is there, and with --yes puts it into"
                " the catalog again; for a new table, move that folder away first, or give the stream another target",
            )

    def read_source(
        self, stream: Stream, record: StreamRecord | None, table: SourceTable | None = None
    ) -> tuple[SourceTable, TableMapping]:
        """Describe the source unless that was just done, check that the ledger knows it, and map its columns."""
        described = self._described(stream, record, table)
        recorded = () if record is None else record.schemas
        return described, self._mapped(stream, described, history_now(stream, record, described, recorded))

    def map_moved(self, stream: Stream, record: StreamRecord | None, table: TableName) -> TableMapping:
        """Map a table that holds rows of the stream's source, or the source itself, as the source's rows are compared.

        Raises:
            StreamError: if the table is missing or can't be mapped.
            TransientError: if ClickHouse can't be asked now.
        """
        described = self._source.describe(table)
        recorded = () if record is None else record.schemas
        history = history_now(stream, record, described, recorded)
        return map_history(stream, described.columns, history, source_uuid=described.uuid)

    def changes(
        self, stream: Stream, record: StreamRecord, described: SourceTable, mapping: TableMapping
    ) -> Sequence[str]:
        """Return what becomes of the target's columns with the next batch, in words; changes nothing.

        Raises:
            StreamError: if the target can't follow its source, or is another one.
        """
        history = renamed_history(stream, described, self.recorded_history(stream, record, described))
        target = self._catalog.ensure(
            replace(stream, create_target=False), mapping, expected_uuid=record.target_uuid, history=history
        )
        return () if target.evolution is None else target.evolution.changes

    def recorded_history(self, stream: Stream, record: StreamRecord, described: SourceTable) -> SchemaHistory:
        """Return what the source's columns were, as it is recorded; nothing where nothing was read yet.

        For a stream that is older than such records, the target's schema tells what it was written with.
        """
        if record.schemas or record.target_uuid is None:
            return record.schemas
        target = self._catalog.inspect(stream.target)
        if target is None or record.unread:
            return ()
        return (SchemaEra(since=BEGINNING, columns=columns_of(target.schema, described.columns)),)

    def _described(self, stream: Stream, record: StreamRecord | None, table: SourceTable | None) -> SourceTable:
        described = table or self._source.describe(stream.source)
        known = record.source_uuid if record is not None else None
        if known is not None and known != described.uuid:
            raise SourceChangedError(
                f"stream {stream.name}: source {stream.source} has UUID {described.uuid}, the ledger recorded {known}:"
                " the table was dropped and made anew, or exchanged",
                remedy="put the recorded table back, or give the new one a stream of its own",
            )
        check_mode(stream, described.shape)
        return described

    def _mapped(self, stream: Stream, described: SourceTable, history: SchemaHistory) -> TableMapping:
        """Map a table's columns, once for each description: a table that is described anew is another object."""
        known = self._mappings.get(stream.name)
        if known is not None and known[0] is stream and known[1] is described and known[2] == history:
            return known[3]
        mapping = map_history(stream, described.columns, history, source_uuid=described.uuid)
        self._mappings[stream.name] = stream, described, history, mapping
        return mapping

    def plan(
        self,
        stream: Stream,
        source: SourceTable,
        target_uuid: UUID,
        event_cutoff: datetime,
        *,
        unread: bool = True,
    ) -> tuple[Cutoff, Course]:
        """Return the cutoff and the course that leads to it, which reads the source as it is followed.

        The source is not read at all where nothing is unread.
        """
        cutoff = self._planner.cutoff(stream, event_cutoff, source)

        def begin(reached: StreamRecord) -> Iterator[Batch]:
            identity = Identity(source_uuid=source.uuid, target_uuid=target_uuid, generation=reached.generation)
            return self._planner.batches(stream, reached, identity, cutoff.instant, unread=unread)

        return cutoff, Course(begin)


def history_now(
    stream: Stream, record: StreamRecord | None, described: SourceTable, recorded: SchemaHistory
) -> SchemaHistory:
    """Return what the source's columns were and are: as it is recorded once the next batch is planned.

    What is done lies below the watermark, and was read with the columns of before.
    """
    renamed = renamed_history(stream, described, recorded)
    since = BEGINNING if record is None else record.watermark
    return extended(renamed, known_columns(described.columns, dict(stream.columns)), since)


def renamed_history(stream: Stream, described: SourceTable, recorded: SchemaHistory) -> SchemaHistory:
    """Return what the source's columns were, under the names that they have now."""
    names = {column.name for column in described.columns}
    return with_new_names(recorded, names, {old: new for new, old in stream.renamed_columns})
