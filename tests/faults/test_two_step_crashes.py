"""A publish in two steps is interrupted anywhere: the ledger follows the table, and every row is there once."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from consumer.domain.batch import BatchStatus
from consumer.domain.errors import BaseMovedError, FencedError, LedgerUnavailableError, UnknownCommitError
from consumer.domain.event_factory import tick
from consumer.failpoints.acting import Failpoints
from consumer.settings.connections import PostgresSettings
from tests.support.cases import few
from tests.support.cold_tier import HOUR, START, IcebergColdTier
from tests.support.interruptions import Interrupt
from tests.support.two_step import Crash, Late, crashing, open_intents, run, settled, status, take_over
from tests.support.two_step_tier import TierDatabases, two_step_tier


@pytest.fixture(params=few(["elsewhere", "rest"], {"rest"}))
def tier(request: pytest.FixtureRequest, databases: TierDatabases) -> Iterator[IcebergColdTier]:
    with two_step_tier(databases, request.param) as real:
        yield real


@pytest.fixture
def rest(databases: TierDatabases) -> Iterator[IcebergColdTier]:
    with two_step_tier(databases, "rest") as real:
        yield real


# ---------------------------------------------------------------------------------------------- crashes


@pytest.mark.parametrize(
    ("point", "landed"),
    [
        ("publish.after-stage", False),
        ("publish.after-intend", False),
        ("publish.after-send", True),
        ("publish.after-record", True),
    ],
)
def test_each_crash_point_heals_from_the_table(tier: IcebergColdTier, point: str, *, landed: bool) -> None:
    claim = tier.begin()
    tier.publish(claim)
    step = tier.write(claim)
    with crashing(tier, point) as victim, pytest.raises(Crash):
        victim.publish(step.publication)
    heir = take_over(tier, claim)
    assert heir.record == tier.ledger.read([tier.stream.name])[tier.stream.name]
    assert (status(tier, step.publication) is BatchStatus.PUBLISHED) == landed
    if not landed:
        tier.publish(heir)
    settled(tier, rows=6, batches=2)


@pytest.mark.parametrize("point", ["publish.before-heal", "publish.after-heal"])
def test_a_crash_while_healing_is_healed_again(tier: IcebergColdTier, point: str) -> None:
    claim = tier.begin()
    with crashing(tier, "publish.after-send") as victim, pytest.raises(Crash):
        victim.publish(tier.write(claim).publication)
    with crashing(tier, point) as healer, pytest.raises(Crash):
        healer.heal(tier.stream, claim, final=True)
    take_over(tier, claim)
    settled(tier, rows=3, batches=1)


@pytest.mark.parametrize("point", ["table.before-seal", "table.after-seal"])
def test_a_crash_while_sealing_is_healed_again(tier: IcebergColdTier, point: str) -> None:
    claim = tier.begin()
    tier.publish(claim)
    late = Late(tier, tier.write(claim).publication)
    with crashing(tier, point) as healer, pytest.raises(Crash):
        healer.heal(tier.stream, claim, final=True)
    heir = take_over(tier, claim)
    assert isinstance(late.go(), FencedError | BaseMovedError)
    tier.publish(heir)
    settled(tier, rows=6, batches=2)


_KILLED = """
import pickle, sys
from consumer.adapters.iceberg.catalog import IcebergCatalog
from consumer.adapters.postgres.database import Database
from consumer.failpoints.acting import Failpoints
postgres, catalog, store, publication = pickle.load(sys.stdin.buffer)
IcebergCatalog(
    database=Database(postgres), catalog=catalog, store=store, failpoints=Failpoints("publish.after-send=kill")
).publish(publication)
"""


def test_a_killed_publisher_is_healed_from_the_table_with_its_events(rest: IcebergColdTier) -> None:
    claim = rest.begin()
    wake = tick(stream="bars", boundary=START)
    publication = replace(rest.write(claim).publication, outbox=[wake])
    work = pickle.dumps((PostgresSettings(dsn=SecretStr(rest.dsn)), rest.settings, rest.store, publication))
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED], input=work, check=False, env={**os.environ, "PYTHONPATH": str(Path.cwd())}
    )
    assert killed.returncode == -signal.SIGKILL
    assert status(rest, publication) is BatchStatus.PUBLISHING
    assert rest.ledger.read([rest.stream.name])[rest.stream.name].watermark == START
    take_over(rest, claim)
    settled(rest, rows=3, batches=1)
    assert [message.event for message in rest.ledger.outbox(10)] == [wake]


# ---------------------------------------------------------------------------------------------- late commits


def test_a_commit_that_is_late_is_kept_out_for_good_before_its_heir_goes_on(tier: IcebergColdTier) -> None:
    claim = tier.begin()
    tier.publish(claim)
    late = Late(tier, tier.write(claim).publication)
    heir = take_over(tier, claim)
    assert open_intents(tier) == 0
    tier.skip(heir, START + 2 * HOUR)
    refused = late.go()
    assert isinstance(refused, FencedError | BaseMovedError)
    assert tier.table().scan().count() == 3
    tier.publish(tier.ledger.claim(tier.stream.name, claim.owner, HOUR))
    assert tier.table().scan().count() == 6


def test_a_late_commit_of_another_batch_for_the_same_rows_is_followed(tier: IcebergColdTier) -> None:
    claim = tier.begin()
    tier.publish(claim)
    late = Late(tier, tier.write(claim).publication)
    newer = tier.ledger.claim(tier.stream.name, claim.owner, HOUR)
    assert isinstance(late.go(), FencedError)
    heir = tier.catalog.heal(tier.stream, newer, final=True)
    assert heir.record.watermark == START + 2 * HOUR
    tier.catalog.publish(tier.write(heir, span=2 * HOUR).publication)
    settled(tier, rows=9, batches=3)


def test_a_commit_that_lands_while_it_is_being_sealed_off_is_followed(tier: IcebergColdTier) -> None:
    claim = tier.begin()
    late = Late(tier, tier.write(claim).publication)
    newer = tier.ledger.claim(tier.stream.name, claim.owner, HOUR)
    healer = tier.another(Interrupt("table.before-seal", late.go))
    heir = healer.heal(tier.stream, newer, final=True)
    healer.close()
    assert heir.record.watermark == START + HOUR
    settled(tier, rows=3, batches=1)


def test_of_two_commits_of_one_batch_on_one_base_a_single_one_lands(tier: IcebergColdTier) -> None:
    claim = tier.begin()
    first = tier.write(claim).publication
    late = Late(tier, first)
    again = tier.write(claim, rows=4).publication
    assert again.batch.id == first.batch.id
    assert tier.catalog.heal(tier.stream, claim, final=False).record.watermark == START
    assert open_intents(tier) == 1
    tier.catalog.publish(again)
    assert isinstance(late.go(), BaseMovedError)
    settled(tier, rows=4, batches=1)


def test_a_late_commit_that_is_first_is_recorded_with_its_own_content(tier: IcebergColdTier) -> None:
    claim = tier.begin()
    late = Late(tier, tier.write(claim).publication)
    again = tier.write(claim, rows=4).publication
    held = tier.another(Interrupt("publish.before-send", late.go))
    assert run(tier, held, again) == [BaseMovedError, UnknownCommitError]
    held.close()
    settled(tier, rows=3, batches=1)


def test_a_snapshot_that_a_compaction_has_hidden_is_still_found(tier: IcebergColdTier) -> None:
    claim = tier.begin()
    with crashing(tier, "publish.after-send") as victim, pytest.raises(Crash):
        victim.publish(tier.write(claim).publication)
    tier.compact(carry=True)
    tier.expire(1)
    heir = take_over(tier, claim)
    assert heir.record.watermark == START + HOUR
    tier.publish(heir)
    assert tier.table().scan().count() == 6


def test_where_nothing_is_open_the_table_is_not_looked_at(
    tier: IcebergColdTier, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = tier.begin()
    tier.publish(claim)
    monkeypatch.setattr(tier.catalog._bases, "load", lambda _: pytest.fail("the catalog was asked"))
    assert tier.catalog.heal(tier.stream, claim, final=True).record.watermark == START + HOUR


def test_what_was_healed_without_an_answer_is_known_to_whoever_asks_again(tier: IcebergColdTier) -> None:
    claim = tier.begin()
    with crashing(tier, "publish.after-send") as victim, pytest.raises(Crash):
        victim.publish(tier.write(claim).publication)
    heir = tier.ledger.claim(tier.stream.name, claim.owner, HOUR)
    healer = tier.another(Failpoints("publish.after-heal=raise"))
    with pytest.raises(LedgerUnavailableError):
        healer.heal(tier.stream, heir, final=True)
    assert healer.heal(tier.stream, heir, final=True).record.watermark == START + HOUR
    healer.close()


def test_metadata_files_that_a_commit_retires_are_removed_where_icehaul_writes_them(databases: TierDatabases) -> None:
    with two_step_tier(databases, "elsewhere") as tier:
        claim = tier.begin()
        tier.publish(claim)
        tier.table().transaction().set_properties({"write.metadata.previous-versions-max": "1"}).commit_transaction()
        for _ in range(2):
            tier.publish(claim)
        kept = {tier.table().metadata_location, *(one.metadata_file for one in tier.table().metadata.metadata_log)}
        assert {key for key in tier.keys("metadata") if key.endswith(".json")} == kept
