"""What maintains target tables, on the servers of one process."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from consumer.adapters.iceberg.compacted_tables import IcebergCompactedTables
from consumer.adapters.postgres.maintenance import PostgresMaintenance
from consumer.bootstrap.servers import Servers
from consumer.service.batch_run import BatchRunner
from consumer.service.maintaining.compaction import Compaction
from consumer.service.maintaining.maintenance import Maintenance
from consumer.service.maintaining.task import MaintenanceTask


class Maintaining(Servers):
    """The tasks of maintenance, and what runs them on somebody's word."""

    @cached_property
    def maintenance_tasks(self) -> Sequence[MaintenanceTask]:
        """Every kind of maintenance, in the order in which it is done."""
        return (self.compaction,)

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
