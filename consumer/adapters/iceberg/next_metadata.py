"""The metadata that a table has after a commit, without a copy of what the commit leaves as it is."""

from __future__ import annotations

from collections.abc import Sequence

from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.update import RemoveSnapshotsUpdate, TableUpdate, update_table_metadata


def next_metadata(base: TableMetadata, changes: Sequence[TableUpdate], *, location: str) -> TableMetadata:
    """Return the metadata that ``changes`` make of ``base``, whose own file at ``location`` is added to the log.

    PyIceberg copies the whole metadata deeply, and looks snapshots up one by one: both make a commit dearer with each
    snapshot that is kept. So it is given only those that the changes can touch; the others are shared with the base,
    which is not changed by anybody.
    """
    removed = {id_ for change in changes if isinstance(change, RemoveSnapshotsUpdate) for id_ in change.snapshot_ids}
    touched = removed | {ref.snapshot_id for ref in base.refs.values()} | _named(changes)
    touched |= {one.snapshot_id for one in base.snapshots if one.parent_snapshot_id in removed}
    light = base.model_copy(
        update={"snapshots": [one for one in base.snapshots if one.snapshot_id in touched], "snapshot_log": []}
    )
    changed = update_table_metadata(light, tuple(changes), metadata_location=location)
    new = {one.snapshot_id: one for one in changed.snapshots}
    snapshots = [new.pop(one.snapshot_id, one) for one in base.snapshots if one.snapshot_id not in removed]
    log = [entry for entry in base.snapshot_log if entry.snapshot_id not in removed]
    return changed.model_copy(
        update={"snapshots": [*snapshots, *new.values()], "snapshot_log": [*log, *changed.snapshot_log]}
    )


def _named(changes: Sequence[TableUpdate]) -> set[int]:
    """Return the snapshots that changes point a branch or a tag to."""
    return {id_ for change in changes if (id_ := getattr(change, "snapshot_id", None)) is not None}
