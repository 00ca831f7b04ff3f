"""Windows come from the source's time in UTC: no other clock moves them, however wrong it is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from consumer.domain.window import Window
from tests.unit.service.test_offload import NEVER, NOW, World, event, make_stream, rows

HOUR = timedelta(hours=1)


def windows(*clocks: datetime) -> list[Window]:
    """The windows of two days of rows, offloaded by events at whose handling the ledger's clock stood so."""
    world = World({"trades": make_stream()})
    world.insert(*rows(9))
    for number, clock in enumerate(clocks):
        world.now[0] = clock
        world.offload().handle(event(cutoff=NOW - timedelta(days=1) + number * HOUR), NEVER)
    assert world.cold() == world.hot()
    return sorted(batch.window for batch in world.ledger.batches("trades", 1_000))


@pytest.mark.parametrize(
    "clocks",
    [(NOW + HOUR, NOW + HOUR), (NOW - HOUR, NOW - HOUR), (NOW + HOUR, NOW - HOUR), (NOW, NOW - 365 * 24 * HOUR)],
    ids=["an hour ahead", "an hour behind", "two hours back in between", "a year back in between"],
)
def test_a_ledger_whose_clock_is_wrong_makes_the_same_windows(clocks: tuple[datetime, datetime]) -> None:
    assert windows(*clocks) == windows(NOW, NOW)


@pytest.fixture(params=["America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A zone of this machine that keeps daylight saving, by half an hour in one case, or no whole hours."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("shift", [0.0, 3600.0, -3600.0])
def test_neither_this_machines_zone_nor_its_clock_moves_a_window(
    zone: str, shift: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = windows(NOW, NOW)
    assert time.tzname[0] != "UTC", zone
    true_time = time.time
    monkeypatch.setattr(time, "time", lambda: true_time() + shift)
    assert windows(NOW, NOW) == expected
