"""The export writer on real ClickHouse and a real store: the same rows as the stream writer's, readable by all."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from uuid import uuid4

import clickhouse_connect
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyiceberg.io.pyarrow import pyarrow_to_schema

from consumer.domain.batch import WrittenFile
from consumer.domain.errors import AccessDeniedError, IcehaulError, SourceUnavailableError, UnsupportedTypeError
from consumer.domain.export_query import PROOF_COLUMN
from consumer.domain.fingerprint import EMPTY
from consumer.domain.type_choices import As
from consumer.domain.writer import Writer, WriterPolicy
from consumer.embedded.stack import EmbeddedStack
from consumer.settings.connections import SparkSettings
from spark.unit_offload import offload_unit
from spark.unit_task import STORE_KEY
from tests.support.spark import HotTable, clickhouse_settings, remote_engine
from tests.support.spark_connect_server import SparkConnectServer

EVERY_TYPE = """
    ts DateTime64(6, 'UTC'), i8 Int8, i16 Int16, i32 Int32, i64 Int64, u8 UInt8, u16 UInt16, u32 UInt32, u64 UInt64,
    f32 Float32, f64 Float64, d9 Decimal(9, 2), d18 Decimal(18, 8), d38 Decimal(38, 18), text String, flag Bool,
    day Date, old Date32, second DateTime('UTC'), milli DateTime64(3, 'UTC'), id UUID,
    side Enum8('buy' = 1, 'sell' = 2), symbol LowCardinality(String), maybe Nullable(Int64),
    note LowCardinality(Nullable(String)), tags Array(String), prices Array(Nullable(Decimal(18, 8))),
    attributes Map(String, UInt64), pair Tuple(left Int32, right String), deep Array(Array(Int64)),
    ids Map(UUID, Tuple(Nullable(Float64), Array(UUID))), fixed FixedString(3), four IPv4, six IPv6, brain BFloat16,
    place Point, area Polygon, pause IntervalSecond, wide Int256, wider UInt256, long Decimal(76, 10),
    nano DateTime64(9, 'Asia/Tokyo'), tick DateTime64(9), bytes String, blobs Map(String, Array(Nullable(String))),
    address IPv6, clock Time64(3), state AggregateFunction(uniq, String), json JSON, any Variant(String, UInt8)
"""
CHOSEN = {
    "wide": As.STRING, "wider": As.DECIMAL, "long": As.DECIMAL, "nano": As.NANOS, "tick": As.MICROS,
    "bytes": As.BINARY, "blobs": As.BINARY, "address": As.BINARY, "clock": As.DECIMAL, "state": As.BINARY,
    "json": As.STRING, "any": As.STRING,
}  # fmt: skip
VALUES = """
    toDateTime64('2024-01-01 00:00:00', 6, 'UTC') + number / 1000000,
    -128, -32768, -2147483648, -9223372036854775808, 255, 65535, 4294967295, 18446744073709551615 - number,
    if(number % 2 = 0, -0.0, 0.0), if(number % 3 = 0, nan, if(number % 2 = 0, inf, 5e-324)),
    toDecimal32('-9999999.99', 2), toDecimal64('9999999999.99999999', 8) * if(number % 2 = 0, 1, -1),
    toDecimal128('99999999999999999999.999999999999999999', 18),
    if(number % 3 = 0, '', '🧊 ice\\0haul'), number % 2 = 0, '2149-06-06', '1900-01-01', '2106-02-07 06:28:15',
    '2299-12-31 23:59:59.999', generateUUIDv4(), 'sell', 'BTC', if(number % 2 = 0, NULL, number),
    if(number % 2 = 0, NULL, 'x'), ['a', ''], [NULL, toDecimal64(1.5, 8)], map('k', 18446744073709551615),
    (-1, 'r'), [[1, 2], []], map(generateUUIDv4(), (NULL, [generateUUIDv4()])), unhex('00FF00'), '255.255.255.255',
    'fe80::1', -0.5, (1.5, -0.0), [[(0, 0), (1, 0), (1, 1)]], CAST(number AS IntervalSecond), -toInt256(number),
    toUInt256('99999999999999999999999999999999999999'), toDecimal256('-1234567890123456789012345678.0123456789', 10),
    fromUnixTimestamp64Nano(toInt64(-2208988800000000000 + number), 'Asia/Tokyo'), '1960-01-01 00:00:00.123456789',
    unhex('FF00FE'), map(unhex('C0'), [NULL, unhex('FF'), '']), '::ffff:1.2.3.4', toDecimal64('-3599999.999', 3),
    initializeAggregation('uniqState', toString(number)), '{"b": [1, "x"], "a": {"c": null}}',
    multiIf(number % 3 = 0, NULL, number % 3 = 1, 't'::Variant(String, UInt8), 7::UInt8::Variant(String, UInt8))
"""


@pytest.fixture(scope="module")
def every_type(stack: EmbeddedStack) -> HotTable:
    """200 rows of every type, in the first second."""
    table = HotTable.create(stack.endpoints, EVERY_TYPE, chosen=CHOSEN)
    table.client.command(f"INSERT INTO {table.stream.source.table} SELECT {VALUES} FROM numbers(200)")
    return table


def written(table: HotTable, policy: WriterPolicy, *, spark: SparkSettings | None = None) -> WrittenFile:
    outcome = offload_unit(table.context(spark=spark), table.task(table.batch(0, 10_000), policy))
    assert outcome.error is None, outcome.error
    assert outcome.writer is Writer(policy)
    assert outcome.file is not None
    return outcome.file


def test_every_type_is_the_same_as_the_stream_writer_writes_it(every_type: HotTable) -> None:
    exported = written(every_type, WriterPolicy.EXPORT)
    streamed = written(every_type, WriterPolicy.STREAM)

    assert exported.fingerprint == streamed.fingerprint == every_type.source_fingerprint()
    assert every_type.file_fingerprint(exported.path) == exported.fingerprint
    mine, theirs = (every_type.read(file.path) for file in (exported, streamed))
    assert mine.schema.names == theirs.schema.names
    assert str(mine.sort_by("ts").to_pylist()) == str(theirs.sort_by("ts").to_pylist())


def test_the_file_has_the_targets_field_ids_and_types_and_nothing_of_the_proof(every_type: HotTable) -> None:
    file = written(every_type, WriterPolicy.EXPORT)

    footer = every_type.footer(file.path)

    found = pyarrow_to_schema(footer.schema.to_arrow_schema())
    assert {field.field_id: str(field.field_type) for field in found.fields} == {
        # Arrow's own schema shows UUIDs as what they are stored in.
        field.field_id: str(field.field_type).replace("uuid", "fixed[16]")
        for field in every_type.target.schema.fields
    }
    uuids = [n for n in range(footer.num_columns) if footer.schema.column(n).logical_type.type == "UUID"]
    assert [footer.schema.column(number).path.partition(".")[0] for number in uuids] == ["id", "ids", "ids"]
    assert PROOF_COLUMN not in footer.schema.names
    assert every_type.store.get_file_info(file.path.removeprefix("s3://")).size == file.bytes
    assert [path for path in every_type.stored(every_type.batch(0, 1)) if path.endswith(".export")] == []


def test_no_bound_of_the_footer_leaves_out_a_value(every_type: HotTable) -> None:
    file = written(every_type, WriterPolicy.EXPORT)

    table, footer = every_type.read(file.path), every_type.footer(file.path)

    checked = 0
    for number in range(footer.num_columns):
        column = footer.row_group(0).column(number)
        if "." in column.path_in_schema or column.physical_type == "BYTE_ARRAY" or column.path_in_schema == "id":
            continue
        present = (value for value in table[column.path_in_schema].to_pylist() if value is not None)
        values = [value for value in present if not (isinstance(value, float) and math.isnan(value))]
        assert column.statistics.min <= min(values), column.path_in_schema
        assert column.statistics.max >= max(values), column.path_in_schema
        assert column.statistics.null_count == table[column.path_in_schema].null_count
        checked += 1
    assert checked >= 18
    zeros = footer.row_group(0).column(footer.schema.names.index("f32")).statistics
    assert (math.copysign(1, zeros.min), math.copysign(1, zeros.max)) == (-1, 1)


def test_several_row_groups_hold_their_rows_and_one_proof(stack: EmbeddedStack) -> None:
    table = HotTable.numbered(stack.endpoints, 5000)

    file = written(table, WriterPolicy.EXPORT, spark=SparkSettings(row_group_rows=1024))

    footer = table.footer(file.path)
    assert footer.num_row_groups > 1
    assert footer.num_rows == 5000
    assert pc.sum(table.read(file.path)["number"].cast(pa.int64())).as_py() == 5000 * 4999 // 2
    assert table.file_fingerprint(file.path) == file.fingerprint == table.source_fingerprint()


def test_a_unit_without_rows_leaves_nothing_on_the_store(stack: EmbeddedStack) -> None:
    table = HotTable.numbered(stack.endpoints, 0)
    batch = table.batch(0, 10)

    outcome = offload_unit(table.context(), table.task(batch, WriterPolicy.EXPORT))

    assert (outcome.error, outcome.file, outcome.writer) == (None, None, Writer.EXPORT)
    assert table.stored(batch) == []


def test_the_engine_lets_clickhouse_write_each_unit(stack: EmbeddedStack, connect_server: SparkConnectServer) -> None:
    table = HotTable.numbered(stack.endpoints, 3000)
    engine = remote_engine(stack.endpoints, connect_server.url, WriterPolicy.EXPORT)
    batch = table.batch(0, 1000, 2500, 3000, 4000)

    reports = table.write(engine, batch)
    engine.stop()

    assert [report.file.fingerprint.rows for report in reports] == [1000, 1500, 500]
    assert sum((report.file.fingerprint for report in reports), EMPTY) == table.source_fingerprint()
    assert sorted(report.file.path for report in reports) == sorted(table.stored(batch))
    assert all(table.footer(report.file.path).created_by.startswith("ClickHouse") for report in reports)


REFUSALS = [
    pytest.param({"query_settings": {"readonly": 2}}, AccessDeniedError, "readonly", id="reads only"),
    pytest.param({"store_endpoint": "http://127.0.0.1:9"}, SourceUnavailableError, "499", id="no way to the store"),
]


@pytest.mark.parametrize(("wrong", "error", "said"), REFUSALS)
def test_where_clickhouse_refuses_auto_reads_the_rows_and_says_why(
    stack: EmbeddedStack, wrong: dict[str, object], error: type[IcehaulError], said: str
) -> None:
    table = HotTable.numbered(stack.endpoints, 100)
    clickhouse = clickhouse_settings(stack.endpoints).model_copy(update=wrong)
    context, batch = table.context(clickhouse=clickhouse), table.batch(0, 100)

    outcome = offload_unit(context, table.task(batch, WriterPolicy.AUTO, clickhouse))
    strict = offload_unit(context, table.task(batch, WriterPolicy.EXPORT, clickhouse))

    assert outcome.error is None
    assert outcome.file is not None
    assert outcome.file.fingerprint == table.source_fingerprint()
    assert outcome.writer is Writer.STREAM
    assert said in (outcome.refusal or "")
    assert isinstance(strict.error, error)
    assert stack.endpoints.store.secret_key not in f"{outcome} {strict} {strict.error}"
    assert table.stored(batch) == [outcome.file.path]


def test_a_named_collection_keeps_the_keys_out_of_the_statement(stack: EmbeddedStack) -> None:
    table, store = HotTable.numbered(stack.endpoints, 100), stack.endpoints.store
    name = f"keys_{uuid4().hex}"
    table.client.command(
        f"CREATE NAMED COLLECTION {name} AS access_key_id = '{store.access_key}',"
        f" secret_access_key = '{store.secret_key}'"
    )
    clickhouse = clickhouse_settings(stack.endpoints).model_copy(update={"store_collection": name})
    task = table.task(table.batch(0, 100), WriterPolicy.EXPORT, clickhouse)

    outcome = offload_unit(table.context(), task)
    table.client.command(f"DROP NAMED COLLECTION {name}")

    assert outcome.file is not None
    assert outcome.file.fingerprint == table.source_fingerprint()
    assert task.export is not None
    assert STORE_KEY not in task.export.statement


@pytest.fixture
def steady_inserts(stack: EmbeddedStack) -> Iterator[HotTable]:
    """A table into which somebody inserts rows of the same window without a pause."""
    table = HotTable.numbered(stack.endpoints, 200_000)
    server = stack.endpoints.clickhouse
    stop = threading.Event()

    def insert() -> None:
        client = clickhouse_connect.get_client(
            host=server.host, port=server.port, username=server.user, password=server.password
        )
        while not stop.is_set():
            client.command(f"INSERT INTO {table.stream.source.table} SELECT '2024-01-01 00:00:01', 1 FROM numbers(7)")
        client.close()

    inserting = threading.Thread(target=insert)
    inserting.start()
    yield table
    stop.set()
    inserting.join()


def test_under_steady_inserts_the_digest_is_that_of_the_rows_in_the_file(steady_inserts: HotTable) -> None:
    for _ in range(5):
        file = written(steady_inserts, WriterPolicy.EXPORT)

        assert steady_inserts.file_fingerprint(file.path) == file.fingerprint
        assert file.fingerprint.rows >= 10_000


def test_a_decimal_beyond_its_precision_is_refused(stack: EmbeddedStack) -> None:
    table = HotTable.create(stack.endpoints, "ts DateTime64(6, 'UTC'), prices Array(Decimal(18, 8))")
    table.client.command(
        f"INSERT INTO {table.stream.source.table} SELECT '2024-01-01 00:00:00', [toDecimal64(9999999999, 8) + 1]"
        " SETTINGS decimal_check_overflow = 0"
    )

    outcome = offload_unit(table.context(), table.task(table.batch(0, 1), WriterPolicy.EXPORT))

    assert isinstance(outcome.error, UnsupportedTypeError)
    assert "column prices" in outcome.error.message


def test_text_that_is_not_utf8_is_refused(stack: EmbeddedStack) -> None:
    table = HotTable.create(stack.endpoints, "ts DateTime64(6, 'UTC'), note String")
    table.client.command(f"INSERT INTO {table.stream.source.table} SELECT '2024-01-01 00:00:00', unhex('C328')")

    outcome = offload_unit(table.context(), table.task(table.batch(0, 1), WriterPolicy.EXPORT))

    assert isinstance(outcome.error, UnsupportedTypeError)
    assert "column note" in outcome.error.message
