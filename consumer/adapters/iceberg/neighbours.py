"""Where the other tables of a catalog have their files, as their metadata says."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol

from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError
from pyiceberg.io import FileIO
from pyiceberg.table import TableProperties

from consumer.adapters.iceberg.rest import RestServer
from consumer.adapters.iceberg.rest_client import RestClient
from consumer.adapters.iceberg.rows import CatalogRows
from consumer.adapters.iceberg.store import store_errors
from consumer.domain.audit import plain_path
from consumer.domain.errors import TargetMismatchError
from consumer.domain.stream import TableName
from consumer.settings.connections import StoreSettings

_READERS = 8
_PATHS = (TableProperties.WRITE_DATA_PATH, TableProperties.WRITE_METADATA_PATH)
_GZIP = b"\x1f\x8b"

Places = Mapping[str, Sequence[str]]
"""The folders in which tables have files, by the tables' names."""


class Neighbours(Protocol):
    """Finds the other tables of a catalog."""

    def places(self, table: TableName) -> Places:
        """Return where all tables but one have files.

        Raises:
            TargetMismatchError: if the metadata of one can't be understood.
            AccessDeniedError, StoreUnavailableError, LedgerUnavailableError, CatalogUnavailableError: if it can't be
                read.
        """
        ...


class RowNeighbours:
    """Tables in rows of Iceberg's JDBC catalog, of every catalog that shares the database."""

    def __init__(self, rows: CatalogRows, io: FileIO, settings: StoreSettings) -> None:
        self._rows = rows
        self._io = io
        self._settings = settings

    def places(self, table: TableName) -> Places:
        """Return where all tables but one have files; see :meth:`Neighbours.places`."""
        others = self._rows.others(table)
        with ThreadPoolExecutor(max_workers=_READERS, thread_name_prefix="neighbours") as pool:
            return dict(zip(others, pool.map(self._places, others, others.values()), strict=True))

    def _places(self, name: str, pointer: str) -> Sequence[str]:
        """Return a table's places; of one in another bucket, or whose metadata is gone, what the pointer tells."""
        folder = pointer.rpartition("/")[0]
        if not plain_path(pointer).startswith(f"s3://{self._settings.bucket}/"):
            return (folder,)
        try:
            with (
                store_errors(self._settings, f"reading {pointer}"),
                self._io.new_input(pointer).open() as file,
            ):
                content = file.read()
        except FileNotFoundError:
            return (folder,)
        try:
            metadata = json.loads(gzip.decompress(content) if content.startswith(_GZIP) else content)
            return (folder, *_stated(metadata))
        except (ValueError, KeyError, TypeError, EOFError, gzip.BadGzipFile) as error:
            raise _unreadable(name) from error


class RestNeighbours:
    """Tables behind a REST server."""

    def __init__(self, server: RestServer) -> None:
        self._server = server

    def places(self, table: TableName) -> Places:
        """Return where all tables but one have files; see :meth:`Neighbours.places`."""
        found: dict[str, Sequence[str]] = {}
        own = (table.database, table.table)
        for identifier in self._server.ask("listing its tables", lambda client: list(_tables(client))):
            if identifier != own:
                name = ".".join(identifier)
                places = self._server.ask(f"loading {name}", partial(_loaded, identifier=identifier))
                if places is not None:
                    found[name] = places
        return found


def _tables(client: RestClient) -> Iterator[tuple[str, ...]]:
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        try:
            below = client.list_namespaces(waiting.pop())
        except NoSuchNamespaceError:
            continue
        waiting += below
        for namespace in below:
            try:
                yield from (tuple(one) for one in client.list_tables(namespace))
            except NoSuchNamespaceError:
                continue


def _loaded(client: RestClient, identifier: tuple[str, ...]) -> Sequence[str] | None:
    """Return the places of a table; ``None`` where it was dropped since it was listed."""
    try:
        table = client.load_table(identifier)
    except NoSuchTableError:
        return None
    except ValueError as error:
        raise _unreadable(".".join(identifier)) from error
    return (
        table.metadata_location.rpartition("/")[0],
        *_stated({"location": table.metadata.location, "properties": table.metadata.properties}),
    )


def _stated(metadata: Mapping[str, Any]) -> Iterator[str]:
    yield metadata["location"]
    properties = metadata.get("properties") or {}
    yield from (properties[path] for path in _PATHS if properties.get(path))


def _unreadable(name: str) -> TargetMismatchError:
    return TargetMismatchError(
        f"the metadata of the table {name}, which is in the same catalog, can't be understood, so nobody knows where it"
        " has files",
        remedy="drop the table from the catalog if it is of no use, or switch the removal of files off:"
        " maintenance.removal.enabled: false",
    )
