"""Checks of rows: hot tier against cold tier, and the ledger's record against the cold tier."""

from __future__ import annotations

from consumer.domain.audit import Check, CheckName, Figures, failed, passed
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.phrasing import counted
from consumer.service.audit.observation import Observation
from consumer.service.verify import Verification


def check_tiers(seen: Observation, found: Verification) -> Check:
    """Check that both tiers hold the same rows, or differ by what the ledger knows of and nothing else."""
    hot = sum((one.hot for one in seen.windows), EMPTY)
    cold = sum((one.cold for one in seen.windows), EMPTY)
    figures: Figures = {
        "hot rows": found.hot.rows,
        "cold rows": found.cold.rows,
        "hot digest": found.hot.hex,
        "cold digest": found.cold.hex,
        "dropped rows": found.dropped.rows,
        "dropped digest": found.dropped.hex,
        "in the hot tier only": found.missing,
        "in the cold tier only": found.surplus,
        "repeated sequences": None if found.sequence is None else found.sequence.repeated,
        "sequence gaps": None if found.sequence is None else found.sequence.gaps,
    }
    if found.equal:
        message = f"{counted(found.cold.rows, 'row')} in both tiers, with the same digest"
        if found.dropped.rows:
            message += f"; of these, {found.dropped.rows:,} were dropped from the hot tier on purpose"
        return passed(CheckName.TIERS, message, figures)
    if (found.hot + found.dropped, found.cold) == (hot, cold):
        message = (
            f"the hot tier has changed since it was read, as the ledger knows: {counted(found.surplus, 'row')} in the"
            f" cold tier only, {counted(found.missing, 'row')} in the hot tier only"
        )
        return passed(CheckName.TIERS, message, figures)
    return failed(
        CheckName.TIERS,
        f"{counted(found.missing, 'row')} in the hot tier only, {counted(found.surplus, 'row')} in the cold tier only",
        figures,
        remedy="late rows, and rows that the hot tier has lost, are found with the stream's next event: audit again"
        " after it. What differs then was changed in the table or on the store: see the other checks",
    )


def check_record(seen: Observation, own: Fingerprint) -> Check:
    """Check that the windows' recorded contents add up to the live data files'; ``own`` is the sum over these."""
    recorded = sum((one.cold for one in seen.windows), EMPTY)
    figures: Figures = {
        "recorded rows": recorded.rows,
        "rows of live files": own.rows,
        "recorded digest": recorded.hex,
        "digest of live files": own.hex,
    }
    if recorded == own:
        return passed(
            CheckName.RECORD,
            f"{counted(recorded.rows, 'row')} recorded in {counted(len(seen.windows), 'window')}, and as many, with the"
            " same digest, in the live files",
            figures,
        )
    return failed(
        CheckName.RECORD,
        f"{counted(recorded.rows, 'row')} recorded, {counted(own.rows, 'row')} in the live files"
        + ("" if recorded.rows != own.rows else ", with another digest"),
        figures,
        remedy="the check of registered files says whether the table was changed; if it passes, the ledger was edited"
        " or a data file overwritten: put it back",
    )
