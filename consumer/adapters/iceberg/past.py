"""A table as one of its snapshots has it, and what later snapshots have changed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Operation, Snapshot

from consumer.adapters.iceberg.ancestry import ancestors
from consumer.adapters.iceberg.evidence import content_of
from consumer.adapters.iceberg.history import tags_of
from consumer.adapters.iceberg.live_files import live_entries
from consumer.adapters.iceberg.origins import origin_of
from consumer.domain.errors import ConfigurationError
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.restore import Change
from consumer.domain.stream import TableName
from consumer.domain.window import Window
from consumer.service.restoring.ports import DataFile


def snapshot_named(name: TableName, metadata: TableMetadata, snapshot: int | str | None) -> int | None:
    """Return the id of a snapshot: of this id, of a tag, or the current one; ``None`` where there is none.

    Raises:
        ConfigurationError: if the current snapshot's ancestry has no such snapshot.
    """
    current: int | None = metadata.current_snapshot_id
    if snapshot is None:
        return current
    tags = tags_of(metadata)
    found = tags.get(snapshot) if isinstance(snapshot, str) else snapshot
    if found is None:
        raise ConfigurationError(
            f"--tag {snapshot}: the table {name} has no such tag",
            remedy=f"name one of: {', '.join(sorted(tags)) or '(none)'}; `icehaul cut --tag` makes them",
        )
    if all(one.snapshot_id != found for one in ancestors(metadata, current)):
        raise ConfigurationError(
            f"the table {name} has no snapshot {found} among those that led to the current one",
            remedy="name one that has not expired, from the table's history or from `icehaul cut`",
        )
    return found


def changes_since(metadata: TableMetadata, snapshot_id: int | None) -> Sequence[Change]:
    """Return what the snapshots after one say to have done, newest first.

    Raises:
        DivergenceError: if one says that it is icehaul's, and can't be read.
    """
    later = takewhile(lambda one: one.snapshot_id != snapshot_id, ancestors(metadata, metadata.current_snapshot_id))
    # A compaction may carry the evidence of the batch below it, whose rows it has only moved.
    return [change for one in later if not _rewrites(one) and (change := _change(one)) is not None]


def files_of(table: Table, snapshot_id: int, window: Window) -> Sequence[DataFile]:
    """Return the data files of a snapshot that may hold rows of a window.

    Raises:
        ConfigurationError: if there is no such snapshot any more.
        TargetMismatchError: if another engine has deleted single rows.
    """
    if table.snapshot_by_id(snapshot_id) is None:
        raise ConfigurationError(
            f"the snapshot {snapshot_id} of {'.'.join(table.name())} has expired meanwhile",
            remedy="run the command again; give the snapshot a tag with `icehaul cut --tag` to keep it",
        )
    entries = live_entries(table, window, snapshot_id=snapshot_id)
    return [DataFile(path=one.file_path, bytes=one.file_size_in_bytes) for one in entries]


def _rewrites(snapshot: Snapshot) -> bool:
    return snapshot.summary is not None and snapshot.summary.operation is Operation.REPLACE


def _change(snapshot: Snapshot) -> Change | None:
    origin = origin_of(snapshot).origin
    if origin is None:
        return None
    _, rows, digest = content_of(snapshot)
    fingerprint = EMPTY if rows is None or digest is None else Fingerprint.parse(rows=int(rows), hexadecimal=digest)
    return Change(kind=origin.kind, window=origin.window, fingerprint=fingerprint)
