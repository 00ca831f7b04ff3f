"""Telling whether ledger and target table tell the same story."""

from __future__ import annotations

from consumer.domain.batch import Evidence, Progress
from consumer.domain.errors import DivergenceError


def check_divergence(*, stream: str, recorded: Progress, evidence: Evidence | None) -> None:
    """Compare the ledger's last batch, last non-empty upper and generation with the evidence on the table's ancestry.

    The upper alone would not do: a supplement leaves it as it is, and may be rolled back like any batch.

    Raises:
        DivergenceError: naming both sides; an operator decides which one is right.
    """
    if evidence is None and recorded.last_batch_id is None:
        return
    if evidence is not None and recorded == Progress(
        last_upper=evidence.upper, generation=evidence.generation, last_batch_id=evidence.batch_id
    ):
        return
    ledger = "nothing" if recorded.last_batch_id is None else _story(recorded)
    table = "nothing"
    if evidence is not None:
        proven = Progress(last_upper=evidence.upper, generation=evidence.generation, last_batch_id=evidence.batch_id)
        table = f"{_story(proven)} in snapshot {evidence.snapshot_id}"
    raise DivergenceError(
        f"stream {stream}: the ledger has recorded {ledger}; the target table's current snapshot proves {table}",
        remedy="find out who changed the table or the ledger (rolled back, dropped, restored, edited); put the side"
        f" that is wrong back, then run `icehaul resume {stream}`",
    )


def _story(progress: Progress) -> str:
    upper = "no window" if progress.last_upper is None else f"rows up to {progress.last_upper.isoformat()}"
    return f"{upper} (generation {progress.generation}, last batch {progress.last_batch_id})"
