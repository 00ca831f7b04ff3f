"""Tables of a REST catalog: loaded from its answers, changed by requests that demand one exact base."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
    RESTError,
    TableAlreadyExistsError,
)
from pyiceberg.io import FileIO
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.update import (
    AssertCurrentSchemaId,
    AssertDefaultSpecId,
    AssertLastAssignedFieldId,
    AssertRefSnapshotId,
    AssertTableUUID,
    TableRequirement,
)
from requests import RequestException

from consumer.adapters.iceberg.format_version import understood
from consumer.adapters.iceberg.rest_client import RestClient
from consumer.adapters.iceberg.rest_failures import commit_failure, request_failure
from consumer.adapters.iceberg.staging import StagedCommit
from consumer.adapters.iceberg.target import Base, Bases
from consumer.domain.errors import DivergenceError
from consumer.domain.stream import TableName
from consumer.failpoints.acting import Failpoints
from consumer.settings.connections import CatalogSettings, StoreSettings

_FAILURES = (
    CommitFailedException,
    NoSuchNamespaceError,
    NoSuchTableError,
    NotImplementedError,
    RESTError,
    RequestException,
    # An answer that is no Iceberg JSON: a load balancer's page, half a body.
    ValueError,
)

Answer = TypeVar("Answer")


class RestServer:
    """The connection to a REST catalog, made when it is first needed."""

    def __init__(self, settings: CatalogSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._client: RestClient | None = None

    @property
    def where(self) -> str:
        """The server's address, for messages."""
        return str(self._settings.uri)

    def client(self) -> RestClient:
        """Return the connected client.

        Raises:
            AccessDeniedError, ConfigurationError, CatalogUnavailableError
        """
        with self._lock:
            if self._client is None:
                try:
                    self._client = RestClient(self._settings)
                except _FAILURES as error:
                    raise request_failure(error, where=self.where, doing="asking for its configuration") from error
            return self._client

    def ask(self, doing: str, question: Callable[[RestClient], Answer]) -> Answer:
        """Ask for something that may be asked for again; errors that mean something to the caller pass.

        Raises:
            AccessDeniedError, ConfigurationError, CatalogUnavailableError
        """
        client = self.client()
        try:
            return question(client)
        except (NoSuchTableError, NoSuchNamespaceError, NamespaceAlreadyExistsError, TableAlreadyExistsError):
            raise
        except _FAILURES as error:
            raise request_failure(error, where=self.where, doing=doing) from error

    def close(self) -> None:
        """Close the connection; the next request makes another."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()


class RestBases(Bases):
    """Loads tables from the server's answers: what it says, and not a file, is a table's present state."""

    def __init__(self, server: RestServer, io: FileIO, settings: StoreSettings) -> None:
        super().__init__(io, settings)
        self._server = server

    def load(self, name: TableName) -> Base | None:
        """Return a table as it is now; see :meth:`Bases.load`."""

        def question(client: RestClient) -> Table:
            with understood(name):
                table: Table = client.load_table((name.database, name.table))
            return table

        try:
            table = self._server.ask(f"loading {name}", question)
        except (NoSuchTableError, NoSuchNamespaceError):
            return None
        return Base(name=name, location=table.metadata_location, metadata=table.metadata)


class RestPointers:
    """Creates, changes and renames tables by requests to the server."""

    def __init__(self, server: RestServer, io: FileIO, failpoints: Failpoints) -> None:
        self._server = server
        self._io = io
        self._failpoints = failpoints

    def create(self, name: TableName, metadata: TableMetadata) -> Base | None:
        """Ask for the table with its namespace; the server decides where it lies. See :meth:`Pointers.create`."""
        namespace, identifier = (name.database,), (name.database, name.table)
        with suppress(NamespaceAlreadyExistsError):
            self._server.ask(f"creating the namespace {name.database}", lambda one: one.create_namespace(namespace))
        with self._failpoints.around("target.create"):
            try:
                table = self._server.ask(
                    f"creating {name}",
                    lambda client: client.create_table(
                        identifier,
                        metadata.schema(),
                        partition_spec=metadata.spec(),
                        sort_order=metadata.sort_order(),
                        properties={**metadata.properties, "format-version": str(metadata.format_version)},
                    ),
                )
            except TableAlreadyExistsError:
                return None
        return Base(name=name, location=table.metadata_location, metadata=table.metadata)

    def commit(self, base: Base, commit: StagedCommit) -> Base:
        """Send what is staged, with the base as its requirement; see :meth:`Pointers.commit`."""
        client = self._server.client()
        table = base.table(self._io)
        try:
            answer = client.commit_table(table, _demands(base, commit), commit.changes)
        except _FAILURES as error:
            raise commit_failure(error, where=self._server.where, table=str(base.name)) from error
        return Base(name=base.name, location=answer.metadata_location, metadata=answer.metadata)

    def move(self, old: TableName, new: TableName) -> bool:
        """Ask for another name; see :meth:`Pointers.move`."""
        with suppress(NamespaceAlreadyExistsError):
            self._server.ask(
                f"creating the namespace {new.database}", lambda client: client.create_namespace((new.database,))
            )
        try:
            self._server.ask(
                f"renaming {old}",
                lambda client: client.rename_table((old.database, old.table), (new.database, new.table)),
            )
        except (NoSuchTableError, NoSuchNamespaceError):
            return False
        except TableAlreadyExistsError as error:
            raise DivergenceError(
                f"the REST catalog has a table {new} already; nothing was changed", remedy="choose another name"
            ) from error
        return True


def _demands(base: Base, commit: StagedCommit) -> tuple[TableRequirement, ...]:
    demands = requirements(base, commit.tags)
    if commit.evolves:
        # The files have ids that were new on this base.
        demands.append(AssertLastAssignedFieldId(last_assigned_field_id=base.metadata.last_column_id))
    return tuple(demands)


def requirements(base: Base, tags: Sequence[str] = ()) -> list[TableRequirement]:
    """Return what must hold for a commit on a base: the very table, its current snapshot, schema and spec.

    ``tags`` are those that the commit sets or removes: they have to be where the base has them, or not to be.
    """
    metadata = base.metadata
    refs = {name: ref.snapshot_id for name, ref in metadata.refs.items()}
    return [
        AssertTableUUID(uuid=metadata.table_uuid),
        AssertRefSnapshotId(ref=MAIN_BRANCH, snapshot_id=metadata.current_snapshot_id),
        AssertCurrentSchemaId(current_schema_id=metadata.current_schema_id),
        AssertDefaultSpecId(default_spec_id=metadata.default_spec_id),
        *(AssertRefSnapshotId(ref=tag, snapshot_id=refs.get(tag)) for tag in tags),
    ]
