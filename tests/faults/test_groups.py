"""Consumer groups of real processes under load: a short version of `make groups`, and what its judges notice."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from consumer.embedded.stack import EmbeddedStack
from tests.groups.campaign import Plan, play_group
from tests.groups.coordinator import Expulsion, expulsions, surprised
from tests.groups.drain import Drain, Throughput
from tests.groups.report import Report
from tests.groups.stage import PROTOCOLS
from tests.matrix.stage import House

SHORT = Plan(days=1, kills=1, delay=0.02, pause=(0.2, 1.0), rounds=1, long=False)


@pytest.mark.spark
@pytest.mark.timeout(900)
def test_a_group_that_grows_loses_members_and_shrinks_under_load_loses_and_doubles_nothing(
    house: House, stack: EmbeddedStack
) -> None:
    consumer = PROTOCOLS[0]
    outcome = play_group(house, consumer, stack.directory / "logs" / "kafka.log", SHORT, seed=7)
    assert outcome.problems == ()
    assert outcome.rows > 0
    assert (outcome.lost, outcome.doubled, outcome.expelled, outcome.behind) == (0, 0, 0, 0)
    assert outcome.killed + outcome.ended >= 4


def test_the_brokers_log_tells_whom_the_coordinator_has_expelled_and_why(tmp_path: Path) -> None:
    log = tmp_path / "kafka.log"
    coordinator = "[GroupCoordinator id=1 topic=__consumer_offsets partition=1]"
    late = f"{coordinator} [GroupId g] Member one fenced from the group because the member session expired. (M)"
    log.write_text(
        f"2026-11-27T10:00:00,000 INFO {late}\n"
        f"2026-11-27T10:00:00,000 INFO {late.replace('[GroupId g]', '[GroupId other]')}\n"
        f"2026-11-27T10:00:00,000 INFO {coordinator} [GroupId g] Member three left the consumer group. (M)\n"
        "2026-11-27T10:00:01,500 INFO Member four in group g has failed, removing it from the group. (G)\n",
        encoding="utf-8",
    )

    one, four = expulsions(log, "g")

    assert one.words == late
    assert (one.member, four.member, four.at - one.at) == ("one", "four", 1.5)
    assert one.at == datetime(2026, 11, 27, 10).astimezone().timestamp()


def test_an_expulsion_is_a_surprise_unless_the_process_was_killed_or_asked_to_end_before_it() -> None:
    found = [Expulsion(member=member, at=10.0, words="") for member in ("alive", "killed after", "killed", "unseen")]
    pids = {"alive": 1, "killed after": 2, "killed": 3}

    assert [one.member for one in surprised(found, pids.get, {2: 10.5, 3: 9.5})] == ["alive", "killed after", "unseen"]


@pytest.mark.parametrize(("two", "sound"), [(5.0, True), (6.3, False)])
def test_two_consumers_that_are_not_fast_enough_fail_a_campaign(two: float, sound: bool) -> None:
    drains = [(1, 9.0), (2, two), (1, 11.0)]
    throughput = Throughput(
        delay=0.1,
        drains=tuple(Drain(consumers=n, seconds=took, batches=8, busy=0.4, answers=9) for n, took in drains),
    )
    assert throughput.ratio == 10 / two
    assert Report(outcomes=(), throughput=throughput, machine="", seconds=1).sound is sound
