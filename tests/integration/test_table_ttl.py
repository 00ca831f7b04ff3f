"""What is computed of a table's TTL is what ClickHouse itself notes down for the rows that it holds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from consumer.domain.stream import TableName
from consumer.embedded.stack import EmbeddedStack
from tests.support.hot_tier import HotTier, hot_tier

ROWS = ("2024-01-31 23:59:58.7", "2024-02-29 00:00:00", "2023-11-30 12:34:56", "2024-03-30 01:30:00")
RULES = (
    "toDateTime(ts) + INTERVAL 20 YEAR",
    "ts + INTERVAL 241 MONTH",
    "toDate(ts) + INTERVAL 7001 DAY - INTERVAL 3 HOUR",
    "toDateTime(toDate(ts)) + INTERVAL 81 QUARTER",
    "toStartOfMonth(ts) + INTERVAL 1000 WEEK",
    "toStartOfHour(ts, 'Asia/Kolkata') + INTERVAL 9000 DAY",
    "addMonths(ts, 240)",
)
TYPES = ("DateTime64(6, 'UTC')", "DateTime('Europe/Berlin')")


@pytest.fixture
def tier(stack: EmbeddedStack, unique_name: str) -> Iterator[HotTier]:
    with hot_tier(stack, unique_name) as made:
        yield made


@pytest.mark.parametrize("column_type", TYPES)
def test_the_moment_of_each_row_is_clickhouses_own(tier: HotTier, column_type: str) -> None:
    for number, rule in enumerate(RULES):
        name = TableName(database=tier.database, table=f"t{number}")
        tier.run(f"CREATE TABLE {name} (ts {column_type}, seq UInt32) ENGINE = MergeTree ORDER BY seq TTL {rule}")
        table = tier.source.describe(name)
        (ttl,) = table.ttls
        assert ttl.expression is not None, rule
        for row in ROWS:
            tier.run(f"TRUNCATE TABLE {name}")
            tier.run(f"INSERT INTO {name} SELECT parseDateTime64BestEffort('{row}', 6, 'UTC'), 1")
            ((expected, instant),) = tier.client.query(
                "SELECT toUnixTimestamp(delete_ttl_info_min),"
                f" (SELECT toUnixTimestamp64Micro(toDateTime64(ts, 6)) FROM {name}) FROM system.parts"
                f" WHERE active AND database = '{name.database}' AND table = '{name.table}' AND rows > 0"
            ).result_rows
            found = ttl.expression.moment(
                datetime.fromtimestamp(instant / 1e6, UTC), column_type=column_type, server_zone=table.server_zone
            )
            assert found == datetime.fromtimestamp(expected, UTC), (rule, row)
