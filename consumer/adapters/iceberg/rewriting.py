"""A rewrite: data files go, and others with the same rows take their place; PyIceberg has no public operation for it.

Iceberg's Java ``RewriteFiles`` is the model: the snapshot's operation is ``replace``, and the new files get the data
sequence number of the snapshot in which the old ones were read, so that deletes which come later apply to their rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyiceberg.manifest import (
    DataFile,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    ManifestWriterV2,
)
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation, Summary
from pyiceberg.typedef import EMPTY_DICT

from consumer.adapters.iceberg.compactable import LiveEntries
from consumer.adapters.iceberg.overwriting import Overwrite
from consumer.adapters.iceberg.staging import StagedCommit
from consumer.domain.batch import Batch
from consumer.domain.compaction import check_still_live


def rewrite_files(
    commit: StagedCommit, table: Table, batch: Batch, added: Sequence[DataFile], summary: Mapping[str, str]
) -> int:
    """Write the manifests of a snapshot in which a batch's files take the place of those that it rewrites.

    Position deletes that apply to no data file any more go with them.

    Raises:
        StaleDifferenceError: if a file that is to go is not live in the base, or rows of it were deleted meanwhile.
    """
    if batch.rewrite is None:
        raise AssertionError("a batch without a rewrite rewrites nothing")
    live, spec_id = LiveEntries(table), table.metadata.default_spec_id
    # Files of a spec that is not the present one can't be replaced by files of that.
    own = [entry for entry in live.data if entry.data_file.spec_id == spec_id]
    check_still_live(batch, {entry.data_file.file_path: live.applying(entry) for entry in own})
    named = {file.path for file in batch.rewrite.files}
    going = {entry.data_file.file_path: entry.data_file for entry in own if entry.data_file.file_path in named}
    producer = _Rewrite(
        operation=Operation.OVERWRITE, transaction=commit, io=table.io, snapshot_properties=dict(summary)
    )
    producer.rewritten = list(added)
    producer.sequence = batch.rewrite.sequence
    producer.superfluous = [entry.data_file for entry in live.superfluous(going)]
    for file in going.values():
        producer.delete_data_file(file)
    producer.commit()
    return producer.snapshot_id


class _DeleteManifestWriter(ManifestWriterV2):
    """Writes a manifest of delete files."""

    def content(self) -> ManifestContent:
        return ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return {**super()._meta, "content": "deletes"}


class _Rewrite(Overwrite):
    """PyIceberg's overwrite, which gives what it adds the sequence number of now, and keeps every delete file."""

    rewritten: list[DataFile]
    sequence: int
    superfluous: list[DataFile]

    def _process_manifests(self, manifests: list[ManifestFile]) -> list[ManifestFile]:
        added = [self._added_manifest()] if self.rewritten else []
        kept = [left for one in manifests if (left := self._without_superfluous(one)) is not None]
        return added + kept

    def _added_manifest(self) -> ManifestFile:
        with self.new_manifest_writer(spec=self._transaction.table_metadata.spec()) as writer:
            for file in self.rewritten:
                writer.add_entry(
                    ManifestEntry.from_args(
                        status=ManifestEntryStatus.ADDED,
                        snapshot_id=self.snapshot_id,
                        sequence_number=self.sequence,
                        file_sequence_number=None,
                        data_file=file,
                    )
                )
        return writer.to_manifest_file()

    def _without_superfluous(self, manifest: ManifestFile) -> ManifestFile | None:
        """Return a manifest without the delete files that go; ``None`` if nothing is left in it."""
        if manifest.content is not ManifestContent.DELETES or not self.superfluous:
            return manifest
        gone = {file.file_path for file in self.superfluous}
        entries = self.fetch_manifest_entry(manifest)
        left = [entry for entry in entries if entry.data_file.file_path not in gone]
        if len(left) == len(entries):
            return manifest
        if not left:
            return None
        with self._delete_writer(self.spec(manifest.partition_spec_id)) as writer:
            for entry in left:
                writer.existing(entry)
        return writer.to_manifest_file()

    def _delete_writer(self, spec: PartitionSpec) -> _DeleteManifestWriter:
        return _DeleteManifestWriter(
            spec, self.schema(), self.new_manifest_output(), self.snapshot_id, self._compression
        )

    def _summary(self, snapshot_properties: dict[str, str] = EMPTY_DICT) -> Summary:
        # What was put into manifests here, the parent class does not know of; nor does it know the operation.
        self._added_data_files = list(self.rewritten)
        self._deleted_data_files |= set(self.superfluous)
        entries: dict[str, Any] = super()._summary(snapshot_properties).additional_properties
        return Summary(Operation.REPLACE, **entries)
