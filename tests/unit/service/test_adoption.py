"""A table that another tool has filled is adopted exactly up to where it is proved to hold the source's rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.domain.adoption import days
from consumer.domain.batch import BatchKind, BatchStatus, WrittenFile
from consumer.domain.errors import (
    ConfigurationError,
    DivergenceError,
    IcehaulError,
    LeaseHeldError,
    TargetMismatchError,
    TargetMissingError,
)
from consumer.domain.event_factory import tick
from consumer.domain.stream import BatchBounds
from consumer.domain.window import BEGINNING, PartitionBy, Window
from consumer.failpoints.acting import Failpoints
from consumer.service.adoption.adoptions import Adopted, Adoptions
from consumer.service.prepare import Preparation
from consumer.testing.memory_table import MemorySnapshot
from consumer.testing.rows import Row, fingerprint_of
from tests.unit.service.test_offload import NEVER, NOW, World, make_stream

FIRST = NOW - timedelta(days=6)
HOUR = timedelta(hours=1)
ROWS = [Row(ts=FIRST + n * HOUR, seq=n, value=n) for n in range(100)]


class Filled(World):
    """A source of 100 hourly rows, and a target into which another tool has put some."""

    paths = 0

    def fill(self, *rows: Row) -> None:
        """Append rows as another engine does: a snapshot without evidence, and no owner."""
        stream = self.streams["trades"]
        preparation = Preparation(source=self.source, ledger=self.ledger, catalog=self.catalog)
        _, mapping = preparation.read_source(stream, None)
        self.catalog.ensure(stream, mapping, expected_uuid=None)
        self.paths += 1
        path = f"memory://bronze/trades/data/former-{self.paths}.parquet"
        self.source.files[path] = list(rows)
        file = WrittenFile(unit=0, path=path, bytes=len(rows), fingerprint=fingerprint_of(rows))
        self.engine.written[path] = file
        table = self.catalog.tables[stream.target]
        window = Window(lower=min(row.ts for row in rows), upper=max(row.ts for row in rows) + HOUR)
        number = -self.paths
        self.catalog._commit(
            table, MemorySnapshot(id=number, parent=table.current, files=(*table.live(), (file, window)))
        )

    def adoptions(self, owner: str = "me") -> Adoptions:
        return Adoptions(
            source=self.source,
            ledger=self.ledger,
            catalog=self.catalog,
            owner=owner,
            lease=timedelta(seconds=30),
            failpoints=self.failpoints,
        )

    def adopt(self, *, leave_missing: bool = False) -> Adopted:
        return self.adoptions().adopt(self.streams["trades"], leave_missing=leave_missing)

    def handle(self) -> None:
        self.offload().handle(tick(stream="trades", boundary=self.source.time), NEVER)


def make_world(**changes: object) -> Filled:
    fields: dict[str, object] = {"bounds": BatchBounds(rows=20, unit_rows=20), **changes}
    found = Filled({"trades": make_stream("trades", **fields)})
    found.source.insert(found.streams["trades"].source, ROWS)
    return found


@pytest.fixture
def world() -> Filled:
    return make_world()


def test_the_watermark_is_that_of_the_first_row_that_the_table_lacks(world: Filled) -> None:
    world.fill(*ROWS[:30])
    world.fill(*ROWS[30:67])
    found = world.adopt()
    assert (found.proof.watermark, found.proof.rows.rows) == (ROWS[67].ts, 67)
    record = world.ledger.read(["trades"])["trades"]
    assert record.watermark == record.last_upper == record.adopted == ROWS[67].ts
    world.handle()
    assert world.cold() == world.hot()
    assert world.cold().total() == 100


def test_a_table_that_holds_everything_is_adopted_up_to_what_is_final(world: Filled) -> None:
    world.fill(*ROWS)
    assert world.adopt().proof.watermark == NOW - timedelta(minutes=5)


def test_what_was_adopted_is_recorded_window_by_window_and_proved_by_the_table(world: Filled) -> None:
    world.fill(*ROWS[:67])
    found = world.adopt()
    recorded = world.ledger.windows("trades", Window(lower=BEGINNING, upper=NOW))
    assert len(recorded) == found.windows > 2
    assert recorded[0].window.lower == BEGINNING
    assert all(one.window.upper == other.window.lower for one, other in pairwise(recorded))
    assert sum(one.cold.rows for one in recorded) == 67
    target = world.catalog.inspect(world.streams["trades"].target)
    record = world.ledger.read(["trades"])["trades"]
    assert target is not None
    assert target.evidence is not None
    assert (target.evidence.upper, target.evidence.batch_id) == (record.watermark, record.last_batch_id)
    assert {one.status for one in world.ledger.batches("trades", 99)} == {BatchStatus.PUBLISHED}


def test_late_rows_of_adopted_windows_arrive_and_nothing_else_is_written(world: Filled) -> None:
    world.fill(*ROWS[:67])
    world.adopt()
    world.handle()
    late = Row(ts=FIRST + timedelta(minutes=90), seq=900)
    world.source.insert(world.streams["trades"].source, [late])
    world.handle()
    assert world.cold() == world.hot()
    supplements = [one for one in world.ledger.batches("trades", 99) if one.kind is BatchKind.SUPPLEMENT]
    assert [one.rows for one in supplements] == [1]


def test_looking_first_changes_nothing(world: Filled) -> None:
    world.fill(*ROWS[:67])
    before = world.catalog.tables[world.streams["trades"].target].current
    found = world.adoptions().review(world.streams["trades"])
    assert (found.dry, found.proof.watermark, found.proof.differing) == (True, ROWS[67].ts, [])
    assert world.ledger.read(["trades"]) == {}
    assert world.catalog.tables[world.streams["trades"].target].current == before


def without(*numbers: int) -> list[Row]:
    return [row for row in ROWS[:67] if row.seq not in numbers]


@pytest.mark.parametrize(
    ("rows", "missing", "surplus", "instant"),
    [
        (without(40), 1, 0, ROWS[40].ts),
        (without(5, 40, 41), 3, 0, ROWS[5].ts),
        ([*ROWS[:67], ROWS[20]], 0, 1, ROWS[20].ts),
        ([*ROWS[:67], Row(ts=ROWS[20].ts, seq=777)], 0, 1, ROWS[20].ts),
        ([*without(20), replace(ROWS[20], value=1_000)], 1, 1, ROWS[20].ts),
        ([Row(ts=FIRST - timedelta(days=3), seq=1), *ROWS[:67]], 0, 1, FIRST - timedelta(days=3)),
    ],
    ids=["missing", "several missing", "doubled", "foreign", "changed", "older than the source"],
)
def test_where_rows_differ_the_table_is_refused_with_the_windows_and_how_many(
    world: Filled, rows: list[Row], missing: int, surplus: int, instant: datetime
) -> None:
    world.fill(*rows)
    proof = world.adoptions().review(world.streams["trades"]).proof
    assert (proof.missing, proof.surplus) == (missing, surplus)
    assert proof.differing[0].window.contains(instant)
    assert proof.differing[0].window.upper - proof.differing[0].window.lower <= timedelta(days=1)
    with pytest.raises(DivergenceError, match=f"{missing} stand in the source only, {surplus} in the target only"):
        world.adopt()
    record = world.ledger.read(["trades"])["trades"]
    assert (record.unread, record.target_uuid, record.adopted) == (True, None, None)


def test_one_row_that_differs_is_found_to_within_a_minute(world: Filled) -> None:
    world.fill(*without(40))
    (found,) = world.adoptions().review(world.streams["trades"]).proof.differing
    assert found.window.upper - found.window.lower < timedelta(minutes=1)
    assert found.window.contains(ROWS[40].ts)


def test_missing_rows_may_be_left_to_the_next_event_surplus_ones_never(world: Filled) -> None:
    world.fill(*without(5, 40, 41))
    world.adopt(leave_missing=True)
    world.handle()
    assert world.cold() == world.hot()
    other = make_world()
    other.fill(*ROWS[:67], ROWS[20])
    with pytest.raises(DivergenceError, match="take out what the source does not hold"):
        other.adopt(leave_missing=True)


def test_rows_that_a_ttl_has_taken_are_no_difference_and_the_proof_says_how_far_back_it_reaches() -> None:
    world = make_world()
    table = world.streams["trades"].source
    world.fill(*ROWS[:67])
    world.source.clauses[table] = "toDateTime(ts) + INTERVAL 4 DAY"
    gone = [row for row in ROWS if row.ts < FIRST + timedelta(hours=30)]
    world.source.tables[table] = [row for row in ROWS if row not in gone]
    found = world.adopt()
    assert found.proof.unproven == len(gone)
    assert found.proof.proven_from == PartitionBy.DAY.floor(FIRST + timedelta(hours=30))
    world.handle()
    assert world.cold().total() == 100


def test_without_a_ttl_rows_that_have_gone_are_a_difference(world: Filled) -> None:
    world.fill(*ROWS[:67])
    table = world.streams["trades"].source
    world.source.tables[table] = [row for row in ROWS if row.ts >= FIRST + timedelta(hours=30)]
    with pytest.raises(DivergenceError, match="0 stand in the source only, 30 in the target only"):
        world.adopt()


def test_rows_above_what_is_final_are_waited_for(world: Filled) -> None:
    world.fill(*ROWS, Row(ts=NOW - timedelta(minutes=1), seq=500))
    with pytest.raises(ConfigurationError, match="rows may still arrive"):
        world.adopt()


def test_a_start_bounds_what_is_adopted() -> None:
    world = make_world(start=ROWS[30].ts)
    world.fill(*ROWS[30:67])
    assert world.adopt().proof.watermark == ROWS[67].ts
    world.handle()
    assert world.cold() == dict.fromkeys(ROWS[30:], 1)
    below = make_world(start=ROWS[30].ts)
    below.fill(*ROWS[:67])
    with pytest.raises(DivergenceError, match="below the start"):
        below.adopt()


def spoil_schema(world: Filled) -> None:
    world.source.retype(world.streams["trades"].source, "value", "String")


def spoil_spec(world: Filled) -> None:
    world.streams["trades"] = replace(world.streams["trades"], partition_by=PartitionBy.MONTH)


@pytest.mark.parametrize(("spoil", "named"), [(spoil_schema, "value"), (spoil_spec, "partition spec")])
def test_a_table_of_another_shape_is_refused_with_what_differs(
    world: Filled, spoil: Callable[[Filled], None], named: str
) -> None:
    world.fill(*ROWS[:67])
    spoil(world)
    with pytest.raises(TargetMismatchError, match=named):
        world.adopt()


def test_there_has_to_be_a_table_with_rows(world: Filled) -> None:
    with pytest.raises(TargetMissingError):
        world.adopt()
    stream = world.streams["trades"]
    _, mapping = Preparation(source=world.source, ledger=world.ledger, catalog=world.catalog).read_source(stream, None)
    world.catalog.ensure(stream, mapping, expected_uuid=None)
    with pytest.raises(DivergenceError, match="holds no rows"):
        world.adopt()


def test_a_stream_that_has_read_by_itself_or_a_table_that_icehaul_filled_is_refused(world: Filled) -> None:
    world.handle()
    with pytest.raises(DivergenceError, match="by itself"):
        world.adopt()
    world.ledger._streams.clear()
    with pytest.raises(DivergenceError, match="was filled by icehaul"):
        world.adopt()


def test_a_table_to_which_somebody_commits_meanwhile_is_refused(world: Filled) -> None:
    world.fill(*ROWS[:67])
    world.failpoints = AtPoint("stream.after-bind", lambda: world.fill(ROWS[67]))
    with pytest.raises(DivergenceError, match="somebody committed"):
        world.adopt()
    world.arm("")
    assert world.adopt().proof.watermark == ROWS[68].ts


def test_a_stream_that_somebody_works_on_is_left_alone(world: Filled) -> None:
    world.fill(*ROWS[:67])
    world.ledger.register("trades")
    world.ledger.claim("trades", "somebody", timedelta(seconds=30))
    with pytest.raises(LeaseHeldError):
        world.adopt()


@pytest.mark.parametrize(
    "point",
    [
        "lease.after-claim=raise",
        "stream.before-bind=raise",
        "stream.after-bind=raise",
        "publish.before-stage=raise",
        "publish.before-commit=raise",
        "publish.after-commit=apply-then-raise",
    ],
)
def test_an_adoption_that_fails_anywhere_may_be_repeated_and_lands_once(world: Filled, point: str) -> None:
    world.fill(*ROWS[:67])
    world.arm(f"{point}@1")
    try:
        world.adopt()
    except IcehaulError:
        world.arm("")
        world.now[0] += timedelta(minutes=1)
        world.adopt()
    world.arm("")
    world.handle()
    assert world.cold() == world.hot()
    assert len({one.batch_id for one in world.ledger.batches("trades", 99)}) == len(world.ledger.batches("trades", 99))


def test_an_owner_that_was_taken_for_dead_adopts_nothing(world: Filled) -> None:
    world.fill(*ROWS[:67])

    def be_replaced() -> None:
        world.now[0] += timedelta(minutes=1)
        world.failpoints = AtPoint("", lambda: None)
        world.adoptions("heir").adopt(world.streams["trades"])

    world.failpoints = AtPoint("publish.after-stage", be_replaced)
    with pytest.raises(IcehaulError):
        world.adopt()
    world.handle()
    assert world.cold() == world.hot()


class AtPoint(Failpoints):
    """Does something at a failpoint, once."""

    def __init__(self, point: str, act: Callable[[], object]) -> None:
        super().__init__()
        self._point, self._act = point, act

    def hit(self, point: str) -> None:
        if point == self._point:
            self._point = ""
            self._act()


@given(st.integers(0, 10**12), st.integers(1, 10**10))
def test_days_are_contiguous_and_end_at_the_watermark(first: int, micros: int) -> None:
    start = FIRST + timedelta(microseconds=first)
    upper = start + timedelta(microseconds=micros)
    found = days(start, upper)
    assert found[0].lower <= start < found[0].upper
    assert found[-1].upper == upper
    assert all(one.upper == other.lower for one, other in pairwise(found))


@settings(max_examples=40, deadline=None)
@given(
    held=st.lists(st.integers(0, 99), max_size=120),
    cut=st.integers(1, 100),
    extra=st.sampled_from([0, 0, 0, 1]),
)
def test_what_is_adopted_is_right_or_refused(held: list[int], cut: int, extra: int) -> None:
    """Whatever a table holds: once adopted, the cold tier becomes the hot tier, row by row."""
    world = make_world()
    lost = set(held[:3]) if extra else set()
    world.fill(*(row for row in ROWS[:cut] if row.seq not in lost or row.seq == 0))
    try:
        world.adopt()
    except DivergenceError:
        assert lost & set(range(1, cut))
        world.adopt(leave_missing=True)
    world.handle()
    assert world.cold() == world.hot()
