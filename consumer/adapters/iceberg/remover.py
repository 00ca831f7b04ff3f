"""Deleting files of target tables: :class:`consumer.service.maintaining.removal_ports.Remover` on catalog and store."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from consumer.adapters.iceberg.placement import place
from consumer.adapters.iceberg.store import store_errors
from consumer.adapters.postgres.database import Database
from consumer.domain.audit import plain_path
from consumer.domain.stream import TableName
from consumer.domain.unreferenced import overlapping
from consumer.settings.connections import CatalogSettings, StoreSettings

_WORKERS = 8
"""How many files are deleted at once: each takes some round trips to the store."""


class IcebergRemover:
    """Deletes single files, and asks the catalog where tables lie."""

    def __init__(self, *, database: Database, catalog: CatalogSettings, store: StoreSettings) -> None:
        self._store = store
        self._placement = place(database, catalog, store)

    def close(self) -> None:
        """Close connections that it has of its own; the next call opens them again."""
        self._placement.close()

    def pointer(self, table: TableName) -> str | None:
        """Return a table's current metadata file as the catalog has it now; ``None`` where there is no table."""
        rows = self._placement.rows
        if rows is not None:
            location = rows.location(table)
            return None if location is None else plain_path(location)
        base = self._placement.bases.load(table)
        return None if base is None else plain_path(base.location)

    def sharing(self, table: TableName, location: str) -> Sequence[str]:
        """Return the other tables that have files in a location, or around it; see :meth:`Remover.sharing`."""
        places = self._placement.neighbours.places(table)
        return sorted(name for name, folders in places.items() if overlapping(location, folders))

    def remove(self, paths: Collection[str]) -> None:
        """Delete files; see :meth:`Remover.remove`."""
        if not paths:
            return
        with ThreadPoolExecutor(max_workers=min(_WORKERS, len(paths)), thread_name_prefix="remove") as pool:
            # All of them end before the first error is raised: nothing is deleted behind the caller's back.
            ended = [pool.submit(self._remove, path) for path in paths]
        for one in ended:
            one.result()

    def _remove(self, path: str) -> None:
        with store_errors(self._store, f"deleting {path}"), suppress(FileNotFoundError):
            self._placement.io.delete(path)
