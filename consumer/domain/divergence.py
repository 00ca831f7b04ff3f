"""Telling whether ledger and target table tell the same story."""

from __future__ import annotations

from datetime import datetime

from consumer.domain.batch import Evidence
from consumer.domain.errors import DivergenceError


def check_divergence(*, stream: str, last_upper: datetime | None, generation: int, evidence: Evidence | None) -> None:
    """Compare the ledger's last non-empty upper and generation with the evidence on the table's ancestry.

    Raises:
        DivergenceError: naming both sides; an operator decides which one is right.
    """
    if evidence is None and last_upper is None:
        return
    if evidence is not None and last_upper == evidence.upper and generation == evidence.generation:
        return
    ledger = "nothing" if last_upper is None else f"rows up to {last_upper.isoformat()} (generation {generation})"
    table = (
        "nothing"
        if evidence is None
        else f"rows up to {evidence.upper.isoformat()} (generation {evidence.generation},"
        f" snapshot {evidence.snapshot_id})"
    )
    raise DivergenceError(
        f"stream {stream}: the ledger has recorded {ledger}, the target table's current snapshot proves {table}",
        remedy="find out who changed the table or the ledger (rolled back, dropped, restored, edited); put the side"
        f" that is wrong back, then run `icehaul resume {stream}`",
    )
