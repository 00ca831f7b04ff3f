"""Sorting a row group: by all kinds of columns that windows and instants are ordered by."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest

from spark.sorting import sorted_table


def table(*parts: list[dict[str, Any]]) -> pa.Table:
    whole = pa.Table.from_pylist([row for part in parts for row in part])
    return pa.concat_tables([pa.Table.from_pylist(part, schema=whole.schema) for part in parts])


def test_rows_are_sorted_as_a_whole_across_batches_and_keep_their_containers() -> None:
    found = table(
        [{"ts": 3, "seq": 1, "tags": ["c"]}, {"ts": 1, "seq": 2, "tags": []}],
        [{"ts": 1, "seq": 1, "tags": ["a", "b"]}, {"ts": 2, "seq": 9, "tags": [None]}],
    )

    assert sorted_table(found, ["ts", "seq"]).to_pylist() == [
        {"ts": 1, "seq": 1, "tags": ["a", "b"]},
        {"ts": 1, "seq": 2, "tags": []},
        {"ts": 2, "seq": 9, "tags": [None]},
        {"ts": 3, "seq": 1, "tags": ["c"]},
    ]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([2, 1]),
        pa.array(["b", "a"]),
        pa.array([True, False]),
        pa.array([Decimal(2), Decimal(1)], pa.decimal128(20, 0)),
        pa.array([Decimal(2), Decimal(1)], pa.decimal128(38, 10)),
        pa.array([date(2024, 1, 2), date(2024, 1, 1)]),
        pa.array([datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)], pa.timestamp("us", "UTC")),
        pa.array([b"b" * 16, b"a" * 16], pa.binary(16)),
        pa.array([b"b", b"a"], pa.binary()),
        pa.array([UUID(int=2).bytes, UUID(int=1).bytes], pa.binary(16)).cast(pa.uuid()),
    ],
    ids=lambda column: str(column.type),
)
def test_every_type_that_orders_rows_can_be_sorted_by(column: pa.Array) -> None:
    found = pa.table({"key": column})

    assert sorted_table(found, ["key"])["key"].to_pylist() == column.to_pylist()[::-1]


def test_without_columns_rows_stay_where_they_are() -> None:
    found = table([{"n": 2}], [{"n": 1}])

    assert sorted_table(found, []) is found
