"""One group's campaign: from one consumer to four to one, under load, with kills at random moments; and its judge."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from tests.groups.coordinator import GroupWatch, expulsions, surprised
from tests.groups.stage import POLL_INTERVAL_SECONDS, GroupStage, Protocol
from tests.matrix.judge import judge
from tests.matrix.stage import START_SECONDS, House
from tests.support.nursery import Child
from tests.support.slow_proxy import SlowProxy
from tests.support.waiting import wait_for

GROWN = 4
SETTLE_SECONDS = 600.0
WORKERS = 2
_END_SECONDS = 60.0
_FEED_SECONDS = 4.0
_CONTEXT = 4
"""Lines of a log that are told with what they led to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much happens.

    Attributes:
        days: of rows that are there at first.
        kills: of a group that has grown.
        delay: seconds by which each answer of ClickHouse is held back.
        pause: how long nothing happens between two kills: from, to.
        rounds: further days of rows at most, while members come and go.
        long: whether an event has to take longer than the group's poll interval.
    """

    days: int = 4
    kills: int = 5
    delay: float = 0.75
    pause: tuple[float, float] = (1.0, 5.0)
    rounds: int = 1000
    long: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one group's campaign found.

    Attributes:
        rows: of the source tables.
        lost: rows that stand in the hot tier only.
        doubled: rows that stand in the cold tier only, a second copy among them.
        expelled: members that the coordinator took out of the group though nobody had ended their process.
        behind: events that are not acknowledged at the end.
        killed: processes that were killed (SIGKILL).
        ended: processes that were asked to end (SIGTERM).
        longest_event: seconds for which one process was busy with one event at most.
        problems: everything that is not as it has to be.
    """

    protocol: str
    seed: int
    rows: int
    lost: int
    doubled: int
    expelled: int
    behind: int
    killed: int
    ended: int
    longest_event: float
    seconds: float
    problems: tuple[str, ...]

    def data(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**asdict(self), "longest_event": round(self.longest_event, 1), "seconds": round(self.seconds, 1)}


class Campaign:
    """Plays one group."""

    def __init__(self, stage: GroupStage, watch: GroupWatch, proxy: SlowProxy, plan: Plan, random: Random) -> None:
        self._stage = stage
        self._proxy = proxy
        self._watch = watch
        self._plan = plan
        self._random = random
        self._members: dict[int, Child] = {}
        self._pause = threading.Event()
        self.killed: list[Child] = []
        self.ended: list[Child] = []
        self.left: dict[int, float] = {}
        """When each process was killed or asked to end: seconds since the epoch."""

    def play(self) -> None:
        """Grow, in members and in partitions; kill, shrink; then let what is left be done, and end."""
        stage = self._stage
        stage.feed(self._plan.days)
        self._join(0)
        self._wait_for_members()
        with self._load():
            for slot in range(1, GROWN):
                self._join(slot)
            self._wait_for_members()
            stage.add_partitions()
            for number in range(self._plan.kills):
                self._rest()
                slot = self._random.choice(sorted(self._members))
                self._leave(slot, signal.SIGTERM if number % 3 == 2 else signal.SIGKILL)
                self._join(slot)
                self._wait_for_members()
            while len(self._members) > 1:
                self._rest()
                slot = self._random.choice(sorted(self._members))
                self._leave(slot, self._random.choice([signal.SIGTERM, signal.SIGKILL]))
        self._proxy.delay = 0.0  # what is left is done at once
        wait_for(stage.settled, SETTLE_SECONDS, "the last consumer to do what is left")
        (last,) = self._members
        self._leave(last, signal.SIGTERM)

    def problems(self) -> Iterator[str]:
        """Tell what the processes have said that they must not say, or how they ended."""
        for child in self.ended:
            if child.status != 0:
                yield f"{child.log.name} ended with {child.status}"
        for log in sorted(self._stage.directory.glob("consumer-*.log")):
            text = log.read_text(encoding="utf-8", errors="replace")
            before, lost, _ = text.partition("consumer.lost")
            if lost:
                yield f"{log.name}: partitions were taken away without a word, after {before.splitlines()[-_CONTEXT:]}"
            if "Traceback" in text:
                yield f"{log.name}: has a traceback"

    def _join(self, slot: int) -> None:
        self._members[slot] = self._stage.join(slot)

    def _leave(self, slot: int, number: signal.Signals) -> None:
        child = self._members.pop(slot)
        (self.killed if number is signal.SIGKILL else self.ended).append(child)
        self.left[child.pid] = time.time()
        child.send(number)
        # Another process may take its identity, in a static group, only once it is gone.
        wait_for(lambda: not child.running, _END_SECONDS, "a consumer to be gone")

    def _rest(self) -> None:
        self._pause.wait(self._random.uniform(*self._plan.pause))

    def _wait_for_members(self) -> None:
        def there() -> bool:
            gone = [child.log for child in self._members.values() if not child.running]
            assert not gone, f"consumers ended by themselves: {gone}"
            return {child.pid for child in self._members.values()} <= self._watch.owned().keys()

        wait_for(there, START_SECONDS, "every consumer to be in the group")

    @contextmanager
    def _load(self) -> Iterator[None]:
        """Insert a day of rows into every stream, and send a tick for each, every few seconds."""
        end = threading.Event()
        failures: list[BaseException] = []

        def feed() -> None:
            try:
                for _ in range(self._plan.rounds):
                    if end.wait(_FEED_SECONDS):
                        return
                    self._stage.feed()
            except BaseException as error:  # noqa: BLE001 - raised again in the campaign's thread
                failures.append(error)

        feeder = threading.Thread(target=feed, daemon=True)
        feeder.start()
        try:
            yield
        finally:
            end.set()
            feeder.join()
        if failures:
            raise failures[0]


def play_group(house: House, protocol: Protocol, broker_log: Path, plan: Plan, seed: int) -> Outcome:
    """Play and judge one group."""
    started = time.monotonic()
    name = f"{house.name}_{protocol.name.replace('-', '_')}"
    with (
        SlowProxy(house.endpoints.clickhouse.port, delay=plan.delay) as proxy,
        GroupStage(house, name, protocol, port=proxy.port, workers=WORKERS) as stage,
        GroupWatch(house.admin, stage.application.configuration.kafka.group) as watch,
    ):
        campaign = Campaign(stage, watch, proxy, plan, Random(seed))
        campaign.play()
        verdict = judge(stage)
        found = expulsions(broker_log, stage.application.configuration.kafka.group)
        expelled = surprised(found, watch.pid, campaign.left)
        longest = stage.longest_event()
        problems = [*verdict.problems, *campaign.problems()]
        problems += [f"a member was expelled that nobody had asked to end: {one.words}" for one in expelled]
        if plan.long and longest <= POLL_INTERVAL_SECONDS:
            problems.append(f"no event took longer than the poll interval: {longest:.1f} s at most")
        return Outcome(
            protocol=protocol.name,
            seed=seed,
            rows=verdict.expected,
            lost=verdict.lost,
            doubled=verdict.doubled,
            expelled=len(expelled),
            behind=stage.behind(),
            killed=len(campaign.killed),
            ended=len(campaign.ended),
            longest_event=longest,
            seconds=time.monotonic() - started,
            problems=tuple(problems),
        )
