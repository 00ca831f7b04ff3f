"""The cold tier's tables: :class:`consumer.ports.Catalog` wherever the catalog lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from pyiceberg.table.snapshots import Snapshot

from consumer.adapters.iceberg.catalog_probe import RestProbe, RowsProbe, probe_of
from consumer.adapters.iceberg.evidence import read_ancestry
from consumer.adapters.iceberg.file_checks import check_footer
from consumer.adapters.iceberg.footers import Footers
from consumer.adapters.iceberg.history import read_history
from consumer.adapters.iceberg.live_files import live_files
from consumer.adapters.iceberg.lost_tables import remains
from consumer.adapters.iceberg.metadata_files import home, kept_versions
from consumer.adapters.iceberg.moment import moments_of
from consumer.adapters.iceberg.origins import origin_of
from consumer.adapters.iceberg.past import changes_since, files_of, snapshot_named
from consumer.adapters.iceberg.placement import place
from consumer.adapters.iceberg.publish import Publisher, replaced
from consumer.adapters.iceberg.rest_tagging import tagger_of
from consumer.adapters.iceberg.row_orders import row_order
from consumer.adapters.iceberg.store import table_errors
from consumer.adapters.iceberg.table_sizes import TableSizes, total_of
from consumer.adapters.iceberg.tables import check_table, divided_by, new_metadata
from consumer.adapters.iceberg.target import Base
from consumer.adapters.iceberg.two_step import TwoStepPublisher
from consumer.adapters.postgres.database import Database
from consumer.domain.batch import Evidence, WrittenFile
from consumer.domain.cut import History
from consumer.domain.errors import LedgerUnavailableError, TargetMissingError
from consumer.domain.evolution import Evolution
from consumer.domain.mapping import TableMapping
from consumer.domain.schema_history import SchemaHistory
from consumer.domain.stream import Stream, TableName
from consumer.domain.window import BEGINNING, PartitionBy, Window
from consumer.failpoints.acting import Failpoints
from consumer.ports import Claim, Publication, TargetTable
from consumer.service.cut import Stand
from consumer.service.origins import Snapshot as OriginSnapshot
from consumer.service.restoring.ports import DataFile, PastTable
from consumer.service.view import Pin, Position
from consumer.settings.connections import CatalogSettings, StoreSettings


class IcebergCatalog:
    """Loads, creates, compares and publishes; one for the process, for all threads and streams."""

    def __init__(
        self,
        *,
        database: Database,
        catalog: CatalogSettings,
        store: StoreSettings,
        failpoints: Failpoints | None = None,
    ) -> None:
        self._failpoints = failpoints or Failpoints()
        self._store = store
        self._catalog = catalog
        placement = place(database, catalog, store, self._failpoints)
        self._placement = placement
        self._io, self._bases = placement.io, placement.bases
        self._footers = Footers(self._io, store)
        publisher = TwoStepPublisher if placement.two_step else Publisher
        self._publisher = publisher(
            database=database, placement=placement, footers=self._footers, store=store, failpoints=self._failpoints
        )
        self.moments = moments_of(database, placement)
        self.sizes = TableSizes(placement, store)
        self._tagger = tagger_of(placement, store)
        # What was compared last, and fitted: metadata and mapping never change, but are replaced.
        self._checked: dict[str, tuple[Base, Stream, TableMapping, Evolution]] = {}

    def close(self) -> None:
        """Close connections that the catalog has of its own; the next call opens them again."""
        self._placement.close()

    def probe(self) -> RowsProbe | RestProbe:
        """Return what tries the catalog."""
        return probe_of(self._placement, self._catalog)

    def make_tables(self) -> None:
        """Make the tables of a JDBC catalog in another database than the ledger's, unless they are there.

        Raises:
            AccessDeniedError, ConfigurationError, LedgerUnavailableError
        """
        rows = self._placement.rows
        if rows is not None and self._placement.two_step:
            rows.make_tables()

    def ensure(
        self, stream: Stream, mapping: TableMapping, *, expected_uuid: UUID | None, history: SchemaHistory = ()
    ) -> TargetTable:
        """Load or create the target and compare it with the stream; see :meth:`consumer.ports.Catalog.ensure`."""
        base = self._bases.load(stream.target)
        if base is None:
            if expected_uuid is not None:
                raise replaced(stream.name, stream.target, None)
            base = self._create(stream, mapping)
        if expected_uuid is not None and base.metadata.table_uuid != expected_uuid:
            raise replaced(stream.name, stream.target, base)
        evolution = self._fitted(base, stream, mapping, history)
        filled = frozenset(column.name for column in mapping.columns)
        return replace(
            self._target(base),
            schema=evolution.schema,
            evolution=evolution,
            filled=filled,
            partition_by=divided_by(base.metadata, stream.timestamp_column),
        )

    def _fitted(self, base: Base, stream: Stream, mapping: TableMapping, history: SchemaHistory) -> Evolution:
        checked = self._checked.get(stream.name)
        if checked is not None and all(
            one is other for one, other in zip(checked[:3], (base, stream, mapping), strict=True)
        ):
            return checked[-1]
        evolution = check_table(base.metadata, stream, mapping, history)
        self._checked[stream.name] = base, stream, mapping, evolution
        return evolution

    def inspect(self, table: TableName) -> TargetTable | None:
        """Load a target with its evidence; see :meth:`consumer.ports.Catalog.inspect`."""
        base = self._bases.load(table)
        return None if base is None else self._target(base)

    def remains(self, table: TableName) -> str | None:
        """Return the newest file of a table that was lost; see :meth:`consumer.ports.Catalog.remains`."""
        return None if self._placement.rows is None else remains(self._io, self._store, table)

    def check(self, target: TargetTable, stream: Stream, files: Sequence[WrittenFile]) -> None:
        """Compare each file's footer with what its task reported; see :meth:`consumer.ports.Catalog.check`."""
        footers = self._footers.read([file.path for file in files], fresh=True)
        for file, footer in zip(files, footers, strict=True):
            check_footer(footer, file, target, stream)

    def publish(self, publication: Publication) -> int:
        """Publish a batch; see :meth:`consumer.ports.Catalog.publish`.

        Raises:
            CheckFailedError: besides, if a file holds a row outside of its unit's window.
        """
        return self._publisher.publish(publication)

    def heal(self, stream: Stream, claim: Claim, *, final: bool) -> Claim:
        """Settle publishes whose outcome the ledger does not know; see :meth:`consumer.ports.Catalog.heal`."""
        return self._publisher.heal(stream, claim, final=final)

    def data_files(
        self,
        table: TableName,
        partition_by: PartitionBy,  # noqa: ARG002 - the table's own spec tells more
        window: Window | None,
    ) -> Sequence[str]:
        """Return the live data files; see :meth:`consumer.ports.Catalog.data_files`."""
        base = self._bases.load(table)
        if base is None:
            raise TargetMissingError(f"the table {table} does not exist", remedy="correct the name of the table")
        with table_errors(self._store, table, f"reading the manifests of {table}"):
            return list(live_files(base.table(self._io), window))

    def stands(self, streams: Sequence[Stream]) -> Mapping[str, Stand]:
        """Return what ledger and catalog say at one moment; see :meth:`consumer.service.cut.CutTables.stands`."""
        return {
            name: Stand(
                record=standing.record,
                evidence=None if standing.base is None else self._evidence(standing.base),
                history=History() if standing.base is None else read_history(standing.base.metadata),
            )
            for name, standing in self.moments.read(streams).items()
        }

    def positions(self, streams: Sequence[Stream]) -> Mapping[str, Position]:
        """Return where streams stand; see :meth:`consumer.service.view.PinnedTables.positions`."""
        return {
            name: (BEGINNING if record is None else record.watermark, location)
            for name, (record, location) in self.moments.locations(streams).items()
        }

    def pin(self, stream: Stream) -> Pin:
        """Return watermark and table of one moment; see :meth:`consumer.service.view.PinnedTables.pin`."""
        standing = self.moments.read([stream])[stream.name]
        base = standing.base
        if base is None:
            return Pin(record=standing.record)
        snapshot: Snapshot | None = base.metadata.current_snapshot()
        return Pin(
            record=standing.record,
            evidence=self._evidence(base),
            location=base.metadata.location,
            metadata=base.location,
            schema_id=base.metadata.current_schema_id,
            snapshot_id=None if snapshot is None else snapshot.snapshot_id,
            publishes=min(stream.retain_snapshots - 1, kept_versions(base.metadata)),
        )

    def sample(self, stream: Stream, pin: Pin) -> str | None:
        """Return a data file of a pinned snapshot; see :meth:`consumer.service.view.PinnedTables.sample`."""
        if pin.metadata is None:
            return None
        base = self._bases.at(stream.target, pin.metadata)
        with table_errors(self._store, stream.target, f"reading the manifests of {stream.target}"):
            return next(live_files(base.table(self._io), None), None)

    def tag(self, name: str, snapshots: Mapping[TableName, int]) -> None:
        """Give one tag to a snapshot of each table; see :meth:`Tagger.tag`."""
        self._tagger.tag(name, snapshots)

    def untag(self, name: str, tables: Sequence[TableName]) -> Sequence[TableName]:
        """Remove a tag, and return the tables that had it; see :meth:`Tagger.untag`."""
        return self._tagger.untag(name, tables)

    def snapshots(self, table: TableName) -> int:
        """Return how many snapshots the table's metadata lists; 0 where there is no table."""
        base = self._bases.load(table)
        return 0 if base is None else len(base.metadata.snapshots)

    def snapshot(self, stream: Stream, snapshot_id: int) -> OriginSnapshot | None:
        """Return what a snapshot says of its batch; see :meth:`consumer.service.origins.Snapshots.snapshot`."""
        base = self._bases.load(stream.target)
        found = None if base is None else base.metadata.snapshot_by_id(snapshot_id)
        return None if found is None else origin_of(found)

    def past(self, table: TableName, snapshot: int | str | None) -> PastTable | None:
        """Return a table at a snapshot; see :meth:`consumer.service.restoring.ports.PastTables.past`."""
        base = self._bases.load(table)
        if base is None:
            return None
        chosen = snapshot_named(table, base.metadata, snapshot)
        return PastTable(
            uuid=base.metadata.table_uuid,
            schema=base.metadata.schema(),
            order=row_order(base.metadata),
            snapshot_id=chosen,
            evidence=self._evidence(base),
            changes=changes_since(base.metadata, chosen),
        )

    def files_at(self, table: TableName, snapshot_id: int, window: Window) -> Sequence[DataFile]:
        """Return a snapshot's files; see :meth:`consumer.service.restoring.ports.PastTables.files_at`."""
        base = self._bases.load(table)
        if base is None:
            raise TargetMissingError(f"the table {table} does not exist", remedy="correct the name of the table")
        with table_errors(self._store, table, f"reading the manifests of {table}"):
            return files_of(base.table(self._io), snapshot_id, window)

    def properties(self, table: TableName) -> Mapping[str, str]:
        """Return the table's properties; none where there is no table."""
        base = self._bases.load(table)
        return {} if base is None else dict(base.metadata.properties)

    def _evidence(self, base: Base) -> Evidence | None:
        return self._publisher.evidence(base, read_ancestry(base.metadata))

    def _target(self, base: Base) -> TargetTable:
        metadata = base.metadata
        snapshot: Snapshot | None = metadata.current_snapshot()
        ancestry = read_ancestry(metadata)
        return TargetTable(
            name=base.name,
            uuid=metadata.table_uuid,
            location=metadata.location,
            schema=metadata.schema(),
            snapshot_id=None if snapshot is None else snapshot.snapshot_id,
            evidence=self._publisher.evidence(base, ancestry),
            lineage=ancestry.lineage,
            properties=dict(metadata.properties),
            order=row_order(metadata),
            rows=total_of(snapshot, "total-records"),
            bytes=total_of(snapshot, "total-files-size"),
        )

    def _create(self, stream: Stream, mapping: TableMapping) -> Base:
        name = stream.target
        if not stream.create_target:
            raise TargetMissingError(
                f"stream {stream.name}: the target {name} does not exist, and create_target is off",
                remedy=f"create the table {name}, or set create_target: true",
            )
        metadata = new_metadata(stream, mapping, home(self._store, name))
        made = self._placement.pointers.create(name, metadata)
        if made is not None:
            return made
        created = self._bases.load(name)
        if created is None:
            raise LedgerUnavailableError(
                f"the table {name} was created and dropped by somebody else at this moment",
                remedy="nothing to do: it is tried again",
            )
        return created
