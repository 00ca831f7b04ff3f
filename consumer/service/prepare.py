"""Preparation: everything that has to be known and agreed before the first row is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from consumer.domain.batch import Batch
from consumer.domain.divergence import check_divergence
from consumer.domain.errors import SourceChangedError
from consumer.domain.fence import broken_chain
from consumer.domain.mapping import TableMapping
from consumer.domain.mode_rules import check_mode
from consumer.domain.planning import Cutoff
from consumer.domain.stream import Stream
from consumer.domain.type_mapping import map_source
from consumer.failpoints.acting import Failpoints
from consumer.ports import Catalog, Claim, Ledger, Source, SourceTable, StreamRecord, TargetTable
from consumer.service.course import Course
from consumer.service.plan import Identity, Planner, fitted


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one event of one stream asks for now."""

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
        self._mappings: dict[str, tuple[Stream, SourceTable, TableMapping]] = {}

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
        described, mapping = self.read_source(stream, record, table)
        target = self._catalog.ensure(stream, mapping, expected_uuid=record.target_uuid)
        if not claim.continuous:
            raise broken_chain(stream.name, record.watermark)
        check_divergence(
            stream=stream.name,
            recorded=record.progress,
            evidence=target.evidence,
        )
        if record.source_uuid is None or record.target_uuid is None:
            with self._failpoints.around("stream.bind"):
                self._ledger.bind(claim, source_uuid=described.uuid, target_uuid=target.uuid)
        sized = fitted(stream, target)
        cutoff, course = self.plan(sized, described, target.uuid, event_cutoff, unread=unread)
        if cutoff.obstacle is not None:
            raise cutoff.obstacle
        return Work(source=described, mapping=mapping, target=target, cutoff=cutoff, course=course)

    def read_source(
        self, stream: Stream, record: StreamRecord | None, table: SourceTable | None = None
    ) -> tuple[SourceTable, TableMapping]:
        """Describe the source unless that was just done, check that the ledger knows it, and map its columns."""
        described = table or self._source.describe(stream.source)
        known = record.source_uuid if record is not None else None
        if known is not None and known != described.uuid:
            raise SourceChangedError(
                f"stream {stream.name}: source {stream.source} has UUID {described.uuid}, the ledger recorded {known}:"
                " the table was dropped and made anew, or exchanged",
                remedy="put the recorded table back, or give the new one a stream of its own",
            )
        check_mode(stream, described.shape)
        return described, self._mapped(stream, described)

    def _mapped(self, stream: Stream, described: SourceTable) -> TableMapping:
        """Map a table's columns, once for each description: a table that is described anew is another object."""
        known = self._mappings.get(stream.name)
        if known is not None and known[0] is stream and known[1] is described:
            return known[2]
        mapping = map_source(stream, described.columns, source_uuid=described.uuid)
        self._mappings[stream.name] = stream, described, mapping
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
