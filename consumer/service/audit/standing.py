"""Checks of where a stream stands: windows, evidence, findings, state."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise

from consumer.domain.audit import Check, CheckName, Figures, failed, not_applicable, passed
from consumer.domain.divergence import check_divergence, repair_command
from consumer.domain.errors import DivergenceError
from consumer.domain.phrasing import counted, instant_text
from consumer.domain.window import BEGINNING
from consumer.ports import StreamState
from consumer.service.audit.observation import Observation


def check_windows(seen: Observation) -> Check:
    """Check that the windows that are done lead from the start to the watermark, each to the next.

    Below the start are those that were backfilled: they may leave gaps, and overlap nothing.
    """
    watermark, start = seen.record.watermark, seen.record.start
    bounds = [one.window for one in seen.windows]
    history = [window for window in bounds if window.lower < start]
    breaks = [
        f"overlap from {_instant(window.lower)} to {_instant(min(before.upper, window.upper))}"
        for before, window in pairwise(history)
        if window.lower < before.upper
    ]
    reached = max([start, *(window.upper for window in history)])
    for window in bounds[len(history) :]:
        if window.lower > reached:
            breaks.append(f"gap from {_instant(reached)} to {_instant(window.lower)}")
        elif window.lower < reached:
            breaks.append(f"overlap from {_instant(window.lower)} to {_instant(min(reached, window.upper))}")
        reached = max(reached, window.upper)
    if reached < watermark:
        breaks.append(f"gap from {_instant(reached)} to the watermark {_instant(watermark)}")
    elif reached > watermark:
        breaks.append(f"windows up to {_instant(reached)} are done, the watermark is {_instant(watermark)}")
    figures: Figures = {
        "windows": len(bounds),
        "backfilled windows": len(history),
        "start": _instant(start),
        "last window ends": _instant(reached),
        "watermark": _instant(watermark),
    }
    if not breaks:
        return passed(CheckName.WINDOWS, f"{counted(len(bounds), 'window')} without gap or overlap", figures)
    message = f"{counted(len(breaks), 'break')} in the ledger's windows"
    return failed(CheckName.WINDOWS, message, figures, remedy=repair_command(seen.stream.name), listed=breaks)


def check_evidence(seen: Observation) -> Check:
    """Check that the table that the ledger knows is there, and proves the ledger's progress."""
    record, cold = seen.record, seen.table()
    evidence = cold.target.evidence if cold is not None else None
    figures: Figures = {
        "ledger's last batch": _text(record.last_batch_id),
        "table's last batch": None if evidence is None else str(evidence.batch_id),
        "ledger's last upper": None if record.last_upper is None else _instant(record.last_upper),
        "table's last upper": None if evidence is None or evidence.upper is None else _instant(evidence.upper),
        "ledger's target UUID": _text(record.target_uuid),
        "table's UUID": None if cold is None else str(cold.target.uuid),
    }
    known, table = record.target_uuid, seen.stream.target
    if cold is None and known is not None:
        return failed(
            CheckName.EVIDENCE,
            f"the target {table} does not exist, but the ledger knows it",
            figures,
            remedy="restore the table in the catalog; see `icehaul status` for what the ledger has recorded",
        )
    if cold is not None and known not in {None, cold.target.uuid}:
        return failed(
            CheckName.EVIDENCE,
            f"the target {table} is not the table that the ledger knows",
            figures,
            remedy="put the old table back, or give the stream another target",
        )
    try:
        check_divergence(stream=record.stream, recorded=record.progress, evidence=evidence)
    except DivergenceError as error:
        return failed(CheckName.EVIDENCE, error.message, figures, remedy=error.remedy)
    if evidence is None:
        return not_applicable(CheckName.EVIDENCE, "no batch was published yet")
    return passed(CheckName.EVIDENCE, f"snapshot {evidence.snapshot_id} proves what the ledger has recorded", figures)


def check_findings(seen: Observation) -> Check:
    """Check that an operator has taken note of everything that was found in the source."""
    opened = [finding for finding in seen.findings if not finding.accepted]
    figures: Figures = {"open": len(opened), "accepted": len(seen.findings) - len(opened)}
    if not opened:
        return passed(CheckName.FINDINGS, "none is open", figures)
    return failed(
        CheckName.FINDINGS,
        f"{counted(len(opened), 'finding')} of {counted(sum(one.rows for one in opened), 'row')} open",
        figures,
        listed=[f"{one.kind} in {one.window}: {one.detail}" for one in opened],
        remedy="settle them in the source, or take note of them:"
        f" `icehaul resume {seen.stream.name} --accept-findings`",
    )


def check_state(seen: Observation) -> Check:
    """Check that the stream is worked on."""
    record = seen.record
    figures: Figures = {"state": record.state.value, "parked events": seen.parked}
    if record.state is StreamState.HALTED:
        remedy = record.halt_remedy or f"`icehaul resume {record.stream}`"
        return failed(CheckName.STATE, f"halted: {record.halt_reason}", figures, remedy=remedy)
    if seen.parked:
        return failed(
            CheckName.STATE,
            f"active, but {counted(seen.parked, 'event')} parked: nobody takes them up",
            figures,
            remedy=f"send them again: `icehaul resume {record.stream}`",
        )
    return passed(CheckName.STATE, "active", figures)


def _instant(value: datetime) -> str:
    return "beginning" if value == BEGINNING else instant_text(value)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
