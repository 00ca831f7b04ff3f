"""Removing the files that nothing refers to: found once, found again after the grace period, and only then deleted.

What is deleted was chosen by rules under which it can never be referred to again, so a process that stood still between
its last look and the deletion destroys nothing, however late it goes on: its list names single files, and no name is
ever given twice. The lease keeps others from doing the same work, and closes the attempts of earlier owners.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta

import structlog

from consumer.domain.audit import StoredFile
from consumer.domain.errors import DivergenceError
from consumer.domain.maintenance import Part, TaskName, TaskPlan
from consumer.domain.phrasing import counted
from consumer.domain.stream import Stream
from consumer.domain.unreferenced import Heap, Kind, Unreferenced
from consumer.failpoints.acting import Failpoints
from consumer.ports import Catalog, Claim, Ledger
from consumer.service.batch_context import BatchContext
from consumer.service.maintaining.removal_ports import RemovalLedger, RemovalMetrics, Remover
from consumer.service.maintaining.superfluous import Seen, SuperfluousFiles
from consumer.service.maintaining.task import Performed
from consumer.service.offload import check_active

CHUNK = 500
"""How many files are deleted between two looks at the catalog's pointer."""

PIECE = 5_000
"""How many files are deleted after one look."""

SWITCHED_OFF = "maintenance.removal.enabled is false"

_log = structlog.get_logger(__name__)


class Removal:
    """Removes superfluous files under the stream's lease; may be repeated after any failure, and goes on then."""

    def __init__(
        self,
        *,
        superfluous: SuperfluousFiles,
        ledger: Ledger,
        catalog: Catalog,
        removals: RemovalLedger,
        remover: Remover,
        metrics: RemovalMetrics,
        failpoints: Failpoints,
    ) -> None:
        self._superfluous = superfluous
        self._ledger = ledger
        self._catalog = catalog
        self._removals = removals
        self._remover = remover
        self._metrics = metrics
        self._failpoints = failpoints

    @property
    def name(self) -> TaskName:
        """By which it is chosen."""
        return TaskName.REMOVAL

    def review(self, stream: Stream) -> TaskPlan:
        """Return what is to be deleted now, and what later or never; see :meth:`MaintenanceTask.review`."""
        if not stream.maintenance.removal.enabled:
            return TaskPlan(task=self.name, left=(SWITCHED_OFF,))
        record = self._ledger.read([stream.name]).get(stream.name)
        seen = None if record is None else self._superfluous.look(stream, record)
        if seen is None:
            return TaskPlan(task=self.name)
        return TaskPlan(task=self.name, parts=_parts(seen.files, seen.files.due), left=tuple(_left(seen.files)))

    def perform(self, context: BatchContext, claim: Claim) -> Performed:
        """Note what is superfluous, and delete what was noted long enough ago; see :meth:`MaintenanceTask.perform`."""
        stream = context.stream
        if not stream.maintenance.removal.enabled:
            return Performed(left=(SWITCHED_OFF,))
        check_active(claim.record)
        # A commit whose outcome is unknown lands now or never: what it staged is superfluous, or referred to.
        claim = self._catalog.heal(stream, claim, final=True)
        context.still_ours()
        with self._failpoints.around("attempts.close"):
            closed = self._removals.close_attempts(claim)
        if closed:
            _log.info("attempts.closed", stream=stream.name, batches=closed)
        seen = self._superfluous.look(stream, claim.record)
        if seen is None:
            return Performed()
        context.still_ours()
        self._note(claim, seen.files)
        removed = list(self._remove(context, claim, seen))
        left = seen.files.waiting
        self._metrics.superfluous_files(stream.name, left.files, left.bytes)
        return Performed(
            parts=_parts(seen.files, removed), more=len(seen.files.due) > PIECE, left=tuple(_left(seen.files))
        )

    def _note(self, claim: Claim, found: Unreferenced) -> None:
        """Keep account of when each file was found superfluous, and forget those that have gone or are needed again."""
        doomed = {file.path: file for file in found.doomed}
        new = [file for path, file in doomed.items() if path not in found.found]
        gone = found.found.keys() - doomed.keys()
        if new or gone:
            with self._failpoints.around("files.note"):
                self._removals.note(claim, new, gone)

    def _remove(self, context: BatchContext, claim: Claim, seen: Seen) -> Iterator[StoredFile]:
        due = seen.files.due[:PIECE]
        for start in range(0, len(due), CHUNK):
            context.still_ours()
            seen, files = self._confirmed(context.stream, claim, seen, due[start : start + CHUNK])
            if files:
                self._delete(claim, files)
            yield from files

    def _confirmed(
        self, stream: Stream, claim: Claim, seen: Seen, chunk: Sequence[StoredFile]
    ) -> tuple[Seen, Sequence[StoredFile]]:
        """Return the files of a chunk that are still superfluous; where somebody has committed, by another look."""
        if self._remover.pointer(stream.target) == seen.pointer:
            return seen, chunk
        again = self._superfluous.look(stream, claim.record)
        if again is None:
            raise DivergenceError(
                f"stream {stream.name}: the table {stream.target} was dropped while its files were looked through",
                remedy="nothing to do: what is left of it is looked at again once there is a table",
            )
        due = {file.path for file in again.files.due}
        return again, [file for file in chunk if file.path in due]

    def _delete(self, claim: Claim, files: Sequence[StoredFile]) -> None:
        paths = [file.path for file in files]
        with self._failpoints.around("files.remove"):
            self._remover.remove(paths)
        heap = Heap.of(files)
        self._metrics.removed_files(claim.stream, heap.files, heap.bytes)
        _log.info(
            "files.removed", stream=claim.stream, files=heap.files, bytes=heap.bytes, first=paths[0], last=paths[-1]
        )
        with self._failpoints.around("files.forget"):
            self._removals.note(claim, (), paths)


def _parts(found: Unreferenced, files: Iterable[StoredFile]) -> tuple[Part, ...]:
    """Return what is deleted, or was, by kind."""
    paths = {file.path for file in files}
    heaps = {kind: Heap.of(one for one in those if one.path in paths) for kind, those in found.kinds.items()}
    return tuple(
        Part(what=kind, files=heap.files, bytes=heap.bytes, files_after=0, bytes_after=0)
        for kind, heap in heaps.items()
        if heap.files
    )


def _left(found: Unreferenced) -> Iterator[str]:
    """Yield why other files that the current metadata does not refer to stay."""
    if found.waiting.files:
        yield f"{_told(found.waiting)}, superfluous, for the first of them another {_rounded(found.next_due)}"
    reasons = {
        Kind.UNDER_WAY: "of attempts that are under way",
        Kind.HELD: "which other metadata files refer to that may be needed",
    }
    if found.policy.unknown_after is None:
        reasons[Kind.UNKNOWN] = "which nobody knows (maintenance.removal.unknown_after is not set)"
    for kind, why in reasons.items():
        if found.kinds[kind]:
            yield f"{_told(Heap.of(found.kinds[kind]))} {why}"


def _told(heap: Heap) -> str:
    return f"{counted(heap.files, 'file')} of {counted(heap.bytes, 'byte')}"


def _rounded(left: timedelta | None) -> timedelta:
    """Return a time in whole minutes, rounded up."""
    minutes = -(-(left or timedelta(0)) // timedelta(minutes=1))
    return timedelta(minutes=max(minutes, 0))
