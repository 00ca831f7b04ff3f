"""Which snapshots a publish removes, so that the cost of the next one does not grow with history."""

from __future__ import annotations

from itertools import islice

from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.refs import MAIN_BRANCH, SnapshotRefType
from pyiceberg.table.snapshots import ancestors_of


def expired_snapshots(metadata: TableMetadata, retain: int) -> list[int]:
    """Return the ids of the snapshots to remove, oldest first.

    Kept are the newest ``retain`` snapshots of every branch, every tagged snapshot, and whatever is as new as the
    oldest one kept on the main branch (a snapshot that somebody has rolled back or staged, and may come back to).
    """
    kept: set[int] = set()
    oldest_main = 0
    for name, ref in metadata.refs.items():
        head = metadata.snapshot_by_id(ref.snapshot_id)
        if ref.snapshot_ref_type == SnapshotRefType.TAG:
            kept.add(ref.snapshot_id)
            continue
        ancestry = list(islice(ancestors_of(head, metadata), max(retain, 1)))
        kept.update(snapshot.snapshot_id for snapshot in ancestry)
        if name == MAIN_BRANCH and ancestry:
            oldest_main = ancestry[-1].sequence_number or 0
    return [
        snapshot.snapshot_id
        for snapshot in metadata.snapshots
        if snapshot.snapshot_id not in kept and (snapshot.sequence_number or 0) < oldest_main
    ]
