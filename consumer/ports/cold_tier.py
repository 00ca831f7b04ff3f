"""The cold tier's tables, and the one committer that makes files visible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol
from uuid import UUID

from pyiceberg.schema import Schema

from consumer.domain.adoption import Adoption
from consumer.domain.batch import Batch, Evidence, WrittenFile, content_of_files
from consumer.domain.event import Event
from consumer.domain.evolution import Evolution
from consumer.domain.file_options import FileOptions, rows_of_a_file
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.mapping import TableMapping
from consumer.domain.proof import Proof
from consumer.domain.repair import NO_LINEAGE, Lineage
from consumer.domain.row_order import AS_READ, RowOrder
from consumer.domain.schema_history import SchemaHistory
from consumer.domain.stream import BatchBounds, Stream, TableName
from consumer.domain.window import PartitionBy, Window
from consumer.ports.batches import Trigger
from consumer.ports.ledger import Claim


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetTable:
    """A target table as the catalog shows it now.

    ``schema`` carries the table's own field ids; where its source's columns were changed, it is what the table's schema
    becomes with the next rows, and ``evolution`` tells how; ``filled`` are the columns that the source has, and every
    data file. ``partition_by`` is how the table's present spec divides the time column; ``None`` is as the stream says.
    ``lineage`` is the current snapshot with its ancestors; ``order`` is that of rows in its files; ``rows`` and
    ``bytes`` are those of its live files, as the current snapshot counts them.
    """

    name: TableName
    uuid: UUID
    location: str
    schema: Schema
    snapshot_id: int | None
    evidence: Evidence | None
    lineage: Lineage = NO_LINEAGE
    properties: Mapping[str, str] = field(default_factory=dict)
    order: RowOrder = AS_READ
    rows: int = 0
    bytes: int = 0
    evolution: Evolution | None = field(default=None, compare=False)
    partition_by: PartitionBy | None = field(default=None, compare=False)
    filled: frozenset[str] = field(default=frozenset(), compare=False)

    @property
    def options(self) -> FileOptions:
        """What the table's properties ask of its data files.

        Raises:
            TargetMismatchError: if one of them can't be followed.
        """
        return FileOptions.of(self.name, self.properties)

    def written_with(self, schema: str) -> TargetTable:
        """Return the table as files see it that were written with this schema of it, given as JSON."""
        return replace(self, schema=Schema.model_validate_json(schema), filled=frozenset())

    def fitted(self, bounds: BatchBounds) -> BatchBounds:
        """Return bounds by which no file becomes larger than the table asks for, as its files are until now.

        Raises:
            TargetMismatchError: if the size that it asks for is none.
        """
        limit = rows_of_a_file(self.options.file_bytes, rows=self.rows, stored_bytes=self.bytes)
        return bounds if limit is None else replace(bounds, unit_rows=min(bounds.unit_rows, limit))


@dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """What the ledger records of a publish that has landed: whole, so that whoever finds it in the table can do so.

    Of the ``batch``, units and files that go are not needed any more. ``bytes`` are those of its data files; the
    ``files`` themselves are told of a rewind only, which gives them to windows.
    """

    batch: Batch
    trigger: Trigger
    fingerprint: Fingerprint
    bytes: int
    outbox: tuple[Event, ...]
    adoption: Adoption | None = None
    files: tuple[WrittenFile, ...] = ()
    proof: Proof | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """Everything that one publish makes true at once; an ``adoption`` publishes no files, but what is there already.

    ``proof`` is what was found in the files before.
    ``evolution`` is what the table's schema becomes together with the files, which were written with it.
    """

    claim: Claim
    stream: Stream
    batch: Batch
    trigger: Trigger
    files: Sequence[WrittenFile]
    outbox: Sequence[Event]
    adoption: Adoption | None = None
    proof: Proof | None = None
    evolution: Evolution | None = None

    @property
    def fingerprint(self) -> Fingerprint:
        """Fingerprint of the batch's own rows: the sum over its files, or what was adopted of its window.

        That of a rewrite is what its files hold: all rows of others.
        """
        if self.adoption is not None:
            return self.adoption.windows[-1].fingerprint
        if self.batch.rewrite is not None:
            return sum((file.fingerprint for file in self.files), EMPTY)
        return content_of_files(self.files)

    @property
    def landing(self) -> Landing:
        """What the ledger records once it has landed."""
        return Landing(
            batch=replace(self.batch, units=(), replacement=None, rewrite=None),
            trigger=self.trigger,
            fingerprint=self.fingerprint,
            bytes=sum(file.bytes for file in self.files),
            outbox=tuple(self.outbox),
            adoption=self.adoption,
            files=() if self.batch.rewind is None else tuple(self.files),
            proof=self.proof,
        )


class Catalog(Protocol):
    """The cold tier's tables, and the one committer that makes files visible."""

    def ensure(
        self, stream: Stream, mapping: TableMapping, *, expected_uuid: UUID | None, history: SchemaHistory = ()
    ) -> TargetTable:
        """Load the target and compare its schema and partition spec with the stream's.

        The table is created where it does not exist, ``expected_uuid`` is ``None`` and the stream allows it. With the
        ``history`` of the source's columns, its schema may differ by what can be followed: the answer says how, and
        the next publish brings it about. Without one, where the stream has written nothing, it has to be the same.

        Raises:
            TargetMissingError: if it does not exist and may not be created.
            TargetMismatchError: if schema or partition spec differ, naming the first difference.
            SchemaChangeError: if it can't follow what was changed in the source.
            DivergenceError: if it is not the table that the ledger knows (``expected_uuid``).
        """
        ...

    def inspect(self, table: TableName) -> TargetTable | None:
        """Load a target with the evidence on its current snapshot's ancestry; ``None`` where there is none."""
        ...

    def remains(self, table: TableName) -> str | None:
        """Return the newest metadata file that lies where a table that the catalog does not have would be made.

        ``None`` where no table was ever filled there, or where the catalog decides itself where tables lie.
        """
        ...

    def check(self, target: TargetTable, stream: Stream, files: Sequence[WrittenFile]) -> None:
        """Compare each file's footer on the store with what its task reported.

        Raises:
            CheckFailedError: naming the file and the difference.
        """
        ...

    def publish(self, publication: Publication) -> int:
        """Publish a batch, and return the snapshot id: in one transaction, or in two steps that :meth:`heal` mends.

        Raises:
            SchemaMovedError: if the table's schema is not the one that the files were written with any more.
            StaleDifferenceError: if a window has got another content, or a file that is to go is not live any more, or
                rows of one that is rewritten were deleted.
            FencedError, BaseMovedError, DivergenceError, UnknownCommitError, LedgerUnavailableError,
            CatalogUnavailableError, StoreUnavailableError
        """
        ...

    def heal(self, stream: Stream, claim: Claim, *, final: bool) -> Claim:
        """Bring the ledger up to what the table proves of publishes whose outcome it does not know.

        Where a publish is one transaction, there are none. Otherwise one that is found on the table's ancestry is
        recorded as published; one that is not, and can't land any more, is recorded as failed. Call it at each
        claim and before the ledger moves on without a commit, with ``final``: what could still land is then kept from
        it for good. Without ``final`` that is left, for a caller whose next commit has the same effect.

        Returns:
            the claim, with the record as the ledger has it now.

        Raises:
            FencedError: if the lease has moved on.
            DivergenceError: if what has landed contradicts the ledger.
            CatalogUnavailableError, LedgerUnavailableError, StoreUnavailableError: if it has to be tried again.
        """
        ...

    def data_files(self, table: TableName, partition_by: PartitionBy, window: Window | None) -> Sequence[str]:
        """Return the paths of the live data files of the current snapshot (that may hold rows of ``window``)."""
        ...
