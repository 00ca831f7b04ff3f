"""The cold tier's tables, and the one committer that makes files visible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from pyiceberg.schema import Schema

from consumer.domain.adoption import Adoption
from consumer.domain.batch import Batch, Evidence, WrittenFile, content_of_files
from consumer.domain.event import Event
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.mapping import TableMapping
from consumer.domain.repair import NO_LINEAGE, Lineage
from consumer.domain.stream import Stream, TableName
from consumer.domain.window import PartitionBy, Window
from consumer.ports.ledger import Claim, Trigger


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetTable:
    """A target table as the catalog shows it now.

    ``schema`` carries the table's own field ids; ``lineage`` is the current snapshot with its ancestors.
    """

    name: TableName
    uuid: UUID
    location: str
    schema: Schema
    snapshot_id: int | None
    evidence: Evidence | None
    lineage: Lineage = NO_LINEAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """Everything that one publish makes true at once; an ``adoption`` publishes no files, but what is there already."""

    claim: Claim
    stream: Stream
    batch: Batch
    trigger: Trigger
    files: Sequence[WrittenFile]
    outbox: Sequence[Event]
    adoption: Adoption | None = None

    @property
    def fingerprint(self) -> Fingerprint:
        """Fingerprint of the batch's own rows: the sum over its files, or what was adopted of its window."""
        if self.adoption is not None:
            return self.adoption.windows[-1].fingerprint
        return content_of_files(self.files)


class Catalog(Protocol):
    """The cold tier's tables, and the one committer that makes files visible."""

    def ensure(self, stream: Stream, mapping: TableMapping, *, expected_uuid: UUID | None) -> TargetTable:
        """Load the target and compare its schema and partition spec with the stream's.

        The table is created where it does not exist, ``expected_uuid`` is ``None`` and the stream allows it.

        Raises:
            TargetMissingError: if it does not exist and may not be created.
            TargetMismatchError: if schema or partition spec differ, naming the first difference.
            DivergenceError: if it is not the table that the ledger knows (``expected_uuid``).
        """
        ...

    def inspect(self, table: TableName) -> TargetTable | None:
        """Load a target with the evidence on its current snapshot's ancestry; ``None`` where there is none."""
        ...

    def check(self, target: TargetTable, stream: Stream, files: Sequence[WrittenFile]) -> None:
        """Compare each file's footer on the store with what its task reported.

        Raises:
            CheckFailedError: naming the file and the difference.
        """
        ...

    def publish(self, publication: Publication) -> int:
        """Publish a batch in one transaction, and return the snapshot id.

        Raises:
            StaleDifferenceError: if a window has got another content, or a file that is to go is not live any more.
            FencedError, BaseMovedError, DivergenceError, UnknownCommitError, LedgerUnavailableError,
            StoreUnavailableError
        """
        ...

    def data_files(self, table: TableName, partition_by: PartitionBy, window: Window | None) -> Sequence[str]:
        """Return the paths of the live data files of the current snapshot (that may hold rows of ``window``)."""
        ...
