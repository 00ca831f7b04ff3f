"""The digest of rows in ClickHouse is the digest of the files written from them, for every type and value."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consumer.domain.batch import Unit
from consumer.domain.clickhouse_sql import quote_text
from consumer.domain.errors import UnsupportedTypeError
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.mapping import TableMapping
from consumer.domain.stream import Stream, TableName
from consumer.domain.type_choices import As
from consumer.domain.type_mapping import map_table
from consumer.domain.unit_query import unit_query
from consumer.domain.window import BEGINNING, END_OF_TIME, Window
from consumer.embedded.stack import EmbeddedStack
from tests.support.hot_tier import HotTier, hot_tier
from tests.support.typed_values import CHOSEN, MADE_OF_OTHERS, RECENT, SCALARS, TypedValues, types

ALWAYS = Window(lower=BEGINNING, upper=END_OF_TIME)
TOGETHER = 13
"""Columns of one table in the test of every type."""

INSTANT = "toDateTime64('2024-01-01 00:00:00', 6, 'UTC')"


@pytest.fixture(scope="module")
def hot(stack: EmbeddedStack) -> Iterator[HotTier]:
    with hot_tier(stack, f"t_{uuid.uuid4().hex[:12]}") as tier:
        yield tier


class Table:
    """A table of the given column types (and a time column), and the stream that offloads it."""

    def __init__(
        self, hot: HotTier, column_types: Sequence[str], name: str = "source", chosen: Mapping[str, As] | None = None
    ) -> None:
        self.hot = hot
        self.chosen = chosen or {}
        self.name = TableName(database=hot.database, table=name)
        columns = ", ".join(f"c{number} {type_}" for number, type_ in enumerate(column_types))
        hot.run(f"DROP TABLE IF EXISTS {self.name} SYNC")
        # Sparse columns of old servers forget the sign of a zero before anybody reads it.
        hot.run(
            f"CREATE TABLE {self.name} (ts DateTime64(6), {columns}) ENGINE = MergeTree ORDER BY tuple()"
            " SETTINGS ratio_of_defaults_for_sparse_serialization = 1"
        )
        self.stream = Stream(name="s", source=self.name, target=self.name, timestamp_column="ts")

    def insert(self, *rows: Sequence[str]) -> Table:
        selects = (f"SELECT {', '.join((INSTANT, *row))}" for row in rows)
        for select in selects:
            self.hot.run(f"INSERT INTO {self.name} {select}")
        return self

    def mapping(self) -> TableMapping:
        return map_table(self.hot.source.describe(self.name).columns, timestamp_column="ts", chosen=self.chosen)

    def fingerprint(self) -> Fingerprint:
        return self.hot.source.fingerprint(self.stream, self.mapping(), ALWAYS)

    def query(self) -> str:
        return unit_query(self.stream, self.mapping(), Unit(index=0, window=ALWAYS, rows=0))


TABLES = st.lists(types(), min_size=1, max_size=5).flatmap(
    lambda columns: st.tuples(
        st.just(columns),
        st.lists(st.tuples(*(column.values for column in columns)), min_size=1, max_size=4),
    )
)


@given(case=TABLES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_table_has_the_digest_of_its_file_and_equal_hashes_mean_equal_rows(
    hot: HotTier, case: tuple[list[TypedValues], list[tuple[str, ...]]]
) -> None:
    columns, rows = case
    judge(hot, columns, rows)


def judge(hot: HotTier, columns: Sequence[TypedValues], rows: Sequence[Sequence[str]]) -> None:
    """Write rows of these columns to a file as the stream writer does, and compare it with the table."""
    chosen = {f"c{number}": column.choice for number, column in enumerate(columns) if column.choice is not None}
    table = Table(hot, [column.type for column in columns], chosen=chosen).insert(*rows)
    mapping = table.mapping()

    arrow, hashes = hot.read(table.query(), mapping)
    path = hot.write(arrow, "any")

    read = Fingerprint(rows=len(hashes), digest=sum(hashes) % (1 << 64))
    assert read.rows == len(rows)
    assert table.fingerprint() == read
    assert hot.source.fingerprint_files(mapping, [path]) == read
    assert len(set(hashes)) == len({repr(row) for row in arrow.to_pylist()})


EVERY = [*MADE_OF_OTHERS, *RECENT, *CHOSEN]


@pytest.mark.parametrize("first", range(0, len(EVERY), TOGETHER), ids=lambda first: f"{EVERY[first]} and more")
def test_every_type_and_choice_has_the_digest_of_its_file(hot: HotTier, first: int) -> None:
    columns = EVERY[first : first + TOGETHER]

    @given(rows=st.lists(st.tuples(*(column.values for column in columns)), min_size=1, max_size=8))
    @settings(max_examples=3, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    def check(rows: list[tuple[str, ...]]) -> None:
        judge(hot, columns, rows)

    check()


@pytest.mark.parametrize(
    ("type_", "choice", "value"),
    [
        ("Int256", As.DECIMAL, "-toInt256('100000000000000000000000000000000000000')"),
        ("UInt128", As.DECIMAL, "toUInt128('340282366920938463463374607431768211455')"),
        ("Decimal(76, 10)", As.DECIMAL, "toDecimal256('12345678901234567890123456789.5', 10)"),
        ("DateTime64(7, 'UTC')", As.NANOS, "toDateTime64('2299-12-31 00:00:00', 7, 'UTC')"),
        ("FixedString(2)", As.STRING, "unhex('FFFE')"),
    ],
)
def test_a_value_that_a_choice_can_not_hold_ends_the_reading(hot: HotTier, type_: str, choice: As, value: str) -> None:
    table = Table(hot, [type_], chosen={"c0": choice}).insert([value])

    with pytest.raises(UnsupportedTypeError):
        table.fingerprint()


@pytest.mark.parametrize("scalar", SCALARS, ids=lambda scalar: scalar.type)
def test_null_is_not_the_default_value_whatever_the_type(hot: HotTier, scalar: TypedValues) -> None:
    type_ = f"Nullable({scalar.type})"
    null = f"CAST(NULL AS {type_})"
    default = f"CAST(defaultValueOfTypeName({quote_text(scalar.type)}) AS {type_})"

    of_null = Table(hot, [type_]).insert([null]).fingerprint()
    of_default = Table(hot, [type_]).insert([default]).fingerprint()

    assert of_null != of_default


DIFFERENT: list[tuple[str, str, str]] = [
    ("Float64", "CAST('0' AS Float64)", "CAST('-0' AS Float64)"),
    ("Float64", "nan", "inf"),
    ("String", "''", "' '"),
    ("Array(Nullable(Int32))", "CAST([] AS Array(Nullable(Int32)))", "CAST([NULL] AS Array(Nullable(Int32)))"),
    ("Array(Nullable(Int32))", "[NULL, 0]", "[0, NULL]"),
    ("Array(Nullable(String))", "[NULL]", "['']"),
    ("Array(Array(Int32))", "[[1], [2]]", "[[1, 2], []]"),
    ("Array(Array(Int32))", "[[], [1, 2]]", "[[1, 2], []]"),
    ("Array(Array(Int32))", "[]", "[[]]"),
    ("Array(String)", "['ab', 'c']", "['a', 'bc']"),
    ("Map(String, Int32)", "map('a', 1, 'b', 2)", "map('a', 2, 'b', 1)"),
    ("Map(String, Int32)", "map('a', 1)", "CAST((['a', 'a'], [1, 1]) AS Map(String, Int32))"),
    ("Map(String, Nullable(Int32))", "map('a', NULL)", "map('a', 0)"),
    ("Tuple(Int32, Int32)", "(1, 2)", "(2, 1)"),
    ("Tuple(String, String)", "('ab', '')", "('a', 'b')"),
    ("Tuple(Nullable(Int32), Nullable(Int32))", "(NULL, 0)", "(0, NULL)"),
    ("LowCardinality(Nullable(String))", "NULL", "''"),
]


@pytest.mark.parametrize(("type_", "one", "other"), DIFFERENT)
def test_values_that_look_alike_have_different_digests(hot: HotTier, type_: str, one: str, other: str) -> None:
    assert Table(hot, [type_]).insert([one]).fingerprint() != Table(hot, [type_]).insert([other]).fingerprint()


CHANGES = {
    "a changed value": ["ALTER TABLE {} UPDATE c1 = c1 + 1 WHERE c0 = 1"],
    "two columns exchanged": ["ALTER TABLE {} UPDATE c0 = c1, c1 = c0 WHERE c0 = 1"],
    "the values of two rows exchanged": ["ALTER TABLE {} UPDATE c1 = 30 - c1 WHERE c0 IN (1, 2)"],
    "a row lost": ["ALTER TABLE {} DELETE WHERE c0 = 1"],
    "a row doubled": ["INSERT INTO {} SELECT * FROM {} WHERE c0 = 1"],
    "a row lost and another doubled": [
        "ALTER TABLE {} DELETE WHERE c0 = 1",
        "INSERT INTO {} SELECT * FROM {} WHERE c0 = 2",
    ],
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_digest_notices(hot: HotTier, change: str) -> None:
    table = Table(hot, ["Int64", "Int64"]).insert(["1", "10"], ["2", "20"], ["3", "30"])
    before = table.fingerprint()

    for statement in CHANGES[change]:
        hot.run(statement.replace("{}", str(table.name)))

    assert table.fingerprint() != before


def test_the_digest_does_not_depend_on_parts_and_order(hot: HotTier) -> None:
    rows = [(str(number), f"'{number}'") for number in range(5)]
    forwards = Table(hot, ["Int64", "Nullable(String)"]).insert(*rows).fingerprint()
    backwards = Table(hot, ["Int64", "Nullable(String)"]).insert(*reversed(rows)).fingerprint()

    assert forwards == backwards
