"""All the SQL that icehaul sends to ClickHouse, on engines of several versions: the adapters' own code, other engines.

An engine whose environment is not there is skipped: ``make compat`` makes them all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from consumer.domain.batch import SequenceRange, Unit
from consumer.domain.errors import (
    CheckFailedError,
    SchemaMovedError,
    SourceChangedError,
    SourceMissingError,
    UnsupportedTypeError,
)
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.mapping import TableMapping
from consumer.domain.stream import Stream, TableName
from consumer.domain.table_facts import ValueRange
from consumer.domain.type_mapping import map_table
from consumer.domain.unit_query import TABLE_CHANGED, TYPES_CHANGED, unit_query
from consumer.domain.window import BEGINNING, END_OF_TIME, PartitionBy, Window
from consumer.ports import SequenceReport, Step
from tests.compat.engines import NEWEST, OLDER, Engine, interpreter
from tests.support.typed_values import TypedValues, types

ALWAYS = Window(lower=BEGINNING, upper=END_OF_TIME)
DATABASE = "compat"
ALL_REQUIRED = "ICEHAUL_COMPAT_ALL"
"""Set by ``make compat``: an engine that is not there fails instead of being skipped."""


def _started(version: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    started = Engine(version, tmp_path_factory.mktemp(f"engine-{version}"))
    try:
        started.run(f"CREATE DATABASE {DATABASE} ENGINE = Atomic")
        yield started
    finally:
        started.close()


@pytest.fixture(scope="module", params=[*OLDER, NEWEST])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    version = str(request.param)
    if not interpreter(version).exists():
        missing = f"no virtual environment with ClickHouse {version}: make compat makes it"
        (pytest.fail if os.environ.get(ALL_REQUIRED) else pytest.skip)(missing)
    yield from _started(version, tmp_path_factory)


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The engine that all other tests run on; what it reads is what the others have to read."""
    yield from _started(NEWEST, tmp_path_factory)


class Typed:
    """A table with columns of the given types and rows of the given SQL values, one second apart."""

    _numbers = count()

    def __init__(self, engine: Engine, column_types: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.engine = engine
        name = TableName(database=DATABASE, table=f"typed_{next(self._numbers)}")
        columns = ", ".join(f"c{number} {type_}" for number, type_ in enumerate(column_types))
        # Sparse columns of old servers forget the sign of a zero before anybody reads it.
        engine.run(
            f"CREATE TABLE {name} (ts DateTime64(6), {columns}) ENGINE = MergeTree ORDER BY tuple()"
            " SETTINGS ratio_of_defaults_for_sparse_serialization = 1"
        )
        instants = (f"toDateTime64('2024-01-01 00:00:{second:02}', 6, 'UTC')" for second in range(len(rows)))
        # Unnamed, equal expressions of several branches of UNION ALL are one to engines of 2024, which then fail.
        selects = (
            f"SELECT {instant}, {', '.join(f'{value} AS c{number}' for number, value in enumerate(row))}"
            for instant, row in zip(instants, rows, strict=True)
        )
        engine.run(f"INSERT INTO {name} {' UNION ALL '.join(selects)}")
        self.stream = Stream(name="s", source=name, target=name, timestamp_column="ts")
        self.mapping = map_table(engine.source.describe(name).columns, timestamp_column="ts")

    def read(self) -> tuple[pa.Table, list[int]]:
        query = unit_query(self.stream, self.mapping, Unit(index=0, window=ALWAYS, rows=0))
        return self.engine.read(query, self.mapping)


def assert_file_equals_source(table: Typed) -> pa.Table:
    """Read, write and fingerprint a table as a batch does; return what was read."""
    source = table.engine.source
    arrow, hashes = table.read()
    path = table.engine.write(arrow, "typed")
    read = Fingerprint(rows=len(hashes), digest=sum(hashes) % (1 << 64))

    assert source.fingerprint(table.stream, table.mapping, ALWAYS) == read
    assert source.fingerprint_files(table.mapping, [path]) == read
    assert source.difference(table.stream, table.mapping, [ALWAYS], [path]) == (0, 0)
    return arrow.sort_by("ts")


def _integers(bits: int, *, signed: bool) -> list[str]:
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return [str(low), str(high), "0", "1"]


FLOATS = ["'nan'", "'inf'", "'-inf'", "'-0'", "'0'", "'1.5'"]
TEXTS = ["''", "'a'", "'\u4e16\u754c \\' \\\\ \\n'", "'a\\0b'"]
VALUES: dict[str, list[str]] = {
    **{f"Int{bits}": _integers(bits, signed=True) for bits in (8, 16, 32, 64)},
    **{f"UInt{bits}": _integers(bits, signed=False) for bits in (8, 16, 32, 64)},
    "Float32": [*FLOATS, "'16777216'"],
    "Float64": [*FLOATS, "'1.7976931348623157e308'"],
    "Decimal(1, 0)": ["'9'", "'-9'", "'0'"],
    "Decimal(9, 2)": ["'9999999.99'", "'-9999999.99'", "'0.01'"],
    "Decimal(18, 18)": ["'0.999999999999999999'", "'-0.999999999999999999'", "'0'"],
    "Decimal(19, 4)": ["'999999999999999.9999'", "'-999999999999999.9999'", "'0'"],
    "Decimal(38, 0)": [f"'{'9' * 38}'", f"'-{'9' * 38}'", "'0'"],
    "Decimal(38, 38)": [f"'0.{'9' * 38}'", f"'-0.{'9' * 38}'", "'0'"],
    "String": TEXTS,
    "Bool": ["'true'", "'false'"],
    "Date": ["'1970-01-01'", "'2149-06-06'", "'2024-02-29'"],
    "Date32": ["'1900-01-01'", "'2299-12-31'", "'1969-12-31'"],
    "DateTime": ["0", "4294967295", "1700000000"],
    "DateTime('America/New_York')": ["0", "4294967295", "1700000000"],
    **{
        f"DateTime64({digits}, 'Asia/Tokyo')": [
            f"toDateTime64('{text}', {digits}, 'UTC')"
            for text in ("1900-01-01 00:00:00", "2299-12-31 14:59:59.999999", "1969-12-31 23:59:59.999999")
        ]
        for digits in range(7)
    },
    "UUID": [f"'{'0' * 8}-0000-0000-0000-{'0' * 12}'", "'00112233-4455-6677-8899-aabbccddeeff'"],
    "Enum8('a' = 1, 'b\\'c' = -2, '' = 3)": ["'a'", "'b\\'c'", "''"],
    "Enum16('x, y' = 300, ')' = -300)": ["'x, y'", "')'"],
    "LowCardinality(String)": TEXTS,
    "LowCardinality(Nullable(String))": ["NULL", *TEXTS],
    "LowCardinality(UInt64)": _integers(64, signed=False),
    "LowCardinality(Nullable(Date))": ["NULL", "'1970-01-01'", "'2149-06-06'"],
    "LowCardinality(UUID)": ["'00112233-4455-6677-8899-aabbccddeeff'"],
    "SimpleAggregateFunction(max, Int64)": _integers(64, signed=True),
    "SimpleAggregateFunction(anyLast, Nullable(String))": ["NULL", "''", "'a'"],
    "Array(Int32)": ["[]", "[1, -2]"],
    "Array(Nullable(Float64))": ["[]", "[NULL]", "[NULL, 0, -0.]", "[nan, 1]"],
    "Array(UUID)": ["[]", "['00112233-4455-6677-8899-aabbccddeeff']"],
    "Array(Nullable(UUID))": ["[NULL]", "['00112233-4455-6677-8899-aabbccddeeff', NULL]"],
    "Array(Array(Nullable(String)))": ["[]", "[[]]", "[['', NULL], ['a']]"],
    "Array(LowCardinality(Nullable(String)))": ["[]", "[NULL, '', 'a']"],
    "Array(DateTime64(3, 'Asia/Tokyo'))": ["[]", "[toDateTime64('1900-01-01 00:00:00.001', 3, 'UTC')]"],
    "Map(String, Int32)": ["map('a', 1, 'b', 2)", "(['a', 'a'], [1, 1])", "([], [])"],
    "Map(LowCardinality(String), Nullable(Decimal(9, 2)))": ["(['a', ''], [NULL, 1.25])", "([], [])"],
    "Map(UUID, Array(Nullable(UInt64)))": [
        "(['00112233-4455-6677-8899-aabbccddeeff'], [[NULL, 18446744073709551615]])",
        "([], [])",
    ],
    "Tuple(Int32, String)": ["(1, 'a')", "(0, '')"],
    "Tuple(price Nullable(Decimal(18, 8)), size Float32)": ["(NULL, 0)", "('0.00000001', '-0')"],
    "Tuple(a Array(Tuple(b Nullable(String), c Map(String, UUID))))": [
        "tuple([(NULL, (['k'], ['00112233-4455-6677-8899-aabbccddeeff']))])",
        "tuple([])",
    ],
    "Nested(price Decimal(9, 2), size Nullable(UInt32))": ["[]", "[(1.25, NULL), (-1, 4294967295)]"],
}
NULLABLE = [type_ for type_ in VALUES if not type_.startswith(("Low", "Simple", "Array", "Map", "Tuple", "Nested"))]
CASES = {**VALUES, **{f"Nullable({type_})": ["NULL", *VALUES[type_]] for type_ in NULLABLE}}


@pytest.mark.parametrize("type_", CASES)
def test_the_file_has_the_digest_of_the_table_and_the_newest_engine_reads_the_same(
    engine: Engine, newest: Engine, type_: str
) -> None:
    rows = [[f"CAST({value} AS {type_})"] for value in CASES[type_]]

    arrow = assert_file_equals_source(Typed(engine, [type_], rows))
    expected = Typed(newest, [type_], rows).read()[0].sort_by("ts")

    assert arrow.num_rows == len(rows)
    assert arrow.schema == expected.schema
    assert repr(arrow.to_pylist()) == repr(expected.to_pylist())


TABLES = st.lists(types(), min_size=1, max_size=4).flatmap(
    lambda columns: st.tuples(
        st.just(columns), st.lists(st.tuples(*(column.values for column in columns)), min_size=1, max_size=3)
    )
)


@given(case=TABLES)
@settings(max_examples=30, derandomize=True, phases=(Phase.generate,))
def test_any_table_has_the_digest_of_its_file(
    engine: Engine, newest: Engine, case: tuple[list[TypedValues], list[tuple[str, ...]]]
) -> None:
    columns, rows = case
    column_types = [column.type for column in columns]

    arrow = assert_file_equals_source(Typed(engine, column_types, rows))

    assert repr(arrow.to_pylist()) == repr(Typed(newest, column_types, rows).read()[0].sort_by("ts").to_pylist())


TRADES = TableName(database=DATABASE, table="trades")
START = datetime(2024, 1, 31, 23, 59, 59, 999_998, tzinfo=UTC)
INSTANTS = (
    datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    *(START + timedelta(microseconds=n) for n in range(4)),
)
TRADES_STREAM = Stream(
    name="trades", source=TRADES, target=TRADES, timestamp_column="ts", sequence_columns=("venue", "id")
)
WHOLE = Window(lower=INSTANTS[0], upper=INSTANTS[-1] + timedelta(seconds=1))


@pytest.fixture(scope="module")
def trades(engine: Engine) -> TableMapping:
    """Five instants of four rows each: two venues, ids with a gap, and one row repeated."""
    engine.run(
        f"CREATE TABLE {TRADES} (ts DateTime64(6, 'UTC') COMMENT 'when', venue LowCardinality(String), id UInt64,"
        " price Decimal(18, 8) DEFAULT 1, twice Decimal(18, 8) MATERIALIZED price * 2, thrice Int32 ALIAS 3)"
        " ENGINE = MergeTree PARTITION BY toYYYYMM(ts) ORDER BY (ts, venue, id)"
    )
    for number, instant in enumerate(INSTANTS):
        engine.run(
            f"INSERT INTO {TRADES} (ts, venue, id) SELECT toDateTime64('{instant:%Y-%m-%d %H:%M:%S.%f}', 6, 'UTC'),"
            f" if(number < 2, 'a', 'b'), {number} * 10 + number FROM numbers(4)"
        )
    engine.run(f"INSERT INTO {TRADES} (ts, venue, id) SELECT ts, venue, id FROM {TRADES} WHERE venue = 'a' AND id = 0")
    described = engine.source.describe(TRADES)
    return map_table(
        described.columns,
        timestamp_column="ts",
        sequence_columns=("venue", "id"),
        source_uuid=described.uuid,
    )


def test_a_table_is_described_with_all_that_it_stores(engine: Engine, trades: TableMapping) -> None:
    described = engine.source.describe(TRADES)

    assert described.engine == "MergeTree"
    assert described.uuid.int != 0
    assert (described.partition_key, described.sorting_key) == ("toYYYYMM(ts)", "ts, venue, id")
    assert [(column.name, column.type) for column in described.columns] == [
        ("ts", "DateTime64(6, 'UTC')"),
        ("venue", "LowCardinality(String)"),
        ("id", "UInt64"),
        ("price", "Decimal(18, 8)"),
        ("twice", "Decimal(18, 8)"),
    ]


def test_a_survey_tells_what_every_partition_holds(engine: Engine, trades: TableMapping) -> None:
    contents = engine.source.survey(TRADES_STREAM).contents
    assert sum(content.rows for content in contents.values()) == engine.source.extent(TRADES_STREAM, WHOLE).rows


def test_a_window_has_an_extent(engine: Engine, trades: TableMapping) -> None:
    extent = engine.source.extent(TRADES_STREAM, WHOLE)

    assert (extent.rows, extent.first, extent.last) == (21, INSTANTS[0], INSTANTS[-1])
    assert extent.bytes > 0
    assert engine.source.extent(TRADES_STREAM, Window(lower=START - timedelta(days=1), upper=START)).rows == 0


def _floor(step: Step, instant: datetime) -> datetime:
    if step is Step.YEAR:
        return instant.replace(month=1, day=1, hour=0, minute=0, second=0, microsecond=0)
    if step is Step.MONTH:
        return instant.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    widths = {
        Step.DAY: timedelta(days=1),
        Step.HOUR: timedelta(hours=1),
        Step.MINUTE: timedelta(minutes=1),
        Step.SECOND: timedelta(seconds=1),
        Step.MILLISECOND: timedelta(milliseconds=1),
        Step.MICROSECOND: timedelta(microseconds=1),
    }
    return instant - (instant - datetime(1, 1, 1, tzinfo=UTC)) % widths[step]


@pytest.mark.parametrize("step", Step)
def test_a_histogram_counts_each_row_once_before_and_after_1970(
    engine: Engine, trades: TableMapping, step: Step
) -> None:
    expected: dict[datetime, int] = {}
    for number, instant in enumerate(INSTANTS):
        start = _floor(step, instant)
        expected[start] = expected.get(start, 0) + (5 if number == 0 else 4)

    buckets = engine.source.histogram(TRADES_STREAM, WHOLE, step)

    assert {bucket.start: bucket.rows for bucket in buckets} == expected
    assert [bucket.start for bucket in buckets] == sorted(expected)


def test_sequence_bounds_split_a_window_into_units_that_hold_every_row_once(
    engine: Engine, trades: TableMapping
) -> None:
    instant = Window(lower=INSTANTS[2], upper=INSTANTS[3])
    bounds = engine.source.sequence_bounds(TRADES_STREAM, instant, every=2)
    edges = [None, *bounds, None]
    units = [
        Unit(index=number, window=instant, rows=0, sequence=SequenceRange(lower=lower, upper=upper))
        for number, (lower, upper) in enumerate(pairwise(edges))
    ]

    read = [engine.read(unit_query(TRADES_STREAM, trades, unit), trades)[0]["id"].to_pylist() for unit in units]

    assert bounds == [("b", "22")]
    assert [[int(value) for value in ids] for ids in read] == [[20, 21], [22, 23]]


def test_an_instant_as_a_sequence_column_bounds_units_too(engine: Engine, trades: TableMapping) -> None:
    stream = Stream(name="s", source=TRADES, target=TRADES, timestamp_column="ts", sequence_columns=("ts", "id"))
    bounds = engine.source.sequence_bounds(stream, WHOLE, every=5)
    sequence = SequenceRange(lower=bounds[0], upper=bounds[1])
    query = unit_query(stream, trades, Unit(index=0, window=WHOLE, rows=0, sequence=sequence))

    assert bounds[0] == ("2024-01-31 23:59:59.999998", "10")
    assert sorted(int(value) for value in engine.read(query, trades)[0]["id"].to_pylist()) == [10, 11, 12, 13, 20]


def test_the_sequence_report_counts_repetitions_and_gaps(engine: Engine, trades: TableMapping) -> None:
    # Of each venue's ids 0 to 43, two of every ten are there: 4 times 8 are missing between them.
    report = engine.source.sequence_report(TRADES_STREAM, WHOLE)

    assert report == SequenceReport(repeated=1, gaps=64)


def test_difference_says_what_the_files_lack(engine: Engine, trades: TableMapping) -> None:
    half = Window(lower=WHOLE.lower, upper=START)
    arrow, _ = engine.read(unit_query(TRADES_STREAM, trades, Unit(index=0, window=half, rows=0)), trades)
    path = engine.write(arrow, "half")

    assert engine.source.difference(TRADES_STREAM, trades, [WHOLE], [path]) == (16, 0)
    assert engine.source.difference(TRADES_STREAM, trades, [WHOLE], [path, path]) == (16, 5)
    assert engine.source.difference(TRADES_STREAM, trades, [Window(lower=START, upper=WHOLE.upper)], [path]) == (16, 5)


def test_a_file_that_lacks_a_column_fails_the_check(engine: Engine, trades: TableMapping) -> None:
    arrow, _ = engine.read(unit_query(TRADES_STREAM, trades, Unit(index=0, window=WHOLE, rows=0)), trades)
    path = engine.write(arrow.drop_columns(["price"]), "lacking")

    with pytest.raises(CheckFailedError, match="price"):
        engine.source.fingerprint_files(trades, [path])


def test_the_inventory_lists_partitions_and_their_content(engine: Engine, trades: TableMapping) -> None:
    inventory = engine.inventory.inventory(TRADES_STREAM)

    assert inventory.period is PartitionBy.MONTH
    assert [(found.id, found.content.rows, found.first, found.last) for found in inventory.partitions] == [
        ("196912", 5, INSTANTS[0], INSTANTS[0]),
        ("202401", 8, INSTANTS[1], INSTANTS[2]),
        ("202402", 8, INSTANTS[3], INSTANTS[4]),
    ]
    assert all(found.content.data_version == 0 for found in inventory.partitions)


def test_a_merge_keeps_a_partitions_content_and_a_mutation_changes_it(engine: Engine) -> None:
    name = TableName(database=DATABASE, table="merged")
    stream = Stream(name="merged", source=name, target=name, timestamp_column="ts")
    engine.run(f"CREATE TABLE {name} (ts DateTime, v Int32) ENGINE = MergeTree PARTITION BY toDate(ts) ORDER BY ts")
    for value in range(3):
        engine.run(f"INSERT INTO {name} SELECT toDateTime(0), {value}")

    def content() -> str:
        return engine.inventory.inventory(stream).partitions[0].content.id

    before = content()
    engine.run(f"OPTIMIZE TABLE {name} FINAL")
    merged = content()
    engine.run(f"ALTER TABLE {name} UPDATE v = 9 WHERE v = 1")

    assert merged == before
    assert content() != before


def test_a_database_is_introspected(engine: Engine, trades: TableMapping) -> None:
    facts = {found.table: found for found in engine.introspection.tables(DATABASE)}["trades"]

    assert engine.introspection.table(TRADES) == facts
    assert (facts.engine, facts.rows, facts.has_uuid) == ("MergeTree", 21, True)
    assert [(column.name, column.kind, column.comment) for column in facts.columns] == [
        ("ts", "", "when"),
        ("venue", "", ""),
        ("id", "", ""),
        ("price", "DEFAULT", ""),
        ("twice", "MATERIALIZED", ""),
        ("thrice", "ALIAS", ""),
    ]
    assert engine.introspection.ranges(TRADES, ["ts"]) == {"ts": ValueRange(first=INSTANTS[0], last=INSTANTS[-1])}
    assert engine.introspection.server().version.startswith(f"{engine.version}.")


def test_the_clock_is_read(engine: Engine) -> None:
    for now in (engine.source.now(), engine.inventory.now()):
        assert abs(now - datetime.now(UTC)) < timedelta(minutes=5)


def test_an_absent_table_is_named(engine: Engine) -> None:
    with pytest.raises(SourceMissingError, match="nowhere"):
        engine.source.describe(TableName(database=DATABASE, table="nowhere"))


def test_a_column_that_was_widened_after_it_was_described_ends_the_query(engine: Engine) -> None:
    table = Typed(engine, ["Int32"], [["1"]])
    engine.run(f"ALTER TABLE {table.stream.source} MODIFY COLUMN c0 Int64")

    with pytest.raises(SchemaMovedError, match=TYPES_CHANGED):
        engine.source.fingerprint(table.stream, table.mapping, ALWAYS)


@pytest.mark.parametrize("rows", [0, 3])
def test_a_table_that_was_exchanged_after_it_was_described_is_not_read(engine: Engine, rows: int) -> None:
    name = TableName(database=DATABASE, table=f"exchanged_{rows}")
    stream = Stream(name="exchanged", source=name, target=name, timestamp_column="ts")
    for table in (name, f"{name}_other"):
        engine.run(f"CREATE TABLE {table} (ts DateTime, v Int32) ENGINE = MergeTree ORDER BY ts")
    engine.run(f"INSERT INTO {name}_other SELECT number, number FROM numbers({rows})")
    described = engine.source.describe(name)
    mapping = map_table(described.columns, timestamp_column="ts", source_uuid=described.uuid)
    assert engine.source.fingerprint(stream, mapping, ALWAYS).rows == 0
    engine.run(f"EXCHANGE TABLES {name} AND {name}_other")

    with pytest.raises(SourceChangedError, match=TABLE_CHANGED):
        engine.source.extent(stream, ALWAYS)
    with pytest.raises(SourceChangedError, match=TABLE_CHANGED):
        engine.source.fingerprint(stream, mapping, ALWAYS)
    with pytest.raises(DatabaseError, match=TABLE_CHANGED):
        engine.read(unit_query(stream, mapping, Unit(index=0, window=ALWAYS, rows=0)), mapping)


@pytest.mark.parametrize("type_", ["String", "Nullable(String)", "Array(String)", "Map(String, Int32)"])
def test_text_that_is_not_utf_8_ends_the_query(engine: Engine, type_: str) -> None:
    bad = {"Array(String)": "['\\xff']", "Map(String, Int32)": "map('\\xff', 1)"}.get(type_, "'\\xff'")
    table = Typed(engine, [type_], [[f"CAST({bad} AS {type_})"]])

    with pytest.raises(UnsupportedTypeError, match="c0 holds bytes that are not UTF-8"):
        engine.source.fingerprint(table.stream, table.mapping, ALWAYS)


def test_the_environments_lie_where_the_makefile_makes_them() -> None:
    makefile = (Path(__file__).parents[2] / "Makefile").read_text("utf-8")

    assert f"COMPAT_ENGINES := {' '.join(OLDER)}\n" in makefile
