"""An append that merges the manifests of earlier snapshots, level by level."""

from __future__ import annotations

from collections.abc import Sequence

from pyiceberg.manifest import ManifestContent, ManifestFile
from pyiceberg.table import TableProperties
from pyiceberg.table.update.snapshot import _FastAppendFiles
from pyiceberg.utils.properties import property_as_bool, property_as_int

from consumer.adapters.iceberg.manifest_levels import Weight, to_merge


class LevelledAppend(_FastAppendFiles):
    """PyIceberg's append, obeying the table's properties of merging in another way.

    PyIceberg's own merging append puts what is new into a manifest that grows up to the target size, and so writes
    hundreds of old entries anew with each merge, and leaves the manifest of the commit itself behind, which nothing
    refers to. Here the new manifest is left alone, and merged by a later append together with its like. What was
    staged is listed by the snapshot or referred to by nothing: a commit that is lost leaves only orphans.
    """

    def _process_manifests(self, manifests: list[ManifestFile]) -> list[ManifestFile]:
        properties = self._transaction.table_metadata.properties
        if not property_as_bool(
            properties, TableProperties.MANIFEST_MERGE_ENABLED, TableProperties.MANIFEST_MERGE_ENABLED_DEFAULT
        ):
            return manifests
        fan_in = property_as_int(
            properties, TableProperties.MANIFEST_MIN_MERGE_COUNT, TableProperties.MANIFEST_MIN_MERGE_COUNT_DEFAULT
        )
        target_bytes = property_as_int(
            properties, TableProperties.MANIFEST_TARGET_SIZE_BYTES, TableProperties.MANIFEST_TARGET_SIZE_BYTES_DEFAULT
        )
        merged = list(manifests)
        for spec_id in {manifest.partition_spec_id for manifest in manifests}:
            old = [one for one in manifests if one.partition_spec_id == spec_id and self._is_settled(one)]
            weights = [Weight(files=_files(one), bytes=one.manifest_length) for one in old]
            chosen = to_merge(weights, fan_in=max(2, fan_in or 0), target_bytes=target_bytes or 0)
            if chosen:
                members = [old[position] for position in chosen]
                # In the place of the newest: the order of the list stays that of time.
                merged[merged.index(members[0])] = self._merge(spec_id, members)
                merged = [one for one in merged if one not in members]
        return merged

    def _is_settled(self, manifest: ManifestFile) -> bool:
        """Tell whether a manifest names data files, and is not the one that this commit adds."""
        return manifest.content is ManifestContent.DATA and manifest.added_snapshot_id != self.snapshot_id

    def _merge(self, spec_id: int, manifests: Sequence[ManifestFile]) -> ManifestFile:
        """Write one manifest with the live entries of others, each as old as it was."""
        with self.new_manifest_writer(spec=self.spec(spec_id)) as writer:
            for manifest in manifests:
                for entry in self.fetch_manifest_entry(manifest, discard_deleted=True):
                    writer.existing(entry)
        return writer.to_manifest_file()


def _files(manifest: ManifestFile) -> int:
    return (manifest.added_files_count or 0) + (manifest.existing_files_count or 0)
