"""A table in a folder of this machine, everything that may be left under it, and the removal of what nothing needs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from uuid import UUID, uuid4

from pyiceberg.serializers import FromInputFile
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.table.update import SetSnapshotRefUpdate

from consumer.adapters.iceberg.counting import Counting
from consumer.adapters.iceberg.metadata_files import write_next
from consumer.adapters.iceberg.staging import StagedCommit
from consumer.adapters.iceberg.target import Base
from consumer.domain.audit import Census, RecordedAttempt, RecordedFile, StoredFile
from consumer.domain.batch import BatchStatus
from consumer.domain.maintenance import MaintenancePolicy
from consumer.domain.removal_policy import RemovalPolicy
from consumer.domain.stream import Stream, TableName
from consumer.domain.window import PartitionBy
from consumer.failpoints.acting import Failpoints
from consumer.ports import Catalog, Claim, Ledger, StreamRecord, TargetTable
from consumer.service.batch_context import BatchContext
from consumer.service.maintaining.removal import Removal
from consumer.service.maintaining.superfluous import SuperfluousFiles
from consumer.service.maintaining.task import Performed
from consumer.testing.telemetry import MemoryMetrics
from tests.support.cold_tier import START, STREAM
from tests.support.local_table import LocalTable, local_table

DAY = timedelta(days=1)
GRACE = 3 * DAY
KEPT_METADATA = 3
"""How many former metadata files the table lists."""


@dataclass(slots=True)
class History:
    """What has happened to a table, and what each file's fate has to be.

    Attributes:
        table: the table.
        attempts: what the ledger knows of attempts, by prefix.
        foreign: files that nobody knows.
        noted: when each file was found superfluous.
        now: days since the beginning.
        needed: the last day on which the table, or metadata that may be needed, referred to a file.
        staged: commits whose metadata is on the store, and which may still be made, each with the file that it adds.
        removed: every file that was deleted.
        before_removal: what happens just before files are deleted.
        after_census: what happens just after the metadata was read.
        intended: the base of a commit that the ledger knows to be on its way.
        sent: the last commit that was sent to a catalog elsewhere.
        reached: what snapshots refer to, by their manifest lists.
        bases: metadata files that were read.
        policy: after how long files go.
    """

    table: LocalTable
    attempts: dict[str, BatchStatus] = field(default_factory=dict)
    foreign: set[str] = field(default_factory=set)
    noted: dict[str, timedelta] = field(default_factory=dict)
    now: timedelta = timedelta(0)
    needed: dict[str, timedelta] = field(default_factory=dict)
    staged: list[tuple[Base, str]] = field(default_factory=list)
    removed: dict[str, timedelta] = field(default_factory=dict)
    before_removal: Callable[[], None] = lambda: None
    after_census: Callable[[], None] = lambda: None
    intended: str | None = None
    sent: StagedCommit | None = None
    reached: dict[str, frozenset[str]] = field(default_factory=dict)
    bases: dict[str, TableMetadata] = field(default_factory=dict)
    policy: RemovalPolicy = field(default_factory=lambda: RemovalPolicy(grace=GRACE))

    # ---------------------------------------------------------------------------------- what happens

    def publish(self, files: int = 1) -> None:
        """Publish the files of a new attempt."""
        self.attempt(BatchStatus.PUBLISHED)
        self.table.append(files, {}, {})
        self._settle()

    def replace(self, choice: int) -> None:
        """Put the file of a new attempt in the place of a live one."""
        live = sorted(self.table.live)
        if live:
            self.attempt(BatchStatus.PUBLISHED)
            self.table.replace(live[choice % len(live)], {}, {})
            self._settle()

    def add_foreign(self) -> None:
        """Let another engine add a file."""
        self.table.data = "data/foreign"
        before = set(self.table.live)
        self.table.append(1, {}, {}, merging=False)
        self._settle()
        self.foreign |= set(self.table.live) - before

    def leave(self, status: BatchStatus) -> str:
        """Leave a file of an attempt that does not go on."""
        self.attempt(status)
        path = self.table.new_file().file_path
        self._write(path)
        return path

    def stage(self) -> None:
        """Stage a commit up to its metadata file, and let the process stand still there."""
        prefix = self.attempt(BatchStatus.FAILED)
        commit = StagedCommit(self.table.base.table(self.table.io))
        file = self.table.new_file()
        commit.append_files([file], {})
        self._write(file.file_path)
        self.staged.append((write_next(self.table.base, commit.result(), self.table.io), file.file_path))
        assert prefix in file.file_path

    def stage_manifests(self) -> None:
        """Stage the manifests of a commit whose process dies before it has written the metadata file."""
        self.attempt(BatchStatus.FAILED)
        StagedCommit(self.table.base.table(self.table.io)).append_files([], {})

    def intend(self) -> None:
        """Send a commit to a catalog elsewhere; it stands still on its way there, and the ledger knows of it."""
        self.attempt(BatchStatus.PUBLISHING)
        commit = StagedCommit(self.table.base.table(self.table.io))
        commit.append_files([], {})
        self.intended = self.table.base.location
        self.sent = commit

    def arrive(self) -> bool:
        """Let the commit arrive that was sent, which lands if its base is still current; tell whether it has."""
        if self.sent is None or self.sent._table.metadata_location != self.table.base.location:
            return False
        self._commit(write_next(self.table.base, self.sent.result(), self.table.io))
        return True

    def tag(self, number: int) -> None:
        """Tag the current snapshot."""
        if self.table.metadata.current_snapshot_id is not None and f"cut-{number}" not in self.table.metadata.refs:
            self.table.tag(f"cut-{number}")
            self._settle()

    def roll_back(self, choice: int) -> None:
        """Make an earlier snapshot the current one, as a hand does."""
        snapshots = sorted(one.snapshot_id for one in self.table.metadata.snapshots)
        if snapshots:
            commit = StagedCommit(self.table.base.table(self.table.io))
            commit._stage(
                (
                    SetSnapshotRefUpdate(  # type: ignore[call-arg]  # its optional fields have defaults
                        ref_name="main", type="branch", snapshot_id=snapshots[choice % len(snapshots)]
                    ),
                )
            )
            self.table.base = write_next(self.table.base, commit.result(), self.table.io)
            self._settle()

    def drop_in(self) -> None:
        """Let a hand put a file under the table."""
        path = f"{self.table.metadata.location}/notes-{uuid4()}.txt"
        self._write(path)
        self.foreign.add(path)

    def wait(self, days: int) -> None:
        """Let time pass."""
        self._look()
        self.now += days * DAY

    def land(self) -> bool:
        """Let the last staged commit be made, if its base is still current; tell whether it was."""
        base, added = self.staged[-1] if self.staged else (None, "")
        if base is None or base.metadata.metadata_log[-1].metadata_file != self.table.base.location:
            return False
        self._commit(base, added)
        return True

    def _commit(self, base: Base, *added: str) -> None:
        """Make a staged snapshot the current one, which lists what the former one did, and what was added."""
        before, snapshot = self.table.live, base.metadata.current_snapshot()
        assert snapshot is not None
        place = snapshot.snapshot_id, snapshot.sequence_number or 0
        self.table.base = base
        self.table.held[snapshot.snapshot_id] = {**before, **dict.fromkeys(added, place)}

    def attempt(self, status: BatchStatus) -> str:
        """Begin an attempt, with its prefix in the ledger."""
        self.table.data = f"data/{uuid4()}"
        prefix = f"{self.table.metadata.location}/{self.table.data}"
        self.attempts[prefix] = status
        return prefix

    # ---------------------------------------------------------------------------------- removal

    def removal(self) -> Removal:
        """The product's removal over this table."""
        superfluous = SuperfluousFiles(
            catalog=cast("Catalog", self),
            attempts=_Attempts(self.attempts),
            files=_Files(self),
            removals=_Removals(self),
            remover=_Remover(self),
        )
        return Removal(
            superfluous=superfluous,
            ledger=cast("Ledger", SimpleNamespace(read=lambda _: {STREAM.name: self._record()})),
            catalog=cast("Catalog", self),
            removals=_Removals(self),
            remover=_Remover(self),
            metrics=MemoryMetrics(),
            failpoints=Failpoints(),
        )

    def clean(self) -> Performed:
        """Remove what is superfluous."""
        self._look()
        context = cast("BatchContext", SimpleNamespace(stream=self.stream, still_ours=lambda: None))
        return self.removal().perform(context, self._claim())

    @property
    def stream(self) -> Stream:
        """The stream with the policy of now."""
        return replace(self.table.stream, maintenance=MaintenancePolicy(removal=self.policy))

    def inspect(self, name: TableName) -> TargetTable:
        """Return the target, as a catalog does."""
        metadata = self.table.metadata
        return TargetTable(
            name=name,
            uuid=metadata.table_uuid,
            location=metadata.location,
            schema=metadata.schema(),
            snapshot_id=metadata.current_snapshot_id,
            evidence=None,
        )

    def heal(self, stream: Stream, claim: Claim, *, final: bool) -> Claim:
        """Keep a commit whose outcome is unknown from landing late, as a catalog elsewhere does: by a seal."""
        if final and self.intended is not None:
            self.intended = None
            self.attempt(BatchStatus.PUBLISHED)
            self.table.append(0, {}, {})
            self._settle()
        return claim

    def _record(self) -> StreamRecord:
        return replace(StreamRecord.unseen(STREAM.name, START), target_uuid=self.table.metadata.table_uuid)

    def _claim(self) -> Claim:
        return Claim(stream=STREAM.name, owner="me", epoch=1, record=self._record())

    # ---------------------------------------------------------------------------------- what has to be there

    def there(self) -> set[str]:
        """Every file under the table."""
        return {f"file://{path}" for path in self._folder.rglob("*") if path.is_file()}

    def wanted(self) -> set[str]:
        """Every file that current, listed and staged metadata refers to, with that metadata; found by walking."""
        current = self.table.base
        others = [entry.metadata_file for entry in current.metadata.metadata_log]
        others += [one.location for one, _ in self.staged if _version(one.location) > _version(current.location)]
        found = {current.location, *others}
        for metadata in (current.metadata, *map(self._metadata, others)):
            if metadata is not None:
                found |= self.reach(metadata)
        return found

    def reach(self, metadata: TableMetadata) -> set[str]:
        """Every file that the snapshots of a metadata file refer to."""
        return {path for snapshot in metadata.snapshots for path in self._reach(snapshot)}

    def _reach(self, snapshot: Snapshot) -> frozenset[str]:
        """Every file that a snapshot refers to; what was read once never changes."""
        known = self.reached.get(snapshot.manifest_list)
        if known is None:
            found = {snapshot.manifest_list}
            for manifest in snapshot.manifests(self.table.io):
                found.add(manifest.manifest_path)
                found |= {entry.data_file.file_path for entry in manifest.fetch_manifest_entry(self.table.io)}
            known = self.reached[snapshot.manifest_list] = frozenset(found)
        return known

    def open_files(self) -> set[str]:
        """Every file of an attempt that is under way."""
        opened = [prefix for prefix, status in self.attempts.items() if status is BatchStatus.WRITING]
        return {path for path in self.there() if any(path.startswith(f"{prefix}/") for prefix in opened)}

    def _look(self) -> None:
        for path in self.wanted():
            self.needed[path] = self.now

    def _settle(self) -> None:
        """Put the files on the store that the table lists, and note what is needed now."""
        for path in self.table.live:
            self._write(path)
        self._look()

    def _metadata(self, location: str) -> TableMetadata | None:
        if not Path(location.removeprefix("file://")).exists():
            return None
        if location not in self.bases:
            self.bases[location] = FromInputFile.table_metadata(self.table.io.new_input(location))
        return self.bases[location]

    def _write(self, path: str) -> None:
        file = Path(path.removeprefix("file://"))
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"rows")

    @property
    def _folder(self) -> Path:
        return Path(self.table.metadata.location.removeprefix("file://"))


@dataclass(slots=True)
class _Attempts:
    """The port ``AttemptRecords``: prefixes alone tell of files here."""

    known: Mapping[str, BatchStatus]

    def attempts(self, stream: str) -> Sequence[RecordedAttempt]:
        return [
            RecordedAttempt(prefix=prefix, batch_id=UUID(int=1), status=status) for prefix, status in self.known.items()
        ]

    def files(self, stream: str) -> Sequence[RecordedFile]:
        return []


@dataclass(slots=True)
class _Files:
    """The port ``TableFiles`` on a folder, with the product's census."""

    history: History

    def census(self, table: TableName, stored: Sequence[StoredFile] = ()) -> Census | None:
        found = Counting(self.history.table.io, self.history.table.base).census([file.path for file in stored])
        self.history.after_census()
        return found

    def stored(self, location: str) -> Sequence[StoredFile]:
        return [StoredFile(path=path, bytes=4, modified=None) for path in sorted(self.history.there())]

    def sizes(self, paths: Collection[str]) -> Mapping[str, int]:
        return dict.fromkeys(self.history.there() & set(paths), 4)


@dataclass(slots=True)
class _Removals:
    """The port ``RemovalLedger``, with the history's time."""

    history: History

    def found(self, stream: str) -> Mapping[str, timedelta]:
        return {path: self.history.now - noted for path, noted in self.history.noted.items()}

    def close_attempts(self, claim: Claim) -> int:
        return 0

    def note(self, claim: Claim, files: Sequence[StoredFile], gone: Collection[str]) -> None:
        for file in files:
            self.history.noted.setdefault(file.path, self.history.now)
        for path in gone:
            self.history.noted.pop(path, None)


@dataclass(slots=True)
class _Remover:
    """The port ``Remover`` on a folder."""

    history: History

    def pointer(self, table: TableName) -> str | None:
        return self.history.table.base.location

    def sharing(self, table: TableName, location: str) -> Sequence[str]:
        return []

    def remove(self, paths: Collection[str]) -> None:
        self.history.before_removal()
        for path in paths:
            Path(path.removeprefix("file://")).unlink(missing_ok=True)
            self.history.removed[path] = self.history.now


@contextmanager
def history(retain: int) -> Iterator[History]:
    """A new table that keeps so many snapshots, and lists few of its former metadata files."""
    stream = replace(STREAM, retain_snapshots=retain, partition_by=PartitionBy.NONE)
    with tempfile.TemporaryDirectory(prefix="icehaul-table-") as folder:
        table = local_table(
            Path(folder),
            stream,
            **{
                "commit.manifest.min-count-to-merge": "3",
                "write.metadata.previous-versions-max": str(KEPT_METADATA),
            },
        )
        made = History(table)
        made.publish()
        yield made


def _version(location: str) -> int:
    return int(location.rsplit("/", 1)[-1].partition("-")[0])
