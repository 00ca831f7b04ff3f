"""What maintains target tables, on the servers of one process."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from consumer.bootstrap.servers import Servers
from consumer.service.maintaining.maintenance import Maintenance
from consumer.service.maintaining.task import MaintenanceTask


class Maintaining(Servers):
    """The tasks of maintenance, and what runs them on somebody's word."""

    @cached_property
    def maintenance_tasks(self) -> Sequence[MaintenanceTask]:
        """Every kind of maintenance, in the order in which it is done."""
        return ()

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
