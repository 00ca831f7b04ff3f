"""What maintains target tables, on the servers of one process."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from consumer.adapters.iceberg.census import IcebergFiles
from consumer.adapters.iceberg.compacted_tables import IcebergCompactedTables
from consumer.adapters.iceberg.remover import IcebergRemover
from consumer.adapters.postgres.attempts import PostgresAttempts
from consumer.adapters.postgres.maintenance import PostgresMaintenance
from consumer.adapters.postgres.removals import PostgresRemovals
from consumer.bootstrap.servers import Servers
from consumer.service.batch_run import BatchRunner
from consumer.service.maintaining.compaction import Compaction
from consumer.service.maintaining.maintenance import Maintenance
from consumer.service.maintaining.removal import Removal
from consumer.service.maintaining.superfluous import SuperfluousFiles
from consumer.service.maintaining.task import MaintenanceTask


class Maintaining(Servers):
    """The tasks of maintenance, and what runs them on somebody's word."""

    @cached_property
    def maintenance_tasks(self) -> Sequence[MaintenanceTask]:
        """Every kind of maintenance, in the order in which it is done."""
        return (self.compaction, self.removal)

    @cached_property
    def maintenance_records(self) -> PostgresMaintenance:
        """What the ledger knows of maintenance."""
        return PostgresMaintenance(self.database)

    @cached_property
    def compaction(self) -> Compaction:
        """Puts small data files together."""
        settings = self.configuration
        tables = IcebergCompactedTables(database=self.database, catalog=settings.catalog, store=settings.store)
        self._closing.callback(tables.close)
        runner = BatchRunner(
            source=self.source,
            ledger=self.ledger,
            catalog=self.catalog,
            engine=self.engine,
            metrics=self.metrics,
            failpoints=self.failpoints,
        )
        return Compaction(
            tables=tables,
            ledger=self.ledger,
            records=self.maintenance_records,
            runner=runner,
            failpoints=self.failpoints,
        )

    @cached_property
    def superfluous_files(self) -> SuperfluousFiles:
        """Finds the files under target tables that nothing refers to."""
        settings = self.configuration
        files = IcebergFiles(database=self.database, catalog=settings.catalog, store=settings.store)
        self._closing.callback(files.close)
        return SuperfluousFiles(
            catalog=self.catalog,
            attempts=PostgresAttempts(self.database),
            files=files,
            removals=PostgresRemovals(self.database),
            remover=self.remover,
        )

    @cached_property
    def remover(self) -> IcebergRemover:
        """Deletes files of target tables."""
        settings = self.configuration
        remover = IcebergRemover(database=self.database, catalog=settings.catalog, store=settings.store)
        self._closing.callback(remover.close)
        return remover

    @cached_property
    def removal(self) -> Removal:
        """Removes the files that nothing refers to."""
        return Removal(
            superfluous=self.superfluous_files,
            ledger=self.ledger,
            catalog=self.catalog,
            removals=PostgresRemovals(self.database),
            remover=self.remover,
            metrics=self.metrics,
            failpoints=self.failpoints,
        )

    @cached_property
    def maintenance(self) -> Maintenance:
        """Maintains target tables."""
        return Maintenance(
            tasks=self.maintenance_tasks,
            source=self.source,
            ledger=self.ledger,
            catalog=self.catalog,
            engine=self.engine,
            owner=self.owner,
            lease=self.lease,
            failpoints=self.failpoints,
        )
