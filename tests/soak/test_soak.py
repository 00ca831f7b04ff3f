"""Six quarter hours with each kind of trouble, by ``make thorough``; ``make soak`` plays seven days."""

from __future__ import annotations

from datetime import timedelta

import pytest

from consumer.embedded.stack import EmbeddedStack
from tests.soak.play import Plan, play
from tests.soak.report import Report
from tests.soak.schedule import LONG, Schedule, Trouble
from tests.support.platform import day

pytestmark = pytest.mark.thorough

_ROWS = 400
_HOUR = timedelta(hours=1)
_SCHEDULE = Schedule(
    6,
    {
        1: (Trouble.COLUMN, Trouble.KILL, Trouble.STORE),
        2: (Trouble.LATE_ROWS, Trouble.LEDGER, Trouble.TTL, Trouble.AHEAD),
        3: (),  # no tick is due
        4: (Trouble.BEHIND, Trouble.RESTART, Trouble.KILL_EMITTER),
        5: (Trouble.SOURCE, Trouble.BROKER),
    },
)
"""Over midnight, so that partitions close."""


@pytest.fixture(scope="module")
def report(own_stack: EmbeddedStack, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A soak in small."""
    plan = Plan(
        schedule=_SCHEDULE, seed=1, rows=_ROWS, first=day("2024-03-05") - _HOUR / 2, retention=_HOUR / 2, local=True
    )
    return play(plan, own_stack, "soak", tmp_path_factory.mktemp("soak") / "run")


def test_every_kind_of_trouble_has_happened() -> None:
    assert {trouble for trouble in Trouble if not _SCHEDULE.count(trouble)} == set(LONG)


def test_no_row_is_lost_or_doubled_and_every_audit_is_clean(report: Report) -> None:
    assert report.exact, (report.figures(), report.faults)
    assert all(verdict.inserted == verdict.found for verdict in report.verdicts)
    inserted = sum(verdict.inserted for verdict in report.verdicts)
    assert inserted > _SCHEDULE.ticks * _ROWS


def test_rows_come_late_only_where_the_clock_has_jumped(report: Report) -> None:
    assert list(report.incomplete) == [3, 4]
    late = {lag.tick for lag in report.lags if lag.seconds > 27 * 60}
    assert late <= {3, 4}
    assert len(report.lags) > 4 * _SCHEDULE.ticks


def test_files_are_put_together_and_go(report: Report) -> None:
    before, after = report.readings[-2], report.readings[-1]
    assert after.files < before.files
    assert report.small_files_ratio == 0
