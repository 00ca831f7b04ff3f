"""Which files are worth rewriting, and which of them become one."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import combinations
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consumer.domain.batch import BatchKind, BatchStatus
from consumer.domain.compaction import (
    Bin,
    Layout,
    Limits,
    TableFile,
    TableState,
    bins,
    candidates,
    check_rewrite,
    check_still_live,
    compaction_batch,
    first_batch,
    parts_of,
)
from consumer.domain.errors import StaleDifferenceError, UnknownCommitError
from consumer.domain.maintenance import MaintenancePolicy, Urgency
from consumer.domain.window import Window

DAY = timedelta(days=1)
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
LAYOUTS = [Layout(schema="{}", columns=("ts",)), Layout(schema="{}", columns=("added", "ts"))]
LIMITS = Limits(file_bytes=100, file_rows=1000)
TARGET = UUID(int=1)


def partition(number: int) -> Window:
    return Window(lower=FIRST + number * DAY, upper=FIRST + (number + 1) * DAY)


def file(number: int, size: int = 10, *, day: int = 0, rows: int = 1, deletes: tuple[str, ...] = ()) -> TableFile:
    return TableFile(
        path=f"s3://lake/{number:03d}",
        bytes=size,
        rows=rows,
        partition=partition(day),
        sequence=number,
        deletes=deletes,
    )


FILES = st.lists(
    st.tuples(st.integers(1, 150), st.integers(0, 4), st.integers(1, 1500), st.booleans(), st.integers(0, 1)),
    max_size=40,
)
Drawn = list[tuple[int, int, int, bool, int]]


def planned(drawn: Drawn, watermark: datetime, limits: Limits = LIMITS) -> tuple[list[TableFile], list[Bin]]:
    files = [
        file(number, size, day=day, rows=rows, deletes=("d",) if deleted and size % 7 == 0 else ())
        for number, (size, day, rows, deleted, _) in enumerate(drawn)
    ]
    layouts = {one.path: LAYOUTS[drawn[number][4]] for number, one in enumerate(files)}
    return files, bins(candidates(files, watermark, limits), layouts, limits)


@given(FILES, st.integers(0, 5))
def test_no_file_is_rewritten_twice_or_before_its_partition_is_closed(drawn: Drawn, days: int) -> None:
    watermark = FIRST + days * DAY
    _, found = planned(drawn, watermark)
    chosen = Counter(one.path for each in found for one in each.files)
    assert set(chosen.values()) <= {1}
    assert all(each.partition.upper <= watermark for each in found)


@given(FILES)
@example([(10, 0, 1, False, 0), (10, 0, 1, False, 1)])
@example([(10, 0, 1, False, 0), (10, 1, 1, False, 0)])
@example([(90, 0, 1, False, 0), (90, 0, 1, False, 0)])
def test_files_of_a_bin_lie_in_one_partition_and_have_room_in_one_file(drawn: Drawn) -> None:
    _, found = planned(drawn, FIRST + 9 * DAY)
    for each in found:
        assert {one.partition for one in each.files} == {each.partition}
        assert {LAYOUTS[drawn[one.sequence][4]] for one in each.files} == {each.layout}
        assert len(each.files) == 1 or LIMITS.fits(each.files)


@given(FILES)
def test_each_bin_makes_files_fewer_or_applies_deletes(drawn: Drawn) -> None:
    files, found = planned(drawn, FIRST + 9 * DAY)
    assert all(len(each.files) >= 2 or each.deletes for each in found)
    with_deletes = {one.path for one in files if one.deletes}
    assert with_deletes <= {one.path for each in found for one in each.files}


@given(FILES)
def test_what_is_left_can_not_be_put_together_any_further(drawn: Drawn) -> None:
    """Of each partition and layout one small file is left at most, with those that were made."""
    files, found = planned(drawn, FIRST + 9 * DAY)
    going = {one.path for each in found for one in each.files}
    after = [(one.partition, LAYOUTS[drawn[one.sequence][4]], one) for one in files if one.path not in going]
    after += [
        (
            each.partition,
            each.layout,
            TableFile(path="new", bytes=each.bytes, rows=each.rows, partition=each.partition, sequence=0),
        )
        for each in found
    ]
    for (place, layout, one), (other_place, other_layout, other) in combinations(after, 2):
        if (place, layout) == (other_place, other_layout) and LIMITS.small(one) and LIMITS.small(other):
            assert not LIMITS.fits([one, other])


@given(FILES)
def test_a_second_look_finds_nothing_more(drawn: Drawn) -> None:
    files, found = planned([(size, day, rows, False, kind) for size, day, rows, _, kind in drawn], FIRST + 9 * DAY)
    going = {one.path for each in found for one in each.files}
    layouts = {one.path: LAYOUTS[drawn[one.sequence][4]] for one in files}
    left = [one for one in files if one.path not in going]
    for number, each in enumerate(found, 500):
        made = TableFile(path=str(number), bytes=each.bytes, rows=each.rows, partition=each.partition, sequence=number)
        left.append(made)
        layouts[made.path] = each.layout
    assert bins(candidates(left, FIRST + 9 * DAY, LIMITS), layouts, LIMITS) == []


def test_small_files_are_left_until_there_are_enough() -> None:
    limits = Limits(file_bytes=100, file_rows=1000, min_input_files=3)
    assert candidates([file(1), file(2)], FIRST + DAY, limits) == []
    assert len(candidates([file(1), file(2), file(3)], FIRST + DAY, limits)) == 3


def test_a_file_whose_columns_nobody_knows_is_left_alone() -> None:
    files = [file(1), file(2), file(3)]
    (found,) = bins(files, {one.path: LAYOUTS[0] for one in files[1:]}, LIMITS)
    assert [one.path for one in found.files] == [files[1].path, files[2].path]


@given(FILES, st.integers(1, 400))
def test_a_batch_is_bounded_and_takes_the_first_ones(drawn: Drawn, room: int) -> None:
    _, found = planned(drawn, FIRST + 9 * DAY)
    chosen = first_batch(found, room)
    assert list(chosen) == found[: len(chosen)]
    assert len(chosen) == bool(found) or sum(one.bytes for one in chosen) <= room


def test_parts_count_files_and_bytes_of_each_partition() -> None:
    _, found = planned([(10, 0, 1, False, 0), (20, 0, 1, False, 0), (7, 1, 1, True, 0)], FIRST + 9 * DAY)
    first, second = parts_of(found)
    assert (first.files, first.bytes, first.files_after, first.bytes_after) == (2, 30, 1, 30)
    assert (second.files, second.files_after) == (2, 1)  # the delete file goes with it


def state() -> TableState:
    return TableState(snapshot_id=7, sequence=3, files=())


def batch_of(*files: TableFile, epoch: int = 1) -> tuple[UUID, object]:
    one = Bin(partition=partition(0), layout=LAYOUTS[0], files=files)
    made = compaction_batch(stream="trades", target_uuid=TARGET, generation=2, epoch=epoch, state=state(), chosen=[one])
    return made.id, made


def test_the_id_tells_files_and_leases_apart() -> None:
    once, again = batch_of(file(1), file(2))[0], batch_of(file(2), file(1))[0]
    assert once == again
    assert len({once, batch_of(file(1), file(3))[0], batch_of(file(1), file(2), epoch=2)[0]}) == 3


def test_a_rewrite_is_published_only_while_all_its_files_are_live_as_they_were() -> None:
    one = Bin(partition=partition(0), layout=LAYOUTS[0], files=(file(1), file(2, deletes=("d",))))
    made = compaction_batch(stream="trades", target_uuid=TARGET, generation=2, epoch=1, state=state(), chosen=[one])
    live: dict[str, tuple[str, ...]] = {file(1).path: (), file(2).path: ("d",)}
    check_still_live(made, live)
    for changed in ({file(1).path: ()}, {**live, file(1).path: ("d",)}, {**live, file(2).path: ("d", "e")}):
        with pytest.raises(StaleDifferenceError):
            check_still_live(made, changed)
    assert made.kind is BatchKind.MAINTENANCE
    check_rewrite(made, BatchStatus.WRITING, 2)
    with pytest.raises(UnknownCommitError):
        check_rewrite(made, BatchStatus.PUBLISHED, 2)
    with pytest.raises(StaleDifferenceError):
        check_rewrite(made, None, 3)


def test_work_is_due_after_its_time_and_overdue_after_its_patience() -> None:
    policy = MaintenancePolicy(every=timedelta(hours=1), patience=timedelta(hours=6))
    found = [policy.urgency(FIRST, FIRST + timedelta(minutes=minutes)) for minutes in (0, 59, 60, 419, 420, 9999)]
    assert found == [
        Urgency.RESTING,
        Urgency.RESTING,
        Urgency.DUE,
        Urgency.DUE,
        Urgency.OVERDUE,
        Urgency.OVERDUE,
    ]
