"""The id of a batch: the same work has the same one, other work another."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from consumer.domain.batch import BatchKind, batch_id
from consumer.domain.window import Window

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def identifier(**changes: object) -> UUID:
    fields: dict[str, object] = {
        "source_uuid": UUID(int=1),
        "target_uuid": UUID(int=2),
        "kind": BatchKind.WINDOW,
        "window": Window(lower=NOON, upper=NOON + HOUR),
        "generation": 1,
    }
    return batch_id(**{**fields, **changes})  # type: ignore[arg-type]


def test_the_same_work_has_the_same_id_in_every_version() -> None:
    assert identifier() == UUID("840c9b60-f38c-5e63-93c5-57054d845531")


@pytest.mark.parametrize(
    "change",
    [
        {"source_uuid": UUID(int=3)},
        {"target_uuid": UUID(int=3)},
        {"window": Window(lower=NOON - HOUR, upper=NOON + HOUR)},
        {"window": Window(lower=NOON, upper=NOON + 2 * HOUR)},
        {"generation": 2},
    ],
    ids=["another source", "another target", "another lower", "another upper", "written anew"],
)
def test_other_work_has_another_id(change: dict[str, object]) -> None:
    assert identifier(**change) != identifier()
