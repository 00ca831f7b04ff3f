"""What is restored of a stream whose columns have changed: every column that it had, and the defaults of later ones."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from consumer.domain.errors import SchemaChangeError, StreamError
from consumer.domain.hot_drop import Selection
from consumer.domain.window import Window
from consumer.embedded.stack import EmbeddedStack
from consumer.service.restoring.review import Standing
from tests.support.local_platform import LocalPlatform, judge, ledger_database, local_platform, offload
from tests.support.platform import day
from tests.support.restores import Restoring

pytestmark = pytest.mark.thorough

ROWS = 10
COLUMNS = (
    "ts DateTime64(6, 'UTC'), seq UInt64, a Int32, at DateTime('Asia/Tokyo'), e Enum8('x' = 1, 'y' = 2), s String,"
    " u UUID, t Tuple(x Int32)"
)
FIRST = {
    "a": "number",
    "at": "toDateTime('2024-01-01 23:30:00', 'UTC')",
    "e": "'y'",
    "s": "toString(number)",
    "u": "generateUUIDv4(number)",
    "t": "tuple(number)",
}
CHANGES = (
    "RENAME COLUMN s TO label, DROP COLUMN e, DROP COLUMN u, MODIFY COLUMN a Nullable(Int64),"
    " MODIFY COLUMN t Tuple(x Int64, y String), ADD COLUMN more Int64 DEFAULT a + 1,"
    " ADD COLUMN tokyo String DEFAULT concat(toString(more), '/', toString(at)),"
    " ADD COLUMN kind Enum8('p' = 5, 'q' = 6), ADD COLUMN note Nullable(String), ADD COLUMN tags Array(String)"
)
TOKYO = "2024-01-02 08:30:00"


def insert(platform: LocalPlatform, on: int, **values: str) -> None:
    platform.client.command(
        f"INSERT INTO {platform.name}.trades (ts, seq, {', '.join(values)})"
        f" SELECT toDateTime64('2024-01-0{on} 00:00:00', 6, 'UTC') + toIntervalSecond(number), number,"
        f" {', '.join(values.values())} FROM numbers({ROWS})"
    )


def rows(days: Restoring, table: object, *columns: str) -> list[tuple[Any, ...]]:
    """A table's rows in their order, without the time."""
    query = f"SELECT {', '.join(columns)} FROM {table} ORDER BY ts, seq, {columns[0]}"
    return [tuple(row) for row in days.platform.client.query(query).result_rows]


@pytest.fixture(scope="module")
def changed(stack: EmbeddedStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restoring]:
    """A stream of two days, the second of which is dropped; then every kind of change, a third day, and late rows."""
    name, directory = f"t_{uuid.uuid4().hex[:12]}", tmp_path_factory.mktemp("changed")
    with (
        pytest.MonkeyPatch.context() as patch,
        ledger_database(stack.endpoints, name) as dsn,
        local_platform(stack.endpoints, name, dsn, directory, patch) as platform,
    ):
        stream = platform.add_stream(columns=COLUMNS, sequence_columns=["seq"])
        days = Restoring(platform, stream)
        with platform.consumer() as application:
            for number in (1, 2):
                insert(platform, number, **FIRST)
                assert offload(application, stream, day(f"2024-01-0{number + 1}")) == []
            application.hot_drops.drop(application.streams[stream], Selection(partitions=("20240102",)))
        days.run(f"ALTER TABLE {days.source} {CHANGES} SETTINGS mutations_sync = 2")
        with pytest.raises(SchemaChangeError, match="renamed, or dropped and added"):
            days.review()
        platform.streams[0] |= {"renamed_columns": {"label": "s"}, "dropped_columns": ["e", "u"]}
        later = {
            "a": "if(number = 3, NULL, 5000000000)",
            "at": FIRST["at"],
            "label": "'new'",
            "t": "tuple(5000000000, 'y')",
            "more": "-number",
            "kind": "'q'",
            "note": "'n'",
            "tags": "['g']",
        }
        insert(platform, 3, **later)
        insert(platform, 1, **later | {"label": "'late'"})
        with platform.consumer() as application:
            assert offload(application, stream, day("2024-01-04")) == []
            judge(application, stream, rows=4 * ROWS)
        yield days


def check_restored(days: Restoring, table: object, on: str, *, defaults: bool) -> None:
    """A day's rows that came in time: what they had then, and what stands for what was added since."""
    old = f"(SELECT * FROM {table} WHERE toDate(ts) = '{on}' AND label != 'late')"
    found = rows(days, old, "label", "a", "t.x", "t.y", "more", "tokyo", "toString(kind)", "note", "tags")
    assert found == [
        (str(n), n, n, "", n + 1, f"{n + 1}/{TOKYO}", "p", None, [])
        if defaults
        else (str(n), n, n, "", 0, "", "p", None, [])
        for n in range(ROWS)
    ]
    late = f"(SELECT * FROM {table} WHERE label = 'late')"
    assert rows(days, late, "a", "more", "toString(kind)", "note", "tags") == [
        (None if n == 3 else 5000000000, -n, "q", "n", ["g"]) for n in range(ROWS)
    ]


def test_a_new_table_gets_the_columns_that_were_dropped_too(changed: Restoring) -> None:
    done = changed.restore()
    assert all(one.proved for one in done.plan.windows)
    assert done.plan.left_out == []
    for on in ("2024-01-01", "2024-01-02"):
        check_restored(changed, changed.into, on, defaults=True)
    assert changed.described(changed.into) == [
        *changed.described(changed.source),
        ("e", "Enum8('x' = 1, 'y' = 2)"),
        ("u", "UUID"),
    ]
    names = ", ".join(name for name, _ in changed.described(changed.source))
    sides = [f"(SELECT {names} FROM {one})" for one in (changed.into, changed.source)]
    assert changed.count(f"({sides[1]} EXCEPT ALL {sides[0]})") == 0
    assert (changed.count(changed.into), changed.count(changed.source)) == (4 * ROWS, 3 * ROWS)
    old = f"(SELECT * FROM {changed.into} WHERE toDate(ts) = '2024-01-01' AND label != 'late')"
    assert rows(changed, old, "toString(e)", "u = generateUUIDv4(seq)")[0][0] == "y"
    assert changed.count(f"(SELECT DISTINCT u FROM {old})") == ROWS
    new = f"(SELECT DISTINCT e, toUInt128(u) AS u FROM {changed.into} WHERE label IN ('new', 'late'))"
    assert rows(changed, f"(SELECT 1 AS ts, 1 AS seq, * FROM {new})", "toString(e)", "u") == [("x", 0)]
    assert changed.restore().plan.standing is Standing.RESTORED


def test_a_partition_that_was_dropped_comes_back_into_the_changed_source(changed: Restoring) -> None:
    part = Window(lower=day("2024-01-02"), upper=day("2024-01-03"))
    done = changed.restore(into=changed.source, create=False, within=part)
    assert (done.plan.total.rows, list(done.plan.left_out)) == (ROWS, ["e", "u"])
    for on in ("2024-01-01", "2024-01-02"):
        check_restored(changed, changed.source, on, defaults=True)
    assert changed.drops() == [("20240102", "returned")]
    with changed.platform.consumer() as application:
        judge(application, changed.stream, rows=4 * ROWS)
        assert offload(application, changed.stream, day("2024-01-05")) == []
        judge(application, changed.stream, rows=4 * ROWS)


def test_a_source_that_is_gone_comes_back_with_every_column_it_had(changed: Restoring) -> None:
    described = changed.described(changed.source)
    changed.run(f"DROP TABLE {changed.source} SYNC")
    changed.run(f"DROP TABLE IF EXISTS {changed.into} SYNC")
    done = changed.restore()
    assert (done.plan.origin.source, list(done.plan.origin.columns.guessed)) == (None, [])
    assert all(one.proved for one in done.plan.windows)
    assert sorted(changed.described(changed.into)) == sorted(
        [*described, ("e", "Enum8('x' = 1, 'y' = 2)"), ("u", "UUID")]
    )
    for on in ("2024-01-01", "2024-01-02"):
        check_restored(changed, changed.into, on, defaults=False)
    assert changed.count(f"{changed.into} WHERE e = 'y'") == 2 * ROWS


@pytest.fixture
def local(
    stack: EmbeddedStack, unique_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalPlatform]:
    with (
        ledger_database(stack.endpoints, unique_name) as dsn,
        local_platform(stack.endpoints, unique_name, dsn, tmp_path, monkeypatch) as platform,
    ):
        yield platform


def test_a_default_that_is_another_one_each_time_is_named_with_what_can_be_done(local: LocalPlatform) -> None:
    days = Restoring(local, local.add_stream())
    local.insert(ROWS)
    with local.consumer() as application:
        offload(application, days.stream, day("2024-01-02"))
        days.run(f"ALTER TABLE {days.source} ADD COLUMN seen DateTime64(6, 'UTC') DEFAULT now64(6)")
        days.run(f"INSERT INTO {days.source} SELECT * REPLACE (ts + toIntervalDay(1) AS ts) FROM {days.source}")
        offload(application, days.stream, day("2024-01-03"))
    with pytest.raises(StreamError) as error:
        days.restore()
    assert "seen DEFAULT now64(6)" in error.value.remedy
    assert f"ALTER TABLE {days.source} MODIFY COLUMN" in error.value.remedy
    assert days.stagings() == {}
    days.run(f"ALTER TABLE {days.source} MODIFY COLUMN seen DEFAULT fromUnixTimestamp64Micro(0)")
    days.restore()
    assert days.count(days.into) == 2 * ROWS
