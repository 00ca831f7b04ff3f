"""The Spark engine, with its own driver and on a Spark Connect server, against real ClickHouse and a real store."""

from __future__ import annotations

import logging
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from consumer.adapters.spark.engine import SparkEngine
from consumer.domain.errors import EngineFailedError, SourceMissingError, UnsupportedTypeError
from consumer.domain.fingerprint import EMPTY
from consumer.embedded.stack import EmbeddedStack
from spark.session import Session
from tests.support.spark import HotTable
from tests.support.waiting import wait_for

pytestmark = pytest.mark.spark

TRADES = "ts DateTime64(6, 'UTC'), number UInt64, symbol LowCardinality(String), price Decimal(18, 8)"
EVERY_TYPE = """
    ts DateTime64(6, 'UTC'), i8 Int8, i16 Int16, i32 Int32, i64 Int64, u8 UInt8, u16 UInt16, u32 UInt32, u64 UInt64,
    f32 Float32, f64 Float64, d9 Decimal(9, 2), d18 Decimal(18, 8), d38 Decimal(38, 18), text String, flag Bool,
    day Date, old Date32, second DateTime('UTC'), milli DateTime64(3, 'UTC'), id UUID,
    side Enum8('buy' = 1, 'sell' = 2), symbol LowCardinality(String), maybe Nullable(Int64),
    note LowCardinality(Nullable(String)), tags Array(String), prices Array(Nullable(Decimal(18, 8))),
    attributes Map(String, UInt64), pair Tuple(left Int32, right String), deep Array(Array(Int64))
"""


@pytest.fixture
def trades(stack: EmbeddedStack) -> HotTable:
    """3,000 trades, one each second."""
    table = HotTable.create(stack.endpoints, TRADES)
    table.client.command(
        f"INSERT INTO {table.stream.source.table} SELECT toDateTime64('2024-01-01 00:00:00', 6, 'UTC') + number,"
        " number, if(number % 2 = 0, 'BTC', 'ETH'), toDecimal64(number, 8) / 7 FROM numbers(3000)"
    )
    return table


@pytest.fixture(params=["master", "remote"], scope="module")
def engine(request: pytest.FixtureRequest) -> SparkEngine:
    """The same contract, wherever the driver is."""
    fixture = "spark_engine" if request.param == "master" else "connect_engine"
    made: SparkEngine = request.getfixturevalue(fixture)
    return made


def test_writes_one_file_for_each_unit_and_reports_what_was_read(engine: SparkEngine, trades: HotTable) -> None:
    batch = trades.batch(0, 1000, 2500, 3000)

    reports = trades.write(engine, batch)

    assert [report.file.fingerprint.rows for report in reports] == [1000, 1500, 500]
    assert sum((report.file.fingerprint for report in reports), EMPTY) == trades.source_fingerprint()
    assert sorted(report.file.path for report in reports) == sorted(trades.stored(batch))
    for report, unit in zip(reports, batch.units, strict=True):
        table = trades.read(report.file.path)
        instants = table["ts"].to_pylist()
        assert report.file.unit == unit.index
        assert instants == sorted(instants)
        assert all(unit.window.contains(instant) for instant in instants)
        assert trades.file_fingerprint(report.file.path) == report.file.fingerprint
        assert trades.store.get_file_info(report.file.path.removeprefix("s3://")).size == report.file.bytes


def test_a_unit_without_rows_writes_no_file(engine: SparkEngine, trades: HotTable) -> None:
    batch = trades.batch(2990, 3000, 4000)

    reports = trades.write(engine, batch)

    assert [report.file.unit for report in reports] == [0]
    assert len(trades.stored(batch)) == 1


def test_every_type_arrives_exactly(engine: SparkEngine, stack: EmbeddedStack) -> None:
    table = HotTable.create(stack.endpoints, EVERY_TYPE)
    name = table.stream.source.table
    table.client.command(
        f"INSERT INTO {name} SELECT toDateTime64('2024-01-01 00:00:00', 6, 'UTC') + number / 1000000,"
        " -128, -32768, -2147483648, -9223372036854775808, 255, 65535, 4294967295, 18446744073709551615 - number,"
        " -0.0, if(number % 2 = 0, inf, 5e-324), toDecimal32('-9999999.99', 2),"
        " toDecimal64('9999999999.99999999', 8), toDecimal128('99999999999999999999.999999999999999999', 18),"
        " if(number % 3 = 0, '', '🧊 ice\\0haul'), number % 2 = 0, '2149-06-06', '1900-01-01', '2106-02-07 06:28:15',"
        " '2299-12-31 23:59:59.999', generateUUIDv4(), 'sell', 'BTC', if(number % 2 = 0, NULL, number),"
        " if(number % 2 = 0, NULL, 'x'), ['a', ''], [NULL, toDecimal64(1.5, 8)], map('k', 18446744073709551615),"
        " (-1, 'r'), [[1, 2], []] FROM numbers(100)"
    )

    (report,) = table.write(engine, table.batch(0, 1))

    assert report.file.fingerprint == table.source_fingerprint()
    assert table.file_fingerprint(report.file.path) == report.file.fingerprint
    row = table.read(report.file.path).to_pylist()[1]
    assert row["u64"] == 18446744073709551614
    assert row["i64"] == -9223372036854775808
    assert row["text"] == "🧊 ice\0haul"
    assert row["f64"] == 5e-324
    assert row["maybe"] == 1
    assert row["deep"] == [[1, 2], []]


def test_a_decimal_beyond_its_precision_is_refused(engine: SparkEngine, stack: EmbeddedStack) -> None:
    table = HotTable.create(stack.endpoints, "ts DateTime64(6, 'UTC'), price Decimal(18, 8)")
    # ClickHouse does not check what arithmetic leaves in a decimal.
    table.client.command(
        f"INSERT INTO {table.stream.source.table} SELECT '2024-01-01 00:00:00', toDecimal64(9999999999, 8) + 1"
        " SETTINGS decimal_check_overflow = 0"
    )

    with pytest.raises(UnsupportedTypeError, match="column price"):
        table.write(engine, table.batch(0, 1))


def test_text_that_is_not_utf8_is_refused(engine: SparkEngine, stack: EmbeddedStack) -> None:
    table = HotTable.create(stack.endpoints, "ts DateTime64(6, 'UTC'), note String")
    table.client.command(f"INSERT INTO {table.stream.source.table} SELECT '2024-01-01 00:00:00', unhex('C328')")

    with pytest.raises(UnsupportedTypeError, match="column note"):
        table.write(engine, table.batch(0, 1))


def test_batches_of_several_streams_run_at_once(engine: SparkEngine, trades: HotTable) -> None:
    batches = [trades.batch(0, 1000 + number, 3000) for number in range(6)]
    expected = trades.source_fingerprint()

    with ThreadPoolExecutor(max_workers=6) as threads:
        results = list(threads.map(lambda batch: trades.write(engine, batch), batches))

    assert [sum((report.file.fingerprint for report in reports), EMPTY) for reports in results] == [expected] * 6


def test_the_error_of_a_task_reaches_the_driver_as_itself(engine: SparkEngine, trades: HotTable) -> None:
    trades.client.command(f"DROP TABLE {trades.stream.source.table}")

    with pytest.raises(SourceMissingError, match=trades.stream.source.table):
        trades.write(engine, trades.batch(0, 3000))


def test_a_cancelled_batch_ends_at_once_and_can_be_written_again(engine: SparkEngine, trades: HotTable) -> None:
    table = trades.slow_view(seconds=10)
    batch = table.batch(0, 3000)
    engine.start()
    with ThreadPoolExecutor(max_workers=1) as threads:
        writing = threads.submit(table.write, engine, batch)
        wait_for(lambda: writing.done() or table.running_queries() == 1, deadline_s=60, what="the task runs")
        started_s = time.monotonic()
        engine.cancel(batch.id)
        with pytest.raises(EngineFailedError, match=f"batch {batch.id} was cancelled"):
            writing.result(timeout=60)

    assert time.monotonic() - started_s < 10, "it waited for its end"
    again = trades.batch(0, 3000)
    assert len(trades.write(engine, again)) == 1


def test_cancelling_a_batch_that_does_not_run_does_nothing(engine: SparkEngine) -> None:
    engine.cancel(uuid4())


def test_a_dead_jvm_is_an_error_and_the_next_batch_starts_a_new_session(
    spark_engine: SparkEngine, trades: HotTable
) -> None:
    spark_engine.start()
    table = trades.slow_view(seconds=3)
    with ThreadPoolExecutor(max_workers=1) as threads:
        writing = threads.submit(table.write, spark_engine, table.batch(0, 3000))
        wait_for(lambda: writing.done() or table.running_queries() == 1, deadline_s=60, what="the task runs")
        session = spark_engine._session
        assert isinstance(session, Session)
        assert session._process is not None
        os.kill(session._process.pid, signal.SIGKILL)
        with pytest.raises(EngineFailedError, match="Spark ended while batch"):
            writing.result(timeout=30)

    assert not spark_engine.ready
    assert len(trades.write(spark_engine, trades.batch(0, 3000))) == 1
    assert spark_engine.ready


def test_the_processes_own_interrupt_handler_stays(spark_engine: SparkEngine) -> None:
    before = signal.getsignal(signal.SIGINT)
    spark_engine.stop()

    spark_engine.start()

    assert signal.getsignal(signal.SIGINT) is before


def test_secrets_are_nowhere_in_spark(
    spark_engine: SparkEngine, trades: HotTable, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG, logger="py4j"):
        trades.write(spark_engine, trades.batch(0, 3000))

    session = spark_engine._session
    assert isinstance(session, Session)
    output = capfd.readouterr()
    text = "\n".join(
        (
            session.context.getConf().toDebugString(),
            session.last_words(),
            output.out,
            output.err,
            repr(trades.context()),
        )
    )
    assert trades.endpoints.store.secret_key not in text
    assert trades.endpoints.clickhouse.password not in text
