"""Tables as the object store holds them, and the catalog's pointers: the port ``LostTables``."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from pyarrow.fs import FileSelector, FileType
from pydantic import ValidationError
from pyiceberg.exceptions import ValidationError as UnreadableError
from pyiceberg.manifest import ManifestFile
from pyiceberg.serializers import FromInputFile
from pyiceberg.table.metadata import TableMetadata

from consumer.adapters.iceberg.evidence import epoch_of, read_ancestry
from consumer.adapters.iceberg.format_version import understood
from consumer.adapters.iceberg.metadata_files import home
from consumer.adapters.iceberg.placement import place
from consumer.adapters.iceberg.rows import CatalogRows
from consumer.adapters.iceberg.store import StoreFileIO, store_errors
from consumer.adapters.iceberg.tables import STREAM_PROPERTY
from consumer.adapters.postgres.database import Database
from consumer.domain.audit import plain_path
from consumer.domain.errors import BaseMovedError, ConfigurationError, DivergenceError
from consumer.domain.recovery import FoundMetadata, newest_first, version_of
from consumer.domain.stream import TableName
from consumer.settings.connections import CatalogSettings, StoreSettings

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_AT_ONCE = 1_000
"""How many single files are looked at with one call."""


class IcebergLostTables:
    """Looks at metadata files on the store without asking the catalog, and sets the catalog's pointers."""

    def __init__(self, *, database: Database, catalog: CatalogSettings, store: StoreSettings) -> None:
        self._store = store
        placement = place(database, catalog, store)
        self._io, self._rows = placement.io, placement.rows
        self._close = placement.close

    def close(self) -> None:
        """Close connections that it has of its own; the next call opens them again."""
        self._close()

    def pointer(self, table: TableName) -> str | None:
        """Return where the catalog points; see :meth:`LostTables.pointer`."""
        return self._catalog().location(table)

    def metadata_files(self, table: TableName) -> Sequence[str]:
        """List the metadata files of a table; see :meth:`LostTables.metadata_files`."""
        return metadata_files(self._io, self._store, table)

    def read(self, table: TableName, location: str) -> FoundMetadata | None:
        """Read one, and look what its current snapshot needs; see :meth:`LostTables.read`."""
        try:
            with store_errors(self._store, f"reading {location}"), understood(table):
                metadata = FromInputFile.table_metadata(self._io.new_input(location))
        except FileNotFoundError:
            return None
        except (ValueError, ValidationError, UnreadableError) as error:
            raise DivergenceError(
                f"{location} is no metadata of an Iceberg table: {str(error).splitlines()[0]}",
                remedy="restore that file, or name another one with --metadata",
            ) from error
        return FoundMetadata(
            location=location,
            version=version_of(location) or 0,
            uuid=metadata.table_uuid,
            owner=metadata.properties.get(STREAM_PROPERTY),
            updated=_EPOCH + timedelta(milliseconds=metadata.last_updated_ms),
            sequence=metadata.next_sequence_number() - 1,
            snapshots=len(metadata.snapshots),
            epoch=max(map(epoch_of, metadata.snapshots), default=0),
            evidence=read_ancestry(metadata).evidence,
            missing=tuple(self._missing(metadata)),
        )

    def point(self, table: TableName, *, base: str | None, location: str) -> None:
        """Set the catalog's pointer; see :meth:`LostTables.point`."""
        rows = self._catalog()
        if base is None:
            # An earlier commit of the same may have landed.
            if not rows.create(table, location) and rows.location(table) != location:
                raise _overtaken(table)
            return
        try:
            with rows.database.transaction() as connection:
                rows.swap(connection, table, base=base, new=location)
        except BaseMovedError as error:
            raise _overtaken(table) from error

    def _catalog(self) -> CatalogRows:
        if self._rows is None:
            raise ConfigurationError(
                "catalog.type: rest: the server keeps its tables' pointers itself, and icehaul can't set them",
                remedy="restore the server's own database, or register the table's newest metadata file by the server's"
                " means (PyIceberg: catalog.register_table); then run `icehaul repair STREAM`",
            )
        return self._rows

    def _missing(self, metadata: TableMetadata) -> Iterator[str]:
        """Yield the files of the current snapshot that the store does not hold; below one that is missing, nothing."""
        snapshot = metadata.current_snapshot()
        if snapshot is None:
            return
        there = {plain_path(path) for path in listed(self._io, self._store, metadata.location, recursive=True)}
        needed = [snapshot.manifest_list]
        if plain_path(snapshot.manifest_list) in there:
            with store_errors(self._store, f"reading {snapshot.manifest_list}"):
                manifests = snapshot.manifests(self._io)
            needed = [one.manifest_path for one in manifests]
            for manifest in manifests:
                if plain_path(manifest.manifest_path) in there:
                    needed += self._files(manifest)
        lacking = [path for path in needed if plain_path(path) not in there]
        # What lies elsewhere is asked for by name.
        elsewhere = {path for path in lacking if not plain_path(path).startswith(f"{plain_path(metadata.location)}/")}
        found = self._found(elsewhere)
        yield from (path for path in lacking if path not in found)

    def _files(self, manifest: ManifestFile) -> list[str]:
        with store_errors(self._store, f"reading {manifest.manifest_path}"):
            return [entry.data_file.file_path for entry in manifest.fetch_manifest_entry(self._io)]

    def _found(self, paths: Collection[str]) -> set[str]:
        wanted = sorted(paths)
        there: set[str] = set()
        for start in range(0, len(wanted), _AT_ONCE):
            chunk = {str(self._io.parse_location(path)[2]): path for path in wanted[start : start + _AT_ONCE]}
            with store_errors(self._store, f"looking at {wanted[start]} and others"):
                found = self._io.fs_by_scheme("s3", None).get_file_info(list(chunk))
            there |= {chunk[info.path] for info in found if info.type is FileType.File}
        return there


def metadata_files(io: StoreFileIO, store: StoreSettings, table: TableName) -> list[str]:
    """List the files of the folder in which a new table of this name would have its metadata."""
    return listed(io, store, f"{home(store, table)}/metadata", recursive=False)


def remains(io: StoreFileIO, store: StoreSettings, table: TableName) -> str | None:
    """Return the newest metadata file where a new table would be made; ``None`` where no table was ever filled.

    Version 0 is that of a table without rows, such as a process leaves behind that ends while it makes one.
    """
    newest = next(newest_first(metadata_files(io, store, table)), [])
    return newest[-1] if newest and version_of(newest[-1]) else None


def _overtaken(table: TableName) -> BaseMovedError:
    return BaseMovedError(
        f"somebody else has changed where the catalog points the table {table}; nothing was changed",
        remedy="run the same command again: it looks anew",
    )


def listed(io: StoreFileIO, store: StoreSettings, folder: str, *, recursive: bool) -> list[str]:
    """List the files of a folder; none where there is no such folder.

    Raises:
        AccessDeniedError, StoreUnavailableError: as :func:`store_errors` does.
    """
    _, bucket, path = io.parse_location(folder)
    with store_errors(store, f"listing the files under {folder}"):
        found = io.fs_by_scheme("s3", bucket).get_file_info(
            FileSelector(path, recursive=recursive, allow_not_found=True)
        )
    return [f"s3://{info.path}" for info in found if info.type is FileType.File]
