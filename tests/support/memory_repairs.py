"""Repairs on the servers in memory."""

from __future__ import annotations

from datetime import timedelta

from consumer.failpoints.acting import Failpoints
from consumer.service.repair.repairer import Repairs
from consumer.testing.catalog import MemoryCatalog
from consumer.testing.engine import MemoryEngine
from consumer.testing.files import MemoryFiles
from consumer.testing.ledger import MemoryLedger
from consumer.testing.source import MemorySource


def memory_repairs(
    *,
    source: MemorySource,
    ledger: MemoryLedger,
    catalog: MemoryCatalog,
    engine: MemoryEngine,
    owner: str = "me",
    failpoints: Failpoints | None = None,
) -> Repairs:
    """Return what repairs streams whose servers are in memory."""
    return Repairs(
        source=source,
        ledger=ledger,
        repairs=ledger.repairs,
        catalog=catalog,
        files=MemoryFiles(catalog, engine.written),
        attempts=ledger.recorded,
        owner=owner,
        lease=timedelta(seconds=30),
        failpoints=failpoints or Failpoints(),
    )
