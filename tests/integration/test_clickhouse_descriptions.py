"""A described table is described again once it has changed, however it has changed, and only then."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from consumer.adapters.clickhouse.client import ClickHouseConnection, Row
from consumer.adapters.clickhouse.descriptions import Descriptions
from consumer.domain.errors import SourceMissingError
from consumer.domain.stream import TableName
from consumer.domain.unit_query import READ_SETTINGS
from consumer.embedded.stack import EmbeddedStack
from tests.support.hot_tier import HotTier, clickhouse_settings, hot_tier
from tests.support.waiting import wait_until


class CountingConnection(ClickHouseConnection):
    """Remembers the queries that it runs."""

    def __init__(self, stack: EmbeddedStack) -> None:
        super().__init__(clickhouse_settings(stack), READ_SETTINGS)
        self.queries: list[str] = []

    def rows(self, query: str, *, parameters: Mapping[str, str | int] | None = None, **more: object) -> Sequence[Row]:
        self.queries.append(query)
        return super().rows(query, parameters=parameters, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def hot(stack: EmbeddedStack) -> Iterator[HotTier]:
    with hot_tier(stack, f"t_{uuid.uuid4().hex[:12]}") as tier:
        yield tier


@pytest.fixture
def connection(stack: EmbeddedStack) -> Iterator[CountingConnection]:
    made = CountingConnection(stack)
    yield made
    made.close()


@pytest.fixture
def descriptions(connection: CountingConnection) -> Descriptions:
    return Descriptions(connection)


@pytest.fixture
def table(hot: HotTier, unique_name: str, descriptions: Descriptions, connection: CountingConnection) -> TableName:
    """A table that was described, and stood still for long enough that its description is kept."""
    name = TableName(database=hot.database, table=unique_name)
    hot.run(f"CREATE TABLE {name} (ts DateTime, n UInt8) ENGINE = MergeTree ORDER BY ts")
    wait_until(lambda: asked(connection, descriptions, name) == 1, seconds=60, what="a description that is kept")
    return name


def asked(connection: CountingConnection, descriptions: Descriptions, table: TableName) -> int:
    """How many queries it takes to describe the table now."""
    before = len(connection.queries)
    descriptions.describe(table)
    return len(connection.queries) - before


def columns(descriptions: Descriptions, table: TableName) -> list[tuple[str, str]]:
    return [(column.name, column.type) for column in descriptions.describe(table).columns]


def test_a_table_that_stands_still_takes_one_query(
    table: TableName, descriptions: Descriptions, connection: CountingConnection
) -> None:
    assert asked(connection, descriptions, table) == 1
    assert columns(descriptions, table) == [("ts", "DateTime"), ("n", "UInt8")]
    assert descriptions.last(table) == descriptions.describe(table)


def test_a_survey_tells_contents_and_an_unchanged_description_by_one_query(
    table: TableName, descriptions: Descriptions, connection: CountingConnection, hot: HotTier
) -> None:
    hot.run(f"INSERT INTO {table} SELECT now(), 1 FROM numbers(3)")
    before = len(connection.queries)
    found = descriptions.survey(table)
    assert len(connection.queries) == before + 1
    assert found.table == descriptions.last(table)
    assert [content.rows for content in found.contents.values()] == [3]
    hot.run(f"ALTER TABLE {table} ADD COLUMN more String")
    assert descriptions.survey(table).table is None


@pytest.mark.parametrize(
    ("change", "after"),
    [
        ("ADD COLUMN late String", [("ts", "DateTime"), ("n", "UInt8"), ("late", "String")]),
        ("MODIFY COLUMN n UInt64", [("ts", "DateTime"), ("n", "UInt64")]),
        ("DROP COLUMN n", [("ts", "DateTime")]),
        ("RENAME COLUMN n TO m", [("ts", "DateTime"), ("m", "UInt8")]),
    ],
)
def test_an_altered_table_is_described_anew_at_once(
    hot: HotTier, table: TableName, descriptions: Descriptions, change: str, after: list[tuple[str, str]]
) -> None:
    hot.run(f"ALTER TABLE {table} {change}")

    assert columns(descriptions, table) == after


def test_a_definition_that_was_changed_and_put_back_is_described_anew(
    hot: HotTier, table: TableName, descriptions: Descriptions, connection: CountingConnection
) -> None:
    hot.run(f"ALTER TABLE {table} ADD COLUMN late String")
    assert ("late", "String") in columns(descriptions, table)
    hot.run(f"ALTER TABLE {table} DROP COLUMN late")

    assert asked(connection, descriptions, table) > 1
    assert columns(descriptions, table) == [("ts", "DateTime"), ("n", "UInt8")]


def test_a_description_is_not_kept_while_the_table_may_be_under_change(
    hot: HotTier, table: TableName, descriptions: Descriptions, connection: CountingConnection
) -> None:
    hot.run(f"ALTER TABLE {table} ADD COLUMN late String")

    assert asked(connection, descriptions, table) > 1
    assert asked(connection, descriptions, table) > 1


def test_a_table_made_anew_under_the_same_name_is_another_one(
    hot: HotTier, table: TableName, descriptions: Descriptions
) -> None:
    first = descriptions.describe(table).uuid
    hot.run(f"DROP TABLE {table} SYNC")
    hot.run(f"CREATE TABLE {table} (ts DateTime, n UInt8) ENGINE = MergeTree ORDER BY ts")

    assert descriptions.describe(table).uuid != first


def test_a_table_that_was_dropped_is_missing_though_it_was_described(
    hot: HotTier, table: TableName, descriptions: Descriptions
) -> None:
    hot.run(f"DROP TABLE {table} SYNC")

    with pytest.raises(SourceMissingError, match=f"source {table} does not exist"):
        descriptions.describe(table)


def test_the_servers_time_comes_with_a_description_and_is_never_ahead(
    table: TableName, descriptions: Descriptions, connection: CountingConnection
) -> None:
    descriptions.describe(table)
    before = len(connection.queries)
    reckoned = descriptions.now()
    assert len(connection.queries) == before
    ((micros,),) = connection.rows("SELECT toUnixTimestamp64Micro(now64(6))")
    server = datetime.fromtimestamp(int(micros) / 1e6, UTC)
    assert timedelta(0) <= server - reckoned < timedelta(seconds=5)


def test_the_servers_time_is_asked_again_after_a_second(
    table: TableName, descriptions: Descriptions, connection: CountingConnection
) -> None:
    descriptions.describe(table)
    before = len(connection.queries)

    wait_until(lambda: descriptions.now() and len(connection.queries) > before, seconds=60, what="a new question")
    assert connection.queries[-1] == "SELECT toUnixTimestamp64Micro(now64(6))"
