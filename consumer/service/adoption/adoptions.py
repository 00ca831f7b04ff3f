"""Adopting: the proof under the lease, then one transaction that gives the ledger and the table the same evidence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from consumer.domain.adoption import AdoptedWindow, Adoption, windows_of
from consumer.domain.batch import Batch, BatchKind, BatchStatus
from consumer.domain.errors import BaseMovedError, DivergenceError, LedgerUnavailableError, UnknownCommitError
from consumer.domain.event_factory import tick
from consumer.domain.stream import Stream
from consumer.failpoints.acting import Failpoints
from consumer.ports import Catalog, Claim, Ledger, Publication, StreamRecord, TargetTable
from consumer.service.adoption.ports import FileSource
from consumer.service.adoption.proof import Proof, Prover, check_proof
from consumer.service.lease import LeaseKeeper
from consumer.service.offload import check_active
from consumer.service.plan import Identity
from consumer.service.prepare import Preparation
from consumer.service.steps import trigger_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """What was adopted, or would be: the proof, and the windows that are recorded."""

    stream: Stream
    proof: Proof
    windows: int
    dry: bool


class Adoptions:
    """Gives a new stream an existing table with everything that it is proved to hold."""

    def __init__(
        self,
        *,
        source: FileSource,
        ledger: Ledger,
        catalog: Catalog,
        owner: str,
        lease: timedelta,
        failpoints: Failpoints,
    ) -> None:
        self._source = source
        self._ledger = ledger
        self._catalog = catalog
        self._owner = owner
        self._lease = lease
        self._failpoints = failpoints
        self._prover = Prover(source=source, ledger=ledger, catalog=catalog)
        self._preparation = Preparation(source=source, ledger=ledger, catalog=catalog, failpoints=failpoints)

    def review(self, stream: Stream, *, claimed: datetime | None = None) -> Adopted:
        """Return what an adoption would find; takes no lease, and changes nothing.

        Raises:
            ConfigurationError, StreamError, TransientError: as :meth:`adopt` raises them, but for what differs.
        """
        known = self._ledger.read([stream.name]).get(stream.name)
        record = known or StreamRecord.unseen(stream.name, self._source.now(), stream.begins)
        self._check(stream, record)
        proof, _, _ = self._prove(stream, record, claimed)
        found = list(windows_of(proof.counted, record.start, stream.bounds))
        return Adopted(stream=stream, proof=proof, windows=len(found), dry=True)

    def adopt(self, stream: Stream, *, claimed: datetime | None = None, leave_missing: bool = False) -> Adopted:
        """Prove what the table holds, and go on from there; may be repeated after any failure.

        Args:
            stream: a stream that has read nothing, whose target exists.
            claimed: the watermark of the former writer; found by itself where there is none.
            leave_missing: whether rows that the table lacks are left to be found as late rows.

        Raises:
            ConfigurationError: if rows may still arrive below the watermark.
            DivergenceError: if both tiers differ, the stream has gone on by itself, or somebody commits meanwhile.
            LeaseHeldError: if somebody works on the stream at this moment.
            StreamError, TransientError: as ledger, source and catalog raise them.
        """
        self._check(stream, self._ledger.register(stream.name, stream.begins))
        with self._failpoints.around("lease.claim"):
            claim = self._ledger.claim(stream.name, self._owner, self._lease)
        with LeaseKeeper(self._ledger, claim, self._lease, on_lost=lambda: None, failpoints=self._failpoints) as keeper:
            claim = self._catalog.heal(stream, claim, final=True)
            self._check(stream, claim.record)
            proof, identity, target = self._prove(stream, claim.record, claimed)
            check_proof(stream, proof, leave_missing=leave_missing)
            keeper.check()
            with self._failpoints.around("stream.bind"):
                self._ledger.bind(claim, source_uuid=identity.source_uuid, target_uuid=identity.target_uuid)
            windows = list(self._windows(stream, claim.record, proof, identity))
            self._publish(stream, claim, Adoption(windows=windows, snapshot_id=target.snapshot_id))
        return Adopted(stream=stream, proof=proof, windows=len(windows), dry=False)

    def _check(self, stream: Stream, record: StreamRecord) -> None:
        check_active(record)
        if not record.unread:
            raise DivergenceError(
                f"stream {stream.name}: the table can't be adopted: the stream has read up to"
                f" {record.watermark.isoformat()} by itself",
                remedy="nothing to do: the stream goes on from its own watermark",
            )

    def _prove(
        self, stream: Stream, record: StreamRecord, claimed: datetime | None
    ) -> tuple[Proof, Identity, TargetTable]:
        described, mapping = self._preparation.read_source(stream, record)
        # A target that has to be created has nothing to be adopted for.
        existing = replace(stream, create_target=False)
        target = self._catalog.ensure(existing, mapping, expected_uuid=record.target_uuid)
        if target.evidence is not None:
            raise DivergenceError(
                f"stream {stream.name}: the target {stream.target} was filled by icehaul up to"
                f" {target.evidence.upper} (batch {target.evidence.batch_id}), but the ledger knows nothing of it",
                remedy="put back the ledger that belongs to the table, or give the stream another target",
            )
        proof = self._prover.prove(stream, described, mapping, target, start=record.start, claimed=claimed)
        identity = Identity(source_uuid=described.uuid, target_uuid=target.uuid, generation=record.generation)
        return proof, identity, target

    def _windows(
        self, stream: Stream, record: StreamRecord, proof: Proof, identity: Identity
    ) -> Iterator[AdoptedWindow]:
        for window, fingerprint in windows_of(proof.counted, record.start, stream.bounds):
            yield AdoptedWindow(id=identity.batch_id(BatchKind.WINDOW, window), window=window, fingerprint=fingerprint)

    def _publish(self, stream: Stream, claim: Claim, adoption: Adoption) -> None:
        last = adoption.windows[-1]
        batch = Batch(
            id=last.id,
            stream=stream.name,
            kind=BatchKind.WINDOW,
            window=last.window,
            generation=claim.record.generation,
            units=(),
        )
        publication = Publication(
            claim=claim,
            stream=stream,
            batch=batch,
            trigger=trigger_of(tick(stream=stream.name, boundary=last.window.upper)),
            files=(),
            outbox=(),
            adoption=adoption,
        )
        try:
            self._catalog.publish(publication)
        except BaseMovedError:
            raise DivergenceError(
                f"stream {stream.name}: somebody committed to the target {stream.target} while it was compared",
                remedy="stop whatever else writes to the table, and run the same command again",
            ) from None
        except UnknownCommitError:
            self._catalog.heal(stream, claim, final=False)
            found = self._ledger.resolve(stream.name, batch.id)
            if found is None or found.status not in {BatchStatus.PUBLISHED, BatchStatus.EMPTY}:
                raise LedgerUnavailableError(
                    f"stream {stream.name}: the adoption of {stream.target} did not land",
                    remedy="run the same command again",
                ) from None
