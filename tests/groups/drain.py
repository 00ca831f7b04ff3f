"""Throughput over streams: how fast one consumer drains eight of them, and how fast two do.

On a machine of few processors, consumers would wait for those and not for their servers, and a second one could gain
nothing. So every answer of ClickHouse is held back by a proxy, as one that is far away or busy would; each consumer
works on one stream at a time; and the share of the machine's processors that was busy meanwhile is measured, too.
"""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from tests.groups.coordinator import GroupWatch
from tests.groups.stage import STREAMS, GroupStage, Protocol
from tests.matrix.stage import START_SECONDS, House
from tests.support.slow_proxy import SlowProxy
from tests.support.waiting import wait_for

_PATIENCE_SECONDS = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """One measured drain of all streams.

    Attributes:
        batches: batches that were published.
        busy: share of the machine's processors that was not idle.
        answers: answers of ClickHouse that were held back.
    """

    consumers: int
    seconds: float
    batches: int
    busy: float
    answers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """Drains by one consumer and by two, in turn, on one stage."""

    delay: float
    drains: tuple[Drain, ...]

    def seconds(self, consumers: int) -> float:
        """Return the mean time of a drain by so many consumers."""
        return fmean(one.seconds for one in self.drains if one.consumers == consumers)

    @property
    def ratio(self) -> float:
        """How many times as fast two consumers are as one."""
        return self.seconds(1) / self.seconds(2)

    def data(self) -> dict[str, object]:
        """Return it as plain data."""
        return {
            "streams": STREAMS,
            "workers_per_consumer": 1,
            "delay_of_each_clickhouse_answer_seconds": self.delay,
            "one_consumer_seconds": round(self.seconds(1), 2),
            "two_consumers_seconds": round(self.seconds(2), 2),
            "ratio": round(self.ratio, 2),
            "drains": [
                {
                    "consumers": one.consumers,
                    "seconds": round(one.seconds, 2),
                    "batches": one.batches,
                    "processors_busy": round(one.busy, 2),
                    "answers_held_back": one.answers,
                }
                for one in self.drains
            ],
        }


def measure_throughput(house: House, *, days: int, delay: float) -> Throughput:
    """Let one consumer drain ``days`` batches of each stream, then two, then one again."""
    protocol = Protocol(name="drain", settings={"group_protocol": "consumer"})
    with (
        SlowProxy(house.endpoints.clickhouse.port, delay=delay) as proxy,
        GroupStage(house, f"{house.name}_drain", protocol, port=proxy.port, workers=1) as stage,
        GroupWatch(house.admin, stage.application.configuration.kafka.group) as watch,
    ):
        drains: list[Drain] = []
        stage.join(0)
        _balance(stage, watch, 1)
        drains.append(_drain(stage, proxy, consumers=1, days=days))
        second = stage.join(1)
        _balance(stage, watch, 2)
        drains.append(_drain(stage, proxy, consumers=2, days=days))
        second.send(signal.SIGTERM)
        _balance(stage, watch, 1)
        drains.append(_drain(stage, proxy, consumers=1, days=days))
        return Throughput(delay=delay, drains=tuple(drains))


def _balance(stage: GroupStage, watch: GroupWatch, consumers: int) -> None:
    """Wait until each consumer has its share of the partitions, and has worked on each of its streams."""
    share = [STREAMS // consumers] * consumers
    wait_for(
        lambda: list(watch.owned().values()) == share, START_SECONDS, f"the partitions to be shared by {consumers}"
    )
    stage.feed()
    wait_for(stage.settled, _PATIENCE_SECONDS, "the consumers to be warm")


def _drain(stage: GroupStage, proxy: SlowProxy, *, consumers: int, days: int) -> Drain:
    answers, batches, processors = proxy.answers, _published(stage), _processors()
    stage.feed(days)
    started = time.monotonic()
    wait_for(stage.offloaded, _PATIENCE_SECONDS, f"{consumers} consumers to drain {STREAMS} streams")
    seconds = time.monotonic() - started
    total, idle = (after - before for before, after in zip(processors, _processors(), strict=True))
    return Drain(
        consumers=consumers,
        seconds=seconds,
        batches=_published(stage) - batches,
        busy=1 - idle / total,
        answers=proxy.answers - answers,
    )


def _published(stage: GroupStage) -> int:
    ((found,),) = stage.query("SELECT count(*) FROM offload_batches WHERE status = 'published'")
    return int(found)


def _processors() -> tuple[int, int]:
    """Return the ticks that all processors have counted, and those of them that they were idle or waited for a disk."""
    line = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
    ticks = [int(word) for word in line.split()[1:9]]
    return sum(ticks), ticks[3] + ticks[4]
