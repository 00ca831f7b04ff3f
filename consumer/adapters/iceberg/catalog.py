"""The cold tier's tables: :class:`consumer.ports.Catalog` over Iceberg's JDBC catalog in Postgres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from pyiceberg.serializers import ToOutputFile
from pyiceberg.table.locations import load_location_provider
from pyiceberg.table.snapshots import Snapshot

from consumer.adapters.iceberg.evidence import read_ancestry
from consumer.adapters.iceberg.file_checks import check_footer
from consumer.adapters.iceberg.footers import Footers
from consumer.adapters.iceberg.history import read_history
from consumer.adapters.iceberg.live_files import live_files
from consumer.adapters.iceberg.metadata_files import kept_versions
from consumer.adapters.iceberg.moment import Moments
from consumer.adapters.iceberg.publish import Publisher, replaced
from consumer.adapters.iceberg.rows import CatalogRows
from consumer.adapters.iceberg.store import StoreFileIO, store_errors, table_errors
from consumer.adapters.iceberg.tables import check_table, new_metadata
from consumer.adapters.iceberg.tagging import Tagger
from consumer.adapters.iceberg.target import Base, Bases
from consumer.adapters.postgres.database import Database
from consumer.domain.batch import Evidence, WrittenFile
from consumer.domain.cut import History
from consumer.domain.errors import LedgerUnavailableError, TargetMissingError, UnknownCommitError
from consumer.domain.mapping import TableMapping
from consumer.domain.stream import Stream, TableName
from consumer.domain.window import BEGINNING, PartitionBy, Window
from consumer.failpoints.acting import Failpoints
from consumer.ports import Publication, TargetTable
from consumer.service.cut import Stand
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
        self._io = StoreFileIO(store)
        self._rows = CatalogRows(database, catalog.name)
        self._bases = Bases(self._rows, self._io, store)
        self._footers = Footers(self._io, store)
        self._publisher = Publisher(
            database=database,
            rows=self._rows,
            bases=self._bases,
            footers=self._footers,
            io=self._io,
            store=store,
            failpoints=self._failpoints,
        )
        self.moments = Moments(self._rows, self._bases)
        self._tagger = Tagger(database=database, rows=self._rows, bases=self._bases, io=self._io, store=store)

    def ensure(self, stream: Stream, mapping: TableMapping, *, expected_uuid: UUID | None) -> TargetTable:
        """Load or create the target and compare it with the stream; see :meth:`consumer.ports.Catalog.ensure`."""
        base = self._bases.load(stream.target)
        if base is None:
            if expected_uuid is not None:
                raise replaced(stream.name, stream.target, None)
            base = self._create(stream, mapping)
        if expected_uuid is not None and base.metadata.table_uuid != expected_uuid:
            raise replaced(stream.name, stream.target, base)
        check_table(base.metadata, stream, mapping)
        return self._target(base)

    def inspect(self, table: TableName) -> TargetTable | None:
        """Load a target with its evidence; see :meth:`consumer.ports.Catalog.inspect`."""
        base = self._bases.load(table)
        return None if base is None else self._target(base)

    def check(self, target: TargetTable, stream: Stream, files: Sequence[WrittenFile]) -> None:
        """Compare each file's footer with what its task reported; see :meth:`consumer.ports.Catalog.check`."""
        footers = self._footers.read([file.path for file in files], fresh=True)
        for file, footer in zip(files, footers, strict=True):
            check_footer(footer, file, target.schema, stream)

    def publish(self, publication: Publication) -> int:
        """Publish a batch in one transaction; see :meth:`consumer.ports.Catalog.publish`.

        Raises:
            CheckFailedError: besides, if a file holds a row outside of its unit's window.
        """
        return self._publisher.publish(publication)

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
            for name, (record, location) in self._rows.together(streams).items()
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
        )

    def _create(self, stream: Stream, mapping: TableMapping) -> Base:
        name = stream.target
        if not stream.create_target:
            raise TargetMissingError(
                f"stream {stream.name}: the target {name} does not exist, and create_target is off",
                remedy=f"create the table {name}, or set create_target: true",
            )
        metadata = new_metadata(stream, mapping, f"{self._store.warehouse}/{name.database}/{name.table}")
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
        created = self._bases.load(name)
        if created is None:
            raise LedgerUnavailableError(
                f"the table {name} was created and dropped by somebody else at this moment",
                remedy="nothing to do: it is tried again",
            )
        return created
