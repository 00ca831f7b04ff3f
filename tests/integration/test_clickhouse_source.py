"""The ClickHouse source against the real engine: describing, counting, cutting and fingerprinting."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest

from consumer.domain.batch import SequenceRange, Unit
from consumer.domain.errors import SchemaMovedError, SourceMissingError, TimeColumnError, UnsupportedTypeError
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.mapping import TableMapping
from consumer.domain.stream import Stream, TableName
from consumer.domain.type_mapping import map_table
from consumer.domain.unit_query import unit_query
from consumer.domain.window import BEGINNING, END_OF_TIME, Window
from consumer.embedded.stack import EmbeddedStack
from consumer.ports import Extent, Step
from tests.support.hot_tier import HotTier, hot_tier

ALWAYS = Window(lower=BEGINNING, upper=END_OF_TIME)
TIME_TYPES = ("Date", "Date32", "DateTime", "DateTime('Asia/Tokyo')", "DateTime64(3, 'Asia/Tokyo')", "DateTime64(6)")


@pytest.fixture(scope="module")
def hot(stack: EmbeddedStack) -> Iterator[HotTier]:
    with hot_tier(stack, f"t_{uuid.uuid4().hex[:12]}") as tier:
        yield tier


@pytest.fixture
def table(hot: HotTier, unique_name: str) -> TableName:
    return TableName(database=hot.database, table=unique_name)


def stream_of(table: TableName, *sequence_columns: str) -> Stream:
    return Stream(name="s", source=table, target=table, timestamp_column="ts", sequence_columns=sequence_columns)


def mapping_of(hot: HotTier, stream: Stream) -> TableMapping:
    return map_table(
        hot.source.describe(stream.source).columns,
        timestamp_column=stream.timestamp_column,
        sequence_columns=stream.sequence_columns,
    )


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# ------------------------------------------------------------------------------------------ describe


def test_the_servers_time_is_an_instant_in_utc(hot: HotTier) -> None:
    assert abs(hot.source.now() - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_full_row_is_what_the_table_stores(hot: HotTier, table: TableName) -> None:
    hot.run(
        f"CREATE TABLE {table} (ts DateTime, n UInt64 DEFAULT 1, twice UInt64 MATERIALIZED n * 2,"
        " shown UInt64 ALIAS n + 1, given UInt8 EPHEMERAL)"
        " ENGINE = MergeTree PARTITION BY toYYYYMM(ts) ORDER BY (ts, n)"
    )

    described = hot.source.describe(table)

    assert [(column.name, column.type) for column in described.columns] == [
        ("ts", "DateTime"),
        ("n", "UInt64"),
        ("twice", "UInt64"),
    ]
    assert (described.engine, described.partition_key, described.sorting_key) == ("MergeTree", "toYYYYMM(ts)", "ts, n")


def test_materialized_columns_are_read_with_the_row(hot: HotTier, table: TableName) -> None:
    hot.run(
        f"CREATE TABLE {table} (ts DateTime, n UInt8, twice UInt8 MATERIALIZED n * 2) ENGINE = MergeTree ORDER BY ts"
    )
    hot.run(f"INSERT INTO {table} (ts, n) VALUES (1, 2)")
    stream = stream_of(table)
    mapping = mapping_of(hot, stream)

    rows, _ = hot.read(unit_query(stream, mapping, Unit(index=0, window=ALWAYS, rows=1)), mapping)

    assert rows.select(["n", "twice"]).to_pylist() == [{"n": 2, "twice": 4}]


def test_a_table_made_anew_has_another_uuid(hot: HotTier, table: TableName) -> None:
    create = f"CREATE TABLE {table} (ts DateTime) ENGINE = MergeTree ORDER BY ts"
    hot.run(create)
    first = hot.source.describe(table).uuid
    hot.run(f"DROP TABLE {table} SYNC")
    hot.run(create)

    assert hot.source.describe(table).uuid != first


@pytest.mark.parametrize("missing", ["no_such_database.trades", "default.no_such_table"])
def test_a_missing_source_is_named(hot: HotTier, missing: str) -> None:
    with pytest.raises(SourceMissingError, match=f"source {missing} does not exist"):
        hot.source.describe(TableName.parse(missing))


@pytest.mark.parametrize(
    ("definition", "engine"),
    [
        ("VIEW {} AS SELECT now() AS ts", "View"),
        ("TABLE {} (ts DateTime) ENGINE = Memory", "Memory"),
        ("TABLE {} (ts DateTime) ENGINE = Null", "Null"),
    ],
)
def test_only_tables_with_parts_are_sources(hot: HotTier, table: TableName, definition: str, engine: str) -> None:
    hot.run(f"CREATE {definition.format(table)}")

    with pytest.raises(SourceMissingError, match=f"source {table} .* engine {engine}"):
        hot.source.describe(table)


# ------------------------------------------------------------------------------------------ counting


@pytest.mark.parametrize("type_", TIME_TYPES)
def test_an_empty_window_has_no_extent(hot: HotTier, table: TableName, type_: str) -> None:
    hot.run(f"CREATE TABLE {table} (ts {type_}) ENGINE = MergeTree ORDER BY ts")

    assert hot.source.extent(stream_of(table), ALWAYS) == Extent(rows=0, bytes=0, first=None, last=None)
    assert list(hot.source.histogram(stream_of(table), ALWAYS, Step.DAY)) == []


def test_an_extent_counts_rows_and_bytes_between_the_first_and_last_instant(hot: HotTier, table: TableName) -> None:
    hot.run(f"CREATE TABLE {table} (ts DateTime64(6, 'Asia/Tokyo'), n UInt64) ENGINE = MergeTree ORDER BY ts")
    hot.run(
        f"INSERT INTO {table} SELECT toDateTime64('2024-01-01 00:00:00.000001', 6, 'UTC') + number, number"
        " FROM numbers(1000)"
    )

    extent = hot.source.extent(stream_of(table), Window(lower=BEGINNING, upper=at("2024-01-01T00:01:40")))

    assert (extent.rows, extent.first, extent.last) == (
        100,
        at("2024-01-01T00:00:00.000001"),
        at("2024-01-01T00:01:39.000001"),
    )
    assert extent.bytes == 100 * 16


@pytest.mark.parametrize("type_", TIME_TYPES)
def test_adjacent_windows_share_no_row_and_miss_none(hot: HotTier, table: TableName, type_: str) -> None:
    hot.run(f"CREATE TABLE {table} (ts {type_}, n UInt64) ENGINE = MergeTree ORDER BY ts")
    hot.run(
        f"INSERT INTO {table} SELECT CAST(toDateTime64('2024-01-01 00:00:00', 6, 'UTC')"
        f" + toIntervalMicrosecond(number * 123456789) AS {type_}), number FROM numbers(3000)"
    )
    stream = stream_of(table)
    mapping = mapping_of(hot, stream)
    cuts = [
        BEGINNING,
        at("2024-01-01T00:00:00"),
        at("2024-01-01T00:00:00.000001"),
        at("2024-01-02T00:00:00.500000"),
        at("2024-01-02T00:00:00.999999"),
        at("2024-01-03T12:34:56.789012"),
        at("2024-01-04T00:00:00"),
        END_OF_TIME,
    ]
    windows = [Window(lower=lower, upper=upper) for lower, upper in pairwise(cuts)]

    parts = [hot.source.fingerprint(stream, mapping, window) for window in windows]
    extents = [hot.source.extent(stream, window) for window in windows]

    assert sum(parts, Fingerprint(rows=0, digest=0)) == hot.source.fingerprint(stream, mapping, ALWAYS)
    assert [extent.rows for extent in extents] == [part.rows for part in parts]
    assert sum(extent.rows for extent in extents) == 3000
    for window, extent in zip(windows, extents, strict=True):
        if extent.first is not None and extent.last is not None:
            assert window.contains(extent.first)
            assert window.contains(extent.last)


def test_the_first_and_last_values_of_every_time_type_are_counted(hot: HotTier, unique_name: str) -> None:
    limits = {
        "Date": ("1970-01-01", "2149-06-06"),
        "Date32": ("1900-01-01", "2299-12-31"),
        "DateTime": ("1970-01-01", "2106-02-07T06:28:15"),
        "DateTime64(3)": ("1900-01-01", "2299-12-31T23:59:58.999"),
    }
    for number, (type_, (first, last)) in enumerate(limits.items()):
        table = TableName(database=hot.database, table=f"{unique_name}_{number}")
        hot.run(f"CREATE TABLE {table} (ts {type_}) ENGINE = MergeTree ORDER BY ts")
        for value in (first, last):
            text = value.replace("T", " ")
            hot.run(f"INSERT INTO {table} SELECT CAST(toDateTime64('{text}', 6, 'UTC') AS {type_})")

        extent = hot.source.extent(stream_of(table), ALWAYS)

        assert (extent.rows, extent.first, extent.last) == (2, at(first), at(last)), type_


def test_an_instant_before_every_window_is_refused_not_passed_by(hot: HotTier, table: TableName) -> None:
    hot.run(f"CREATE TABLE {table} (ts DateTime64(6)) ENGINE = MergeTree ORDER BY ts")
    hot.run(f"INSERT INTO {table} SELECT reinterpret(toInt64(-3000000000000000), 'DateTime64(6)')")

    with pytest.raises(TimeColumnError, match=f"{table}.ts holds an instant outside the years"):
        hot.source.extent(stream_of(table), ALWAYS)


@pytest.mark.parametrize(
    ("step", "starts"),
    [
        (Step.YEAR, ["1960-01-01", "2024-01-01"]),
        (Step.MONTH, ["1960-12-01", "2024-01-01", "2024-02-01"]),
        (Step.DAY, ["1960-12-31", "2024-01-31", "2024-02-01"]),
        (Step.HOUR, ["1960-12-31T23:00", "2024-01-31T23:00", "2024-02-01T00:00"]),
        (Step.MINUTE, ["1960-12-31T23:59", "2024-01-31T23:59", "2024-02-01T00:00"]),
        (Step.SECOND, ["1960-12-31T23:59:59", "2024-01-31T23:59:59", "2024-02-01"]),
        (Step.MILLISECOND, ["1960-12-31T23:59:59.999", "2024-01-31T23:59:59.999", "2024-02-01"]),
        (Step.MICROSECOND, ["1960-12-31T23:59:59.999999", "2024-01-31T23:59:59.999999", "2024-02-01"]),
    ],
)
def test_a_histogram_counts_by_steps_in_utc(hot: HotTier, table: TableName, step: Step, starts: Sequence[str]) -> None:
    instants = (
        "1960-12-31 23:59:59.999999",
        "2024-01-31 23:59:59.999999",
        "2024-02-01 00:00:00",
        "2024-02-01 00:00:00",
    )
    hot.run(f"CREATE TABLE {table} (ts DateTime64(6, 'Asia/Tokyo')) ENGINE = MergeTree ORDER BY ts")
    for instant in instants:
        hot.run(f"INSERT INTO {table} SELECT toDateTime64('{instant}', 6, 'UTC')")

    buckets = hot.source.histogram(stream_of(table), ALWAYS, step)

    assert [bucket.start for bucket in buckets] == [at(start) for start in starts]
    assert sum(bucket.rows for bucket in buckets) == len(instants)
    assert sum(bucket.bytes for bucket in buckets) == 8 * len(instants)


@pytest.mark.parametrize("type_", ["DateTime", "DateTime64(3, 'Asia/Tokyo')", "Date"])
def test_a_unit_reads_only_the_granules_of_its_window(hot: HotTier, table: TableName, type_: str) -> None:
    hot.run(f"CREATE TABLE {table} (ts {type_}, n UInt64) ENGINE = MergeTree ORDER BY (ts, n)")
    hot.run(
        f"INSERT INTO {table} SELECT CAST(toDateTime64('2024-01-01 00:00:00', 3, 'UTC')"
        f" + toIntervalMinute(number) AS {type_}), number FROM numbers(400000)"
    )
    stream = stream_of(table, "n")
    window = Window(lower=at("2024-03-01"), upper=at("2024-03-02T00:00:00.000500"))
    query = unit_query(stream, mapping_of(hot, stream), Unit(index=0, window=window, rows=0))

    plan = "\n".join(str(row[0]) for row in hot.client.query(f"EXPLAIN indexes = 1 {query}").result_rows)

    selected, total = (
        int(number) for number in plan.split("PrimaryKey")[1].split("Granules: ")[1].split()[0].split("/")
    )
    assert selected <= 3
    assert total >= 40


# ------------------------------------------------------------------------------------------ cutting


SEQUENCES = {
    "UInt64": "number * 1000000000000000",
    "Int8": "toInt8(number % 100) - 50",
    "String": "concat('it\\'s \\\\ \\n', toString(number))",
    "LowCardinality(String)": "toString(intDiv(number, 7))",
    "UUID": "generateUUIDv4()",
    "Decimal(38, 10)": "toDecimal128(number, 10) / 3",
    "DateTime64(3, 'Asia/Tokyo')": "toDateTime64('2024-03-31 00:00:00', 3, 'UTC') + number",
    "DateTime('Europe/Berlin')": "toDateTime('2024-10-27 00:00:00', 'UTC') + number * 60",
    "Date32": "toDate32('1950-01-01') + number",
    "Enum8('b' = -1, 'a' = 1, 'c' = 2)": "CAST(number % 3 - 1 = 0 ? 'b' : (number % 2 ? 'a' : 'c')"
    " AS Enum8('b' = -1, 'a' = 1, 'c' = 2))",
    "Bool": "number > 50",
}


@pytest.mark.parametrize("type_", SEQUENCES)
def test_an_instant_is_cut_by_the_sequence_columns_without_loss_or_overlap(
    hot: HotTier, table: TableName, type_: str
) -> None:
    hot.run(f"CREATE TABLE {table} (ts DateTime64(6), a {type_}, b UInt16) ENGINE = MergeTree ORDER BY ts")
    hot.run(
        f"INSERT INTO {table} SELECT toDateTime64('2024-01-01 00:00:00', 6, 'UTC'), {SEQUENCES[type_]}, number % 10"
        " FROM numbers(100)"
    )
    stream = stream_of(table, "a", "b")
    mapping = mapping_of(hot, stream)
    window = Window(lower=at("2024-01-01"), upper=at("2024-01-01T00:00:00.000001"))

    cuts = hot.source.sequence_bounds(stream, window, 30)
    bounds = [None, *cuts, None]
    units = [
        Unit(index=number, window=window, rows=0, sequence=SequenceRange(lower=lower, upper=upper))
        for number, (lower, upper) in enumerate(pairwise(bounds))
    ]
    read = [hot.read(unit_query(stream, mapping, unit), mapping)[1] for unit in units]

    assert len(cuts) == len(set(cuts)) >= 1
    assert all(hashes for hashes in read)
    assert sum(len(hashes) for hashes in read) == 100
    assert sum(sum(hashes) for hashes in read) % (1 << 64) == hot.source.fingerprint(stream, mapping, window).digest


def test_equal_sequences_are_never_cut(hot: HotTier, table: TableName) -> None:
    hot.run(f"CREATE TABLE {table} (ts DateTime, n UInt64) ENGINE = MergeTree ORDER BY ts")
    hot.run(f"INSERT INTO {table} SELECT 1, 7 FROM numbers(100)")

    assert list(hot.source.sequence_bounds(stream_of(table, "n"), ALWAYS, 10)) == []
    assert list(hot.source.sequence_bounds(stream_of(table), ALWAYS, 10)) == []


# ------------------------------------------------------------------------------------------ values


def test_values_arrive_as_they_are_in_the_source(hot: HotTier, table: TableName) -> None:
    values: list[tuple[str, str, object]] = [
        ("UInt64", "18446744073709551615", Decimal(18446744073709551615)),
        ("Int8", "-128", -128),
        ("Enum8('it\\'s' = 1)", "'it\\'s'", "it's"),
        ("Nullable(String)", "NULL", None),
        ("String", "'a\\0ü\U0001f600'", "a\0ü\U0001f600"),
        ("UUID", "'00112233-4455-6677-8899-aabbccddeeff'", uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")),
        ("Date32", "'1900-01-01'", date(1900, 1, 1)),
        ("DateTime64(3, 'Asia/Tokyo')", "'2024-01-01 09:00:00.123'", at("2024-01-01T00:00:00.123")),
        ("Decimal(18, 6)", "'-123456789012.345678'", Decimal("-123456789012.345678")),
        ("Array(Nullable(UInt8))", "[1, NULL]", [1, None]),
        ("Map(LowCardinality(String), UInt64)", "map('k', 1)", [("k", Decimal(1))]),
        ("Tuple(a UInt8, b Bool)", "(1, true)", {"a": 1, "b": True}),
        ("Tuple(UInt8, String)", "(1, 'x')", {"_1": 1, "_2": "x"}),
    ]
    columns = ", ".join(f"c{number} {type_}" for number, (type_, _, _) in enumerate(values))
    hot.run(f"CREATE TABLE {table} (ts DateTime, {columns}) ENGINE = MergeTree ORDER BY ts")
    hot.run(f"INSERT INTO {table} SELECT 0, {', '.join(literal for _, literal, _ in values)}")
    stream = stream_of(table)
    mapping = mapping_of(hot, stream)

    rows, _ = hot.read(unit_query(stream, mapping, Unit(index=0, window=ALWAYS, rows=0)), mapping)

    (row,) = rows.drop_columns(["ts"]).to_pylist()
    assert list(row.values()) == [expected for _, _, expected in values]


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("String", "unhex('ff')"),
        ("LowCardinality(Nullable(String))", "CAST(unhex('ff') AS LowCardinality(Nullable(String)))"),
        ("Array(Nullable(String))", "['fine', NULL, unhex('c328')]"),
        ("Map(String, UInt8)", "map(unhex('ff'), 1)"),
        ("Map(UInt8, Tuple(a String))", "map(1, tuple(unhex('ff')))"),
    ],
)
def test_bytes_that_are_no_utf8_fail_the_reading_and_name_the_column(
    hot: HotTier, table: TableName, type_: str, value: str
) -> None:
    hot.run(f"CREATE TABLE {table} (ts DateTime, fine String, note {type_}) ENGINE = MergeTree ORDER BY ts")
    hot.run(f"INSERT INTO {table} SELECT 1, 'ü', {value}")
    hot.run(f"INSERT INTO {table} (ts, fine) SELECT 2, 'later'")
    stream = stream_of(table)
    mapping = mapping_of(hot, stream)

    with pytest.raises(UnsupportedTypeError, match="column note holds bytes that are not UTF-8"):
        hot.source.fingerprint(stream, mapping, ALWAYS)

    # Another window's rows are not in the way.
    later = Window(lower=at("1970-01-01T00:00:02"), upper=END_OF_TIME)
    assert hot.source.fingerprint(stream, mapping, later).rows == 1


def test_a_column_that_was_widened_after_it_was_described_is_not_read_and_wrapped(
    hot: HotTier, table: TableName
) -> None:
    hot.run(f"CREATE TABLE {table} (ts DateTime, n UInt8) ENGINE = MergeTree ORDER BY ts")
    stream = stream_of(table)
    mapping = mapping_of(hot, stream)
    hot.run(f"ALTER TABLE {table} MODIFY COLUMN n UInt64")
    hot.run(f"INSERT INTO {table} VALUES (1, 4294967297)")

    with pytest.raises(SchemaMovedError, match="the columns' types have changed"):
        hot.source.fingerprint(stream, mapping, ALWAYS)


# ------------------------------------------------------------------------------------- gaps and repetitions


@pytest.mark.parametrize(
    ("columns", "values", "repeated", "gaps"),
    [
        ((), "(0, 'a', 1), (0, 'a', 9)", 0, None),
        (("n",), "(0, 'a', 1), (1, 'a', 2), (2, 'a', 3)", 0, 0),
        (("n",), "(0, 'a', 1), (1, 'a', 2), (2, 'a', 2), (3, 'a', 7)", 1, 4),
        # Numbers count within each symbol; the last row is beyond the window.
        (("symbol", "n"), "(0, 'a', 1), (1, 'a', 3), (2, 'b', 3), (3, 'b', 3), (90, 'b', 9)", 1, 1),
        (("n", "symbol"), "(0, 'a', 1), (1, 'a', 9), (2, 'a', 9)", 1, None),
    ],
)
def test_repeated_and_missing_sequence_numbers_are_reported(
    hot: HotTier, table: TableName, columns: tuple[str, ...], values: str, repeated: int, gaps: int | None
) -> None:
    hot.run(
        f"CREATE TABLE {table} (ts DateTime, symbol LowCardinality(String), n UInt64) ENGINE = MergeTree ORDER BY ts"
    )
    hot.run(f"INSERT INTO {table} VALUES {values}")
    window = Window(lower=at("1970-01-01T00:00:00"), upper=at("1970-01-01T00:01:00"))

    found = hot.source.sequence_report(stream_of(table, *columns), window)

    assert (found.repeated, found.gaps) == (repeated, gaps)


# ------------------------------------------------------------------------------------------ many threads


def test_many_threads_share_one_source(hot: HotTier, table: TableName) -> None:
    hot.run(f"CREATE TABLE {table} (ts DateTime, n UInt64) ENGINE = MergeTree ORDER BY ts")
    hot.run(f"INSERT INTO {table} SELECT number, number FROM numbers(10000)")
    stream = stream_of(table)
    mapping = mapping_of(hot, stream)

    def ask(number: int) -> int:
        upper = at("1970-01-01") + timedelta(seconds=number + 1)
        return hot.source.fingerprint(stream, mapping, Window(lower=BEGINNING, upper=upper)).rows

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(64))) == [number + 1 for number in range(64)]
