"""What a query of icehaul may take of the ClickHouse server."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

from pydantic import Field

from consumer.settings.scalars import Size
from consumer.settings.section import Section

LIMITS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "threads": ("max_threads",),
        "memory": ("max_memory_usage",),
        "read_bandwidth": ("max_local_read_bandwidth", "max_remote_read_network_bandwidth"),
        "network_bandwidth": ("max_network_bandwidth",),
        "priority": ("priority",),
        "workload": ("workload",),
    }
)
"""ClickHouse's settings for each field of :class:`ClickHouseLimits`."""


class ClickHouseLimits(Section):
    """What one query of icehaul may take of a ClickHouse server, whether it plans, compares or reads rows."""

    threads: Annotated[int, Field(ge=1, le=1_024)] | None = None
    """Threads of one query (max_threads)."""
    memory: Annotated[Size, Field(ge=16 * 1024**2)] | None = None
    """Memory of one query (max_memory_usage), 16 MiB at least; a query that needs more fails, and is tried again."""
    read_bandwidth: Annotated[Size, Field(ge=64 * 1024)] | None = None
    """Bytes in a second that one query reads from disks and object stores (max_local_read_bandwidth,
    max_remote_read_network_bandwidth), 64 KiB at least."""
    network_bandwidth: Annotated[Size, Field(ge=64 * 1024)] | None = None
    """Bytes in a second that one query exchanges with other servers of its cluster (max_network_bandwidth), 64 KiB at
    least."""
    priority: Annotated[int, Field(ge=1, le=1_000)] | None = None
    """Priority of the queries: one waits while a query with a smaller number runs (priority)."""
    workload: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,126}$")] | None = None
    """Workload of the server's own scheduling that the queries belong to (workload)."""

    def settings(self) -> dict[str, str | int]:
        """Return the ClickHouse settings that say so."""
        given = {field: getattr(self, field) for field in LIMITS}
        return {
            setting: value if isinstance(value, str) else int(value)
            for field, value in given.items()
            if value is not None
            for setting in LIMITS[field]
        }


def limit_of(setting: str) -> str:
    """Return the field that is sent as a ClickHouse setting."""
    return next(field for field, settings in LIMITS.items() if setting in settings)
