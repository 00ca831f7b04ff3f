"""What a consumer holds of the machine and of its servers at a moment when nothing is under way."""

from __future__ import annotations

import gc
import os
import tempfile
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pyarrow as pa

from tests.support.processes import children, family, pss_kib
from tests.support.tcp_proxy import TcpProxy

_PROXY_THREADS = ("(_pump)", "(_take)")
_LEDGER = """
SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()),
       (SELECT count(*) FROM offload_attempts), (SELECT count(*) FROM offload_batches),
       (SELECT count(*) FROM offload_parked) + (SELECT count(*) FROM offload_outbox),
       (SELECT coalesce(max(cardinality(event_ids)), 0) FROM offload_batches),
       (SELECT coalesce(sum(attempts), 0) FROM offload_batches)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """A figure that must not grow.

    Attributes:
        meaning: what is counted.
        slack: by how much it may differ between two moments without anything having leaked.
    """

    meaning: str
    slack: float


GAUGES: Mapping[str, Gauge] = {
    "threads": Gauge(meaning="threads of the consumer's process", slack=3),
    "descriptors": Gauge(meaning="open files and sockets of the consumer's process", slack=6),
    "processes": Gauge(meaning="the consumer's process and its descendants", slack=1),
    "temporary_files": Gauge(meaning="files in the temporary directory", slack=2),
    "memory_mib": Gauge(meaning="memory of the consumer's process", slack=32),
    "children_mib": Gauge(meaning="memory of Spark's JVM and its Python workers", slack=160),
    "connections": Gauge(meaning="connections to the ledger's database", slack=6),
    "attempts": Gauge(meaning="rows of offload_attempts", slack=0),
    "batches": Gauge(meaning="rows of offload_batches", slack=0),
    "events_waiting": Gauge(meaning="rows of offload_parked and offload_outbox", slack=0),
    "events_of_a_batch": Gauge(meaning="event ids that a batch keeps, at most", slack=0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """All gauges at one moment, after so many failed batches."""

    failed: int
    figures: Mapping[str, float]


def read_gauges(dsn: str, proxies: Sequence[TcpProxy], strangers: Collection[int]) -> Reading:
    """Read all gauges.

    What belongs to the ``proxies``, which live in the same process, is left out, and so are the ``strangers``: children
    of this process, with theirs, that are none of the consumer's.
    """
    gc.collect()
    pa.default_memory_pool().release_unused()
    with psycopg.connect(dsn) as connection:
        found = connection.execute(_LEDGER).fetchone()
    assert found is not None
    connections, attempts, batches, waiting, event_ids, failed = found
    links = sum(proxy.connections for proxy in proxies)
    threads = sum(thread.name.endswith(_PROXY_THREADS) for thread in threading.enumerate())
    started = [pid for child in children(os.getpid()) if child not in strangers for pid in family(child)]
    return Reading(
        failed=int(failed),
        figures={
            "threads": _entries("/proc/self/task") - threads,
            "descriptors": _entries("/proc/self/fd") - 2 * links,
            "processes": 1 + len(started),
            "temporary_files": sum(1 for path in Path(tempfile.gettempdir()).rglob("*") if path.is_file()),
            "memory_mib": round(_resident_kib() / 1024, 1),
            "children_mib": round(sum(pss_kib(pid) for pid in started) / 1024, 1),
            "connections": connections,
            "attempts": attempts,
            "batches": batches,
            "events_waiting": waiting,
            "events_of_a_batch": event_ids,
        },
    )


def _entries(directory: str) -> int:
    return sum(1 for _ in Path(directory).iterdir())


def _resident_kib() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
