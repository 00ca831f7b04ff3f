"""Which partitions are closed; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from consumer.domain.inventory import Inventory, Partition
from consumer.domain.window import END_OF_TIME


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """A closed partition; everything before ``cutoff`` should be offloaded."""

    partition: Partition
    cutoff: datetime


def find_closings(
    inventory: Inventory, *, sent: Mapping[str, str], now: datetime, quiet_for: timedelta
) -> tuple[Closing, ...]:
    """Return the partitions that are closed and whose present content was not sent, newest first.

    The newest close asks for all that the older ones ask for: handled first, it makes one plan with large batches
    of a backlog, and the others find nothing left to do.

    A partition is closed when no part was written to it for ``quiet_for``, and newer data exists, or its period
    is past. Newer data is a partition that begins after this one's last row: partitions by exchange or by hash,
    which grow side by side, do not close each other, and have no period either; ticks serve them.

    Args:
        inventory: the partitions of one source table.
        sent: content id of the last close that was sent, by partition id.
        now: the server's time (UTC), the clock that wrote the parts.
        quiet_for: the grace time, not below the settle lag; a merge counts as a write, which only delays.
    """
    latest_start = max((partition.first for partition in inventory.partitions), default=now)
    closed = [
        Closing(partition=partition, cutoff=end)
        for partition, end in ((partition, period_end(partition, inventory)) for partition in inventory.partitions)
        if partition.modified + quiet_for <= now
        and (latest_start > partition.last or (inventory.period is not None and end <= now))
        and sent.get(partition.id) != partition.content.id
    ]
    return tuple(sorted(closed, key=lambda closing: (closing.cutoff, closing.partition.id), reverse=True))


def period_end(partition: Partition, inventory: Inventory) -> datetime:
    """Return the end of a partition's period, or the first instant above its last row where it has none."""
    if inventory.period is not None:
        return min(inventory.period.ceil(partition.last), END_OF_TIME)
    # The time column reaches no further than END_OF_TIME and a fraction.
    return min(partition.last + inventory.precision, END_OF_TIME)
