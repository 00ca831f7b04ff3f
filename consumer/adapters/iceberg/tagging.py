"""Tags: one name for a snapshot of each of several tables, set in one transaction, each on its exact base."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

import structlog
from pyiceberg.io import FileIO
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.refs import SnapshotRefType

from consumer.adapters.iceberg.history import tags_of
from consumer.adapters.iceberg.metadata_files import retired, write_next
from consumer.adapters.iceberg.rows import CatalogRows
from consumer.adapters.iceberg.staging import StagedCommit
from consumer.adapters.iceberg.store import AttemptFiles, table_errors
from consumer.adapters.iceberg.target import Base, Bases
from consumer.adapters.postgres.database import Database
from consumer.domain.errors import (
    BaseMovedError,
    ConfigurationError,
    LedgerUnavailableError,
    StreamError,
    TargetMissingError,
)
from consumer.domain.stream import TableName
from consumer.settings.connections import StoreSettings

_log = structlog.get_logger(__name__)

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,126}")
_ATTEMPTS = 20
_FAILURES = 3

Item = TypeVar("Item")
Change = Callable[[Base, StagedCommit], bool]
"""Stages a change of one table's tags; tells whether there is anything to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Staged:
    """A table's base, what it becomes, and the files that were written for that."""

    base: Base
    new: Base
    written: Sequence[str]


@dataclass(slots=True)
class _Work:
    """What is staged so far; ``certain`` until a commit has ended without an answer."""

    staged: dict[TableName, _Staged] = field(default_factory=dict)
    certain: bool = True


class Tags(Protocol):
    """Sets and removes tags."""

    def tag(self, name: str, snapshots: Mapping[TableName, int]) -> None:
        """Give one tag to a snapshot of each table, to all or to none; a tag that is there already stays.

        Raises:
            ConfigurationError: if it is no name of a tag, or names a branch, or another snapshot of a table.
            StreamError: if a snapshot has expired since it was chosen.
            TargetMissingError, LedgerUnavailableError, CatalogUnavailableError, StoreUnavailableError,
            AccessDeniedError
        """
        ...

    def untag(self, name: str, tables: Sequence[TableName]) -> Sequence[TableName]:
        """Remove a tag from all tables that have it, and return them; their snapshots may expire from then on.

        Raises:
            TargetMissingError, LedgerUnavailableError, CatalogUnavailableError, StoreUnavailableError,
            AccessDeniedError
        """
        ...


class Tagger:
    """Sets and removes tags in a Postgres database, without ever building on metadata that it has not looked at.

    A table that moves meanwhile is looked at again, and staged again. All tables are changed by one transaction, in
    the order of their names: publishes hold one table each, so nobody waits in a circle.
    """

    def __init__(
        self, *, database: Database, rows: CatalogRows, bases: Bases, io: FileIO, store: StoreSettings
    ) -> None:
        self._database = database
        self._rows = rows
        self._bases = bases
        self._io = io
        self._store = store

    def tag(self, name: str, snapshots: Mapping[TableName, int]) -> None:
        """Give one tag to a snapshot of each table; see :meth:`Tags.tag`."""
        check_tag(name)
        self._change({table: partial(add_tag, name, snapshot) for table, snapshot in snapshots.items()})

    def untag(self, name: str, tables: Sequence[TableName]) -> Sequence[TableName]:
        """Remove a tag; see :meth:`Tags.untag`."""
        having = [one for one in tables if (base := self._bases.load(one)) and name in tags_of(base.metadata)]
        self._change({table: partial(remove_tag, name) for table in having})
        return having

    def _change(self, changes: Mapping[TableName, Change]) -> None:
        work = _Work()
        try:
            self._converge(changes, work)
        except BaseException:
            if work.certain:
                self._remove([path for one in work.staged.values() for path in one.written])
            raise

    def _converge(self, changes: Mapping[TableName, Change], work: _Work) -> None:
        failures = 0
        for _ in range(_ATTEMPTS):
            self._restage(changes, work)
            try:
                self._commit(work.staged)
            except BaseMovedError as error:
                _log.info("tags.staged_again", error=error.message)
            except LedgerUnavailableError:
                # It may have landed: the next look tells, and until then no file is taken for needless.
                work.certain, failures = False, failures + 1
                if failures == _FAILURES:
                    raise
            else:
                self._done(work.staged)
                return
        raise LedgerUnavailableError(
            f"the tables moved on {_ATTEMPTS} times while their tags were being set; none was set",
            remedy="run the same command again, with the same --at, or for fewer streams at once",
        )

    def _restage(self, changes: Mapping[TableName, Change], work: _Work) -> None:
        """Stage what was not staged on the table's present state."""
        staged = work.staged
        for table, change in _in_order(changes):
            base = self._bases.load(table)
            if base is None:
                raise TargetMissingError(f"the table {table} does not exist", remedy="restore it in the catalog")
            before = staged.get(table)
            if before is not None and before.base.location == base.location:
                continue
            if before is not None and work.certain:
                self._remove(before.written)
            staged.pop(table, None)
            attempt = AttemptFiles(self._io)
            commit = StagedCommit(base.table(attempt))
            if change(base, commit):
                with table_errors(self._store, table, f"staging the metadata of {table}"):
                    new = write_next(base, commit.result(), attempt)
                staged[table] = _Staged(base=base, new=new, written=tuple(attempt.written))

    def _commit(self, staged: Mapping[TableName, _Staged]) -> None:
        if staged:
            with self._database.transaction(repeatable=True) as connection:
                for table, one in _in_order(staged):
                    self._rows.swap(connection, table, base=one.base.location, new=one.new.location)

    def _done(self, staged: Mapping[TableName, _Staged]) -> None:
        for one in staged.values():
            self._bases.keep(one.new)
            self._remove(sorted(retired(one.base.metadata, one.new.metadata)))

    def _remove(self, locations: Sequence[str]) -> None:
        for location in locations:
            try:
                self._io.delete(location)
            except OSError as error:
                _log.info("file.left_behind", location=location, error=str(error))


def check_tag(name: str) -> None:
    """Check the name of a tag.

    Raises:
        ConfigurationError: if it is none.
    """
    if _NAME.fullmatch(name) is None:
        raise ConfigurationError(
            f"--tag: {name!a} is no name of a tag",
            remedy="write it with letters, digits, _, . and -, 127 at most, beginning with a letter, a digit or _",
        )


def add_tag(name: str, snapshot_id: int, base: Base, commit: StagedCommit) -> bool:
    """Stage a tag on a snapshot; tell whether there is anything to change.

    Raises:
        ConfigurationError: if the table has another ref of this name.
        StreamError: if the snapshot has expired.
    """
    ref = base.metadata.refs.get(name)
    if ref is not None:
        if ref.snapshot_ref_type == SnapshotRefType.TAG and ref.snapshot_id == snapshot_id:
            return False
        raise ConfigurationError(
            f"--tag {name}: the table {base.name} has a {ref.snapshot_ref_type} of this name already, at snapshot"
            f" {ref.snapshot_id}; nothing was tagged",
            remedy=f"choose another name, or remove it first: icehaul cut --untag {name}",
        )
    if not _has(base.metadata, snapshot_id):
        raise StreamError(
            f"--tag {name}: snapshot {snapshot_id} of {base.name} has expired since it was chosen; nothing was tagged",
            remedy="run the same command again; if it repeats, raise retain_snapshots of the stream",
        )
    commit.tag(name, snapshot_id)
    return True


def remove_tag(name: str, base: Base, commit: StagedCommit) -> bool:
    """Stage the removal of a tag; tell whether there is anything to change."""
    if name not in tags_of(base.metadata):
        return False
    commit.untag(name)
    return True


def _has(metadata: TableMetadata, snapshot_id: int) -> bool:
    return any(one.snapshot_id == snapshot_id for one in metadata.snapshots)


def _in_order(items: Mapping[TableName, Item]) -> list[tuple[TableName, Item]]:
    """Return the items in the order in which tables are locked."""
    return sorted(items.items(), key=lambda item: str(item[0]))
