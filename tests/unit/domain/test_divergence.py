"""Ledger and table tell the same story, or the stream is halted with both sides named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from consumer.domain.batch import Evidence, Progress
from consumer.domain.divergence import check_divergence
from consumer.domain.errors import DivergenceError, Reaction

UPPER = datetime(2024, 1, 2, tzinfo=UTC)


def evidence(upper: datetime = UPPER, generation: int = 0, batch: int = 1) -> Evidence:
    return Evidence(upper=upper, generation=generation, batch_id=UUID(int=batch), snapshot_id=77)


def recorded(upper: datetime | None = UPPER, generation: int = 0) -> Progress:
    return Progress(last_upper=upper, generation=generation, last_batch_id=None if upper is None else UUID(int=1))


@pytest.mark.parametrize("generation", [0, 3])
def test_nothing_on_both_sides_is_the_same_story(generation: int) -> None:
    check_divergence(stream="trades", recorded=Progress(generation=generation), evidence=None)


@pytest.mark.parametrize("generation", [0, 3])
def test_the_same_upper_and_generation_are_the_same_story(generation: int) -> None:
    check_divergence(
        stream="trades", recorded=recorded(generation=generation), evidence=evidence(generation=generation)
    )


@pytest.mark.parametrize(
    ("last_upper", "found"),
    [
        pytest.param(UPPER, None, id="the table lost what the ledger recorded"),
        pytest.param(None, evidence(), id="the ledger lost what the table proves"),
        pytest.param(UPPER, evidence(UPPER - timedelta(microseconds=1)), id="the table was rolled back"),
        pytest.param(UPPER, evidence(UPPER + timedelta(microseconds=1)), id="the ledger was restored"),
        pytest.param(UPPER, evidence(generation=1), id="another generation"),
        pytest.param(UPPER, evidence(batch=2), id="a supplement was rolled back"),
    ],
)
def test_two_stories_halt_the_stream_and_name_both_sides(last_upper: datetime | None, found: Evidence | None) -> None:
    with pytest.raises(DivergenceError) as caught:
        check_divergence(stream="trades", recorded=recorded(last_upper), evidence=found)
    error = caught.value
    assert error.reaction is Reaction.HALT
    for side in (last_upper, found.upper if found is not None else None):
        assert (side.isoformat() if side is not None else "nothing") in error.message
    if found is not None:
        assert "snapshot 77" in error.message
    assert "icehaul repair trades" in error.remedy
