"""What the engine makes of the tasks' answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from consumer.adapters.spark.engine import reports_of
from consumer.domain.batch import Batch, BatchKind, Unit, WrittenFile
from consumer.domain.errors import EngineFailedError, IcehaulError, SourceMissingError, SourceUnavailableError
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.row_order import RowOrder, SortKey
from consumer.domain.window import Window
from spark.unit_task import UnitOutcome

WINDOW = Window(lower=datetime(2024, 1, 1, tzinfo=UTC), upper=datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=1))


def batch(units: int) -> Batch:
    return Batch(
        id=uuid4(),
        stream="s",
        kind=BatchKind.WINDOW,
        window=WINDOW,
        generation=0,
        units=tuple(Unit(index=index, window=WINDOW, rows=1) for index in range(units)),
    )


def wrote(unit: int) -> UnitOutcome:
    file = WrittenFile(unit=unit, path=f"s3://b/{unit}", bytes=1, fingerprint=Fingerprint(rows=1, digest=unit))
    return UnitOutcome(unit=unit, file=file, error=None, started_ns=1, ended_ns=2)


def empty(unit: int) -> UnitOutcome:
    return UnitOutcome(unit=unit, file=None, error=None, started_ns=1, ended_ns=2)


def failed(unit: int, error: IcehaulError) -> UnitOutcome:
    return UnitOutcome(unit=unit, file=None, error=error, started_ns=1, ended_ns=2)


def test_reports_come_in_the_order_of_the_units_without_the_empty_ones() -> None:
    reports = reports_of(batch(3), [wrote(2), empty(1), wrote(0)])

    assert [report.file.unit for report in reports] == [0, 2]


def test_an_error_that_halts_goes_before_errors_that_may_pass() -> None:
    passing = SourceUnavailableError("a", remedy="r")
    halting = SourceMissingError("b", remedy="r")

    with pytest.raises(SourceMissingError):
        reports_of(batch(3), [failed(0, passing), failed(1, halting), wrote(2)])


@pytest.mark.parametrize("outcomes", [[wrote(0)], [wrote(0), wrote(0)], [wrote(0), wrote(1), wrote(1)], []])
def test_a_unit_that_is_missing_or_doubled_is_an_error(outcomes: list[UnitOutcome]) -> None:
    with pytest.raises(EngineFailedError, match="answered for units"):
        reports_of(batch(2), outcomes)


@pytest.mark.parametrize("number", [7, None])
def test_files_carry_the_number_of_the_sort_order_that_their_rows_stand_in(number: int | None) -> None:
    (report,) = reports_of(batch(1), [wrote(0)], RowOrder(keys=(SortKey(column="ts"),), id=number))

    assert report.file.sort_order == number
