"""Counting the files that a table's metadata names: the current one's, and those of others that still matter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pyiceberg.exceptions import ValidationError
from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFileContent, ManifestFile
from pyiceberg.serializers import FromInputFile
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot

from consumer.adapters.iceberg.metadata_files import kept_versions
from consumer.adapters.iceberg.target import Base
from consumer.domain.audit import Census, LiveFile, plain_path
from consumer.domain.unreferenced import is_metadata_file, may_become_current


class Counting:
    """One walk over all retained snapshots; each manifest is read once, and what is missing is remembered."""

    def __init__(self, io: FileIO, base: Base) -> None:
        self._io = io
        self._base = base
        self._referenced: dict[str, int | None] = {}
        self._unreadable: dict[str, None] = {}
        self._damaged: dict[str, None] = {}
        self._files: dict[str, list[LiveFile]] = {}

    def census(self, stored: Iterable[str] = ()) -> Census:
        """Return what is named.

        Args:
            stored: the files under the table, among which metadata files are looked for that may become current.
        """
        metadata = self._base.metadata
        current = metadata.current_snapshot()
        live: list[LiveFile] = []
        self._note_statistics(metadata)
        for snapshot in metadata.snapshots:
            for manifest in self._list(snapshot):
                files = self._read(manifest)
                if current is not None and snapshot.snapshot_id == current.snapshot_id:
                    live += files
        own = dict(self._referenced)
        unreadable = tuple(self._unreadable)
        return Census(
            snapshot_id=None if current is None else current.snapshot_id,
            live=live,
            referenced=own,
            metadata=frozenset(plain_path(path) for path in (self._base.location, *self._former())),
            operations={one.snapshot_id: _operation(one) for one in metadata.snapshots},
            unreadable=unreadable,
            current=plain_path(self._base.location),
            held=self._held(stored, own),
            doubtful=tuple(self._damaged.keys() - set(unreadable)),
        )

    def _former(self) -> Sequence[str]:
        return [entry.metadata_file for entry in self._base.metadata.metadata_log]

    def _held(self, stored: Iterable[str], own: dict[str, int | None]) -> frozenset[str]:
        """Return what other metadata files refer to besides, with those among them that may become current."""
        now = self._base.location
        later = [
            path
            for path in stored
            if is_metadata_file(path, self._base.metadata.location)
            and path != plain_path(now)
            and may_become_current(path, now)
        ]
        known = {one.snapshot_id for one in self._base.metadata.snapshots}
        # Servers may list more of them than the table keeps.
        former = self._former()[-kept_versions(self._base.metadata) :]
        for path in (*former, *later):
            metadata = self._other(path)
            if metadata is None:
                continue
            self._note_statistics(metadata)
            for snapshot in metadata.snapshots:
                if snapshot.snapshot_id not in known:
                    known.add(snapshot.snapshot_id)
                    for manifest in self._list(snapshot):
                        self._read(manifest)
        return frozenset(self._referenced.keys() - own.keys()) | frozenset(later)

    def _other(self, path: str) -> TableMetadata | None:
        """Read another metadata file; ``None`` where it has gone, or can't be read, which is remembered."""
        try:
            return FromInputFile.table_metadata(self._io.new_input(path))
        except FileNotFoundError:
            return None
        except (ValidationError, ValueError, EOFError):
            self._damaged[plain_path(path)] = None
            return None

    def _note_statistics(self, metadata: TableMetadata) -> None:
        for statistics in (*metadata.statistics, *metadata.partition_statistics):
            self._referenced.setdefault(plain_path(statistics.statistics_path), statistics.file_size_in_bytes)

    def _list(self, snapshot: Snapshot) -> Sequence[ManifestFile]:
        path = plain_path(snapshot.manifest_list)
        self._referenced.setdefault(path, None)
        try:
            return snapshot.manifests(self._io)
        except FileNotFoundError:
            self._unreadable[path] = None
        except (ValueError, EOFError):
            self._unreadable[path] = self._damaged[path] = None
        return ()

    def _read(self, manifest: ManifestFile) -> Sequence[LiveFile]:
        """Return the data files that a manifest names and does not remove; notes delete files besides."""
        path = plain_path(manifest.manifest_path)
        if path in self._files:
            return self._files[path]
        self._referenced[path] = manifest.manifest_length
        files: list[LiveFile] = []
        try:
            for entry in manifest.fetch_manifest_entry(self._io):
                file = entry.data_file
                self._referenced[plain_path(file.file_path)] = file.file_size_in_bytes
                if file.content is DataFileContent.DATA:
                    files.append(
                        LiveFile(
                            path=plain_path(file.file_path),
                            bytes=file.file_size_in_bytes,
                            rows=file.record_count,
                            snapshot_id=entry.snapshot_id,
                            sequence=entry.sequence_number or 0,
                        )
                    )
        except FileNotFoundError:
            self._unreadable[path] = None
        except (ValueError, EOFError):
            self._unreadable[path] = self._damaged[path] = None
        self._files[path] = files
        return files


def _operation(snapshot: Snapshot) -> str:
    return "unknown" if snapshot.summary is None else snapshot.summary.operation.value
