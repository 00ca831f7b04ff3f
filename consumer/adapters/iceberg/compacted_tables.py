"""Tables as compaction looks at them: the port ``CompactedTables`` on metadata and store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from consumer.adapters.iceberg.compactable import layout_of, table_state
from consumer.adapters.iceberg.footers import Footers
from consumer.adapters.iceberg.placement import place
from consumer.adapters.iceberg.store import table_errors
from consumer.adapters.iceberg.tables import divided_by
from consumer.adapters.postgres.database import Database
from consumer.domain.compaction import Layout, TableState
from consumer.domain.file_options import FileOptions
from consumer.domain.stream import Stream
from consumer.domain.window import BEGINNING
from consumer.settings.connections import CatalogSettings, StoreSettings


class IcebergCompactedTables:
    """Reads manifests and footers; writes nothing."""

    def __init__(self, *, database: Database, catalog: CatalogSettings, store: StoreSettings) -> None:
        self._store = store
        placement = place(database, catalog, store)
        self._io, self._bases = placement.io, placement.bases
        self._footers = Footers(self._io, store)
        self._close = placement.close

    def close(self) -> None:
        """Close connections that it has of its own; the next call opens them again."""
        self._close()

    def state(self, stream: Stream, watermark: datetime) -> TableState | None:
        """Return the files of a stream's target; see :meth:`CompactedTables.state`."""
        base = self._bases.load(stream.target)
        if base is None or watermark <= BEGINNING:
            return None
        partition_by = divided_by(base.metadata, stream.timestamp_column) or stream.partition_by
        with table_errors(self._store, base.name, f"reading the manifests of {base.name}"):
            return table_state(base.table(self._io), partition_by, watermark)

    def file_bytes(self, stream: Stream) -> int | None:
        """Return the size that the target asks of its files; see :meth:`CompactedTables.file_bytes`."""
        base = self._bases.load(stream.target)
        return None if base is None else FileOptions.of(base.name, base.metadata.properties).file_bytes

    def layouts(self, stream: Stream, paths: Sequence[str]) -> Mapping[str, Layout]:
        """Return how data files were written; see :meth:`CompactedTables.layouts`."""
        base = self._bases.load(stream.target)
        if base is None or not paths:
            return {}
        footers = self._footers.read(paths, fresh=False)
        found = ((footer.path, layout_of(base.metadata, footer)) for footer in footers)
        return {path: layout for path, layout in found if layout is not None}
