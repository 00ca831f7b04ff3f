"""Files go under the lease, after the grace period, a few at a time; what may still be published stays."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import cast

import pytest

from consumer.domain.audit import CheckName
from consumer.domain.batch import BatchStatus, WrittenFile
from consumer.domain.errors import (
    CheckFailedError,
    DivergenceError,
    FencedError,
    LedgerUnavailableError,
    StoreUnavailableError,
    StreamError,
    TargetMismatchError,
)
from consumer.domain.maintenance import MaintenancePolicy, TaskName
from consumer.domain.removal_policy import RemovalPolicy
from consumer.domain.stream import Stream
from consumer.failpoints.effect import Component
from consumer.failpoints.effects import POINTS
from consumer.ports import Claim
from consumer.service.audit.auditor import Auditor
from consumer.service.batch_context import BatchContext
from consumer.service.maintaining import removal as module
from consumer.service.maintaining.removal import SWITCHED_OFF, Removal
from consumer.service.maintaining.superfluous import SuperfluousFiles
from consumer.service.maintaining.task import Performed
from consumer.service.verify import Verifier
from consumer.testing.files import MemoryFiles
from consumer.testing.removals import MemoryRemovals, MemoryRemover
from tests.support.interruptions import Interrupt
from tests.unit.service.test_offload import NEVER, NOW, World, event, make_stream, rows

DAY = timedelta(days=1)
LEASE = timedelta(seconds=30)


class Cleaned(World):
    """A world whose stream has published rows, and whose table is cleaned."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.files = MemoryFiles(self.catalog, self.engine.written)
        self.removals = MemoryRemovals(self.ledger, lambda: self.now[0])
        self.remover = MemoryRemover(self.catalog, self.engine.written)

    @property
    def stream(self) -> Stream:
        return self.streams["trades"]

    def publish(self) -> None:
        self.insert(*rows(4, days_ago=5))
        self.offload().handle(event(cutoff=NOW - 3 * DAY), NEVER)

    def leave(self) -> list[str]:
        """Let an attempt fail after it has written its files, and return them; the next one is published."""
        before = set(self.engine.written)
        self.insert(*rows(4, days_ago=1))
        check = self.catalog.check

        def refuse(*_: object) -> None:
            self.catalog.check = check  # type: ignore[method-assign]
            raise CheckFailedError("another footer", remedy="write again")

        self.catalog.check = refuse  # type: ignore[assignment,method-assign]
        self.offload().handle(event(), NEVER)
        live = self.catalog.data_files(self.stream.target, self.stream.partition_by, None)
        return sorted(set(self.engine.written) - before - set(live))

    def task(self) -> Removal:
        return Removal(
            superfluous=SuperfluousFiles(
                catalog=self.catalog,
                attempts=self.ledger.recorded,
                files=self.files,
                removals=self.removals,
                remover=self.remover,
            ),
            ledger=self.ledger,
            catalog=self.catalog,
            removals=self.removals,
            remover=self.remover,
            metrics=self.metrics,
            failpoints=self.failpoints,
        )

    def clean(self, *, claim: Claim | None = None) -> Performed:
        claim = claim or self.ledger.claim("trades", "cleaner", LEASE)
        context = cast("BatchContext", SimpleNamespace(stream=self.stream, still_ours=lambda: None))
        try:
            return self.task().perform(context, claim)
        finally:
            self.ledger.release(claim)

    def wait(self, time: timedelta = 3 * DAY) -> None:
        self.now[0] += time


class _Killed(BaseException):
    """The end of a process, which nothing of it notices."""


def _die() -> None:
    raise _Killed


@pytest.fixture
def world() -> Cleaned:
    made = Cleaned({"trades": make_stream()})
    made.publish()
    return made


def removed(performed: Performed) -> int:
    return sum(part.files for part in performed.parts)


def test_what_a_failed_attempt_left_goes_once_it_was_found_for_the_grace_period(world: Cleaned) -> None:
    left = world.leave()
    assert world.clean().parts == ()
    world.wait(3 * DAY - timedelta(seconds=1))
    assert world.clean().parts == ()
    world.wait(timedelta(seconds=1))
    performed = world.clean()
    assert removed(performed) == len(left)
    assert not performed.more
    assert not set(left) & set(world.engine.written)
    assert world.metrics.counts["removed_files trades"] == len(left)
    world.offload().handle(event(), NEVER)
    assert world.cold() == world.hot()


def test_the_files_of_a_slow_batch_are_spared_however_old_they_are(world: Cleaned) -> None:
    world.insert(*rows(4, days_ago=1))
    before = set(world.engine.written)
    world.failpoints = Interrupt("attempt.after-stage", _die)
    with pytest.raises(_Killed):
        world.offload().handle(event(), NEVER)
    world.arm("")
    written = set(world.engine.written) - before
    assert written
    plan = world.task().review(world.stream)
    assert any("under way" in why for why in plan.left)
    world.wait(100 * DAY)
    assert world.task().review(world.stream).parts == ()
    # Whoever holds the lease knows that their owner has lost it.
    assert world.clean().parts == ()
    statuses = {one.status for one in world.ledger.recorded.attempts("trades")}
    assert statuses == {BatchStatus.PUBLISHED, BatchStatus.FAILED}
    world.wait()
    assert removed(world.clean()) == len(written)


def test_a_batch_that_is_written_under_the_lease_of_now_is_not_closed(world: Cleaned) -> None:
    claim = world.ledger.claim("trades", "me", LEASE)
    assert world.removals.close_attempts(claim) == 0


def test_nothing_is_changed_by_a_review(world: Cleaned) -> None:
    left = world.leave()
    for _ in range(2):
        plan = world.task().review(world.stream)
        assert (plan.task, plan.parts) == (TaskName.REMOVAL, ())
        assert len(plan.left) == 1
        assert plan.left[0].startswith(
            f"{len(left)} files of 400 bytes, superfluous, for the first of them another 3 day"
        )
        world.wait()
    assert world.removals.found("trades") == {}


def test_a_review_tells_what_the_next_run_removes(world: Cleaned) -> None:
    world.leave()
    world.clean()
    world.wait()
    plan = world.task().review(world.stream)
    assert plan.parts == world.clean().parts
    assert plan.files_gone > 0
    assert plan.bytes_gone > 0


def test_the_audit_counts_what_a_review_tells(world: Cleaned) -> None:
    world.leave()
    world.clean()
    world.wait()
    audit = Auditor(
        source=world.source,
        ledger=world.ledger,
        catalog=world.catalog,
        attempts=world.ledger.recorded,
        files=world.files,
        verifier=Verifier(source=world.source, ledger=world.ledger, catalog=world.catalog, dropped=lambda _: []),
    ).audit(world.stream)
    (orphans,) = [check for check in audit.checks if check.name is CheckName.ORPHANS]
    (part,) = world.task().review(world.stream).parts
    assert (orphans.figures["left behind"], orphans.figures["left behind, bytes"]) == (part.files, part.bytes)


def test_a_stream_that_nobody_has_read_has_nothing_to_remove() -> None:
    world = Cleaned({"trades": make_stream()})
    assert world.task().review(world.stream).parts == ()
    world.ledger.register("trades")
    assert world.clean() == Performed()


def test_what_is_switched_off_is_not_done(world: Cleaned) -> None:
    world.leave()
    world.clean()
    world.wait()
    off = MaintenancePolicy(removal=RemovalPolicy(enabled=False))
    world.streams["trades"] = replace(world.stream, maintenance=off)
    assert world.task().review(world.stream).left == (SWITCHED_OFF,)
    assert world.clean() == Performed(left=(SWITCHED_OFF,))


def test_a_halted_stream_is_left_alone(world: Cleaned) -> None:
    world.leave()
    world.clean()
    world.wait()
    world.ledger.pause("trades", reason="paused", remedy="wait")
    with pytest.raises(StreamError, match="halted"):
        world.clean()
    assert removed_files(world) == 0


def test_a_table_that_shares_its_place_is_left_alone(world: Cleaned) -> None:
    world.leave()
    world.clean()
    world.wait()
    world.remover.shared.append("bronze.copy")
    with pytest.raises(TargetMismatchError, match=r"bronze\.copy has files in"):
        world.clean()
    assert removed_files(world) == 0


def test_a_table_that_tells_another_story_than_the_ledger_is_left_alone(world: Cleaned) -> None:
    world.leave()
    world.clean()
    world.wait()
    world.insert(*rows(4, days_ago=0.5))
    world.offload().handle(event(), NEVER)
    first = min(world.catalog.tables[world.stream.target].snapshots)
    world.catalog.roll_back(world.stream.target, first)
    with pytest.raises(DivergenceError, match="icehaul repair"):
        world.clean()
    assert removed_files(world) == 0


def test_another_table_of_the_same_name_is_left_alone(world: Cleaned) -> None:
    world.leave()
    world.clean()
    world.wait()
    table = world.catalog.tables[world.stream.target]
    world.catalog.tables[world.stream.target] = replace(table, uuid=type(table.uuid)(int=7))
    with pytest.raises(DivergenceError, match="is not the table that the ledger knows"):
        world.clean()
    assert removed_files(world) == 0


def removed_files(world: Cleaned) -> int:
    return int(world.metrics.counts["removed_files trades"])


def test_files_are_deleted_in_bounded_pieces_with_a_look_at_the_catalog_between_them(
    world: Cleaned, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = world.leave()
    assert len(left) >= 2
    monkeypatch.setattr(module, "CHUNK", 1)
    monkeypatch.setattr(module, "PIECE", 1)
    world.clean()
    world.wait()
    assert [world.clean().more for _ in left] == [True] * (len(left) - 1) + [False]
    assert not set(left) & set(world.engine.written)


def test_a_file_that_somebody_has_added_to_the_table_since_the_look_is_spared(
    world: Cleaned, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = world.leave()
    monkeypatch.setattr(module, "CHUNK", 1)
    world.clean()
    world.wait()
    remove = world.remover.remove

    def add_the_last_one(paths: list[str]) -> None:
        if set(left) <= set(world.engine.written):
            table = world.catalog.tables[world.stream.target]
            live = [(world.engine.written[left[-1]], table.live()[0][1])]
            world.catalog.rewrite(world.stream.target, [], live, carry=True)
        remove(paths)

    monkeypatch.setattr(world.remover, "remove", add_the_last_one)
    assert removed(world.clean()) == len(left) - 1
    assert left[-1] in world.engine.written


def test_a_store_that_fails_in_the_middle_is_no_harm_and_the_next_run_goes_on(
    world: Cleaned, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = world.leave()
    world.clean()
    world.wait()
    remove = world.remover.remove

    def fail(paths: list[str]) -> None:
        remove(paths[:1])
        raise StoreUnavailableError("the store is slow", remedy="wait")

    monkeypatch.setattr(world.remover, "remove", fail)
    with pytest.raises(StoreUnavailableError):
        world.clean()
    monkeypatch.setattr(world.remover, "remove", remove)
    assert removed(world.clean()) == len(left) - 1
    assert world.removals.found("trades") == {}


@pytest.mark.parametrize("point", [name for name, one in POINTS.items() if one.effect.component is Component.REMOVER])
def test_after_a_failure_anywhere_the_next_run_ends_the_work(world: Cleaned, point: str) -> None:
    left = world.leave()
    world.arm(f"{point}=raise")
    failures = 0
    for _ in range(4):
        try:
            world.clean()
        except (StoreUnavailableError, LedgerUnavailableError):
            failures += 1
        world.wait()
    assert failures == 1
    assert not set(left) & set(world.engine.written)
    assert world.removals.found("trades") == {}
    world.offload().handle(event(), NEVER)
    assert world.cold() == world.hot()


def test_an_owner_that_has_lost_the_lease_notes_nothing_and_closes_nothing(world: Cleaned) -> None:
    world.leave()
    claim = world.ledger.claim("trades", "slow", LEASE)
    world.wait(DAY)
    world.ledger.claim("trades", "heir", LEASE)
    with pytest.raises(FencedError):
        world.clean(claim=claim)
    assert world.removals.found("trades") == {}


def test_what_an_old_owner_deletes_late_is_nothing_that_anybody_needs(
    world: Cleaned, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.leave()
    world.clean()
    world.wait()
    claim = world.ledger.claim("trades", "slow", LEASE)
    remove = world.remover.remove

    def sleep(paths: list[str]) -> None:
        # It stands still between its last look and the deletion, while an heir does everything there is to do.
        monkeypatch.setattr(world.remover, "remove", remove)
        world.wait(DAY)
        world.offload("heir").handle(event(cutoff=world.now[0]), NEVER)
        world.insert(*rows(4, days_ago=0.5))
        world.offload("heir").handle(event(cutoff=world.now[0]), NEVER)
        remove(paths)

    monkeypatch.setattr(world.remover, "remove", sleep)
    with pytest.raises(FencedError):
        world.clean(claim=claim)
    live = world.catalog.data_files(world.stream.target, world.stream.partition_by, None)
    assert set(live) <= set(world.engine.written)
    assert world.cold() == world.hot()


def test_files_that_nobody_knows_stay_unless_the_policy_says_how_long(world: Cleaned) -> None:
    path = f"{world.catalog.inspect(world.stream.target).location}/notes.txt"  # type: ignore[union-attr]
    world.engine.written[path] = WrittenFile(
        unit=0, path=path, bytes=7, fingerprint=next(iter(world.engine.written.values())).fingerprint
    )
    assert any("which nobody knows" in why for why in world.clean().left)
    world.wait(100 * DAY)
    assert world.clean().parts == ()
    ten = MaintenancePolicy(removal=RemovalPolicy(unknown_after=10 * DAY))
    world.streams["trades"] = replace(world.stream, maintenance=ten)
    world.clean()
    world.wait(10 * DAY)
    (part,) = world.clean().parts
    assert (part.what, part.files, part.bytes) == ("unknown", 1, 7)
