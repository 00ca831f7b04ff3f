"""Step 6 of a batch where the catalog lies outside the ledger's database: record, commit, record.

1. One ledger transaction, under the fence and the batch's predicate, records the *intent*: the snapshot that is about
   to be added, the base that the commit demands, and all that has to be recorded once it has landed.
2. The commit goes to the catalog with its exact base. It lands at most once, and on that base only.
3. One ledger transaction records the batch as published, and moves the watermark.

After a failure anywhere the intent is still there, and :class:`Healer` asks the table.
"""

from __future__ import annotations

from consumer.adapters.iceberg.evidence import read_ancestry
from consumer.adapters.iceberg.healing import Healer, landed_in
from consumer.adapters.iceberg.publish import Publisher, check_evidence, told_of_evolution
from consumer.adapters.iceberg.staging import StagedCommit
from consumer.adapters.iceberg.store import AttemptFiles, table_errors
from consumer.adapters.iceberg.target import Base
from consumer.adapters.postgres import publishing
from consumer.adapters.postgres.intents import intend, settle, settle_landed, unsettled
from consumer.domain.batch import Evidence
from consumer.domain.errors import (
    BaseMovedError,
    IcehaulError,
    LedgerUnavailableError,
    StoreUnavailableError,
    UnknownCommitError,
)
from consumer.domain.stream import Stream
from consumer.failpoints.effects import EFFECTS
from consumer.ports import Claim, Publication


class TwoStepPublisher(Publisher):
    """Publishes batches to a catalog outside of the ledger's database; several streams may do so at once."""

    def heal(self, stream: Stream, claim: Claim, *, final: bool) -> Claim:
        """Settle the intents that are open; see :meth:`consumer.ports.Catalog.heal`."""
        healer = Healer(
            database=self._database, placement=self._placement, store=self._store, failpoints=self._failpoints
        )
        return healer.heal(stream, claim, self._evidence_of, final=final)

    def _evidence_of(self, base: Base) -> Evidence | None:
        return self.evidence(base, read_ancestry(base.metadata))

    def publish(self, publication: Publication) -> int:
        """Publish a batch, and return its snapshot id; see :meth:`consumer.ports.Catalog.publish`."""
        base = self._base(publication)
        attempt = AttemptFiles(self._io)
        try:
            with (
                self._failpoints.around("publish.stage"),
                table_errors(self._store, base.name, f"staging the manifests of {base.name}"),
            ):
                commit, snapshot_id = self._prepare(base, publication, attempt)
            with self._failpoints.around("publish.intend"):
                self._intend(base, publication, snapshot_id)
        except StoreUnavailableError:
            # Deleting would only wait for the same store: what was written stays an orphan.
            raise
        except BaseException:
            # Nothing was sent to the catalog: nobody can ever refer to these files.
            self._discard(attempt)
            raise
        self._send(base, commit, snapshot_id, publication, attempt)
        self._record(publication, snapshot_id)
        return snapshot_id

    def _intend(self, base: Base, publication: Publication, snapshot_id: int) -> None:
        """Record the intent, under the fence, if ledger and base tell the same story."""
        ancestry = read_ancestry(base.metadata)
        evidence = self.evidence(base, ancestry)
        with self._database.transaction(repeatable=True) as connection:
            record = publishing.fence(connection, publication)
            landed = landed_in(base.metadata, evidence, unsettled(connection, [publication.stream.name]))
            if landed:
                raise UnknownCommitError(
                    f"stream {publication.stream.name}: snapshots {', '.join(map(str, landed))} are in the table, and"
                    " not recorded yet",
                    remedy="they are recorded before anything else; nothing has to be done by hand",
                )
            check_evidence(publication, record, evidence, ancestry.batch_ids)
            intend(
                connection,
                publication,
                snapshot_id=snapshot_id,
                base_snapshot_id=base.metadata.current_snapshot_id,
            )

    def _send(
        self, base: Base, commit: StagedCommit, snapshot_id: int, publication: Publication, attempt: AttemptFiles
    ) -> None:
        """Commit to the catalog; whatever is not certain leaves intent and files as they are.

        Raises:
            BaseMovedError: if the base has moved, and the snapshot is not in the table.
            UnknownCommitError: if it has to be read back.
        """
        before, after = EFFECTS["publish.send"].points
        try:
            self._failpoints.hit(before)
            now = self._placement.pointers.commit(base, commit)
            self._bases.keep(now)
            told_of_evolution(publication, base, now)
        except UnknownCommitError:
            raise
        except BaseMovedError:
            # Something on the way may have sent the request twice: the second is refused because the first has landed.
            if not self._arrived(base, snapshot_id):
                self._take_back(publication, snapshot_id, attempt)
                raise
        except IcehaulError:
            self._take_back(publication, snapshot_id, attempt)
            raise
        self._failpoints.hit(after)

    def _arrived(self, base: Base, snapshot_id: int) -> bool:
        """Tell whether a snapshot is in the table, of which a commit was refused."""
        try:
            now = self._bases.load(base.name)
        except IcehaulError as error:
            raise UnknownCommitError(
                f"the commit to {base.name} was refused, and the table can't be read to see why: {error.message}",
                remedy="the table is read back before anything else; nothing has to be done by hand",
            ) from error
        return now is not None and any(one.snapshot_id == snapshot_id for one in now.metadata.snapshots)

    def _take_back(self, publication: Publication, snapshot_id: int, attempt: AttemptFiles) -> None:
        """Forget an intent that has certainly not landed, and remove what was staged for it."""
        try:
            with self._failpoints.around("publish.forget"), self._database.transaction(repeatable=True) as connection:
                settle(connection, publication.stream.name, [snapshot_id])
        finally:
            self._discard(attempt)

    def _record(self, publication: Publication, snapshot_id: int) -> None:
        """Record what has landed.

        Raises:
            FencedError: if the lease has moved on; the new owner finds the batch in the table.
            UnknownCommitError: if the ledger can't be told now: the batch is in the table all the same.
        """
        stream, claim = publication.stream.name, publication.claim
        try:
            with self._failpoints.around("publish.record"), self._database.transaction(repeatable=True) as connection:
                publishing.lock_stream(connection, claim)
                intents = unsettled(connection, [stream])
                mine = next((one for one in intents if one.snapshot_id == snapshot_id), None)
                if mine is not None:
                    settle_landed(connection, claim, mine, snapshot_id)
                    # The table has moved on from the bases of all others.
                    settle(connection, stream, [one.snapshot_id for one in intents])
        except LedgerUnavailableError as error:
            raise UnknownCommitError(
                f"stream {stream}: snapshot {snapshot_id} is in the table, and not recorded: {error.message}",
                remedy="it is recorded as soon as the ledger answers; nothing has to be done by hand",
            ) from error
