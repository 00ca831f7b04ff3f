"""Keeping the ledger small: rows that nothing needs any more go by themselves, beside a consumer's work.

What windows, batches, attempts, files, findings and drops say is a record, and stays: checks add it up
(docs/adr/0039-what-the-ledger-keeps.md).
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Protocol

import structlog

from consumer.domain.errors import IcehaulError
from consumer.service.threads import Signal

_AT_ONCE = 500
"""Rows of one transaction: a few milliseconds."""
_TURNS = 100
"""Transactions of one look for each kind: what is left then goes with the next."""

_log = structlog.get_logger(__name__)


class Remains(StrEnum):
    """What the ledger has and needs no more, by the table that it stands in."""

    PARKED = "parked"
    """Ticks of halted streams, and hints of one upstream, below the one that asks for most."""
    EMISSIONS = "emissions"
    """Closes that were sent of partitions which the source does not have any more."""
    DIFFERENCES = "differences"
    """How windows differed that lie before everything the source holds."""


class PrunableLedger(Protocol):
    """A ledger whose remains can be deleted."""

    def prune(self, remains: Remains, age: timedelta, limit: int) -> int:
        """Delete rows of a kind that are older than ``age``, ``limit`` at most, and return how many.

        Of parked events the age does not matter. May be repeated after an unknown outcome.

        Raises:
            LedgerUnavailableError: if Postgres can't be asked now.
        """
        ...


class LedgerWatch:
    """Lets remains go every now and then; what fails is tried again with the next look."""

    def __init__(self, *, ledger: PrunableLedger, age: timedelta) -> None:
        self._ledger = ledger
        self._age = age

    def look(self, stop: Signal) -> None:
        """Delete what is there of every kind, in small steps, until ``stop`` is set."""
        for remains in Remains:
            try:
                gone = self._prune(remains, stop)
            except IcehaulError as error:
                _log.info("ledger.not_pruned", kind=remains.value, error=error.message)
                continue
            if gone:
                _log.info("ledger.pruned", kind=remains.value, rows=gone)

    def _prune(self, remains: Remains, stop: Signal) -> int:
        gone = 0
        for _ in range(_TURNS):
            if stop.is_set():
                break
            step = self._ledger.prune(remains, self._age, _AT_ONCE)
            gone += step
            if step < _AT_ONCE:
                break
        return gone

    def run(self, stop: Signal, interval: timedelta) -> None:
        """Look every ``interval`` until ``stop`` is set; whatever fails is logged, and offloading goes on."""
        while not stop.is_set():
            try:
                self.look(stop)
            except Exception as error:  # noqa: BLE001 - a ledger that is larger than it need be stops no offload
                _log.error("ledger.watch_failed", exc_info=error)
            stop.wait(interval.total_seconds())
