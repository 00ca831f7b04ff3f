"""A lease is renewed as long as the work runs, released at its end, and its loss is noticed."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from consumer.domain.errors import FencedError, IcehaulError, LedgerUnavailableError
from consumer.ports import Claim
from consumer.service.lease import LeaseKeeper
from consumer.testing.ledger import MemoryLedger
from tests.support.waiting import wait_until

SOON = timedelta(milliseconds=3)
LATE = timedelta(hours=3)


class Ledger(MemoryLedger):
    """Counts renewals and releases, and fails them as told."""

    def __init__(self) -> None:
        super().__init__()
        self.failure: IcehaulError | None = None
        self.renewals = 0
        self.releases = 0

    def renew(self, claim: Claim, ttl: timedelta) -> None:
        self.renewals += 1
        self._fail()
        super().renew(claim, ttl)

    def release(self, claim: Claim) -> None:
        self.releases += 1
        self._fail()
        super().release(claim)

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def claim(ledger: Ledger) -> Claim:
    ledger.register("trades")
    return ledger.claim("trades", "me", timedelta(hours=1))


def keeper(ledger: Ledger, claim: Claim, ttl: timedelta = SOON, lost: threading.Event | None = None) -> LeaseKeeper:
    return LeaseKeeper(ledger, claim, ttl, on_lost=(lost or threading.Event()).set)


def test_the_lease_is_renewed_while_the_work_runs(ledger: Ledger, claim: Claim) -> None:
    with keeper(ledger, claim) as kept:
        wait_until(lambda: ledger.renewals >= 3)
        kept.check()
    renewals = ledger.renewals
    assert ledger.read(["trades"])["trades"].owner is None
    assert ledger.renewals == renewals


def test_short_work_needs_no_renewal_and_does_not_wait_for_one(ledger: Ledger, claim: Claim) -> None:
    with keeper(ledger, claim, LATE) as kept:
        kept.check()
    assert (ledger.renewals, ledger.releases) == (0, 1)


def test_the_lease_is_released_after_failed_work_too(ledger: Ledger, claim: Claim) -> None:
    with pytest.raises(ZeroDivisionError), keeper(ledger, claim, LATE):
        raise ZeroDivisionError
    assert ledger.claim("trades", "heir", LATE).epoch == claim.epoch + 1


def test_a_newer_epoch_is_noticed_once_and_its_lease_is_left_alone(ledger: Ledger, claim: Claim) -> None:
    lost = threading.Event()
    ledger.failure = FencedError("taken over", remedy="none")
    with keeper(ledger, claim, SOON, lost) as kept:
        assert lost.wait(60)
        with pytest.raises(FencedError, match=f"epoch {claim.epoch} is lost"):
            kept.check()
    assert (ledger.renewals, ledger.releases) == (1, 0)


def test_a_renewal_that_fails_is_no_lost_lease(ledger: Ledger, claim: Claim) -> None:
    lost = threading.Event()
    ledger.failure = LedgerUnavailableError("down", remedy="wait")
    with keeper(ledger, claim, SOON, lost) as kept:
        wait_until(lambda: ledger.renewals >= 3)
        kept.check()
        ledger.failure = None
    assert not lost.is_set()
    assert ledger.read(["trades"])["trades"].owner is None


def test_a_release_that_fails_does_not_hide_that_the_work_is_done(ledger: Ledger, claim: Claim) -> None:
    with keeper(ledger, claim, LATE):
        ledger.failure = LedgerUnavailableError("down", remedy="wait")
    assert ledger.releases == 1
