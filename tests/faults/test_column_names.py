"""Columns may be called as icehaul's own statements call what they compute: no name means the wrong thing."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from consumer.domain.hot_drop import Selection
from consumer.domain.writer import Writer
from tests.support.cases import few
from tests.support.local_platform import LocalPlatform, judge, offload
from tests.support.platform import day

ROWS = 40
DAYS = ("2024-01-01", "2024-01-02")


def aliases() -> list[str]:
    """Every name that statements for ClickHouse give to what they compute; those with ``_icehaul`` are left out."""
    found: set[str] = set()
    for file in files("consumer.adapters.clickhouse").joinpath("sql").iterdir():
        found.update(re.findall(r"\bAS ([a-z][a-z_]*)", file.read_text(encoding="utf-8")))
    return sorted(found)


TIMES = ("first", "last", "rows", "number", "micros", "instant", "day", "row", "lower", "upper")
"""What the time column is called: statements compute with that one most."""


@pytest.mark.parametrize("time", few(TIMES, TIMES[:2]))
def test_a_time_column_may_have_any_name(local: LocalPlatform, time: str) -> None:
    writer = Writer.STREAM if TIMES.index(time) % 2 else Writer.EXPORT
    local.sections["spark"] = {"writer": str(writer)}
    names = [name for name in aliases() if name != time]
    columns = ", ".join(f"{name} UInt8" for name in names)
    stream = local.add_stream(timestamp_column=time)
    local.client.command(f"DROP TABLE {local.name}.trades SYNC")
    local.client.command(
        f"CREATE TABLE {local.name}.trades ({time} DateTime64(6, 'UTC'), seq UInt64, {columns})"
        f" ENGINE = MergeTree PARTITION BY toDate({time}) ORDER BY {time}"
    )

    def insert(on: str, first: int) -> None:
        values = ", ".join(f"(number + {place}) % 7" for place, _ in enumerate(names))
        local.client.command(
            f"INSERT INTO {local.name}.trades ({time}, seq, {', '.join(names)})"
            f" SELECT toDateTime64('{on}', 6, 'UTC') + number, {first} + number, {values} FROM numbers({ROWS})"
        )

    for place, on in enumerate(DAYS):
        insert(on, place * ROWS)
    with local.consumer() as application:
        assert offload(application, stream, day("2024-01-03")) == []
        judge(application, stream, rows=2 * ROWS)
        insert(DAYS[0], 1000)
        assert offload(application, stream, day("2024-01-03")) == []
        judge(application, stream, rows=3 * ROWS)
        found = application.verifier.verify(application.streams[stream])
        assert found.equal
        dropped = application.hot_drops.drop(application.streams[stream], Selection(before=day("2024-01-02")))
        assert dropped.good
