"""Telling whether ledger and target table tell the same story."""

from __future__ import annotations

from consumer.domain.batch import Evidence, Progress
from consumer.domain.errors import DivergenceError
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.reconcile import RecordedWindow
from consumer.domain.stream import Stream


def check_divergence(*, stream: str, recorded: Progress, evidence: Evidence | None) -> None:
    """Compare the ledger's last batch and last non-empty upper with the evidence on the table's ancestry.

    The upper alone would not do: a supplement leaves it as it is, and may be rolled back like any batch. The ledger's
    generation may be above the table's, once what the table did not prove was withdrawn, and never below it.

    Raises:
        DivergenceError: naming both sides; an operator decides which one is right.
    """
    if evidence is None and recorded.last_batch_id is None:
        return
    if (
        evidence is not None
        and (recorded.last_upper, recorded.last_batch_id) == (evidence.upper, evidence.batch_id)
        and recorded.generation >= evidence.generation
    ):
        return
    ledger = "nothing" if recorded.last_batch_id is None else _story(recorded)
    table = "nothing"
    if evidence is not None:
        proven = Progress(last_upper=evidence.upper, generation=evidence.generation, last_batch_id=evidence.batch_id)
        table = f"{_story(proven)} in snapshot {evidence.snapshot_id}"
    raise DivergenceError(
        f"stream {stream}: the ledger has recorded {ledger}; the target table's current snapshot proves {table}",
        remedy=repair_command(stream),
    )


def held_otherwise(stream: Stream, recorded: RecordedWindow, found: Fingerprint, remedy: str) -> DivergenceError:
    """Return the error for a window of which the data files hold other rows than those that are recorded."""
    return DivergenceError(
        f"stream {stream.name}: the data files of {stream.target} hold {found.rows} rows of the window"
        f" {recorded.window} with digest {found.hex}, {recorded.cold.rows} rows with digest {recorded.cold.hex} are"
        " recorded",
        remedy=remedy,
    )


def repair_command(stream: str) -> str:
    """Return the remedy for a ledger and a table that tell different stories."""
    return (
        f"run `icehaul repair {stream}`, which shows what the table was changed by (rolled back, dropped, restored) or"
        " the ledger (edited, restored), and with --yes makes the ledger follow the table"
    )


def _story(progress: Progress) -> str:
    upper = "no window" if progress.last_upper is None else f"rows up to {progress.last_upper.isoformat()}"
    return f"{upper} (generation {progress.generation}, last batch {progress.last_batch_id})"
