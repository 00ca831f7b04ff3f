"""A source whose columns are changed: the target follows with the rows, or the stream halts with a plan."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from threading import Event

import pytest
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.sorting import NullOrder, SortDirection, SortField, SortOrder
from pyiceberg.table.update import (
    AddPartitionSpecUpdate,
    AddSortOrderUpdate,
    SetDefaultSortOrderUpdate,
    SetDefaultSpecUpdate,
)
from pyiceberg.transforms import HourTransform, IdentityTransform
from pyiceberg.types import LongType, NestedField

from consumer.adapters.iceberg.staging import StagedCommit
from consumer.domain.errors import IcehaulError, SchemaMovedError
from consumer.domain.event_factory import tick
from consumer.domain.evolution import Evolution
from consumer.domain.hot_drop import Selection
from consumer.domain.writer import Writer
from consumer.failpoints.acting import Failpoints
from consumer.service.rewinding.examined import Wish
from spark.unit_task import UnitTask
from tests.support.cases import few
from tests.support.changed_source import alter, field_ids, offload_days, rows_of, table_of, until
from tests.support.local_platform import LocalPlatform, halted, judge, offload, published, session_of
from tests.support.platform import day

COLUMNS = (
    "ts DateTime64(6, 'UTC'), seq UInt64, a Int32, f Float32, d Decimal(9, 2), s String, t Tuple(x Int32, y String)"
)
DAYS = ("2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04")
ROWS = 10


@pytest.fixture(params=few(Writer, {Writer.STREAM}))
def platform(local: LocalPlatform, request: pytest.FixtureRequest) -> LocalPlatform:
    """A stream with a day of rows; a task reads them, or ClickHouse writes the files itself."""
    local.sections["spark"] = {"writer": str(request.param)}
    local.add_stream(columns=COLUMNS, sequence_columns=["seq"])
    return local


@pytest.fixture
def stream(platform: LocalPlatform) -> str:
    return f"{platform.name}_trades"


def insert(platform: LocalPlatform, on: str, **more: str) -> None:
    """Insert rows of a day, with expressions over ``number`` for columns that are not the first ones."""
    values = {
        "a": "number",
        "f": "number / 3",
        "d": "number / 4",
        "s": "toString(number)",
        "t": "tuple(number, toString(number))",
    } | more
    columns = {name: value for name, value in values.items() if value}
    platform.client.command(
        f"INSERT INTO {platform.name}.trades (ts, seq, {', '.join(columns)})"
        f" SELECT toDateTime64('{on} 00:00:00', 6, 'UTC') + toIntervalSecond(number), number,"
        f" {', '.join(columns.values())}"
        f" FROM numbers({ROWS})"
    )


def test_an_added_column_comes_with_the_next_rows(platform: LocalPlatform, stream: str) -> None:
    insert(platform, DAYS[0])
    with platform.consumer() as application:
        offload_days(application, stream, DAYS[1])
        ids = field_ids(application, stream)
        alter(platform, "ADD COLUMN more Int64 DEFAULT a + 1, ADD COLUMN note Nullable(String)")
        judge(application, stream, rows=ROWS)
        insert(platform, DAYS[1], more="-number", note="'n'")
        offload_days(application, stream, DAYS[2])

        schema = table_of(application, stream).schema()
        assert field_ids(application, stream) == ids | {"more": 10, "note": 11}
        assert not schema.find_field("more").required
        snapshot = table_of(application, stream).current_snapshot()
        assert snapshot is not None
        assert snapshot.schema_id == schema.schema_id == 1
        assert snapshot.summary is not None
        assert snapshot.summary.additional_properties["icehaul.schema-id"] == "1"
        found = rows_of(application, stream, "a", "more", "note")
        assert found[:ROWS] == [{"a": number, "more": None, "note": None} for number in range(ROWS)]
        assert found[ROWS:] == [{"a": number, "more": -number, "note": "n"} for number in range(ROWS)]
        judge(application, stream, rows=2 * ROWS)


def test_late_rows_of_old_windows_bring_their_new_columns(platform: LocalPlatform, stream: str) -> None:
    insert(platform, DAYS[0])
    with platform.consumer() as application:
        offload_days(application, stream, DAYS[1])
        alter(platform, "ADD COLUMN more Int64 DEFAULT 7")
        insert(platform, DAYS[0], a="100 + number", more="-number")
        offload_days(application, stream, DAYS[2])

        found = rows_of(application, stream, "a", "more")
        assert sorted(row["more"] for row in found if row["more"] is not None) == [-n for n in reversed(range(ROWS))]
        assert sorted(row["a"] for row in found if row["more"] is None) == list(range(ROWS))
        judge(application, stream, rows=2 * ROWS)


def test_wider_types_keep_what_is_recorded(platform: LocalPlatform, stream: str) -> None:
    insert(platform, DAYS[0], a="-number")
    with platform.consumer() as application:
        offload_days(application, stream, DAYS[1])
        ids = field_ids(application, stream)
        alter(
            platform,
            "MODIFY COLUMN a Nullable(Int64), MODIFY COLUMN f Float64, MODIFY COLUMN d Decimal(20, 2),"
            " MODIFY COLUMN s LowCardinality(Nullable(String)), MODIFY COLUMN t Tuple(x Int64, y String, z UInt8)",
        )
        judge(application, stream, rows=ROWS)
        insert(
            platform,
            DAYS[1],
            a="if(number = 3, NULL, 5000000000 + number)",
            f="0.1",
            d="toDecimal128('12345678901.25', 2)",
            s="NULL",
            t="tuple(5000000000, 'y', number)",
        )
        # Late rows that the old types could not hold.
        insert(
            platform, DAYS[0], a="NULL", f="0.1", d="toDecimal128('12345678901.25', 2)", t="tuple(-5000000000, 'y', 1)"
        )
        offload_days(application, stream, DAYS[2])

        schema = table_of(application, stream).schema()
        assert field_ids(application, stream) == ids
        told = {name: (str(schema.find_type(name)), schema.find_field(name).required) for name in ("a", "f", "d", "s")}
        assert told == {
            "a": ("long", False),
            "f": ("double", True),
            "d": ("decimal(20, 2)", True),
            "s": ("string", False),
        }
        found = rows_of(application, stream, "a", "t")
        assert [row["a"] for row in found[-ROWS:]] == [None if n == 3 else 5000000000 + n for n in range(ROWS)]
        assert found[-1]["t"] == {"x": 5000000000, "y": "y", "z": 9}
        assert {row["t"]["z"] for row in found[: 2 * ROWS]} == {None, 1}
        judge(application, stream, rows=3 * ROWS)


def test_a_dropped_column_stays_readable(platform: LocalPlatform, stream: str) -> None:
    insert(platform, DAYS[0])
    with platform.consumer() as application:
        offload_days(application, stream, DAYS[1])
        alter(platform, "DROP COLUMN f, DROP COLUMN s")
        judge(application, stream, rows=ROWS)
        insert(platform, DAYS[1], f="", s="")
        insert(platform, DAYS[0], a="1000", f="", s="")
        offload_days(application, stream, DAYS[2])

        found = rows_of(application, stream, "s", "a")
        assert sorted(row["s"] for row in found if row["s"] is not None) == sorted(str(n) for n in range(ROWS))
        assert [row["s"] for row in found[-ROWS:]] == [None] * ROWS
        judge(application, stream, rows=3 * ROWS)
        alter(platform, "ADD COLUMN s String")
        insert(platform, DAYS[2], f="", s="'again'")
        offload_days(application, stream, DAYS[3])
        assert [row["s"] for row in rows_of(application, stream, "s")[-ROWS:]] == ["again"] * ROWS
        judge(application, stream, rows=4 * ROWS)


@pytest.mark.parametrize("platform", [Writer.STREAM], indirect=True)
def test_what_left_the_hot_tier_before_a_column_did_is_compared_by_its_count(
    platform: LocalPlatform, stream: str
) -> None:
    insert(platform, DAYS[0])
    insert(platform, DAYS[1])
    with platform.consumer() as application:
        offload_days(application, stream, DAYS[1], DAYS[2])
        dropped = Selection(partitions=(DAYS[0].replace("-", ""),))
        application.hot_drops.drop(application.streams[stream], dropped)
        alter(platform, "DROP COLUMN f")
        insert(platform, DAYS[2], f="")
        offload_days(application, stream, DAYS[3])

        judge(application, stream, rows=3 * ROWS)
        found = application.verifier.verify(application.streams[stream])
        assert (found.hot.rows, found.dropped.rows, found.cold.rows) == (2 * ROWS, ROWS, 3 * ROWS)


LOSSY: Sequence[tuple[str, str, str]] = (
    ("MODIFY COLUMN a String", "column a: from int to string", "ALTER TABLE"),
    ("MODIFY COLUMN s FixedString(20)", "column s: from string to fixed", "RENAME COLUMN s"),
    ("RENAME COLUMN s TO label", "renamed, or dropped and added", "renamed_columns: {label: s}"),
)


@pytest.mark.parametrize(("change", "reason", "remedy"), LOSSY)
def test_what_would_lose_values_halts_before_the_first_row(
    platform: LocalPlatform, stream: str, change: str, reason: str, remedy: str
) -> None:
    insert(platform, DAYS[0])
    with platform.consumer() as application:
        offload_days(application, stream, DAYS[1])
        before = table_of(application, stream).metadata_location
        alter(platform, change)
        offload_days(application, stream, DAYS[2])

        record = halted(application, stream)
        assert reason in str(record.halt_reason)
        assert remedy in str(record.halt_remedy)
        assert table_of(application, stream).metadata_location == before


def test_a_renamed_column_keeps_its_field(platform: LocalPlatform, stream: str) -> None:
    insert(platform, DAYS[0])
    with platform.consumer() as application:
        offload_days(application, stream, DAYS[1])
        ids = field_ids(application, stream)
    alter(platform, "RENAME COLUMN s TO label")
    platform.streams[0]["renamed_columns"] = {"label": "s"}
    with platform.consumer() as application:
        judge(application, stream, rows=ROWS)
        insert(platform, DAYS[1], s="", label="'new'")
        insert(platform, DAYS[0], a="7", s="", label="'late'")
        offload_days(application, stream, DAYS[2])

        assert field_ids(application, stream)["label"] == ids["s"]
        assert "s" not in field_ids(application, stream)
        found = [row["label"] for row in rows_of(application, stream, "label")]
        assert sorted(found) == sorted([*(str(n) for n in range(ROWS)), *["late"] * ROWS, *["new"] * ROWS])
        judge(application, stream, rows=3 * ROWS)


@pytest.mark.parametrize(
    "point", few(["publish.after-stage=raise", "publish.before-commit=raise"], {"publish.before-commit=raise"})
)
def test_a_batch_that_fails_leaves_the_old_columns(local: LocalPlatform, point: str) -> None:
    stream = local.add_stream(columns=COLUMNS)
    insert(local, DAYS[0])
    with local.consumer() as application:
        offload_days(application, stream, DAYS[1])
        before = table_of(application, stream).metadata
    local.streams[0]["on_failure"] = {"attempts": 1}
    alter(local, "ADD COLUMN more Int64")
    insert(local, DAYS[1], more="number")
    seen: list[int] = []
    with local.consumer(failpoints=Failpoints(point)) as application:
        with pytest.raises(IcehaulError, match=r"publish\."):
            application.offload.run(tick(stream=stream, boundary=until(DAYS[2])), Event())
        seen.append(table_of(application, stream).metadata.current_schema_id)
        assert table_of(application, stream).metadata == before
    with local.consumer() as application:
        offload_days(application, stream, DAYS[2])
        seen.append(table_of(application, stream).metadata.current_schema_id)
        judge(application, stream, rows=2 * ROWS)
    assert seen == [0, 1]


MOVES = {
    "a column is added": "ADD COLUMN more Int64 DEFAULT 5",
    "a column is widened": "MODIFY COLUMN a Int64",
    "a column is dropped": "DROP COLUMN f",
}


@pytest.mark.parametrize("platform", few(Writer, {Writer.STREAM}), indirect=True)
@pytest.mark.parametrize("change", few(MOVES, {"a column is widened", "a column is dropped"}))
def test_a_batch_is_written_with_one_schema(platform: LocalPlatform, stream: str, change: str) -> None:
    platform.streams[0]["batch"] = {"unit_rows": ROWS // 2}
    insert(platform, DAYS[0])
    insert(platform, DAYS[1])
    moved: list[int] = []
    with platform.consumer() as application:
        offload_days(application, stream, DAYS[1])

        def between(task: UnitTask) -> UnitTask:
            if task.index == 1 and not moved:
                moved.append(1)
                alter(platform, MOVES[change])
            return task

        session_of(application).before = between
        raised = offload(application, stream, until(DAYS[2]))

        assert [type(error) for error in raised] == [SchemaMovedError]
        (batch,) = [one for one in published(application, stream) if one.window.upper == until(DAYS[2])]
        assert (batch.rows, batch.attempts) == (ROWS, 2)
        judge(application, stream, rows=2 * ROWS)


def test_columns_that_another_engine_adds_stay_and_are_null(platform: LocalPlatform, stream: str) -> None:
    insert(platform, DAYS[0])
    with platform.consumer() as application:
        offload_days(application, stream, DAYS[1])
        base = application.catalog._bases.load(application.streams[stream].target)
        assert base is not None
        now = base.metadata.schema()
        number = base.metadata.last_column_id + 1
        changed = Schema(*now.fields, NestedField(number, "theirs", LongType()), schema_id=1)
        commit = StagedCommit(base.table(application.catalog._io))
        commit.evolve(Evolution(base=now, schema=changed, changes=("theirs",)))
        application.catalog._placement.pointers.commit(base, commit)
        alter(platform, "ADD COLUMN more Int64")
        insert(platform, DAYS[1], more="number")
        offload_days(application, stream, DAYS[2])

        assert list(field_ids(application, stream))[-2:] == ["theirs", "more"]
        assert {row["theirs"] for row in rows_of(application, stream, "theirs")} == {None}
        judge(application, stream, rows=2 * ROWS)


def test_a_rewind_keeps_the_values_of_dropped_columns(platform: LocalPlatform, stream: str) -> None:
    insert(platform, DAYS[0])
    with platform.consumer() as application:
        offload_days(application, stream, DAYS[1])
        alter(platform, "DROP COLUMN s, ADD COLUMN more Int64 DEFAULT 3")
        platform.streams[0]["dropped_columns"] = ["s"]
    with platform.consumer() as application:
        insert(platform, DAYS[1], s="", more="number")
        offload_days(application, stream, DAYS[2])
        middle = until(DAYS[0]) + timedelta(seconds=ROWS // 2)
        application.rewinds.rewind(application.streams[stream], Wish(to=middle, reason=None))
        found = rows_of(application, stream, "s", "more")
        assert found == [{"s": str(number), "more": None} for number in range(ROWS // 2)]
        offload_days(application, stream, DAYS[2])
        judge(application, stream, rows=2 * ROWS)


def test_a_partition_spec_and_a_sort_order_of_another_engine_count_for_new_files(
    platform: LocalPlatform, stream: str
) -> None:
    insert(platform, DAYS[0])
    with platform.consumer() as application:
        offload_days(application, stream, DAYS[1])
        base = application.catalog._bases.load(application.streams[stream].target)
        assert base is not None
        spec = PartitionSpec(
            PartitionField(source_id=1, field_id=1001, transform=HourTransform(), name="ts_hour"), spec_id=1
        )
        order = SortOrder(
            SortField(
                source_id=3,
                transform=IdentityTransform(),
                direction=SortDirection.DESC,
                null_order=NullOrder.NULLS_LAST,
            ),
            order_id=1,
        )
        commit = StagedCommit(base.table(application.catalog._io))
        commit._stage(
            (
                AddPartitionSpecUpdate(spec=spec),
                SetDefaultSpecUpdate(spec_id=-1),
                AddSortOrderUpdate(sort_order=order),
                SetDefaultSortOrderUpdate(sort_order_id=-1),
            )
        )
        application.catalog._placement.pointers.commit(base, commit)
        insert(platform, DAYS[1])
        platform.client.command(
            f"INSERT INTO {platform.name}.trades SELECT * REPLACE (ts + INTERVAL 5 HOUR AS ts)"
            f" FROM {platform.name}.trades WHERE toDate(ts) = '{DAYS[1]}'"
        )
        # One that is late, for files of supplements.
        insert(platform, DAYS[0], a="77")
        offload_days(application, stream, DAYS[2])

        files = [task.file for task in table_of(application, stream).scan().plan_files()]
        days = (day(DAYS[1]) - day("1970-01-01")).days
        found = sorted((file.spec_id, file.partition[0], file.sort_order_id) for file in files)
        assert found == [
            (0, days - 1, None),
            (1, (days - 1) * 24, 1),
            (1, days * 24, 1),
            (1, days * 24 + 5, 1),
        ]
        judge(application, stream, rows=4 * ROWS)
