"""A target table as it is now: the catalog's pointer, and the metadata that it points to."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass

from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.io import FileIO
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata

from consumer.adapters.iceberg.format_version import understood
from consumer.adapters.iceberg.rows import CatalogRows
from consumer.adapters.iceberg.store import store_errors
from consumer.domain.errors import DivergenceError
from consumer.domain.stream import TableName
from consumer.settings.connections import StoreSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A table at one exact metadata file."""

    name: TableName
    location: str
    metadata: TableMetadata

    def table(self, io: FileIO) -> Table:
        """Return it as PyIceberg's table; it can be read, and can't be committed to."""
        return Table(
            identifier=(self.name.database, self.name.table),
            metadata=self.metadata,
            metadata_location=self.location,
            io=io,
            catalog=NoopCatalog("icehaul"),
        )


class Bases(ABC):
    """Loads tables; keeps the newest metadata of each in memory, for a metadata file never changes."""

    def __init__(self, io: FileIO, settings: StoreSettings) -> None:
        self._io = io
        self._settings = settings
        self._lock = threading.Lock()
        self._known: dict[TableName, Base] = {}

    @abstractmethod
    def load(self, name: TableName) -> Base | None:
        """Return a table as it is now; ``None`` where the catalog has none.

        Raises:
            DivergenceError: if the catalog points to a metadata file that the store does not hold.
            TargetMismatchError: if the name is a view's, or the table's format version is a newer one.
            AccessDeniedError, StoreUnavailableError, LedgerUnavailableError, CatalogUnavailableError: if it can't be
                read.
        """

    def at(self, name: TableName, location: str) -> Base:
        """Return a table as one metadata file describes it.

        Raises:
            DivergenceError: if the store does not hold the file.
            TargetMismatchError: if the table's format version is a newer one, with types that are unknown.
            AccessDeniedError, StoreUnavailableError: if it can't be read.
        """
        with self._lock:
            known = self._known.get(name)
        if known is not None and known.location == location:
            return known
        base = Base(name=name, location=location, metadata=self._read(name, location))
        self.keep(base)
        return base

    def keep(self, base: Base) -> None:
        """Remember a table's newest metadata."""
        with self._lock:
            self._known[base.name] = base

    def _read(self, name: TableName, location: str) -> TableMetadata:
        try:
            with store_errors(self._settings, f"reading the metadata of {name}"), understood(name):
                return FromInputFile.table_metadata(self._io.new_input(location))
        except FileNotFoundError as error:
            raise DivergenceError(
                f"the catalog points the table {name} to {location}, which the store does not hold",
                remedy="restore the file and resume the stream; or run `icehaul recover STREAM`, which shows the newest"
                " metadata file that is there, and with --yes points the catalog to it, then `icehaul repair STREAM`",
            ) from error


class RowBases(Bases):
    """Loads tables from the metadata files that the rows of a JDBC catalog name."""

    def __init__(self, rows: CatalogRows, io: FileIO, settings: StoreSettings) -> None:
        super().__init__(io, settings)
        self._rows = rows

    def load(self, name: TableName) -> Base | None:
        """Return a table as it is now; see :meth:`Bases.load`."""
        location = self._rows.location(name)
        return None if location is None else self.at(name, location)
