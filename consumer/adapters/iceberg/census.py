"""The files of a target table: :class:`consumer.service.audit.ports.TableFiles` on metadata and object store."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from pyarrow.fs import FileInfo, FileSelector, FileType
from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFileContent, ManifestFile
from pyiceberg.table.snapshots import Snapshot

from consumer.adapters.iceberg.placement import place
from consumer.adapters.iceberg.store import store_errors
from consumer.adapters.iceberg.target import Base
from consumer.adapters.postgres.database import Database
from consumer.domain.audit import Census, LiveFile, StoredFile, plain_path
from consumer.domain.stream import TableName
from consumer.settings.connections import CatalogSettings, StoreSettings

_AT_ONCE = 1_000
"""How many single files are looked at with one call."""


class IcebergFiles:
    """Reads what metadata refers to, and lists what the store holds; writes nothing."""

    def __init__(self, *, database: Database, catalog: CatalogSettings, store: StoreSettings) -> None:
        self._store = store
        placement = place(database, catalog, store)
        self._io, self._bases = placement.io, placement.bases
        self._close = placement.close

    def close(self) -> None:
        """Close connections that it has of its own; the next call opens them again."""
        self._close()

    def census(self, table: TableName) -> Census | None:
        """Return every file that the table's metadata names; see :meth:`TableFiles.census`."""
        base = self._bases.load(table)
        if base is None:
            return None
        with store_errors(self._store, f"reading the manifests of {table}"):
            return _Counting(self._io, base).census()

    def stored(self, location: str) -> Sequence[StoredFile]:
        """List every file under a table's location."""
        _, bucket, path = self._io.parse_location(location)
        with store_errors(self._store, f"listing the files under {location}"):
            found = self._io.fs_by_scheme("s3", bucket).get_file_info(
                FileSelector(path, recursive=True, allow_not_found=True)
            )
        return [_stored(info) for info in found if info.type is FileType.File]

    def sizes(self, paths: Collection[str]) -> Mapping[str, int]:
        """Look at single files, and return the sizes in bytes of those that are there, by path."""
        wanted = sorted(paths)
        there: dict[str, int] = {}
        for start in range(0, len(wanted), _AT_ONCE):
            chunk = {self._key(path): path for path in wanted[start : start + _AT_ONCE]}
            with store_errors(self._store, f"looking at {wanted[start]} and others"):
                found = self._io.fs_by_scheme("s3", None).get_file_info(list(chunk))
            there |= {chunk[info.path]: info.size for info in found if info.type is FileType.File}
        return there

    def _key(self, path: str) -> str:
        _, _, key = self._io.parse_location(path)
        return str(key)


class _Counting:
    """One walk over all retained snapshots; each manifest is read once, and what is missing is remembered."""

    def __init__(self, io: FileIO, base: Base) -> None:
        self._io = io
        self._base = base
        self._referenced: dict[str, int | None] = {}
        self._unreadable: dict[str, None] = {}
        self._files: dict[str, list[LiveFile]] = {}

    def census(self) -> Census:
        metadata = self._base.metadata
        current = metadata.current_snapshot()
        live: list[LiveFile] = []
        for statistics in (*metadata.statistics, *metadata.partition_statistics):
            self._referenced[plain_path(statistics.statistics_path)] = statistics.file_size_in_bytes
        for snapshot in metadata.snapshots:
            for manifest in self._list(snapshot):
                files = self._read(manifest)
                if current is not None and snapshot.snapshot_id == current.snapshot_id:
                    live += files
        return Census(
            snapshot_id=None if current is None else current.snapshot_id,
            live=live,
            referenced=self._referenced,
            metadata=frozenset(
                plain_path(path)
                for path in (self._base.location, *(entry.metadata_file for entry in metadata.metadata_log))
            ),
            operations={one.snapshot_id: _operation(one) for one in metadata.snapshots},
            unreadable=tuple(self._unreadable),
        )

    def _list(self, snapshot: Snapshot) -> Sequence[ManifestFile]:
        path = plain_path(snapshot.manifest_list)
        self._referenced.setdefault(path, None)
        try:
            return snapshot.manifests(self._io)
        except (FileNotFoundError, ValueError, EOFError):
            self._unreadable[path] = None
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
        except (FileNotFoundError, ValueError, EOFError):
            self._unreadable[path] = None
        self._files[path] = files
        return files


def _operation(snapshot: Snapshot) -> str:
    return "unknown" if snapshot.summary is None else snapshot.summary.operation.value


def _stored(info: FileInfo) -> StoredFile:
    return StoredFile(path=f"s3://{info.path}", bytes=info.size, modified=info.mtime)
