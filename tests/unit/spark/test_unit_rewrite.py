"""Data files become one: every value as it was, without the rows that were deleted, in the table's order."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.schema import Schema
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FixedType,
    FloatType,
    ListType,
    LongType,
    MapType,
    NestedField,
    StringType,
    StructType,
    TimestampType,
    TimestamptzType,
    TimeType,
    UUIDType,
)

from consumer.domain.errors import CheckFailedError
from consumer.domain.row_order import SortKey
from consumer.failpoints.acting import Failpoints
from spark import unit_rewrite
from spark.unit_rewrite import Rewritten, rewrite_unit
from spark.unit_task import RewriteOrder, UnitTask
from tests.unit.spark.test_task_failpoints import CONTEXT

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
TYPES = (
    LongType(),
    BooleanType(),
    FloatType(),
    DoubleType(),
    DecimalType(38, 9),
    DateType(),
    TimeType(),
    TimestampType(),
    TimestamptzType(),
    StringType(),
    BinaryType(),
    FixedType(3),
    UUIDType(),
    ListType(element_id=100, element_type=StringType(), element_required=False),
    MapType(key_id=101, key_type=StringType(), value_id=102, value_type=LongType(), value_required=False),
    StructType(NestedField(103, "a", LongType(), required=False), NestedField(104, "b", StringType(), required=False)),
)
SCHEMA = Schema(*(NestedField(number, f"c{number}", kind) for number, kind in enumerate(TYPES, 1)))
ROWS: Sequence[tuple[object, ...]] = (
    (
        2**63 - 1,
        True,
        float("-inf"),
        -0.0,
        Decimal("12345678901234567890123456789.123456789"),
        date(1, 1, 1),
        time(23, 59, 59, 999999),
        datetime(1900, 1, 1),  # noqa: DTZ001 - the type has no zone
        FIRST,
        "ü𝄞",
        b"\xff\x00",
        b"abc",
        uuid.UUID(int=2**128 - 1).bytes,
        ["x", None],
        [("k", 1), ("l", None)],
        {"a": 1, "b": None},
    ),
    (None,) * len(TYPES),
    (
        -(2**63),
        False,
        1.5,
        float("inf"),
        Decimal(0),
        date(9999, 12, 31),
        time(0),
        datetime(2299, 12, 31),  # noqa: DTZ001 - the type has no zone
        FIRST + timedelta(microseconds=1),
        "",
        b"",
        b"\x00\x00\x00",
        uuid.UUID(int=0).bytes,
        [],
        [],
        None,
    ),
)
NUMBERS = Schema(NestedField(1, "n", LongType()), NestedField(2, "s", StringType()))


class Lake:
    """A store in a folder of this machine."""

    def __init__(self, root: Path) -> None:
        (root / "bucket" / "out").mkdir(parents=True)
        self.store = SubTreeFileSystem(str(root), LocalFileSystem())
        self.root = root

    def put(self, name: str, table: pa.Table) -> str:
        parquet.write_table(table, self.root / "bucket" / name, row_group_size=4)
        return f"s3://bucket/{name}"

    def numbers(self, name: str, values: Sequence[int | None]) -> str:
        columns = {"n": values, "s": [None if value is None else str(value) for value in values]}
        return self.put(name, pa.table(columns).cast(schema_to_pyarrow(NUMBERS)))

    def deletes(self, name: str, positions: Sequence[tuple[str, int]]) -> str:
        paths, numbers = [path for path, _ in positions], [number for _, number in positions]
        return self.put(name, pa.table({"file_path": paths, "pos": pa.array(numbers, pa.int64())}))

    def read(self, path: str) -> pa.Table:
        return parquet.read_table(self.root / path.removeprefix("s3://"))

    def rewrite(self, schema: Schema, paths: Sequence[str], rows: int, **changes: object) -> Rewritten:
        order = RewriteOrder(
            paths=tuple(paths), deletes=(), schema_json=schema.model_dump_json(exclude={"schema_id"}), rows=rows
        )
        task = UnitTask(index=0, batch_id="b", query="", prefix="s3://bucket/out")
        layout = replace(CONTEXT.layout, row_group_rows=1000, row_group_bytes=1 << 20)
        return rewrite_unit(
            replace(CONTEXT, layout=layout),
            task,
            replace(order, **changes),  # type: ignore[arg-type]
            uuid.uuid4(),
            Failpoints(),
        )


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    made = Lake(tmp_path)
    monkeypatch.setattr(unit_rewrite, "connect", lambda _: made.store)
    return made


def kept(lake: Lake, done: Rewritten) -> list[int | None]:
    assert done.file is not None
    numbers: list[int | None] = lake.read(done.file.path)["n"].to_pylist()
    return numbers


def test_every_value_of_every_type_stays_what_it_was(lake: Lake) -> None:
    arrow = schema_to_pyarrow(SCHEMA)
    columns = [pa.array([row[number] for row in ROWS], field.type) for number, field in enumerate(arrow)]
    table = pa.Table.from_arrays(columns, schema=arrow)
    done = lake.rewrite(SCHEMA, [lake.put("a", table), lake.put("b", table)], 6)
    assert done.removed is None
    assert done.file is not None
    assert done.file.fingerprint.rows == 6
    written = lake.read(done.file.path)
    expected = pa.concat_tables([lake.read("s3://bucket/a"), lake.read("s3://bucket/b")])
    assert written.to_pylist() == expected.to_pylist()
    ids = [field.metadata[b"PARQUET:field_id"] for field in written.schema]
    assert ids == [str(number).encode() for number in range(1, len(TYPES) + 1)]


def test_a_column_that_was_widened_since_is_written_as_it_is_now(lake: Lake) -> None:
    narrow = pa.table({"n": pa.array([1, -7], pa.int32()), "s": ["a", "b"]})
    done = lake.rewrite(NUMBERS, [lake.put("a", narrow), lake.numbers("b", [2**40])], 3)
    assert kept(lake, done) == [1, -7, 2**40]


def test_rows_that_were_deleted_stand_in_a_file_of_their_own(lake: Lake) -> None:
    first, second = lake.numbers("a", range(10)), lake.numbers("b", range(100, 110))
    deletes = lake.deletes("d", [(first, 0), (first, 9), (second, 4), ("s3://bucket/other", 5)])
    again = lake.deletes("e", [(first, 9), (first, 5)])
    done = lake.rewrite(NUMBERS, [first, second], 20, deletes=(deletes, again))
    assert kept(lake, done) == [1, 2, 3, 4, 6, 7, 8, 100, 101, 102, 103, 105, 106, 107, 108, 109]
    assert done.removed is not None
    assert lake.read(done.removed.path)["n"].to_pylist() == [0, 5, 9, 104]


def test_files_of_which_every_row_was_deleted_leave_none(lake: Lake) -> None:
    path = lake.numbers("a", range(3))
    done = lake.rewrite(NUMBERS, [path], 3, deletes=(lake.deletes("d", [(path, row) for row in range(3)]),))
    assert done.file is None
    assert done.removed is not None


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (SortKey(column="n"), [None, None, 1, 2, 3]),
        (SortKey(column="n", nulls_first=False), [1, 2, 3, None, None]),
        (SortKey(column="n", descending=True), [None, None, 3, 2, 1]),
        (SortKey(column="n", descending=True, nulls_first=False), [3, 2, 1, None, None]),
    ],
)
def test_rows_stand_in_the_order_of_the_table(lake: Lake, key: SortKey, expected: list[int | None]) -> None:
    paths = [lake.numbers("a", [3, None]), lake.numbers("b", [1, None, 2])]
    done = lake.rewrite(NUMBERS, paths, 5, keys=(key,), sort_id=4)
    assert done.file is not None
    assert (kept(lake, done), done.file.sort_order) == (expected, 4)


def test_more_rows_than_memory_may_hold_keep_their_order_and_are_not_said_to_be_sorted(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit_rewrite, "_SORTED_BYTES", 1)
    paths = [lake.numbers("a", [3, 1]), lake.numbers("b", [2])]
    done = lake.rewrite(NUMBERS, paths, 3, keys=(SortKey(column="n"),), sort_id=4)
    assert done.file is not None
    assert (kept(lake, done), done.file.sort_order) == ([3, 1, 2], None)


def missing(_: Lake) -> str:
    return "s3://bucket/nothing"


def damaged(lake: Lake) -> str:
    (lake.root / "bucket" / "damaged").write_bytes(b"PAR1 no such file PAR1")
    return "s3://bucket/damaged"


@pytest.mark.parametrize(("path", "named"), [(missing, "not on the store"), (damaged, "can't be read")])
def test_a_file_that_can_not_be_read_is_named(lake: Lake, path: Callable[[Lake], str], named: str) -> None:
    with pytest.raises(CheckFailedError, match=named):
        lake.rewrite(NUMBERS, [lake.numbers("a", [1]), path(lake)], 2)
    assert list((lake.root / "bucket" / "out").iterdir()) == []


def test_another_number_of_rows_than_the_table_says_is_refused(lake: Lake) -> None:
    with pytest.raises(CheckFailedError, match="3 rows stand in the table, 2 were read"):
        lake.rewrite(NUMBERS, [lake.numbers("a", [1, 2])], 3)
