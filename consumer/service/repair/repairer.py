"""Repairing: looked at first, then done under the stream's lease and in one transaction of the ledger."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import structlog

from consumer.domain.audit import plain_path
from consumer.domain.batch import BatchKind
from consumer.domain.errors import DivergenceError
from consumer.domain.event_factory import tick
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.stream import Stream
from consumer.failpoints.acting import Failpoints
from consumer.ports import Catalog, Claim, Ledger, StreamRecord, TargetTable
from consumer.service.adoption.ports import FileSource
from consumer.service.audit.ports import AttemptRecords, TableFiles
from consumer.service.lease import LeaseKeeper
from consumer.service.plan import Identity
from consumer.service.prepare import Preparation
from consumer.service.repair.counting import CountedWindow
from consumer.service.repair.examination import Examination, Examiner
from consumer.service.repair.ports import RebuiltFile, RebuiltWindow, Repair, RepairLedger
from consumer.service.threads import SYSTEM_THREADS, Threads

_log = structlog.get_logger(__name__)


class Repairs:
    """Makes the ledger follow the table; safe to repeat after any failure."""

    def __init__(
        self,
        *,
        source: FileSource,
        ledger: Ledger,
        repairs: RepairLedger,
        catalog: Catalog,
        files: TableFiles,
        attempts: AttemptRecords,
        owner: str,
        lease: timedelta,
        failpoints: Failpoints,
        threads: Threads = SYSTEM_THREADS,
    ) -> None:
        self._source = source
        self._ledger = ledger
        self._repairs = repairs
        self._catalog = catalog
        self._files = files
        self._attempts = attempts
        self._owner = owner
        self._lease = lease
        self._failpoints = failpoints
        self._threads = threads
        self._preparation = Preparation(source=source, ledger=ledger, catalog=catalog, failpoints=failpoints)
        self._examiner = Examiner(source=source, ledger=repairs, catalog=catalog, preparation=self._preparation)

    def review(self, stream: Stream) -> Examination:
        """Return how ledger and table differ, and what a repair would do; takes no lease, and changes nothing.

        Raises:
            DivergenceError: if the table holds rows that nothing explains, or the ledger has no row for the stream.
            StreamError, TransientError: as source, ledger and catalog raise them.
        """
        record = self._ledger.read([stream.name]).get(stream.name)
        if record is None:
            now = self._source.now()
            record = StreamRecord.unseen(stream.name, now, stream.begins)
        return self._examiner.examine(stream, record)

    def repair(self, stream: Stream) -> Examination:
        """Make the ledger follow the table, and the stream active; return what was found.

        A table that is missing is made anew, where the stream allows it. Where nothing differs, nothing is changed.

        Raises:
            LeaseHeldError: if somebody works on the stream at this moment.
            DivergenceError, StreamError, TransientError: as :meth:`review` raises them.
        """
        self._ledger.register(stream.name, stream.begins)
        with self._failpoints.around("lease.claim"):
            claim = self._ledger.claim(stream.name, self._owner, self._lease)
        with LeaseKeeper(
            self._ledger, claim, self._lease, lambda: None, self._threads, failpoints=self._failpoints
        ) as keeper:
            with suppress(DivergenceError):
                # What can't be settled is what is repaired; the repair forgets it.
                claim = self._catalog.heal(stream, claim, final=True)
            examined = self._examiner.examine(stream, claim.record)
            if not examined.needed:
                return examined
            target = self._target(stream, examined)
            planned = self._plan(stream, claim, examined, target)
            keeper.check()
            with self._failpoints.around("stream.repair"):
                self._repairs.repair(claim, planned)
        _log.warning(
            "stream.repaired",
            stream=stream.name,
            withdrawn=len(planned.withdrawn),
            reinstated=len(planned.reinstated),
            rebuilt=len(planned.rebuilt),
            watermark=planned.watermark.isoformat(),
            generation=planned.generation,
            lost=sum(one.rows for one in examined.lost),
        )
        return replace(examined, target=target)

    def heal(self, stream: Stream, found: DivergenceError) -> None:
        """Repair a stream of which a divergence was found while an event was handled.

        Raises:
            DivergenceError: the one that was found, if ledger and table agree: then it is of another kind.
            LeaseHeldError, StreamError, TransientError: as :meth:`repair` raises them.
        """
        if not self.repair(stream).needed:
            raise found

    def _target(self, stream: Stream, examined: Examination) -> TargetTable:
        """Return the table, made anew where it is missing."""
        if examined.target is not None:
            return examined.target
        _, mapping = self._preparation.read_source(stream, examined.record)
        return self._catalog.ensure(stream, mapping, expected_uuid=None)

    def _plan(self, stream: Stream, claim: Claim, examined: Examination, target: TargetTable) -> Repair:
        record, evidence = examined.record, examined.evidence
        generation = max(record.generation, 0 if evidence is None else evidence.generation) + 1
        identity = Identity(source_uuid=examined.source_uuid, target_uuid=target.uuid, generation=generation)
        rebuilt = self._rebuilt(stream, examined, identity)
        same = record.target_uuid == target.uuid
        return Repair(
            withdrawn=[batch.id for batch in examined.judged.withdrawn],
            reinstated=[batch.id for batch in examined.judged.reinstated],
            rebuilt=rebuilt,
            snapshot_id=target.snapshot_id,
            watermark=examined.watermark,
            generation=generation,
            last_upper=None if evidence is None else evidence.upper,
            last_batch_id=None if evidence is None else evidence.batch_id,
            source_uuid=examined.source_uuid,
            target_uuid=target.uuid,
            adopted=record.adopted if same and evidence is not None else None,
            backfills=examined.backfills,
            findings=examined.findings,
            partitions=examined.partitions,
            event=tick(stream=stream.name, boundary=max(claim.record.watermark, examined.watermark)),
        )

    def _rebuilt(self, stream: Stream, examined: Examination, identity: Identity) -> list[RebuiltWindow]:
        """Give the windows that were counted the live files that no valid batch has recorded."""
        if not examined.rebuilt:
            return []
        owned = self._owned(stream, examined)
        given = [(one, self._free(examined, one, owned)) for one in examined.rebuilt]
        sizes = self._files.sizes([plain_path(path) for _, files in given for path in files])
        windows = []
        for one, files in given:
            kind = BatchKind.BACKFILL if one.window.lower < examined.record.start else BatchKind.WINDOW
            windows.append(
                RebuiltWindow(
                    id=identity.batch_id(kind, one.window),
                    kind=kind,
                    window=one.window,
                    fingerprint=one.found,
                    files=tuple(
                        RebuiltFile(path=path, bytes=sizes[plain_path(path)], fingerprint=fingerprint)
                        for path, fingerprint in files.items()
                    ),
                )
            )
        return windows

    def _free(self, examined: Examination, one: CountedWindow, owned: set[str]) -> dict[str, Fingerprint]:
        """Return the files that hold rows of a window and are nobody's yet, and add them to those that are owned."""
        held = examined.held.files(one.window)
        free = {path: fingerprint for path, fingerprint in held.items() if plain_path(path) not in owned}
        owned |= {plain_path(path) for path in free}
        return free

    def _owned(self, stream: Stream, examined: Examination) -> set[str]:
        """Return the paths of files that batches have recorded which stay valid."""
        rebuilt = [one.window for one in examined.rebuilt]
        valid = {
            batch.id
            for batch in examined.judged.valid
            if not any(window.lower <= batch.window.lower < window.upper for window in rebuilt)
        }
        return {plain_path(file.path) for file in self._attempts.files(stream.name) if file.batch_id in valid}
