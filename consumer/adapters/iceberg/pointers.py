"""Where a catalog keeps a table's pointer to its metadata, as far as that is changed outside of the ledger."""

from __future__ import annotations

from typing import Protocol

from pyiceberg.io import FileIO
from pyiceberg.serializers import ToOutputFile
from pyiceberg.table.locations import load_location_provider
from pyiceberg.table.metadata import TableMetadata

from consumer.adapters.iceberg.metadata_files import retired, write_next
from consumer.adapters.iceberg.rows import CatalogRows
from consumer.adapters.iceberg.staging import StagedCommit
from consumer.adapters.iceberg.store import AttemptFiles, remove, store_errors
from consumer.adapters.iceberg.target import Base
from consumer.domain.errors import LedgerUnavailableError, UnknownCommitError
from consumer.domain.stream import TableName
from consumer.failpoints.acting import Failpoints
from consumer.settings.connections import StoreSettings


class Pointers(Protocol):
    """Creates, changes and renames tables, each by one commit of the catalog's own."""

    def create(self, name: TableName, metadata: TableMetadata) -> Base | None:
        """Create a table, and return it; ``None`` if somebody else was faster.

        Raises:
            LedgerUnavailableError, CatalogUnavailableError: if it has to be looked up whether it is there now.
            AccessDeniedError, ConfigurationError, StoreUnavailableError
        """
        ...

    def commit(self, base: Base, commit: StagedCommit) -> Base:
        """Apply what is staged if the base is the table's present state, and return what it is then.

        Never rebases, and never tries again: what was checked was checked against this base.

        Raises:
            BaseMovedError: if it is not: the commit has not landed.
            UnknownCommitError: if nobody knows whether it has landed, or still will.
            IcehaulError: any other: it was refused, and has certainly not landed.
        """
        ...

    def move(self, old: TableName, new: TableName) -> bool:
        """Give a table another name; tell whether there was one.

        Raises:
            DivergenceError: if another table has the new name.
            ConfigurationError: if the catalog can't do it.
        """
        ...


class RowPointers:
    """Pointers in rows of Iceberg's JDBC catalog."""

    def __init__(self, rows: CatalogRows, io: FileIO, store: StoreSettings, failpoints: Failpoints) -> None:
        self._rows = rows
        self._io = io
        self._store = store
        self._failpoints = failpoints

    def create(self, name: TableName, metadata: TableMetadata) -> Base | None:
        """Write the first metadata file, and add the table's row; see :meth:`Pointers.create`."""
        provider = load_location_provider(metadata.location, metadata.properties)
        location = provider.new_table_metadata_file_location()
        with store_errors(self._store, f"creating the table {name}"):
            with self._failpoints.around("target.write"):
                ToOutputFile.table_metadata(metadata, self._io.new_output(location), overwrite=True)
            try:
                with self._failpoints.around("target.create"):
                    added = self._rows.create(name, location)
                if added:
                    return Base(name=name, location=location, metadata=metadata)
            except UnknownCommitError as error:
                # Creating is idempotent: the next attempt finds the table, or makes it.
                raise LedgerUnavailableError(
                    f"nobody knows whether the table {name} was created: {error.message}",
                    remedy="nothing to do: it is looked up again",
                ) from error
            with self._failpoints.around("target.discard"):
                self._io.delete(location)
        return None

    def commit(self, base: Base, commit: StagedCommit) -> Base:
        """Write the next metadata file, and swap the row in a transaction of its own; see :meth:`Pointers.commit`."""
        attempt = AttemptFiles(self._io)
        with store_errors(self._store, f"staging the metadata of {base.name}"):
            new = write_next(base, commit.result(), attempt)
        try:
            with self._rows.database.transaction() as connection:
                self._rows.swap(connection, base.name, base=base.location, new=new.location)
        except UnknownCommitError:
            raise
        except BaseException:
            attempt.discard()
            raise
        remove(self._io, sorted(retired(base.metadata, new.metadata)))
        return new

    def move(self, old: TableName, new: TableName) -> bool:
        """Rename the table's row; see :meth:`Pointers.move`."""
        with self._rows.database.transaction(repeatable=True) as connection:
            return self._rows.move(connection, old, new)
