"""Columns that ClickHouse fills, computes or does not store: what of them is in the target, and stays equal there."""

from __future__ import annotations

import pytest

from consumer.domain.writer import Writer
from tests.support.cases import few
from tests.support.changed_source import alter, offload_days, rows_of, table_of
from tests.support.local_platform import LocalPlatform, judge

pytestmark = pytest.mark.thorough

COLUMNS = (
    "ts DateTime64(6, 'UTC'), seq UInt64, a Int32, filled Int64 DEFAULT a + 1, computed Int64 MATERIALIZED a * 2,"
    " shown Int64 ALIAS a + 3, given String EPHEMERAL 'none', upper String DEFAULT upper(given)"
)
STORED = ("a", "filled", "computed", "upper")
DAYS = ("2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04")
ROWS = 10


@pytest.fixture(params=few(Writer, {Writer.STREAM}))
def platform(local: LocalPlatform, request: pytest.FixtureRequest) -> LocalPlatform:
    """A stream with all kinds of columns; a task reads them, or ClickHouse writes the files itself."""
    local.sections["spark"] = {"writer": str(request.param)}
    local.add_stream(columns=COLUMNS)
    return local


@pytest.fixture
def stream(platform: LocalPlatform) -> str:
    return f"{platform.name}_trades"


def insert(platform: LocalPlatform, on: str, **values: str) -> None:
    """Insert rows of a day; expressions over ``number`` for the columns that are given."""
    columns = {"seq": "number", "a": "number"} | values
    platform.client.command(
        f"INSERT INTO {platform.name}.trades (ts, {', '.join(columns)})"
        f" SELECT toDateTime64('{on} 00:00:00', 6, 'UTC') + toIntervalSecond(number), {', '.join(columns.values())}"
        f" FROM numbers({ROWS})"
    )


def test_what_is_stored_is_offloaded_and_what_is_computed_on_reading_is_not(
    platform: LocalPlatform, stream: str
) -> None:
    insert(platform, DAYS[0], given="'x' || toString(number)")
    insert(platform, DAYS[0], filled="-number")
    with platform.consumer() as application:
        offload_days(application, stream, DAYS[1])

        names = [field.name for field in table_of(application, stream).schema().fields]
        assert names == ["ts", "seq", *STORED]
        found = rows_of(application, stream, *STORED)
        expected = [
            row
            for number in range(ROWS)
            for row in (
                {"a": number, "filled": -number, "computed": 2 * number, "upper": "NONE"},
                {"a": number, "filled": number + 1, "computed": 2 * number, "upper": f"X{number}"},
            )
        ]
        assert sorted(found, key=lambda row: (row["a"], row["upper"])) == expected
        judge(application, stream, rows=2 * ROWS)


def test_each_kind_may_be_added_later(platform: LocalPlatform, stream: str) -> None:
    insert(platform, DAYS[0])
    with platform.consumer() as application:
        offload_days(application, stream, DAYS[1])
        alter(platform, "ADD COLUMN later Int64 ALIAS a + 4, ADD COLUMN hint String EPHEMERAL 'ab'")
        insert(platform, DAYS[1])
        offload_days(application, stream, DAYS[2])
        assert table_of(application, stream).schema().schema_id == 0

        alter(platform, "ADD COLUMN more Int64 MATERIALIZED a * 5, ADD COLUMN length Int64 DEFAULT length(hint)")
        judge(application, stream, rows=2 * ROWS)
        insert(platform, DAYS[2], hint="'abc'")
        insert(platform, DAYS[0], a="100 + number")
        offload_days(application, stream, DAYS[3])
        alter(platform, "MATERIALIZE COLUMN more")

        found = rows_of(application, stream, "a", "more", "length")
        assert [(row["more"], row["length"]) for row in found[-ROWS:]] == [(5 * number, 3) for number in range(ROWS)]
        late = [row for row in found if row["a"] >= 100]
        assert [row["more"] for row in late] == [5 * row["a"] for row in late]
        assert [row["more"] for row in found[:-ROWS] if row["a"] < 100] == [None] * 2 * ROWS
        judge(application, stream, rows=4 * ROWS)


@pytest.mark.parametrize("platform", [Writer.STREAM], indirect=True)
def test_expressions_may_be_changed_and_removed(platform: LocalPlatform, stream: str) -> None:
    insert(platform, DAYS[0])
    with platform.consumer() as application:
        offload_days(application, stream, DAYS[1])
        alter(platform, "MODIFY COLUMN filled DEFAULT a + 100, MODIFY COLUMN computed MATERIALIZED a * 7")
        judge(application, stream, rows=ROWS)
        insert(platform, DAYS[1])
        offload_days(application, stream, DAYS[2])
        alter(platform, "MODIFY COLUMN filled REMOVE DEFAULT, MODIFY COLUMN computed REMOVE MATERIALIZED")
        judge(application, stream, rows=2 * ROWS)
        insert(platform, DAYS[2], computed="-number")
        offload_days(application, stream, DAYS[3])

        assert table_of(application, stream).schema().schema_id == 0
        found = rows_of(application, stream, "filled", "computed")
        assert [row["filled"] for row in found] == [*range(1, ROWS + 1), *range(100, 100 + ROWS), *([0] * ROWS)]
        assert [row["computed"] for row in found] == [
            factor * number for factor in (2, 7, -1) for number in range(ROWS)
        ]
        judge(application, stream, rows=3 * ROWS)


@pytest.mark.parametrize("platform", [Writer.STREAM], indirect=True)
def test_a_column_may_become_stored_or_stop_being_so(platform: LocalPlatform, stream: str) -> None:
    insert(platform, DAYS[0])
    with platform.consumer() as application:
        offload_days(application, stream, DAYS[1])
        alter(platform, "MODIFY COLUMN shown Int64 MATERIALIZED a + 3")
        insert(platform, DAYS[1])
        offload_days(application, stream, DAYS[2])
        judge(application, stream, rows=2 * ROWS)
        alter(platform, "MODIFY COLUMN computed Int64 ALIAS a * 9")
        insert(platform, DAYS[2])
        offload_days(application, stream, DAYS[3])

        found = rows_of(application, stream, "shown", "computed")
        assert [row["shown"] for row in found] == [None] * ROWS + [number + 3 for number in range(ROWS)] * 2
        assert [row["computed"] for row in found] == [number * 2 for number in range(ROWS)] * 2 + [None] * ROWS
        judge(application, stream, rows=3 * ROWS)


@pytest.mark.parametrize("platform", [Writer.STREAM], indirect=True)
def test_a_default_that_no_part_holds_is_materialized_before_it_changes(platform: LocalPlatform, stream: str) -> None:
    """ClickHouse computes it whenever it is read: another expression changes rows that are in the cold tier already."""
    insert(platform, DAYS[0])
    alter(platform, "ADD COLUMN one Int32 DEFAULT 1, ADD COLUMN other Int32 DEFAULT 1")
    with platform.consumer() as application:
        offload_days(application, stream, DAYS[1])
        judge(application, stream, rows=ROWS)
        alter(platform, "MATERIALIZE COLUMN one")
        alter(platform, "MODIFY COLUMN one DEFAULT 2")
        judge(application, stream, rows=ROWS)
        alter(platform, "MODIFY COLUMN other DEFAULT 2")
        found = application.verifier.verify(application.streams[stream])
        assert [(one.missing, one.surplus) for one in found.differences] == [(ROWS, ROWS)]
        assert rows_of(application, stream, "one", "other") == [{"one": 1, "other": 1}] * ROWS
