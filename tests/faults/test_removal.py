"""Files are removed from real tables: whatever has happened to them, every kept snapshot and tag reads as before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass

import psycopg
import pyarrow as pa
import pytest

from consumer.bootstrap import Application
from consumer.domain.audit import CheckName, Figures
from consumer.domain.errors import FencedError, IcehaulError, LeaseHeldError, TransientError
from consumer.domain.maintenance import TaskName, TaskPlan
from consumer.domain.stream import Stream
from consumer.domain.unreferenced import Kind
from consumer.failpoints.acting import Failpoints
from consumer.failpoints.effect import Component
from consumer.failpoints.effects import POINTS
from consumer.service.rewinding.examined import Verdict, Wish
from tests.support.cases import few
from tests.support.interruptions import Interrupt
from tests.support.local_platform import LocalPlatform, offload
from tests.support.platform import day

ROWS = 30
CUTOFF = day("2024-01-08")
OURS = [name for name, point in POINTS.items() if point.effect.component is Component.REMOVER]
DEATHS = ["files.after-note", "files.after-remove"]
"""Where something is done by halves; the unit tests have every point."""


@dataclass
class House:
    """A stream that keeps few snapshots, after a life with everything that leaves files behind."""

    local: LocalPlatform
    stream: str
    consumer: Application
    rows: int = 0
    days: int = 0

    @property
    def settings(self) -> Stream:
        return self.consumer.streams[self.stream]

    def batch(self) -> None:
        """Publish another day."""
        self.days += 1
        self.local.insert(ROWS, first=self.rows, day=f"2024-01-0{self.days}")
        self.rows += ROWS
        offload(self.consumer, self.stream, day(f"2024-01-0{self.days + 1}"))

    def late(self) -> None:
        """Publish late rows."""
        self.local.insert(3, first=10_000 + self.rows, day="2024-01-01")
        self.rows += 3
        offload(self.consumer, self.stream, day(f"2024-01-0{self.days + 1}"))

    def crash(self, point: str) -> None:
        """Let a process die at a point of the next batch, and another one go on."""

        def die() -> None:
            raise _Killed

        with self.local.consumer(failpoints=Interrupt(point, die)) as other:
            first, self.consumer = self.consumer, other
            with suppress(_Killed):
                self.batch()
            self.consumer = first
        offload(self.consumer, self.stream, day(f"2024-01-0{self.days + 1}"))

    def maintain(self, consumer: Application | None = None) -> TaskPlan:
        (plan,) = (consumer or self.consumer).maintenance.maintain(self.settings, [TaskName.REMOVAL])
        return plan

    def review(self) -> TaskPlan:
        (plan,) = self.consumer.maintenance.review(self.settings, [TaskName.REMOVAL])
        return plan

    def age(self) -> None:
        """Let the grace period of all that is noted pass."""
        with psycopg.connect(self.local.dsn) as connection:
            connection.execute(
                "UPDATE offload_superfluous SET found = found - interval '3 days' WHERE stream = %s", [self.stream]
            )

    def settle(self) -> TaskPlan:
        """Find everything, let the grace period pass, and remove it."""
        self.maintain()
        self.age()
        return self.maintain()

    def readings(self) -> Mapping[int, pa.Table]:
        """What every kept snapshot reads as."""
        with closing(self.local.cold_tier(self.stream)) as tier:
            table = tier.table()
            return {
                one.snapshot_id: table.scan(snapshot_id=one.snapshot_id).to_arrow().sort_by("seq")
                for one in table.snapshots()
            }

    def orphans(self) -> Figures:
        audit = self.consumer.auditor.audit(self.settings, rows=False)
        (check,) = [one for one in audit.checks if one.name is CheckName.ORPHANS]
        return check.figures

    def judge(self) -> None:
        """Both tiers hold the same rows, every snapshot that is kept reads, and ledger, table and store agree."""
        found = self.consumer.verifier.verify(self.settings)
        assert found.equal, found
        assert found.cold.rows == self.rows
        audit = self.consumer.auditor.audit(self.settings)
        assert audit.clean, [check for check in audit.checks if not check.clean]
        self.readings()


class _Killed(BaseException):
    """The end of a process, which nothing of it notices."""


@pytest.fixture(params=["postgres"])
def catalog(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def house(local: LocalPlatform, catalog: str) -> Iterator[House]:
    if catalog == "rest":
        store, rest = local.endpoints.store, local.endpoints.rest_catalog
        local.sections["catalog"] = {
            "type": "rest",
            "uri": rest.uri,
            "warehouse": rest.warehouse,
            "credential": f"{store.access_key}:{store.secret_key}",
        }
    stream = local.add_stream(
        retain_snapshots=2, partition_by="none", table_properties={"write.metadata.previous-versions-max": "2"}
    )
    with local.consumer() as consumer:
        made = House(local, stream, consumer)
        made.batch()
        yield made


def tag(house: House, name: str) -> None:
    cuts = house.consumer.cuts
    cuts.tag(cuts.find([house.settings], None), name)


@pytest.mark.parametrize("catalog", few(["postgres", "rest"], {"postgres"}), indirect=True)
def test_after_everything_that_leaves_files_behind_all_that_is_needed_is_there_and_nothing_else(house: House) -> None:
    house.batch()
    tag(house, "month-end")
    house.crash("attempt.after-stage")
    house.crash("publish.after-stage")
    house.late()
    assert house.consumer.rewinds.rewind(house.settings, Wish(to=day("2024-01-02"))).verdict is Verdict.REWOUND
    offload(house.consumer, house.stream, day(f"2024-01-0{house.days + 1}"))
    house.batch()
    removed = {part.what: part.files for part in house.settle().parts}
    # Two batches have died: one with its file written, one with manifests and metadata, too.
    assert removed[Kind.LEFT] >= 2
    assert removed[Kind.METADATA] >= 3
    before = house.readings()
    house.judge()
    planned = house.review()
    figures = house.orphans()
    assert sum(part.files for part in planned.parts) == 0
    waiting = [int(str(figures[name])) for name in ("left behind", "former metadata")]
    told = [why for why in planned.left if "superfluous" in why]
    assert (sum(waiting) > 0) == bool(told)
    assert all(why.startswith(f"{sum(waiting)} file") for why in told)
    house.settle()
    after = house.orphans()
    assert (after["left behind"], after["former metadata"], after["unknown"]) == (0, 0, 0)
    assert house.readings() == before
    house.judge()
    house.batch()
    house.judge()


def test_what_another_engine_has_compacted_is_read_as_before_and_its_files_stay(house: House) -> None:
    house.batch()
    with closing(house.local.cold_tier(house.stream)) as tier:
        tier.merge_files()
    for _ in range(3):
        house.batch()
    before = house.readings()
    house.settle()
    assert house.readings() == before
    house.judge()


def test_a_batch_that_is_under_way_holds_the_lease_and_is_spared_by_a_look(house: House) -> None:
    seen: list[TaskPlan] = []

    def look() -> None:
        seen.append(house.review())
        with house.local.consumer(owner="cleaner") as cleaner, pytest.raises(LeaseHeldError):
            house.maintain(cleaner)

    with house.local.consumer(failpoints=Interrupt("attempt.after-stage", look)) as other:
        first, house.consumer = house.consumer, other
        house.batch()
        house.consumer = first
    assert any(why.startswith("1 file of ") and why.endswith("under way") for why in seen[0].left)
    house.judge()


def test_an_old_owner_that_wakes_up_before_the_deletion_destroys_nothing(house: House) -> None:
    house.crash("attempt.after-stage")
    house.crash("publish.after-stage")
    house.maintain()
    house.age()

    def everything() -> None:
        with psycopg.connect(house.local.dsn) as connection:
            connection.execute(
                "UPDATE offload_watermarks SET owner = NULL, lease_expires = NULL WHERE stream = %s", [house.stream]
            )
        # The heir begins the failed batch's window anew, goes on, sets the stream back, and cleans up itself.
        house.late()
        house.batch()
        house.consumer.rewinds.rewind(house.settings, Wish(to=day("2024-01-02")))
        offload(house.consumer, house.stream, day(f"2024-01-0{house.days + 1}"))
        house.maintain()

    zombie = Interrupt("files.before-remove", everything)
    with house.local.consumer(owner="zombie", failpoints=zombie) as other, pytest.raises(FencedError):
        house.maintain(other)
    before = house.readings()
    assert len(before) >= 2
    house.judge()
    house.batch()
    house.judge()


@pytest.mark.parametrize("point", DEATHS)
def test_after_a_process_has_died_anywhere_the_next_one_goes_on(house: House, point: str) -> None:
    house.crash("attempt.after-stage")
    if point == "files.after-remove":
        house.maintain()
        house.age()

    def die() -> None:
        raise _Killed

    with house.local.consumer(owner="killed", failpoints=Interrupt(point, die)) as other, pytest.raises(_Killed):
        house.maintain(other)
    house.judge()
    house.settle()
    assert house.orphans()["left behind"] == 0
    house.judge()


def test_a_ledger_and_a_store_that_fail_for_a_while_are_tried_again(house: House) -> None:
    house.crash("attempt.after-stage")
    house.maintain()
    house.age()
    points = ",".join(f"{point}=raise" for point in OURS)
    with house.local.consumer(failpoints=Failpoints(points)) as other:
        attempts = 0
        while True:
            attempts += 1
            assert attempts < 10
            with suppress(TransientError, IcehaulError):
                house.maintain(other)
                break
    assert house.orphans()["left behind"] == 0
    house.judge()
