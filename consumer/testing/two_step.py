"""The port ``Catalog`` in memory where publishes have two steps, with commits that land late or get lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

from consumer.domain.batch import BatchKind, BatchStatus, WrittenFile
from consumer.domain.divergence import check_divergence
from consumer.domain.errors import (
    BaseMovedError,
    CatalogUnavailableError,
    DivergenceError,
    IcehaulError,
    LedgerUnavailableError,
    UnknownCommitError,
)
from consumer.domain.stream import Stream, TableName
from consumer.ports import Claim, Publication
from consumer.testing.catalog import MemoryCatalog, check_live, replaced
from consumer.testing.database import CommitUnderWayError
from consumer.testing.ledger import MemoryLedger
from consumer.testing.memory_table import MemorySnapshot, MemoryTable
from consumer.testing.schemas import next_schema

_SEALS_MAX = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryIntent:
    """A commit that was about to be made, and lands on one state of the table only."""

    snapshot_id: int
    base: int | None
    table: MemoryTable
    publication: Publication


class TwoStepMemoryCatalog(MemoryCatalog):
    """A catalog outside of the ledger's database.

    ``hit`` is called at the failpoints of the two steps; :class:`CommitUnderWayError` raised before a commit is sent
    leaves it on its way until :meth:`finish`.
    """

    def __init__(
        self,
        ledger: MemoryLedger,
        files: Mapping[str, WrittenFile],
        *,
        hit: Callable[[str], None] = lambda _: None,
        new_uuid: Callable[[], UUID] = uuid4,
    ) -> None:
        super().__init__(ledger, files, hit=hit, new_uuid=new_uuid)
        self._intents: dict[str, list[MemoryIntent]] = {}
        self._late: list[MemoryIntent] = []
        self._given_up: set[tuple[TableName, int | None]] = set()

    def publish(self, publication: Publication) -> int:
        """Record the intent, commit, record what has landed; return the snapshot id."""
        stream = publication.stream
        self._hit("publish.before-stage")
        with self._database.mutex:
            table = self.tables.get(stream.target)
            expected = publication.claim.record.target_uuid
            if table is None or (expected is not None and table.uuid != expected):
                raise replaced(stream, table)
            next_schema(table, publication)
            intent = MemoryIntent(snapshot_id=next(self._ids), base=table.current, table=table, publication=publication)
            evidence, ids = table.evidence(), {one.evidence.batch_id for one in table.ancestry() if one.evidence}
            known = self._found(self._open(stream.name), table)
        self._hit("publish.after-stage")
        self._hit("publish.before-intend")
        rewind = publication.batch.rewind
        with self._ledger.row(stream.name, *(() if rewind is None else rewind.held)):
            record = self._ledger.check(publication)
            if known:
                raise UnknownCommitError("a commit is in the table, and not recorded yet", remedy="it is read back")
            if publication.batch.id in ids:
                raise DivergenceError(f"batch {publication.batch.id} is in the table already", remedy="look")
            check_divergence(stream=stream.name, recorded=record.progress, evidence=evidence)
            check_live(table, publication.batch)
            self._ledger.mark(publication.batch, BatchStatus.PUBLISHING, publication.claim.epoch)
            self._intents.setdefault(stream.name, []).append(intent)
            self._ledger.rewinds.intend(intent.snapshot_id, publication.batch)
        self._hit("publish.after-intend")
        self._send(intent)
        self._record(intent)
        return intent.snapshot_id

    def heal(self, stream: Stream, claim: Claim, *, final: bool) -> Claim:
        """Record what has landed, forget what never will, and seal off what still could."""
        for _ in range(_SEALS_MAX):
            with self._database.mutex:
                claim = replace(claim, record=self._ledger.known(stream.name))
                intents, table = list(self._open(stream.name)), self.tables.get(stream.target)
                if not intents:
                    return claim
                if table is None:
                    raise replaced(stream, table)
                base, landed = table.current, self._found(intents, table)
            over = [one for one in intents if one in landed or one.base != base]
            claim = self._settle(claim, landed, over) if over else claim
            if not final or len(over) == len(intents):
                return claim
            self._hit("table.before-seal")
            with self._database.mutex:
                if table.current == base:
                    self._seal(table)
            self._hit("table.after-seal")
        raise CatalogUnavailableError(f"{stream.target} can't be sealed", remedy="it is tried again")

    # ---------------------------------------------------------------------------------------- mishaps

    @property
    def under_way(self) -> int:
        """How many commits are on their way."""
        return len(self._late)

    def finish(self, *, landed: bool) -> None:
        """Let the commits that are on their way arrive, or get lost."""
        with self._database.mutex:
            late, self._late = self._late, []
            for intent in late:
                if landed:
                    self._land(intent)

    def awaited(self, name: TableName, snapshot: int | None) -> bool:
        """Tell whether a commit that was given up would still apply to a snapshot, were it the current one."""
        return (name, snapshot) in self._given_up

    def unrecorded(self, stream: str) -> bool:
        """Tell whether an intent of a stream is open: its rows may be in the table, and not in the ledger."""
        return bool(self._open(stream))

    # ---------------------------------------------------------------------------------------- steps

    def _send(self, intent: MemoryIntent) -> None:
        try:
            self._hit("publish.before-send")
            with self._database.mutex:
                if not self._land(intent):
                    raise BaseMovedError("the table has moved on since the batch was staged", remedy="stage it again")
        except CommitUnderWayError:
            with self._database.mutex:
                self._late.append(intent)
            raise
        except UnknownCommitError:
            raise
        except IcehaulError:
            self._hit("publish.before-forget")
            with self._database.mutex:
                self._forget([intent])
            self._hit("publish.after-forget")
            raise
        self._hit("publish.after-send")

    def _record(self, intent: MemoryIntent) -> None:
        claim, stream = intent.publication.claim, intent.publication.stream.name
        try:
            self._hit("publish.before-record")
            with self._ledger.row(stream):
                self._ledger.fenced(claim)
                if intent in self._open(stream):
                    self._landed(intent, claim)
                    self._forget(list(self._open(stream)))
            self._hit("publish.after-record")
        except LedgerUnavailableError as error:
            raise UnknownCommitError(
                f"in the table, and not recorded: {error.message}", remedy="read it back"
            ) from error

    def _settle(self, claim: Claim, landed: Sequence[MemoryIntent], over: Sequence[MemoryIntent]) -> Claim:
        self._hit("publish.before-heal")
        with self._ledger.row(claim.stream):
            self._ledger.fenced(claim)
            for intent in landed:
                if intent in self._open(claim.stream):
                    self._landed(intent, claim)
            self._forget(over)
            record = self._ledger.known(claim.stream)
        self._hit("publish.after-heal")
        return replace(claim, record=record)

    def _open(self, stream: str) -> list[MemoryIntent]:
        return self._intents.setdefault(stream, [])

    def _land(self, intent: MemoryIntent) -> bool:
        """Do what the catalog does with a commit: apply it to its base, or refuse it."""
        table = intent.table
        if self.tables.get(table.name) is not table or table.current != intent.base:
            return False
        self._append(table, intent.publication, intent.snapshot_id)
        return True

    def _landed(self, intent: MemoryIntent, claim: Claim) -> None:
        publication = replace(intent.publication, claim=claim)
        batch = publication.batch
        if batch.kind is BatchKind.BACKFILL and not any(
            one.id == batch.request for one in self._ledger.backfills.open(batch.stream)
        ):
            # Its request was cancelled meanwhile; the rows are in the table all the same.
            publication = replace(publication, batch=replace(batch, request=None))
        self._ledger.landed(publication, intent.snapshot_id)

    def _forget(self, intents: Sequence[MemoryIntent]) -> None:
        for intent in intents:
            stream = intent.publication.stream.name
            self._given_up.add((intent.table.name, intent.base))
            self._intents[stream] = [one for one in self._open(stream) if one is not intent]
            self._ledger.rewinds.settle(intent.snapshot_id)
            # A request that is refused for good need not be kept any longer.
            self._late = [one for one in self._late if one is not intent]
            self._ledger.mark(intent.publication.batch, BatchStatus.FAILED, None)

    def _found(self, intents: Sequence[MemoryIntent], table: MemoryTable) -> list[MemoryIntent]:
        there = {one.id for one in table.ancestry()}
        there |= {one.evidence.snapshot_id for one in table.ancestry() if one.evidence is not None}
        evidence = table.evidence()
        if evidence is not None:
            there.add(evidence.snapshot_id)
        return [one for one in intents if one.snapshot_id in there]

    def _seal(self, table: MemoryTable) -> None:
        evidence = None if table.current is None else table.evidence()
        snapshot = MemorySnapshot(id=next(self._ids), parent=table.current, files=table.live(), evidence=evidence)
        self._commit(table, snapshot)
