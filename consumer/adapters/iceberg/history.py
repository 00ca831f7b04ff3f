"""What a table's metadata says of the past: the snapshots of its current ancestry, and its tags."""

from __future__ import annotations

from collections.abc import Mapping

from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.refs import SnapshotRefType

from consumer.adapters.iceberg.ancestry import ancestors
from consumer.adapters.iceberg.evidence import read_ancestry, said_by
from consumer.domain.cut import History


def read_history(metadata: TableMetadata) -> History:
    """Return the snapshots of the current ancestry, newest first, and the tags.

    Raises:
        DivergenceError: if a snapshot carries evidence that can't be read.
    """
    snapshots = [said_by(snapshot) for snapshot in ancestors(metadata, metadata.current_snapshot_id)]
    return History(snapshots=snapshots, whole=read_ancestry(metadata).whole, tags=tags_of(metadata))


def tags_of(metadata: TableMetadata) -> Mapping[str, int]:
    """Return the tags of a table, each with the id of its snapshot."""
    return {
        name: ref.snapshot_id for name, ref in metadata.refs.items() if ref.snapshot_ref_type == SnapshotRefType.TAG
    }
