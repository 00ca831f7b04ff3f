"""Orders for ClickHouse, and what is remembered of its refusals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from consumer.adapters.clickhouse.files import FileReader
from consumer.adapters.spark.access import without_keys
from consumer.adapters.spark.exports import Exports
from consumer.domain.batch import Unit
from consumer.domain.errors import AccessDeniedError, CheckFailedError, IcehaulError, SourceUnavailableError
from consumer.domain.export_query import ATTEMPT, read_proof
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.mapping import SourceColumn
from consumer.domain.row_order import RowOrder, SortKey
from consumer.domain.stream import Stream, TableName
from consumer.domain.type_mapping import map_table
from consumer.domain.writer import EXPORT_BYTES_MIN, Writer, WriterPolicy
from consumer.settings.connections import ClickHouseSettings, StoreSettings
from spark.unit_export import refused
from spark.unit_task import STORE_KEY, UnitOutcome
from tests.unit.spark.test_engine_reports import WINDOW

STREAM = Stream(
    name="trades",
    source=TableName(database="m", table="trades"),
    target=TableName(database="cold", table="trades"),
    timestamp_column="ts",
)
MAPPING = map_table([SourceColumn(name="ts", type="DateTime64(6, 'UTC')")], timestamp_column="ts")
UNIT = Unit(index=3, window=WINDOW, rows=10, bytes=EXPORT_BYTES_MIN)
SECRET = "very-s3cret"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def exports(policy: WriterPolicy = WriterPolicy.AUTO, clock: Clock | None = None) -> Exports:
    store = StoreSettings.model_validate(
        {"endpoint": "http://127.0.0.1:1", "bucket": "lake", "access_key": "a", "secret_key": SECRET}
    )
    return Exports(policy, FileReader(*without_keys(ClickHouseSettings(), store)), clock or Clock())


def outcome(refusal: str | None) -> UnitOutcome:
    return UnitOutcome(unit=0, file=None, error=None, started_ns=1, ended_ns=2, refusal=refusal)


def test_an_order_names_the_attempts_own_file_and_no_secret() -> None:
    order = exports().order(STREAM, MAPPING, UNIT, "s3://lake/data/batch")

    assert order is not None
    assert order.statement.startswith(
        f"INSERT INTO FUNCTION s3('http://127.0.0.1:1/lake/data/batch/00003-{ATTEMPT}.export'"
    )
    assert STORE_KEY in order.statement
    assert SECRET not in order.statement
    assert order.may_stream


def test_after_a_refusal_auto_streams_for_ten_minutes_and_that_stream_only() -> None:
    clock = Clock()
    found = exports(clock=clock)

    found.learn(STREAM, [outcome(None), outcome("WRITE ON S3 is missing")])

    assert found.order(STREAM, MAPPING, UNIT, "s3://lake/p") is None
    assert found.order(replace(STREAM, name="other"), MAPPING, UNIT, "s3://lake/p") is not None
    clock.now += 601
    assert found.order(STREAM, MAPPING, UNIT, "s3://lake/p") is not None


def test_a_batch_without_a_refusal_teaches_nothing() -> None:
    found = exports()
    found.learn(STREAM, [outcome(None)])
    assert found.order(STREAM, MAPPING, UNIT, "s3://lake/p") is not None


def test_where_export_is_configured_the_task_may_not_stream() -> None:
    order = exports(WriterPolicy.EXPORT).order(STREAM, MAPPING, replace(UNIT, bytes=0), "s3://lake/p")
    assert order is not None
    assert not order.may_stream


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (AccessDeniedError("x", remedy="r"), True),
        (CheckFailedError("x", remedy="r"), True),
        (SourceUnavailableError("ClickHouse at h:1 answered: Code: 499. DB::Exception: S3", remedy="r"), True),
        (SourceUnavailableError("ClickHouse at h:1 answered: Code: 241. DB::Exception: memory", remedy="r"), False),
        (SourceUnavailableError("ClickHouse at h:1 is unreachable", remedy="r"), False),
    ],
)
def test_only_what_concerns_the_export_alone_makes_the_task_read_instead(error: IcehaulError, expected: bool) -> None:
    assert refused(error) is expected


def test_the_proof_is_count_and_digest() -> None:
    assert read_proof("3:18446744073709551615") == Fingerprint(rows=3, digest=2**64 - 1)
    for text in ("", "3", "3:", ":3", "-1:3", "a:b"):
        with pytest.raises(CheckFailedError):
            read_proof(text)


def test_an_outcome_says_who_wrote_unless_told_otherwise_the_task() -> None:
    assert outcome(None).writer is Writer.STREAM


def test_rows_of_an_export_are_sorted_as_the_table_asks_and_the_proof_is_of_all_of_them() -> None:
    order = exports().order(
        STREAM, MAPPING, UNIT, "s3://lake/data/batch", RowOrder(keys=(SortKey(column="ts", descending=True),))
    )

    assert order is not None
    assert order.statement.endswith(" ORDER BY `ts` DESC NULLS FIRST")
    assert order.statement.count("ORDER BY") == 1
