"""A view over both tiers of a source whose columns were changed shows old rows as ClickHouse does."""

from __future__ import annotations

import pytest

from tests.support.both_tiers import case
from tests.support.changed_source import alter, offload_days
from tests.support.local_platform import LocalPlatform

DAYS = ("2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04")
ROWS = 10
COLUMNS = (
    "ts DateTime64(6, 'UTC'), seq UInt64, a Int32, f Float32, d Decimal(9, 2), s String, u UUID,"
    " t Tuple(x Int32, y String), nest Array(Tuple(x Int32, y String)), gone String,"
    " shown Int64 ALIAS a + 3, given String EPHEMERAL 'none'"
)


def insert(platform: LocalPlatform, on: str, first: int, **values: str) -> None:
    """Insert rows of a day, numbered from ``first``, with expressions over ``number``."""
    columns = {"seq": f"{first} + number"} | values
    platform.client.command(
        f"INSERT INTO {platform.name}.trades (ts, {', '.join(columns)})"
        f" SELECT toDateTime64('{on} 00:00:00', 6, 'UTC') + toIntervalSecond(number), {', '.join(columns.values())}"
        f" FROM numbers({ROWS})"
    )


BEFORE = {
    "a": "number",
    "f": "number / 3",
    "d": "number / 4",
    "s": "toString(number)",
    "u": "generateUUIDv4(number)",
    "t": "tuple(number, toString(number))",
    "nest": "[tuple(number, 'n')]",
    "gone": "'g'",
}
AFTER = {
    "changed": BEFORE | {"t": "tuple(number, 'y', '2024-02-03')", "nest": "[tuple(number, 'n', number)]"},
    "added": BEFORE,
}
del AFTER["changed"]["gone"]
AFTER["changed"]["label"] = AFTER["changed"].pop("s")
CHANGES = {
    "changed": (
        "DROP COLUMN gone",
        "RENAME COLUMN s TO label",
        "MODIFY COLUMN a Nullable(Int64), MODIFY COLUMN f Float64, MODIFY COLUMN d Decimal(20, 2)",
        "MODIFY COLUMN t Tuple(x Int64, y String, z Date)",
        "MODIFY COLUMN nest Array(Tuple(x Int32, y String, z UInt8))",
    ),
    "added": (
        "ADD COLUMN e Enum8('p' = 3, 'q' = 4)",
        "ADD COLUMN twice Int64 MATERIALIZED a * 2",
        "ADD COLUMN more Int64 DEFAULT a + 1, ADD COLUMN text String DEFAULT toString(more * 2) AFTER a",
        "ADD COLUMN n Nullable(Int64), ADD COLUMN five Nullable(Int64) DEFAULT 5",
        "ADD COLUMN list Array(Int64) DEFAULT [a], ADD COLUMN map Map(String, Int64) DEFAULT map('k', a)",
        "ADD COLUMN pair Tuple(p Int64, q String) DEFAULT tuple(a, 'z'), ADD COLUMN q QBit(Float32, 8)",
        "ADD COLUMN alias Int64 DEFAULT shown * 2, ADD COLUMN upper String DEFAULT upper(given)",
        "ADD COLUMN at DateTime DEFAULT ts, ADD COLUMN id String DEFAULT toString(u)",
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_both_tiers_show_the_same_before_and_after_the_target_follows(platform: LocalPlatform, what: str) -> None:
    with case(platform, columns=COLUMNS, renamed_columns={"label": "s"}) as one:
        insert(platform, DAYS[0], 0, **BEFORE)
        offload_days(one.application, one.stream, DAYS[1])
        assert one.make()
        for change in CHANGES[what]:
            alter(platform, change)
        assert one.make()
        assert one.differing() == 0
        insert(platform, DAYS[1], ROWS, **AFTER[what])
        assert one.numbers() == list(range(2 * ROWS))
        offload_days(one.application, one.stream, DAYS[2])
        assert one.make()
        assert one.differing() == 0
        assert one.numbers() == list(range(2 * ROWS))
        assert not one.make()


def test_what_was_offloaded_as_null_or_empty_stays_so_and_a_changed_default_is_shown(platform: LocalPlatform) -> None:
    with case(platform, columns="ts DateTime64(6, 'UTC'), seq UInt64") as one:
        insert(platform, DAYS[0], 0)
        offload_days(one.application, one.stream, DAYS[1])
        alter(platform, "ADD COLUMN five Nullable(Int64) DEFAULT 5, ADD COLUMN list Array(Int64) DEFAULT [7]")
        insert(platform, DAYS[1], ROWS, five="NULL", list="[]")
        insert(platform, DAYS[0], 2 * ROWS, five="6", list="[8]")
        offload_days(one.application, one.stream, DAYS[2])
        one.make()
        assert one.differing() == 0
        alter(platform, "MODIFY COLUMN five DEFAULT 55")
        assert one.make()
        assert one.differing() == 0
        assert one.numbers() == list(range(3 * ROWS))
