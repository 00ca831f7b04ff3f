"""Trying a catalog: what it lacks, and whether it refuses what it has to refuse."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from uuid import uuid4

from pyiceberg.catalog.rest import Capability
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NamespaceNotEmptyError,
    NoSuchNamespaceError,
    NoSuchTableError,
)
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.table.update import AssertRefSnapshotId, SetPropertiesUpdate
from pyiceberg.types import LongType, NestedField

from consumer.adapters.iceberg.placement import Placement
from consumer.adapters.iceberg.rest import RestServer
from consumer.adapters.iceberg.rest_client import RestClient
from consumer.adapters.iceberg.rows import CatalogRows
from consumer.adapters.postgres import inspection
from consumer.settings.connections import CatalogSettings

NAMESPACE = "icehaul_doctor"
_NOBODYS_SNAPSHOT = 1
_NEEDED = (
    Capability.V1_LOAD_TABLE,
    Capability.V1_CREATE_TABLE,
    Capability.V1_UPDATE_TABLE,
    Capability.V1_CREATE_NAMESPACE,
)


class RowsProbe:
    """A JDBC catalog in Postgres: its database enforces what a commit demands, as long as nobody edits its rows."""

    def __init__(self, rows: CatalogRows, *, two_step: bool) -> None:
        self._rows = rows
        self.two_step = two_step

    def lacking(self) -> Sequence[str]:
        """Return missing tables and rights."""
        return inspection.lacking(self._rows.database, inspection.CATALOG) if self.two_step else ()

    def demands_its_base(self) -> bool:
        """Tell so: a row is swapped only where its metadata location is the base's."""
        return True


class RestProbe:
    """A REST catalog; its table is in a namespace of its own, and is dropped afterwards."""

    two_step = True

    def __init__(self, settings: CatalogSettings) -> None:
        self._server = RestServer(settings)

    def lacking(self) -> Sequence[str]:
        """Return operations that the server says it has not."""
        offered = self._server.client()._supported_endpoints  # noqa: SLF001 - PyIceberg shows it nowhere else
        return [f"the operation {one}" for one in _NEEDED if one not in offered]

    def demands_its_base(self) -> bool:
        """Make a table, commit to it with a base that it does not have, and drop it."""
        identifier = (NAMESPACE, f"t_{uuid4().hex}")
        with suppress(NamespaceAlreadyExistsError):
            self._server.ask("making the doctor's namespace", lambda one: one.create_namespace((NAMESPACE,)))
        schema = Schema(NestedField(1, "probe", LongType(), required=False))
        table = self._server.ask("making the doctor's table", lambda one: one.create_table(identifier, schema))
        try:
            return self._server.ask("trying a commit", lambda one: _refuses(one, table))
        finally:
            self._server.ask("dropping the doctor's table", lambda one: _drop(one, identifier))
            self._server.close()


def _refuses(client: RestClient, table: Table) -> bool:
    change = SetPropertiesUpdate(updates={"icehaul.doctor": "was here"})
    client.commit_table(table, (AssertRefSnapshotId(ref="main", snapshot_id=None),), (change,))
    try:
        client.commit_table(table, (AssertRefSnapshotId(ref="main", snapshot_id=_NOBODYS_SNAPSHOT),), (change,))
    except CommitFailedException:
        return True
    return False


def _drop(client: RestClient, identifier: tuple[str, str]) -> None:
    with suppress(NoSuchTableError):
        client.drop_table(identifier)
    with suppress(NamespaceNotEmptyError, NoSuchNamespaceError):
        client.drop_namespace((NAMESPACE,))


def probe_of(placement: Placement, settings: CatalogSettings) -> RowsProbe | RestProbe:
    """Return what tries the catalog where it lies."""
    if placement.rows is None:
        return RestProbe(settings)
    return RowsProbe(placement.rows, two_step=placement.two_step)
