"""The port ``Catalog`` in memory, with the rules of the real one, and the mishaps that befall a table."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from uuid import UUID, uuid4

from pyiceberg.schema import assign_fresh_schema_ids

from consumer.domain.batch import Batch, WrittenFile
from consumer.domain.divergence import check_divergence, repair_command
from consumer.domain.errors import (
    BaseMovedError,
    CheckFailedError,
    DivergenceError,
    TargetMismatchError,
    TargetMissingError,
)
from consumer.domain.mapping import TableMapping
from consumer.domain.schema_history import SchemaHistory
from consumer.domain.stream import Stream, TableName
from consumer.domain.target_schema import mismatch
from consumer.domain.window import PartitionBy, Window
from consumer.ports import Claim, Publication, StreamRecord, TargetTable
from consumer.testing.ledger import MemoryLedger
from consumer.testing.live import check_removed, evidence_of, going
from consumer.testing.memory_table import LiveFile, MemorySnapshot, MemoryTable, overlap
from consumer.testing.schemas import evolution_of, next_schema


class MemoryCatalog:
    """What :class:`~consumer.adapters.iceberg.catalog.IcebergCatalog` is, without files.

    ``files`` is what a fake engine has put on the store, by path. ``hit`` is called at the failpoints
    of the effects ``target.create``, ``publish.stage`` and ``publish.commit``; what it raises is raised there.
    """

    def __init__(
        self,
        ledger: MemoryLedger,
        files: Mapping[str, WrittenFile],
        *,
        hit: Callable[[str], None] = lambda _: None,
        new_uuid: Callable[[], UUID] = uuid4,
    ) -> None:
        self._ledger = ledger
        self._database = ledger.database
        self._files = files
        self._hit = hit
        self._new_uuid = new_uuid
        self._ids = itertools.count(1)
        self.tables: dict[TableName, MemoryTable] = {}
        self._left: dict[TableName, str] = {}
        self.bounds: Callable[[str], Window | None] = lambda _path: None
        """What a file's footer tells of the instants of its rows; without it, they may be anywhere in the unit."""

    def ensure(
        self, stream: Stream, mapping: TableMapping, *, expected_uuid: UUID | None, history: SchemaHistory = ()
    ) -> TargetTable:
        """Load or create the target and compare it with the stream."""
        if expected_uuid is None and stream.target not in self.tables:
            self._hit("target.before-create")
            self._create(stream, mapping)
            self._hit("target.after-create")
        with self._database.mutex:
            table = self.tables.get(stream.target)
            if table is None or (expected_uuid is not None and table.uuid != expected_uuid):
                raise replaced(stream, table)
            if table.owner != stream.name:
                raise TargetMismatchError(
                    f"stream {stream.name}: the target {stream.target} belongs to the stream {table.owner!r}",
                    remedy="give one of the two streams another target",
                )
            evolution = evolution_of(table, stream, mapping, history)
            if table.partition_by is not stream.partition_by:
                raise mismatch(stream, "partition spec", table.partition_by, stream.partition_by)
            filled = frozenset(column.name for column in mapping.columns)
            return replace(_target(table), schema=evolution.schema, evolution=evolution, filled=filled)

    def inspect(self, table: TableName) -> TargetTable | None:
        """Load a target with its evidence."""
        with self._database.mutex:
            known = self.tables.get(table)
            return None if known is None else _target(known)

    def remains(self, table: TableName) -> str | None:
        """Return where a table lies that was dropped, but for its files; none that never had rows."""
        return None if table in self.tables else self._left.get(table)

    def check(self, target: TargetTable, stream: Stream, files: Sequence[WrittenFile]) -> None:  # noqa: ARG002
        """Compare each file on the store with what its task reported."""
        for file in files:
            stored = self._files.get(file.path)
            if stored is None or (stored.bytes, stored.fingerprint) != (file.bytes, file.fingerprint):
                raise CheckFailedError(
                    f"{file.path}: on the store is {stored}, reported was {file}", remedy="the batch is written again"
                )

    def publish(self, publication: Publication) -> int:
        """Publish a batch together with its part of the ledger, and return the snapshot id."""
        stream, batch = publication.stream, publication.batch
        self._hit("publish.before-stage")
        with self._database.mutex:
            table = self.tables.get(stream.target)
            expected = publication.claim.record.target_uuid
            if table is None or (expected is not None and table.uuid != expected):
                raise replaced(stream, table)
            adoption = publication.adoption
            if adoption is not None and adoption.snapshot_id != table.current:
                raise BaseMovedError(f"the table {stream.target} was not compared as it is", remedy="compare it again")
            next_schema(table, publication)
            base = table.version
            evidence, batch_ids = table.evidence(), {s.evidence.batch_id for s in table.ancestry() if s.evidence}
            snapshot_id = next(self._ids)
        self._hit("publish.after-stage")

        def swap(record: StreamRecord) -> Callable[[], None]:
            if self.tables.get(stream.target) is not table or table.version != base:
                raise BaseMovedError(
                    f"the table {stream.target} has moved on since the batch was staged",
                    remedy="the batch is staged again on the table's new state",
                )
            if batch.id in batch_ids:
                raise DivergenceError(
                    f"stream {stream.name}: batch {batch.id} is in the table already, and the ledger does not know",
                    remedy=repair_command(stream.name),
                )
            check_divergence(stream=stream.name, recorded=record.progress, evidence=evidence)
            check_live(table, batch)
            return partial(self._append, table, publication, snapshot_id)

        self._ledger.publish(publication, snapshot_id, swap, before_commit=partial(self._hit, "publish.before-commit"))
        self._hit("publish.after-commit")
        return snapshot_id

    def heal(self, stream: Stream, claim: Claim, *, final: bool) -> Claim:  # noqa: ARG002 - as the port has it
        """Return the claim as it is: a publish is one transaction here."""
        return claim

    def data_files(
        self,
        table: TableName,
        partition_by: PartitionBy,  # noqa: ARG002 - files know their windows here
        window: Window | None,
    ) -> Sequence[str]:
        """Return the live data files of the current snapshot."""
        with self._database.mutex:
            known = self.tables.get(table)
            if known is None:
                raise TargetMissingError(f"the table {table} does not exist", remedy="correct its name")
            return [file.path for file, live in known.live() if window is None or overlap(live, window)]

    @property
    def under_way(self) -> int:
        """How many commits are on their way to a catalog outside of the ledger's database: none."""
        return 0

    def finish(self, *, landed: bool) -> None:
        """Let the commits that are on their way arrive, or get lost."""

    def awaited(self, name: TableName, snapshot: int | None) -> bool:  # noqa: ARG002 - see TwoStepMemoryCatalog
        """Tell whether a commit that was given up would still apply to a snapshot, were it the current one: never."""
        return False

    def unrecorded(self, stream: str) -> bool:  # noqa: ARG002 - see TwoStepMemoryCatalog
        """Tell whether rows may be in a stream's table that are not in the ledger: never."""
        return False

    # ---------------------------------------------------------------------------------------- mishaps

    def drop(self, name: TableName) -> None:
        """Drop a table, as somebody might."""
        with self._changing(name) as table:
            if table.current is not None:
                self._left[name] = f"memory://{name.database}/{name.table}"
            del self.tables[name]

    def roll_back(self, name: TableName, snapshot_id: int) -> None:
        """Make an earlier snapshot the current one; properties stay as they are."""
        with self._changing(name) as table:
            table.current = table.snapshots[snapshot_id].id
            table.version += 1

    def add_foreign(self, name: TableName) -> int:
        """Commit a snapshot of another engine, without evidence, on top of the current one."""
        with self._changing(name) as table:
            return self._commit(table, MemorySnapshot(id=next(self._ids), parent=table.current, files=table.live()))

    def rewrite(self, name: TableName, old: Collection[str], new: Sequence[LiveFile], *, carry: bool) -> int:
        """Replace live files by others with the same rows, as a compaction does; ``carry`` its parent's evidence."""
        with self._changing(name) as table:
            kept = tuple(each for each in table.live() if each[0].path not in old)
            evidence = table.snapshots[table.current].evidence if carry and table.current is not None else None
            snapshot = MemorySnapshot(
                id=next(self._ids),
                parent=table.current,
                files=kept + tuple(new),
                evidence=evidence,
                operation="replace",
            )
            return self._commit(table, snapshot)

    def expire(self, name: TableName, keep: int) -> None:
        """Remove all but the newest ``keep`` snapshots of the current ancestry."""
        with self._changing(name) as table:
            kept = list(itertools.islice(table.ancestry(), keep))
            table.snapshots = {snapshot.id: snapshot for snapshot in kept}
            table.version += 1

    @contextmanager
    def _changing(self, name: TableName) -> Iterator[MemoryTable]:
        with self._database.mutex:
            self._database.wait_for(str(name))
            yield self.tables[name]

    def _create(self, stream: Stream, mapping: TableMapping) -> None:
        if not stream.create_target:
            raise TargetMissingError(
                f"stream {stream.name}: the target {stream.target} does not exist, and create_target is off",
                remedy=f"create the table {stream.target}, or set create_target: true",
            )
        table = MemoryTable(
            name=stream.target,
            owner=stream.name,
            uuid=self._new_uuid(),
            schema=assign_fresh_schema_ids(mapping.iceberg_schema()),
            partition_by=stream.partition_by,
        )
        with self._database.mutex:
            # Somebody else may have been faster.
            self.tables.setdefault(stream.target, table)

    def _append(self, table: MemoryTable, publication: Publication, snapshot_id: int) -> None:
        batch = publication.batch
        table.schema = next_schema(table, publication)
        windows = {unit.index: unit.window for unit in batch.units}
        added = tuple((file, self.bounds(file.path) or windows[file.unit]) for file in publication.files)
        # A rewrite changes no row, and so not what the table proves.
        evidence = table.evidence() if batch.rewrite is not None else evidence_of(publication, snapshot_id)
        removed = going(batch)
        left = tuple(each for each in table.live() if each[0].path not in removed)
        operation = "append" if batch.rewrite is None else "replace"
        self._commit(
            table,
            MemorySnapshot(
                id=snapshot_id, parent=table.current, files=left + added, evidence=evidence, operation=operation
            ),
        )
        if batch.rewrite is None and evidence is not None:
            table.repeated, table.removed = (evidence, batch.window), batch.rewind is not None
        kept = {known.id for known in itertools.islice(table.ancestry(), publication.stream.retain_snapshots)}
        table.snapshots = {number: known for number, known in table.snapshots.items() if number in kept}

    def _commit(self, table: MemoryTable, snapshot: MemorySnapshot) -> int:
        table.snapshots[snapshot.id] = snapshot
        table.current = snapshot.id
        table.version += 1
        return snapshot.id


def check_live(table: MemoryTable, batch: Batch) -> None:
    """Check that the files which a batch removes are live."""
    check_removed(batch, {file.path: table.deletes.get(file.path, ()) for file, _ in table.live()})


def _target(table: MemoryTable) -> TargetTable:
    return TargetTable(
        name=table.name,
        uuid=table.uuid,
        location=f"memory://{table.name.database}/{table.name.table}",
        schema=table.schema,
        snapshot_id=table.current,
        evidence=table.evidence(),
        lineage=table.lineage(),
    )


def replaced(stream: Stream, table: MemoryTable | None) -> DivergenceError:
    """Return the error for a table that is gone, or is another one than the ledger knows."""
    what = "is not in the catalog any more" if table is None else f"is another one now (UUID {table.uuid})"
    return DivergenceError(
        f"stream {stream.name}: the target {stream.target}, which the ledger has recorded rows in, {what}",
        remedy=f"put the old table back, then run `icehaul resume {stream.name}`; or {repair_command(stream.name)}",
    )
