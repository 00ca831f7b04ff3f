"""Which snapshots a publish removes, so that the cost of the next one does not grow with history."""

from __future__ import annotations

from itertools import islice

from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.refs import MAIN_BRANCH, SnapshotRefType

from consumer.adapters.iceberg.ancestry import ancestors


def expired_snapshots(base: TableMetadata, retain: int) -> list[int]:
    """Return the ids of the snapshots of ``base`` that go when one more is added to its main branch, oldest first.

    Kept are the newest ``retain`` snapshots of every branch (on the main branch, the new one is one of them), every
    tagged snapshot, and whatever is newer than the oldest one kept on the main branch: a snapshot that somebody has
    rolled back or staged, and may come back to.
    """
    kept: set[int] = set()
    oldest_main = base.next_sequence_number()
    for name, ref in base.refs.items():
        if ref.snapshot_ref_type == SnapshotRefType.TAG:
            kept.add(ref.snapshot_id)
            continue
        room = max(retain, 1) - (name == MAIN_BRANCH)
        ancestry = list(islice(ancestors(base, ref.snapshot_id), room))
        kept.update(snapshot.snapshot_id for snapshot in ancestry)
        if name == MAIN_BRANCH and ancestry:
            oldest_main = ancestry[-1].sequence_number or 0
    return [
        snapshot.snapshot_id
        for snapshot in base.snapshots
        if snapshot.snapshot_id not in kept and (snapshot.sequence_number or 0) < oldest_main
    ]
