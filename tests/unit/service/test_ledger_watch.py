"""What the ledger needs no more goes in small steps, and nothing that fails stops the rest."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from consumer.domain.errors import LedgerUnavailableError
from consumer.service.ledger_watch import LedgerWatch, Remains
from consumer.settings.connections import ConsumerSettings

AGE = timedelta(days=90)


class Remaining:
    """A ledger with so many remains of each kind; ``broken`` kinds can't be pruned now."""

    def __init__(self, rows: int, *, broken: frozenset[Remains] = frozenset()) -> None:
        self.rows = dict.fromkeys(Remains, rows)
        self.broken = broken
        self.largest = 0
        self.steps = 0
        self.stop = threading.Event()
        self.stop_after = 10_000

    def prune(self, remains: Remains, age: timedelta, limit: int) -> int:
        assert age == AGE
        if remains in self.broken:
            raise LedgerUnavailableError("it is away", remedy="wait")
        self.steps += 1
        if self.steps >= self.stop_after:
            self.stop.set()
        gone = min(limit, self.rows[remains])
        self.rows[remains] -= gone
        self.largest = max(self.largest, gone)
        return gone


def look(ledger: Remaining) -> list[tuple[str, str]]:
    """Look once, and return what was logged: event and kind."""
    with capture_logs() as said:
        LedgerWatch(ledger=ledger, age=AGE).look(ledger.stop)
    return [(line["event"], line["kind"]) for line in said]


def test_everything_goes_in_small_steps() -> None:
    ledger = Remaining(1_700)
    assert look(ledger) == [("ledger.pruned", kind.value) for kind in Remains]
    assert not any(ledger.rows.values())
    assert ledger.largest <= 500


def test_one_look_has_an_end_and_the_next_goes_on() -> None:
    ledger = Remaining(10**6)
    look(ledger)
    left = dict(ledger.rows)
    assert all(left.values())
    look(ledger)
    assert all(ledger.rows[kind] < left[kind] for kind in Remains)


def test_where_there_is_nothing_nothing_is_said() -> None:
    assert look(Remaining(0)) == []


def test_a_kind_that_fails_stops_no_other() -> None:
    ledger = Remaining(5, broken=frozenset({Remains.PARKED}))
    assert look(ledger)[0] == ("ledger.not_pruned", "parked")
    assert ledger.rows == {Remains.PARKED: 5, Remains.EMISSIONS: 0, Remains.DIFFERENCES: 0}


def test_a_consumer_that_ends_waits_for_one_step_at_most() -> None:
    ledger = Remaining(10**6)
    ledger.stop_after = 1
    look(ledger)
    assert ledger.steps == 1


@pytest.mark.parametrize("value", ["6d", "0s", "1h"])
def test_a_history_that_is_too_short_is_refused_by_name(value: str) -> None:
    with pytest.raises(ValidationError, match="ledger_history"):
        ConsumerSettings(ledger_history=value)
    assert ConsumerSettings(ledger_history="7d").ledger_history == timedelta(days=7)
