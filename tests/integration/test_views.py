"""One view over both tiers: every row once, in the source's types, whatever is published and dropped meanwhile."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from consumer.domain.errors import ConfigurationError, DivergenceError
from consumer.domain.stream import TableName
from consumer.embedded.stack import EmbeddedStack
from tests.support.both_tiers import COLLECTION, case
from tests.support.local_platform import LocalPlatform, offload
from tests.support.platform import day
from tests.support.waiting import wait_for

EVERY_TYPE = """
    ts DateTime64(3, 'Asia/Tokyo'), seq UInt64, u UUID, nu Nullable(UUID), lu LowCardinality(String), au Array(UUID),
    mu Map(UUID, Array(Nullable(UUID))), tu Tuple(a UUID, b Nullable(Enum8('x' = 1, 'y' = 2))), e Enum16('p' = 300),
    d Date, d32 Date32, dt DateTime('America/New_York'), b Bool, i8 Int8, u32 UInt32, f Float32, dec Decimal(38, 4),
    tt Array(Tuple(UUID, Int8)), ln LowCardinality(Nullable(String)), sa SimpleAggregateFunction(sum, UInt64)
"""
A_ROW = """
    number, generateUUIDv4(), if(number % 2, generateUUIDv4(number), NULL), 'l', [generateUUIDv4(number + 1)],
    map(generateUUIDv4(number + 2), [NULL, generateUUIDv4(number + 3)]),
    tuple(generateUUIDv4(number + 4), if(number % 2, 'x', NULL)), 'p', '1970-01-01'::Date + number,
    '1950-01-02'::Date32 + number, toDateTime(number * 1000000), number % 2, -3, 4294967295, nan, 1234567.8912,
    [tuple(generateUUIDv4(number + 5), -1)], if(number % 2, 'q', NULL), 18446744073709551615
"""


def test_before_anything_was_offloaded_every_row_is_hot(platform: LocalPlatform) -> None:
    with case(platform) as one:
        platform.insert(10)
        assert one.make()
        assert one.numbers() == list(range(10))
        platform.insert(5, first=10, day="2024-01-02")
        assert one.numbers() == list(range(15))


def test_rows_of_both_tiers_have_the_sources_types_and_values(platform: LocalPlatform) -> None:
    with case(platform, columns=EVERY_TYPE) as one:
        for first, at in ((0, "2024-01-01"), (50, "2024-01-02")):
            platform.client.command(
                f"INSERT INTO {platform.name}.trades"
                f" SELECT toDateTime64('{at} 00:00:00.123', 3, 'UTC') + number, {A_ROW} FROM numbers({first}, 50)"
            )
        offload(one.application, one.stream, day("2024-01-02"))
        one.make()
        assert one.numbers() == list(range(100))
        # NaN is not equal to itself, but EXCEPT takes rows apart by their values.
        assert one.differing() == 0
        described = [
            [(row[0], row[1]) for row in platform.client.query(f"DESCRIBE {table}").result_rows]
            for table in (f"{platform.name}.trades", str(one.name))
        ]
        assert described[0] == described[1]


CHOSEN = {
    "wide": "string", "wider": "decimal", "long": "decimal", "longest": "string", "nano": "nanos", "fine": "string",
    "deep": "nanos", "bytes": "binary", "blobs": "binary", "four": "long", "address": "binary", "pause": "long",
    "clock": "decimal",
}  # fmt: skip
CHOICES = """
    ts DateTime64(3, 'UTC'), seq UInt64, wide Nullable(Int256), wider UInt256, long Decimal(76, 10),
    longest Decimal(76, 76), nano Nullable(DateTime64(9, 'Asia/Tokyo')), fine Nullable(DateTime64(8, 'Asia/Tokyo')),
    deep Map(String, Tuple(at DateTime64(9, 'America/New_York'), ats Array(Nullable(DateTime64(7))))), bytes String,
    blobs Map(String, Array(Nullable(String))), four IPv4, address Nullable(IPv6), pause Time, clock Time64(3),
    fixed FixedString(4), six IPv6, brain BFloat16, place Point, gap IntervalDay
"""
A_CHOSEN_ROW = """
    number, if(number % 2, -toInt256(number), NULL), toUInt256('99999999999999999999999999999999999999'),
    toDecimal256('-1234567890123456789012345678.0123456789', 10), toDecimal256('-0.5', 76),
    if(number % 2, fromUnixTimestamp64Nano(toInt64(number * 1234567891), 'Asia/Tokyo'), NULL),
    if(number % 2, toDateTime64('2024-07-01 02:03:04.12345678', 8, 'Asia/Tokyo'), NULL),
    map('k', tuple(fromUnixTimestamp64Nano(toInt64(-number), 'America/New_York'), [NULL, '2024-01-01 00:00:00.12345'])),
    unhex('FF00FE'), map(unhex('C0'), [NULL, unhex('FF'), '']), '255.0.0.1', if(number % 2, '::ffff:1.2.3.4', NULL),
    -3599999, toDecimal64('-3599999.999', 3), unhex('00FF00'), 'fe80::1', -0.5, (1.5, -2.5), number
"""


def test_what_was_chosen_leads_back_to_the_sources_types_and_values(platform: LocalPlatform) -> None:
    with case(platform, columns=CHOICES, chosen=CHOSEN) as one:
        platform.client.command(
            f"INSERT INTO {platform.name}.trades"
            f" SELECT toDateTime64('2024-01-01 00:00:00.123', 3, 'UTC') + number, {A_CHOSEN_ROW} FROM numbers(10)"
        )
        offload(one.application, one.stream, day("2024-01-02"))
        one.make()
        assert one.numbers() == list(range(10))
        assert one.differing() == 0


@pytest.mark.parametrize("kind", ["Date", "DateTime('Europe/Berlin')", "DateTime64(0)"])
def test_a_boundary_between_two_values_of_a_coarse_column_parts_no_row_from_its_tier(
    platform: LocalPlatform, kind: str
) -> None:
    with case(platform, columns=f"ts {kind}, seq UInt64") as one:
        platform.client.command(
            f"INSERT INTO {platform.name}.trades"
            " SELECT toDateTime('2024-01-01 00:00:00', 'UTC') + number * 3600, number FROM numbers(100)"
        )
        offload(one.application, one.stream, day("2024-01-03").replace(hour=1, microsecond=500_000))
        one.make()
        assert one.numbers() == list(range(100))


def test_a_view_is_left_alone_while_nothing_moves(platform: LocalPlatform) -> None:
    with case(platform) as one:
        platform.insert(10)
        offload(one.application, one.stream, day("2024-01-02"))
        assert [one.make() for _ in range(3)] == [True, False, False]


def test_a_view_that_nobody_follows_lasts_as_long_as_it_says_and_then_fails(platform: LocalPlatform) -> None:
    with case(platform, retain_snapshots=100) as one:
        platform.insert(10)
        offload(one.application, one.stream, day("2024-01-02"))
        with closing(platform.cold_tier(one.stream)) as tier, tier.table().transaction() as change:
            change.set_properties({"write.metadata.previous-versions-max": "2"})
        made = one.views.make(one.application.streams[one.stream], one.name)
        assert made.publishes == 2
        for number in range(1, 4):
            platform.insert(10, first=number * 10, day=f"2024-01-0{number + 1}")
            offload(one.application, one.stream, day(f"2024-01-0{number + 2}"))
            if number <= made.publishes:
                assert one.numbers() == list(range((number + 1) * 10))
        with pytest.raises(DatabaseError):
            one.numbers()
        one.make()
        assert one.numbers() == list(range(40))


def test_a_snapshot_that_expires_at_once_is_not_read(platform: LocalPlatform) -> None:
    with case(platform, retain_snapshots=1) as one:
        platform.insert(10)
        offload(one.application, one.stream, day("2024-01-02"))
        with pytest.raises(ConfigurationError, match="retain_snapshots"):
            one.make()


def test_nothing_else_is_ever_replaced_or_dropped(platform: LocalPlatform) -> None:
    with case(platform) as one:
        platform.insert(10)
        platform.client.command(f"CREATE VIEW {platform.name}.somebody AS SELECT 1 AS a")
        stream = one.application.streams[one.stream]
        for taken in ("trades", "somebody"):
            with pytest.raises(ConfigurationError, match="has this name already"):
                one.views.make(stream, TableName(database=platform.name, table=taken))
            with pytest.raises(ConfigurationError, match="no view of this name"):
                one.views.drop(stream, TableName(database=platform.name, table=taken))
        assert platform.rows() == 10


def test_no_key_of_the_store_stands_in_the_view(platform: LocalPlatform, stack: EmbeddedStack) -> None:
    with case(platform) as one:
        platform.insert(10)
        offload(one.application, one.stream, day("2024-01-02"))
        one.make()
        query = f"SELECT metadata_path FROM system.tables WHERE database = '{platform.name}' AND name = 'everything'"
        ((path,),) = platform.client.query(query).result_rows
        found = wait_for(lambda: list(stack.directory.rglob(Path(path).name)), 5, "the view on disk")
        text = found[0].read_text(encoding="utf-8")
        assert f"icebergS3({COLLECTION}, url =" in text
        assert platform.endpoints.store.access_key not in text
        assert platform.endpoints.store.secret_key not in text


def test_a_table_that_contradicts_the_ledger_is_not_shown(platform: LocalPlatform) -> None:
    with case(platform) as one:
        for number in (1, 2):
            platform.insert(10, first=number * 10 - 10, day=f"2024-01-0{number}")
            offload(one.application, one.stream, day(f"2024-01-0{number + 1}"))
        with closing(platform.cold_tier(one.stream)) as tier:
            tier.roll_back(tier.table().snapshots()[0].snapshot_id)
        with pytest.raises(DivergenceError):
            one.make()


def test_watermark_and_snapshot_are_of_one_moment(platform: LocalPlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read one after the other, with a publish in between, they would leave rows out, or show them twice."""
    with case(platform) as one:
        platform.insert(10)
        platform.insert(10, first=10, day="2024-01-02")
        offload(one.application, one.stream, day("2024-01-02"))
        catalog = one.application.catalog
        read = catalog._bases.at

        def publish_then_read(name: TableName, location: str) -> object:
            monkeypatch.undo()
            offload(one.application, one.stream, day("2024-01-03"))
            return read(name, location)

        monkeypatch.setattr(catalog._bases, "at", publish_then_read)
        made = one.views.make(one.application.streams[one.stream], one.name)
        assert made.mark.boundary == day("2024-01-02")
        assert one.numbers() == list(range(20))


def test_a_late_row_is_seen_with_its_supplement_and_once(platform: LocalPlatform) -> None:
    with case(platform) as one:
        platform.insert(10)
        offload(one.application, one.stream, day("2024-01-02"))
        platform.insert(1, first=10)
        one.make()
        assert one.numbers() == list(range(10))
        offload(one.application, one.stream, day("2024-01-02"))
        assert one.make()
        assert one.numbers() == list(range(11))
