"""Step 6 of a batch: staging against an exact base, then one transaction that makes everything true at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import structlog
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata

from consumer.adapters.iceberg.data_files import describe
from consumer.adapters.iceberg.evidence import (
    SCHEMA_ID,
    Ancestry,
    properties_of,
    read_ancestry,
    read_properties,
    rewrite_of,
    summary_of,
    withdrawn_properties,
)
from consumer.adapters.iceberg.footers import Footers
from consumer.adapters.iceberg.live_files import live_entries, live_files
from consumer.adapters.iceberg.metadata_files import retired, write_next
from consumer.adapters.iceberg.placement import Placement
from consumer.adapters.iceberg.rewriting import rewrite_files
from consumer.adapters.iceberg.rows import CatalogRows
from consumer.adapters.iceberg.staging import StagedCommit
from consumer.adapters.iceberg.store import AttemptFiles, table_errors
from consumer.adapters.iceberg.tables import default_properties, divided_by, owned_properties
from consumer.adapters.iceberg.target import Base
from consumer.adapters.postgres import publishing
from consumer.adapters.postgres.database import Database
from consumer.domain.batch import Batch, Evidence
from consumer.domain.divergence import check_divergence, repair_command
from consumer.domain.errors import (
    BaseMovedError,
    DivergenceError,
    IcehaulError,
    SchemaMovedError,
    StaleDifferenceError,
    StoreUnavailableError,
)
from consumer.domain.stream import Stream
from consumer.failpoints.acting import Failpoints
from consumer.failpoints.effects import EFFECTS
from consumer.ports import Claim, Publication, StreamRecord
from consumer.settings.connections import StoreSettings

_log = structlog.get_logger(__name__)


class Publisher:
    """Publishes batches; several streams may do so at once."""

    def __init__(
        self,
        *,
        database: Database,
        placement: Placement,
        footers: Footers,
        store: StoreSettings,
        failpoints: Failpoints,
    ) -> None:
        self._database = database
        self._placement = placement
        self._bases = placement.bases
        self._footers = footers
        self._io = placement.io
        self._store = store
        self._failpoints = failpoints

    def publish(self, publication: Publication) -> int:
        """Publish a batch, and return its snapshot id; see :meth:`consumer.ports.Catalog.publish`."""
        base = self._base(publication)
        attempt = AttemptFiles(self._io)
        try:
            with (
                self._failpoints.around("publish.stage"),
                table_errors(self._store, base.name, f"staging the metadata of {base.name}"),
            ):
                staged, snapshot_id = self._stage(base, publication, attempt)
        except StoreUnavailableError:
            # Deleting would only wait for the same store: what was written stays an orphan.
            raise
        except BaseException:
            self._discard(attempt)
            raise
        self._commit(base, staged, snapshot_id, publication, attempt)
        told_of_evolution(publication, base, staged)
        self._bases.keep(staged)
        retired_files = retired(base.metadata, staged.metadata)
        if retired_files:
            with self._failpoints.around("publish.retire"):
                self._remove(retired_files)
        return snapshot_id

    def evidence(self, base: Base, ancestry: Ancestry) -> Evidence | None:
        """Return the newest evidence on the current snapshot's ``ancestry``.

        Where snapshots of other engines are on top and expiry has hidden what is below, the table's properties
        speak for it, if rows of the window that they name are alive; a rollback would have taken those away. After a
        rewind it would have brought them back. A rollback of late or replaced rows leaves others of their window: it
        shows where the snapshot that the properties name is there still, and newer than the oldest ancestor.
        """
        if ancestry.evidence is not None or ancestry.whole:
            return ancestry.evidence
        repeated = read_properties(base.metadata)
        if repeated is None:
            return None
        named = base.metadata.snapshot_by_id(repeated.evidence.snapshot_id)
        if named is not None and (named.sequence_number or 0) > ancestry.oldest_sequence:
            return None
        with table_errors(self._store, base.name, f"reading the manifests of {base.name}"):
            alive = any(live_files(base.table(self._io), repeated.window))
        return repeated.evidence if alive is not repeated.removed else None

    def heal(self, stream: Stream, claim: Claim, *, final: bool) -> Claim:  # noqa: ARG002 - nothing can be open here
        """Return the claim as it is: one transaction leaves nothing open; see :meth:`consumer.ports.Catalog.heal`."""
        return claim

    @property
    def _rows(self) -> CatalogRows:
        rows = self._placement.ledger_rows
        if rows is None:
            raise AssertionError("the catalog is in the ledger's database, or publishes have two steps")
        return rows

    def _base(self, publication: Publication) -> Base:
        target, expected = publication.stream.target, publication.claim.record.target_uuid
        base = self._bases.load(target)
        if base is None or (expected is not None and base.metadata.table_uuid != expected):
            raise replaced(publication.stream.name, target, base)
        adoption = publication.adoption
        if adoption is not None and adoption.snapshot_id != base.metadata.current_snapshot_id:
            raise BaseMovedError(
                f"the table {target} has another snapshot than the one that was compared",
                remedy="compare it again",
            )
        return base

    def _stage(self, base: Base, publication: Publication, attempt: AttemptFiles) -> tuple[Base, int]:
        commit, snapshot_id = self._prepare(base, publication, attempt)
        return write_next(base, commit.result(), attempt), snapshot_id

    def _prepare(self, base: Base, publication: Publication, attempt: AttemptFiles) -> tuple[StagedCommit, int]:
        """Write the manifests of the batch's snapshot, and return the commit that adds it to the base."""
        stream, files = publication.stream, publication.files
        footers = self._footers.read([file.path for file in files], fresh=False)
        table = base.table(attempt)
        commit = StagedCommit(table)
        if publication.evolution is not None:
            commit.evolve(publication.evolution)
            _check_spec(base, publication)
        metadata = commit.table_metadata
        entries = describe(metadata, stream, publication.batch, files, footers)
        snapshot_id = self._add_snapshot(base, table, commit, publication, entries)
        commit.expire(stream.retain_snapshots)
        commit.set_properties(
            {
                **_absent(base.metadata, default_properties(stream, metadata.schema())),
                **owned_properties(stream),
                **properties_of(publication, snapshot_id),
            }
        )
        if gone := [name for name in withdrawn_properties(publication) if name in base.metadata.properties]:
            commit.remove_properties(*gone)
        return commit, snapshot_id

    def _add_snapshot(
        self, base: Base, table: Table, commit: StagedCommit, publication: Publication, entries: Sequence[DataFile]
    ) -> int:
        batch, schema = publication.batch, {SCHEMA_ID: str(commit.table_metadata.current_schema_id)}
        if batch.rewrite is not None:
            proved = self.evidence(base, read_ancestry(base.metadata))
            return rewrite_files(commit, table, batch, entries, rewrite_of(publication, proved))
        summary, replacement = {**summary_of(publication), **schema}, batch.replacement
        if replacement is None or not (entries or replacement.files):
            return commit.append_files(entries, summary)
        removed = _still_live(table, batch, replacement.files)
        return commit.replace_files(entries, removed, summary)

    def _commit(
        self, base: Base, staged: Base, snapshot_id: int, publication: Publication, attempt: AttemptFiles
    ) -> None:
        ancestry = read_ancestry(base.metadata)
        evidence = self.evidence(base, ancestry)
        before, after = EFFECTS["publish.commit"].points
        certain = True
        try:
            with self._database.transaction() as connection:
                record = publishing.fence(connection, publication)
                self._rows.swap(connection, base.name, base=base.location, new=staged.location)
                # Only now is the base known to be current, and the ledger's record to stand still.
                check_evidence(publication, record, evidence, ancestry.batch_ids)
                publishing.record(connection, publication, snapshot_id)
                self._failpoints.hit(before)
                certain = False
            self._failpoints.hit(after)
        except IcehaulError:
            if certain:
                # No COMMIT was sent: nobody can ever refer to these files.
                self._discard(attempt)
            raise

    def _discard(self, attempt: AttemptFiles) -> None:
        if attempt.written:
            with self._failpoints.around("publish.discard"):
                self._remove(attempt.written)

    def _remove(self, locations: Iterable[str]) -> None:
        """Remove files that nothing refers to; one that stays is an orphan and does no harm."""
        for location in locations:
            try:
                self._io.delete(location)
            except OSError as error:
                _log.info("file.left_behind", location=location, error=str(error))


def _still_live(table: Table, batch: Batch, files: Sequence[str]) -> list[DataFile]:
    """Return the manifest entries of the files that a replacement removes.

    Raises:
        StaleDifferenceError: if one is not live any more, for what is in its place was not looked at.
    """
    live = {file.file_path: file for file in live_entries(table, batch.window)}
    gone = [path for path in files if path not in live]
    if gone:
        raise StaleDifferenceError(
            f"stream {batch.stream}: {gone[0]}, which holds rows of the window {batch.window}, is not live any more",
            remedy="nothing has to be done: another writer has rewritten it, and the window is looked at again",
        )
    return [live[path] for path in files]


def check_evidence(
    publication: Publication, record: StreamRecord, evidence: Evidence | None, batch_ids: frozenset[str]
) -> None:
    """Check that the table's ancestry proves what the ledger has recorded, and does not hold the batch already.

    Raises:
        DivergenceError: if it does not, or does.
    """
    batch = publication.batch
    if str(batch.id) in batch_ids:
        raise DivergenceError(
            f"stream {batch.stream}: batch {batch.id} {batch.window} is in the table {publication.stream.target}"
            " already, and the ledger does not know",
            remedy=repair_command(batch.stream),
        )
    check_divergence(stream=batch.stream, recorded=record.progress, evidence=evidence)


def _check_spec(base: Base, publication: Publication) -> None:
    """Check that the table is divided as the files are.

    Raises:
        SchemaMovedError: if another engine has changed its partition spec since they were planned.
    """
    stream = publication.stream
    if publication.files and divided_by(base.metadata, stream.timestamp_column) is not stream.partition_by:
        raise SchemaMovedError(
            f"the partition spec of {base.name} was changed while rows were written for it",
            remedy="nothing to do: the event is planned again with the spec of now",
        )


def told_of_evolution(publication: Publication, base: Base, now: Base) -> None:
    """Say that the table's schema has changed with a publish, if it has."""
    evolution = publication.evolution
    if evolution is None or base.metadata.current_schema_id == now.metadata.current_schema_id:
        return
    _log.info(
        "schema.evolved",
        stream=publication.stream.name,
        table=str(base.name),
        changes=list(evolution.changes),
        schema=now.metadata.current_schema_id,
    )


def replaced(stream: str, target: object, base: Base | None) -> DivergenceError:
    """Return the error for a table that is gone, or is another one than the ledger knows."""
    what = "is not in the catalog any more" if base is None else f"is another one now (UUID {base.metadata.table_uuid})"
    return DivergenceError(
        f"stream {stream}: the target {target}, which the ledger has recorded rows in, {what}",
        remedy=f"put the old table back, then run `icehaul resume {stream}`; or, if it is gone for good,"
        f" {repair_command(stream)}",
    )


def _absent(metadata: TableMetadata, defaults: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in defaults.items() if key not in metadata.properties}
