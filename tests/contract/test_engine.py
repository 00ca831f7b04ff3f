"""What every batch engine keeps to: Spark on ClickHouse and a real store, and the one in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from pyiceberg.schema import assign_fresh_schema_ids

from consumer.domain.batch import Batch, BatchKind, SequenceRange, Unit
from consumer.domain.errors import (
    EngineFailedError,
    IcehaulError,
    SchemaMovedError,
    SourceChangedError,
    SourceMissingError,
)
from consumer.domain.fingerprint import EMPTY
from consumer.domain.mapping import TableMapping
from consumer.domain.stream import Stream, TableName
from consumer.domain.window import Window
from consumer.ports import BatchEngine, TargetTable, UnitReport
from consumer.testing.engine import MemoryEngine
from tests.support.hot_tables import DAY, NOON, ClickHouseHotTable, HotTable, MemoryHotTable, rows_at
from tests.support.waiting import wait_until

_PATIENCE_S = 60.0


@dataclass
class Case:
    """An engine, the table that it reads, and a stream whose reading does not end while the test looks."""

    engine: BatchEngine
    hot: HotTable
    slow: Callable[[], tuple[Stream, TableMapping, Callable[[], object]]]

    def write(
        self, batch: Batch, *, mapping: TableMapping | None = None, stream: Stream | None = None, attempt: str = "1"
    ) -> Sequence[UnitReport]:
        """Write a batch."""
        mapping = mapping or self.hot.mapping()
        location = f"s3://icehaul/tests/{self.hot.name.database}"
        target = TargetTable(
            name=self.hot.name,
            uuid=uuid4(),
            location=location,
            schema=assign_fresh_schema_ids(mapping.iceberg_schema()),
            snapshot_id=None,
            evidence=None,
        )
        return self.engine.write(
            stream=stream or self.hot.stream,
            mapping=mapping,
            target=target,
            batch=batch,
            prefix=f"{location}/data/{batch.id}/{attempt}",
            traceparent=None,
        )


def memory_case(hot: MemoryHotTable) -> Case:
    held: list[bool] = []

    def hold(point: str) -> None:
        if held and point == "task.before-read" and held.pop():
            wait_until(lambda: engine.cancelled, seconds=_PATIENCE_S)

    def slow() -> tuple[Stream, TableMapping, Callable[[], object]]:
        held.append(True)
        return hot.stream, hot.mapping(), lambda: not held

    engine = MemoryEngine(hot.memory, hit=hold)
    return Case(engine, hot, slow)


def spark_case(hot: ClickHouseHotTable, engine: BatchEngine) -> Case:
    def slow() -> tuple[Stream, TableMapping, Callable[[], object]]:
        view = TableName(database=hot.name.database, table=f"slow_{hot.name.table}")
        hot.create_slow_view(view, seconds=3)
        return replace(hot.stream, source=view), replace(hot.mapping(), source_uuid=None), lambda: hot.is_read(view)

    return Case(engine, hot, slow)


@pytest.fixture
def case(hot: HotTable, request: pytest.FixtureRequest) -> Case:
    if isinstance(hot, MemoryHotTable):
        return memory_case(hot)
    assert isinstance(hot, ClickHouseHotTable)
    return spark_case(hot, request.getfixturevalue("spark_engine"))


pytestmark = pytest.mark.spark


def batch_of(*units: Unit) -> Batch:
    window = Window(lower=NOON - DAY, upper=NOON + 10 * DAY)
    return Batch(id=uuid4(), stream="s", kind=BatchKind.WINDOW, window=window, generation=1, units=units)


def unit(index: int, lower: datetime, *, days: int = 1, sequence: SequenceRange | None = None) -> Unit:
    return Unit(index=index, window=Window(lower=lower, upper=lower + days * DAY), rows=0, sequence=sequence)


def test_each_unit_is_a_file_whose_report_says_what_was_read_and_written(case: Case) -> None:
    case.hot.insert(rows_at(NOON, 1, 2, 2) + rows_at(NOON + DAY, 3) + rows_at(NOON + 2 * DAY, 4))
    mapping = case.hot.mapping()
    units = [unit(0, NOON), unit(1, NOON + DAY)]
    reports = case.write(batch_of(*units))
    assert [report.file.unit for report in reports] == [0, 1]
    for report, written in zip(reports, units, strict=True):
        read = case.hot.source.fingerprint(case.hot.stream, mapping, written.window)
        assert report.file.fingerprint == read
        assert case.hot.source.fingerprint_files(mapping, [report.file.path]) == read
        assert report.file.bytes > 0
    assert sum((report.file.fingerprint for report in reports), EMPTY).rows == 4


def test_a_unit_without_rows_has_no_file(case: Case) -> None:
    case.hot.insert(rows_at(NOON + DAY, 1))
    reports = case.write(batch_of(unit(0, NOON), unit(1, NOON + DAY), unit(2, NOON + 2 * DAY)))
    assert [report.file.unit for report in reports] == [1]
    assert list(case.write(batch_of(unit(0, NOON)))) == []
    assert list(case.write(batch_of())) == []


def test_units_that_share_an_instant_by_the_sequence_share_no_row_and_miss_none(case: Case) -> None:
    case.hot.insert(rows_at(NOON, *range(10)))
    bounds = [(None, ("3",)), (("3",), ("7",)), (("7",), None)]
    units = [unit(number, NOON, sequence=SequenceRange(lower=low, upper=up)) for number, (low, up) in enumerate(bounds)]
    reports = case.write(batch_of(*units))
    assert [report.file.fingerprint.rows for report in reports] == [3, 4, 3]
    whole = case.hot.source.fingerprint(case.hot.stream, case.hot.mapping(), units[0].window)
    assert sum((report.file.fingerprint for report in reports), EMPTY) == whole


def test_no_two_attempts_write_to_one_path_and_each_stays_under_its_prefix(case: Case) -> None:
    case.hot.insert(rows_at(NOON, 1))
    batch = batch_of(unit(0, NOON))
    paths = [case.write(batch)[0].file.path for _ in range(2)]
    assert len(set(paths)) == 2
    assert all(f"/data/{batch.id}/1/" in path for path in paths)
    assert case.hot.source.fingerprint_files(case.hot.mapping(), paths).rows == 2


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda hot: hot.drop(), SourceMissingError),
        (lambda hot: hot.make_anew(), SourceChangedError),
        (lambda hot: hot.exchange(), SourceChangedError),
        (lambda hot: hot.retype("value", "Int128"), SchemaMovedError),
    ],
    ids=["dropped", "made anew", "exchanged", "of another type"],
)
def test_a_source_that_is_not_the_mapped_one_is_an_error_of_its_own_class(
    case: Case, change: Callable[[HotTable], None], error: type[IcehaulError]
) -> None:
    case.hot.insert(rows_at(NOON, 1))
    mapping = case.hot.mapping()
    change(case.hot)
    with pytest.raises(error):
        case.write(batch_of(unit(0, NOON), unit(1, NOON + DAY)), mapping=mapping)


def test_a_cancelled_batch_ends_with_an_error_and_can_be_written_again(case: Case) -> None:
    case.hot.insert(rows_at(NOON, 1))
    batch = batch_of(unit(0, NOON))
    case.write(batch, attempt="warm")
    stream, mapping, is_read = case.slow()
    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(case.write, batch, mapping=mapping, stream=stream)
        wait_until(lambda: writing.done() or is_read(), seconds=_PATIENCE_S, what="the batch to be read")
        case.engine.cancel(batch.id)
        with pytest.raises(EngineFailedError, match=f"batch {batch.id} was cancelled"):
            writing.result(_PATIENCE_S)
    assert len(case.write(batch, attempt="2")) == 1


def test_cancelling_what_does_not_run_does_nothing_also_not_later(case: Case) -> None:
    case.hot.insert(rows_at(NOON, 1))
    batch = batch_of(unit(0, NOON - timedelta(hours=1)))
    case.engine.cancel(batch.id)
    assert len(case.write(batch)) == 1
