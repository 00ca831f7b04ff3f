"""Whose turn it is: streams in danger, then the order that the operator wants."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from consumer.domain.turns import Rank, StreamOrder, rank

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
Place = tuple[datetime | None, datetime | None, datetime | None]
# watermark, loss, danger
STREAMS: dict[str, Place] = {
    "backlog": (NOON - 9000 * HOUR, None, None),
    "small tick": (NOON - HOUR, None, None),
    "short TTL": (NOON - 48 * HOUR, NOON + 30 * HOUR, None),
    "in danger": (NOON - 2 * HOUR, NOON + HOUR, NOON + HOUR),
}
ORDERS = {
    StreamOrder.WAITING: ["in danger"],
    StreamOrder.OLDEST: ["in danger", "backlog", "short TTL", "small tick"],
    StreamOrder.NEWEST: ["in danger", "small tick", "short TTL", "backlog"],
    StreamOrder.TIME_TO_LOSS: ["in danger", "short TTL"],
}


def ranked(order: StreamOrder, place: Place) -> Rank | None:
    watermark, loss, danger = place
    return rank(order, watermark=watermark, loss=loss, danger=danger)


@pytest.mark.parametrize("order", StreamOrder)
def test_streams_come_in_the_order_that_is_asked_for_and_those_in_danger_first(order: StreamOrder) -> None:
    ranks = {name: found for name, place in STREAMS.items() if (found := ranked(order, place)) is not None}
    assert sorted(ranks, key=ranks.__getitem__) == ORDERS[order]


@pytest.mark.parametrize("order", StreamOrder)
def test_what_is_not_known_of_a_stream_gives_it_no_rank(order: StreamOrder) -> None:
    assert ranked(order, (None, None, None)) is None
