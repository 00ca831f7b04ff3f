from __future__ import annotations

import pytest

from consumer.domain.inventory import PartitionContent, find_period
from consumer.domain.window import PartitionBy


@pytest.mark.parametrize(
    ("key", "type_", "zone", "period"),
    [
        ("toYYYYMM(ts)", "DateTime64(3)", "UTC", PartitionBy.MONTH),
        ("toYYYYMM(ts)", "DateTime64(3)", "Europe/Berlin", None),
        ("toYYYYMM(ts)", "DateTime64(3, 'UTC')", "Europe/Berlin", PartitionBy.MONTH),
        ("toYYYYMM(ts)", "DateTime64(3, 'Asia/Tokyo')", "UTC", None),
        ("(exchange, toYYYYMMDD(ts))", "DateTime('UTC')", "Europe/Berlin", PartitionBy.DAY),
        ("(toYear(ts), toStartOfHour(ts))", "DateTime", "UTC", PartitionBy.HOUR),
        ("(toDate(`ts`), exchange)", "DateTime", "UTC", PartitionBy.DAY),
        ("ts", "Date", "Europe/Berlin", PartitionBy.DAY),
        ("toYYYYMM(ts)", "Date", "UTC", PartitionBy.MONTH),
        ("ts", "DateTime", "UTC", None),
        ("intDiv(ts, 7)", "Date", "UTC", None),
        ("(intDiv(ts, 7), exchange)", "Date", "UTC", None),
        ("toMonday(ts)", "DateTime", "UTC", None),
        ("toYYYYMM(other)", "DateTime", "UTC", None),
        ("exchange", "DateTime", "UTC", None),
        ("", "DateTime", "UTC", None),
    ],
)
def test_the_period_is_the_finest_utc_span_of_the_time_column_in_the_key(
    key: str, type_: str, zone: str, period: PartitionBy | None
) -> None:
    assert find_period(partition_key=key, time_column="ts", time_type=type_, server_zone=zone) is period


def test_each_part_of_a_partition_s_content_enters_its_id() -> None:
    contents = [
        PartitionContent(rows=rows, min_block=low, max_block=high, data_version=version)
        for rows in (1, 11)
        for low in (1, 11)
        for high in (1, 11)
        for version in (1, 11)
    ]
    assert len({content.id for content in contents}) == len(contents)
