"""Partitions leave the hot tier only if the cold tier holds all of their rows, whatever fails or arrives meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
import pytest

from consumer.bootstrap import Application
from consumer.domain.errors import (
    AccessDeniedError,
    ConfigurationError,
    DropRefusedError,
    FencedError,
    IcehaulError,
    SourceMissingError,
    StreamError,
)
from consumer.domain.event_factory import tick
from consumer.domain.hot_drop import Selection, quarantine_table
from consumer.entrypoints.cli.output import ExitCode
from consumer.failpoints.acting import VARIABLE, Failpoints
from consumer.failpoints.effect import Component
from consumer.failpoints.effects import POINTS
from consumer.ports import StreamState
from consumer.service.dropping.review import Place, Report
from tests.support.local_platform import LocalPlatform, offload
from tests.support.platform import day
from tests.support.waiting import wait_for

DAY, ID = "2024-01-01", "20240101"
ROWS = 60
ONE = Selection(partitions=(ID,))


class Tiers:
    """A stream of three days that are offloaded, and what stands where."""

    def __init__(self, platform: LocalPlatform, stream: str) -> None:
        self.platform = platform
        self.stream = stream
        self.source = f"{platform.name}.trades"

    def drop(self, selection: Selection = ONE, *, failpoints: str = "") -> Report:
        """Drop in a process of its own, as far as that matters: nothing but the servers is shared."""
        with self.platform.consumer(failpoints=Failpoints(failpoints)) as application:
            return application.hot_drops.drop(application.streams[self.stream], selection)

    def review(self, selection: Selection = ONE) -> Report:
        with self.platform.consumer() as application:
            return application.drop_review.review(application.streams[self.stream], selection)

    def hot(self, partition: str = ID, table: str | None = None) -> int:
        query = f"SELECT count() FROM {table or self.source} WHERE _partition_id = '{partition}'"
        return int(self.platform.client.query(query).result_rows[0][0])

    def cold(self) -> int:
        with self.platform.consumer() as application:
            return application.verifier.verify(application.streams[self.stream]).cold.rows

    def insert_late(self, rows: int = 1) -> None:
        self.platform.insert(rows, first=10_000, day=DAY)

    def quarantines(self) -> dict[str, int]:
        """The quarantine tables of the stream, with their rows."""
        rows = self.platform.client.query(
            f"SELECT name, total_rows FROM system.tables WHERE database = '{self.platform.name}'"
            " AND name LIKE 'icehaul_quarantine%'"
        ).result_rows
        return {str(name): int(count) for name, count in rows}

    def recorded(self) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.platform.dsn) as connection:
            return connection.execute(
                "SELECT partition_id, state, rows FROM offload_drops WHERE stream = %s ORDER BY started", [self.stream]
            ).fetchall()


@pytest.fixture
def tiers(local: LocalPlatform) -> Tiers:
    stream = local.add_stream()
    for number in range(3):
        local.insert(ROWS, first=number * ROWS, day=f"2024-01-0{number + 1}")
    with local.consumer() as application:
        assert offload(application, stream, day("2024-01-04")) == []
    return Tiers(local, stream)


@contextmanager
def before(application: Application, method: str, act: Callable[[], object]) -> Iterator[None]:
    """Do something just before a statement is sent."""
    partitions = application.partitions
    send = getattr(partitions, method)

    def acting(*arguments: object) -> object:
        act()
        return send(*arguments)

    with ExitStack() as restoring:
        restoring.callback(delattr, partitions, method)
        setattr(partitions, method, acting)
        yield


# ------------------------------------------------------------------------------------- what is done


def test_a_partition_that_the_cold_tier_holds_is_dropped_and_recorded(tiers: Tiers) -> None:
    report = tiers.drop()
    (found,) = report.partitions
    assert report.good
    assert found.place is Place.DROPPED
    assert found.comparison.hot == found.comparison.cold
    assert (tiers.hot(), tiers.hot("20240102"), tiers.cold()) == (0, ROWS, 3 * ROWS)
    assert tiers.recorded() == [(ID, "dropped", ROWS)]
    assert tiers.quarantines() == {}


def test_looking_first_changes_nothing(tiers: Tiers) -> None:
    report = tiers.review(Selection(before=day("2024-01-03")))
    assert [(one.partition.id, one.place) for one in report.partitions] == [
        ("20240101", Place.SOURCE),
        ("20240102", Place.SOURCE),
    ]
    assert report.good
    assert (tiers.hot(), tiers.recorded(), tiers.quarantines()) == (ROWS, [], {})


def test_a_row_that_is_in_the_hot_tier_only_brings_the_partition_back(tiers: Tiers) -> None:
    tiers.insert_late()
    assert not tiers.review().good
    report = tiers.drop()
    (found,) = report.partitions
    assert not report.good
    assert (found.place, found.comparison.missing) == (Place.RETURNED, 1)
    assert tiers.hot() == ROWS + 1
    assert tiers.recorded() == [(ID, "returned", ROWS + 1)]
    assert tiers.quarantines() == {}


def test_one_copy_more_than_the_cold_tier_holds_is_missed(tiers: Tiers) -> None:
    tiers.platform.insert(1, day=DAY)
    assert tiers.drop().partitions[0].comparison.missing == 1
    assert tiers.hot() == ROWS + 1


@pytest.mark.parametrize("statement", ["count", "drop"], ids=["after the move", "after the comparison"])
def test_a_row_that_arrives_meanwhile_survives(tiers: Tiers, statement: str) -> None:
    with tiers.platform.consumer() as application, before(application, statement, tiers.insert_late):
        report = application.hot_drops.drop(application.streams[tiers.stream], ONE)
    assert report.good
    assert (tiers.hot(), tiers.cold()) == (1, 3 * ROWS)


def test_partitions_that_are_no_stretches_of_time_are_compared_row_by_row(local: LocalPlatform) -> None:
    stream = local.add_stream()
    local.client.command(f"DROP TABLE {local.name}.trades SYNC")
    local.client.command(
        f"CREATE TABLE {local.name}.trades (ts DateTime64(6, 'UTC'), seq UInt64, symbol String) ENGINE = MergeTree"
        " PARTITION BY symbol ORDER BY ts TTL toDateTime(ts) + INTERVAL 40 YEAR"
    )
    local.client.command(
        f"INSERT INTO {local.name}.trades SELECT toDateTime64('{DAY}', 6, 'UTC') + number, number, 's' ||"
        " toString(number % 3) FROM numbers(90)"
    )
    tiers = Tiers(local, stream)
    with local.consumer() as application:
        offload(application, stream, day("2024-01-04"))
        named = local.client.query(
            f"SELECT DISTINCT _partition_id FROM {tiers.source} WHERE symbol = 's1'"
        ).result_rows[0][0]
        engines: list[str] = []
        with before(application, "move", lambda: engines.extend(engine_of_quarantine(local))):
            report = application.hot_drops.drop(application.streams[stream], Selection(partitions=(named,)))
    (found,) = report.partitions
    assert report.good
    assert (found.comparison.hot.rows, found.comparison.cold.rows) == (30, 90)
    assert local.rows() == 60
    assert len(engines) == 1
    assert "TTL" not in engines[0]


def engine_of_quarantine(platform: LocalPlatform) -> list[str]:
    rows = platform.client.query(
        f"SELECT engine_full FROM system.tables WHERE database = '{platform.name}' AND name LIKE 'icehaul_quarantine%'"
    ).result_rows
    return [str(engine) for (engine,) in rows]


def test_a_ttl_that_an_earlier_run_left_on_a_quarantine_table_is_taken_away(tiers: Tiers) -> None:
    client, name = tiers.platform.client, tiers.platform.name
    client.command(f"ALTER TABLE {tiers.source} MODIFY TTL toDateTime(ts) + INTERVAL 40 YEAR")
    with tiers.platform.consumer() as application:
        stream = application.streams[tiers.stream]
        quarantine = quarantine_table(stream, 7)
        client.command(f"CREATE TABLE {quarantine} AS {name}.trades")
        application.partitions.create(stream, quarantine)
    assert ["TTL" in engine for engine in engine_of_quarantine(tiers.platform)] == [False]


# --------------------------------------------------------------------------------------- what fails

GOOD = [name for name, one in POINTS.items() if one.effect.component is Component.DROPPER and "return" not in name]
BAD = ["drop.after-record", "partition.after-quarantine", "partition.before-return", "partition.after-return"]


@pytest.mark.parametrize("point", GOOD)
def test_a_run_that_failed_at_any_step_is_finished_by_the_next(tiers: Tiers, point: str) -> None:
    with pytest.raises(IcehaulError, match=point):
        tiers.drop(failpoints=f"{point}=raise")
    assert tiers.hot() + sum(tiers.quarantines().values()) in {0, ROWS}
    tiers.insert_late()
    report = tiers.drop()
    # What was quarantined is finished; what stands in the source now has a row that the cold tier lacks.
    assert sum(tiers.quarantines().values()) == 0
    dropped = [one for one in tiers.recorded() if one[1] == "dropped"]
    left = tiers.hot()
    assert (len(dropped), left) in {(1, 1), (0, ROWS + 1)}
    assert all(state in {"dropped", "returned"} for _, state, _ in tiers.recorded())
    assert tiers.cold() == 3 * ROWS
    assert report.good or left in {1, ROWS + 1}


@pytest.mark.parametrize("point", BAD)
def test_what_may_not_be_dropped_comes_back_wherever_a_run_fails(tiers: Tiers, point: str) -> None:
    tiers.insert_late()
    with pytest.raises(IcehaulError, match=point):
        tiers.drop(failpoints=f"{point}=raise")
    tiers.drop()
    assert tiers.hot() == ROWS + 1
    assert sum(tiers.quarantines().values()) == 0
    assert {state for _, state, _ in tiers.recorded()} == {"returned"}


@pytest.mark.parametrize("point", ["partition.after-quarantine", "drop.after-verify", "partition.after-drop"])
def test_a_process_that_is_killed_is_made_up_for_by_running_the_command_again(tiers: Tiers, point: str) -> None:
    command = ("drop-hot", tiers.stream, "--partition", ID, "--yes", "--output", "json")
    config = str(tiers.platform.write())
    killed = run_icehaul(*command, config=config, failpoints=f"{point}=kill")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    # Refused, with exit code 3, until the lease of the dead process has expired.
    again = wait_for(lambda: ended(run_icehaul(*command, config=config)), 60, "the lease to expire")
    assert again.returncode == 0, again.stderr
    assert (tiers.hot(), tiers.cold(), tiers.quarantines()) == (0, 3 * ROWS, {})
    assert tiers.recorded() == [(ID, "dropped", ROWS)]


def ended(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str] | None:
    return None if done.returncode == ExitCode.UNAVAILABLE else done


def run_icehaul(*arguments: str, config: str, failpoints: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "consumer.entrypoints.cli.main", *arguments, "--config", config],
        env={**os.environ, VARIABLE: failpoints},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_process_that_was_taken_for_dead_drops_nothing_of_its_heir(tiers: Tiers) -> None:
    """The zombie has compared, and is about to drop; its heir finishes that, and finds a late row in its own turn."""

    def be_replaced() -> None:
        with psycopg.connect(tiers.platform.dsn) as connection:
            connection.execute(
                "UPDATE offload_watermarks SET owner = NULL, lease_expires = NULL WHERE stream = %s", [tiers.stream]
            )
        heirs.append(tiers.drop())
        tiers.insert_late()
        heirs.append(tiers.drop())

    heirs: list[Report] = []
    with (
        tiers.platform.consumer(owner="zombie") as application,
        before(application, "drop", be_replaced),
        # Its heir has removed the quarantine table, or it is fenced at the latest when it records what it did.
        pytest.raises((FencedError, SourceMissingError)),
    ):
        application.hot_drops.drop(application.streams[tiers.stream], ONE)
    assert [one.partitions[0].place for one in heirs] == [Place.DROPPED, Place.RETURNED]
    assert tiers.hot() == 1


# ---------------------------------------------------------------------------------- what is refused


def test_a_stream_that_was_never_offloaded_is_refused(local: LocalPlatform) -> None:
    stream = local.add_stream()
    local.insert(10)
    with pytest.raises(DropRefusedError, match="was never offloaded"):
        Tiers(local, stream).drop()


def test_a_halted_stream_is_refused_with_the_reason_of_the_halt(tiers: Tiers) -> None:
    with tiers.platform.consumer() as application:
        application.ledger.halt(tiers.stream, reason="the reason of it", remedy="the cure of it", epoch=None)
    for attempt in (tiers.drop, tiers.review):
        with pytest.raises(StreamError, match="is halted: the reason of it"):
            attempt()


def test_a_partition_at_or_above_the_watermark_is_refused(tiers: Tiers) -> None:
    tiers.platform.insert(1, day="2024-01-04")
    for selection in (Selection(partitions=("20240104",)), Selection(before=day("2024-02-01"))):
        with pytest.raises(DropRefusedError, match="20240104"):
            tiers.drop(selection)
    assert tiers.hot() == ROWS


def test_a_partition_that_does_not_exist_is_refused_with_those_that_do(tiers: Tiers) -> None:
    with pytest.raises(ConfigurationError, match="20240101, 20240102, 20240103"):
        tiers.drop(Selection(partitions=("20231231",)))


def test_a_table_without_partitions_is_refused(local: LocalPlatform) -> None:
    stream = local.add_stream()
    local.client.command(f"DROP TABLE {local.name}.trades SYNC")
    local.client.command(
        f"CREATE TABLE {local.name}.trades (ts DateTime('UTC'), seq UInt64) ENGINE = MergeTree ORDER BY ts"
    )
    local.client.command(f"INSERT INTO {local.name}.trades VALUES ('2024-01-01 00:00:00', 1)")
    with local.consumer() as application:
        offload(application, stream, day("2024-01-04"))
    with pytest.raises(DropRefusedError, match="no partition key"):
        Tiers(local, stream).drop(Selection(partitions=("all",)))


def test_missing_grants_are_named(tiers: Tiers) -> None:
    with tiers.platform.consumer() as application:
        stream = application.streams[tiers.stream]
        assert list(application.partitions.lacking(stream)) == []
        application.partitions._granted = lambda right: "ALTER DELETE" not in right  # type: ignore[method-assign]
        with pytest.raises(AccessDeniedError, match=r"ALTER DELETE ON `.*`\.`trades`; ALTER DELETE ON `.*`\.\*"):
            application.hot_drops.drop(stream, ONE)


def test_a_target_that_was_rolled_back_is_refused(tiers: Tiers) -> None:
    tier = tiers.platform.cold_tier(tiers.stream)
    try:
        tier.drop()
    finally:
        tier.close()
    with pytest.raises(StreamError):
        tiers.drop()
    assert tiers.hot() == ROWS


def test_while_a_consumer_works_on_the_stream_nothing_is_dropped(tiers: Tiers) -> None:
    with tiers.platform.consumer(owner="busy") as application:
        claim = application.ledger.claim(tiers.stream, "busy", application.lease)
        with pytest.raises(IcehaulError, match="the lease is not free"):
            tiers.drop()
        application.ledger.release(claim)
    assert tiers.drop().good


@pytest.mark.parametrize("point", ["partition.after-drop", "drop.before-end"])
def test_a_drop_that_had_happened_is_recorded_by_the_next_run(tiers: Tiers, point: str) -> None:
    with pytest.raises(IcehaulError, match=point):
        tiers.drop(failpoints=f"{point}=raise")
    report = tiers.drop()
    assert [(one.partition.id, one.state.value) for one in report.finished] == [(ID, "dropped")]
    assert tiers.recorded() == [(ID, "dropped", ROWS)]
    assert tiers.quarantines() == {}


def test_both_tiers_are_still_compared_after_a_drop(tiers: Tiers) -> None:
    tiers.drop()
    with tiers.platform.consumer() as application:
        stream = application.streams[tiers.stream]
        found = application.verifier.verify(stream)
        assert found.equal
        assert (found.hot.rows, found.dropped.rows, found.cold.rows) == (2 * ROWS, ROWS, 3 * ROWS)
        tiers.platform.client.command(f"ALTER TABLE {tiers.source} DROP PARTITION ID '20240102'")
        found = application.verifier.verify(stream)
    assert (found.equal, found.missing, found.surplus) == (False, 0, ROWS)


def test_offloading_goes_on_after_a_drop(tiers: Tiers) -> None:
    tiers.drop()
    tiers.platform.insert(5, first=5_000, day="2024-01-05")
    with tiers.platform.consumer() as application:
        application.offload.run(tick(stream=tiers.stream, boundary=day("2024-01-06")), threading.Event())
    assert tiers.cold() == 3 * ROWS + 5


def test_a_late_row_of_a_dropped_partition_is_added_alone(tiers: Tiers) -> None:
    tiers.drop()
    tiers.insert_late()
    with tiers.platform.consumer() as application:
        assert offload(application, tiers.stream, day("2024-01-06")) == []
        record = application.ledger.read([tiers.stream])[tiers.stream]
        found = application.verifier.verify(application.streams[tiers.stream])
    assert record.state is StreamState.ACTIVE
    assert (found.cold.rows, found.hot.rows, found.dropped.rows) == (3 * ROWS + 1, 2 * ROWS + 1, ROWS)
    assert found.equal
