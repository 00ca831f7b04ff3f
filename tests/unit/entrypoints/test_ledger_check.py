"""Whether a process begins: never where the ledger is known not to fit, and where nobody can tell, with a word."""

from __future__ import annotations

from typing import cast

import pytest
from structlog.testing import capture_logs

from consumer.bootstrap import Application
from consumer.domain.errors import AccessDeniedError, ConfigurationError, IcehaulError, LedgerUnavailableError
from consumer.entrypoints.ledger_check import check_ledger


class Ledger:
    """The part of an application that is asked."""

    def __init__(self, answer: IcehaulError | None) -> None:
        self._answer = answer

    def require_schema(self) -> None:
        """Answer."""
        if self._answer is not None:
            raise self._answer


def checked(answer: IcehaulError | None) -> None:
    check_ledger(cast("Application", Ledger(answer)))


def test_a_ledger_that_fits_is_not_spoken_of() -> None:
    with capture_logs() as told:
        checked(None)
    assert told == []


@pytest.mark.parametrize("kind", [ConfigurationError, AccessDeniedError])
def test_a_ledger_that_does_not_fit_or_may_not_be_read_lets_nothing_begin(kind: type[IcehaulError]) -> None:
    with pytest.raises(kind, match="it lacks one"):
        checked(kind("it lacks one", remedy="run `icehaul migrate`"))


def test_a_ledger_that_cannot_be_asked_lets_a_process_begin_and_that_is_told() -> None:
    with capture_logs() as told:
        checked(LedgerUnavailableError("no connection", remedy="start the server"))
    assert [(one["event"], one["log_level"]) for one in told] == [("ledger.unchecked", "warning")]
    assert "no connection" in told[0]["error"]
