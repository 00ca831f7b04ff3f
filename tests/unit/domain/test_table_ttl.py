from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.engine_semantics import merge_semantics
from consumer.domain.table_ttl import TtlAction, has_column_ttl, row_ttls

TAIL = " SETTINGS index_granularity = 8192"


@pytest.mark.parametrize(
    ("ttl", "after"),
    [
        ("ts + toIntervalDay(7)", timedelta(days=7)),
        ("toDateTime(ts) + toIntervalHour(1)", timedelta(hours=1)),
        ("ts + toIntervalDay(1) + toIntervalHour(2)", timedelta(hours=26)),
        ("ts + toIntervalDay(1) - toIntervalHour(2)", timedelta(hours=22)),
        ("toStartOfDay(ts) - toIntervalDay(2)", timedelta(0)),
        ("ts + INTERVAL 2 WEEK", timedelta(weeks=2)),
        ("ts + toIntervalMonth(1) WHERE level = 'TO DISK'", timedelta(days=28)),
        ("ts + toIntervalMinute(5) GROUP BY id SET value = max(value)", timedelta(minutes=5)),
        ("toDate(ts) + toIntervalDay(7)", timedelta(days=6)),
        ("ts - toIntervalMonth(1) + toIntervalMonth(3)", timedelta(days=3 * 28 - 31)),
        ("ts", timedelta(0)),
        ("expires", None),
        ("expires + toIntervalDay(7)", None),
        ("if(level = 1, ts + toIntervalDay(1), ts + toIntervalDay(30))", None),
    ],
)
def test_rows_that_a_clause_takes_away(ttl: str, after: timedelta | None) -> None:
    (found,) = row_ttls(f"MergeTree PARTITION BY toDate(ts) ORDER BY ts TTL {ttl}{TAIL}")
    assert found.after("ts") == after


@pytest.mark.parametrize("engine", ["", "MergeTree ORDER BY ts", "MergeTree ORDER BY ts SETTINGS a = 'TTL'"])
def test_no_ttl(engine: str) -> None:
    assert row_ttls(engine) == ()


def test_moves_and_recompression_leave_rows_where_they_are() -> None:
    clauses = "ts + toIntervalDay(1) TO VOLUME 'slow', ts + toIntervalDay(2) RECOMPRESS CODEC(ZSTD(3))"
    assert row_ttls(f"MergeTree ORDER BY ts TTL {clauses}{TAIL}") == ()
    (found,) = row_ttls(f"MergeTree ORDER BY ts TTL {clauses}, ts + toIntervalDay(9){TAIL}")
    assert (found.clause, found.after("ts")) == ("ts + toIntervalDay(9)", timedelta(days=9))


def test_rules_that_roll_up_are_told_from_those_that_delete() -> None:
    clauses = (
        "ts + toIntervalDay(1) GROUP BY k, toDate(ts) SET a = max(a), `b` = min(b), ts + toIntervalDay(9)"
        " WHERE note = 'TTL, GROUP BY', ts + toIntervalDay(2) DELETE"
    )
    found = row_ttls(f"MergeTree ORDER BY k TTL {clauses}{TAIL}")
    assert [(one.action, one.after("ts")) for one in found] == [
        (TtlAction.ROLL_UP, timedelta(days=1)),
        (TtlAction.DELETE, timedelta(days=9)),
        (TtlAction.DELETE, timedelta(days=2)),
    ]


@given(st.integers(0, 10_000), st.sampled_from(["Second", "Minute", "Hour", "Day", "Week", "Month", "Quarter", "Year"]))
def test_longer_intervals_are_never_taken_for_shorter_ones(count: int, unit: str) -> None:
    (shorter,) = row_ttls(f"MergeTree ORDER BY a TTL t + toInterval{unit}({count})")
    (longer,) = row_ttls(f"MergeTree ORDER BY a TTL t + toInterval{unit}({count + 1})")
    least, more = shorter.after("t"), longer.after("t")
    assert least is not None
    assert more is not None
    assert least < more


def test_a_columns_own_ttl_is_told_from_the_tables() -> None:
    assert has_column_ttl("CREATE TABLE d.t (`a` DateTime, `b` String TTL a + toIntervalDay(1)) ENGINE = MergeTree")
    assert not has_column_ttl("CREATE TABLE d.t (`a` DateTime COMMENT 'a TTL') ENGINE = MergeTree ORDER BY a TTL a")


@pytest.mark.parametrize("engine", ["ReplacingMergeTree", "ReplicatedReplacingMergeTree", "SharedCollapsingMergeTree"])
def test_engines_whose_merges_change_rows(engine: str) -> None:
    assert engine in (merge_semantics(engine) or "")


@pytest.mark.parametrize("engine", ["MergeTree", "ReplicatedMergeTree", "SharedMergeTree"])
def test_engines_whose_merges_leave_rows_alone(engine: str) -> None:
    assert merge_semantics(engine) is None
