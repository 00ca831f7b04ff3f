"""The files of a target table: :class:`consumer.service.audit.ports.TableFiles` on metadata and object store."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from pyarrow.fs import FileInfo, FileSelector, FileType

from consumer.adapters.iceberg.counting import Counting
from consumer.adapters.iceberg.placement import place
from consumer.adapters.iceberg.store import store_errors
from consumer.adapters.postgres.database import Database
from consumer.domain.audit import Census, StoredFile
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

    def census(self, table: TableName, stored: Sequence[StoredFile] = ()) -> Census | None:
        """Return every file that the table's metadata names; see :meth:`TableFiles.census`."""
        base = self._bases.load(table)
        if base is None:
            return None
        with store_errors(self._store, f"reading the manifests of {table}"):
            return Counting(self._io, base).census([file.path for file in stored])

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


def _stored(info: FileInfo) -> StoredFile:
    return StoredFile(path=f"s3://{info.path}", bytes=info.size, modified=info.mtime)
