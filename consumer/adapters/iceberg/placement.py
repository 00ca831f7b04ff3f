"""Where the catalog lies: in the ledger's database, in another one, or behind a REST server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from consumer.adapters.iceberg.neighbours import Neighbours, RestNeighbours, RowNeighbours
from consumer.adapters.iceberg.pointers import Pointers, RowPointers
from consumer.adapters.iceberg.rest import RestBases, RestPointers, RestServer
from consumer.adapters.iceberg.rows import CatalogRows
from consumer.adapters.iceberg.store import StoreFileIO
from consumer.adapters.iceberg.target import Bases, RowBases
from consumer.adapters.postgres.database import Database
from consumer.failpoints.acting import Failpoints
from consumer.settings.connections import CatalogSettings, PostgresSettings, StoreSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What reads and changes tables where the catalog lies.

    Attributes:
        rows: the catalog's rows, where it lies in a Postgres database; ``None`` behind a REST server.
        neighbours: finds the other tables of the catalog.
        two_step: whether that is not the ledger's database.
        close: closes what was opened for the catalog alone.
    """

    io: StoreFileIO
    bases: Bases
    pointers: Pointers
    rows: CatalogRows | None
    neighbours: Neighbours
    two_step: bool
    close: Callable[[], None]

    @property
    def ledger_rows(self) -> CatalogRows | None:
        """The catalog's rows within the ledger's own database, where they are swapped in the ledger's transaction."""
        return None if self.two_step else self.rows


def place(
    database: Database, catalog: CatalogSettings, store: StoreSettings, failpoints: Failpoints | None = None
) -> Placement:
    """Return what works where ``catalog`` says; ``database`` is the ledger's. Nothing connects before it is used."""
    io, failpoints = StoreFileIO(store), failpoints or Failpoints()
    if catalog.type == "rest":
        server = RestServer(catalog)
        return Placement(
            io=io,
            bases=RestBases(server, io, store),
            pointers=RestPointers(server, io, failpoints),
            rows=None,
            neighbours=RestNeighbours(server),
            two_step=True,
            close=server.close,
        )
    other = None if catalog.dsn is None else Database(PostgresSettings(dsn=catalog.dsn), setting="catalog.dsn")
    rows = CatalogRows(other or database, catalog.name)
    return Placement(
        io=io,
        bases=RowBases(rows, io, store),
        pointers=RowPointers(rows, io, store, failpoints),
        rows=rows,
        neighbours=RowNeighbours(rows, io, store),
        two_step=other is not None,
        close=(lambda: None) if other is None else other.close,
    )
