"""A group's stage: eight streams on eight partitions, and members that come and go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Any

from confluent_kafka.admin import NewPartitions

from consumer.adapters.kafka.producer import partition_of
from consumer.domain.event_factory import tick
from tests.matrix.cases import Story
from tests.matrix.stage import LEASE_SECONDS, House, Stage
from tests.support.nursery import Child
from tests.support.platform import day

STREAMS = 8
GROWN_PARTITIONS = 12
POLL_INTERVAL_SECONDS = 12
"""After so much silence a group expels a member; many an event takes longer here."""
SESSION_SECONDS = 10
"""Long enough for a busy machine: of a member that lives, the broker must not think otherwise."""
ROWS = 40
"""Rows of a stream's day, which are one batch."""

_DEADLINE_SECONDS = 3
_FIRST = day("2024-01-01")


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """How a group works: settings of the section kafka, and whether its members are static."""

    name: str
    settings: Mapping[str, str]
    static: bool = False

    @property
    def kafka(self) -> dict[str, object]:
        """The section kafka."""
        options = {
            "max.poll.interval.ms": str(POLL_INTERVAL_SECONDS * 1000),
            # Producers, too, are to notice added partitions while a campaign lasts.
            "topic.metadata.refresh.interval.ms": "1000",
        }
        if self.settings["group_protocol"] == "classic":
            # Of the other protocol, the stage sets the time-out on the broker.
            options |= {"session.timeout.ms": str(SESSION_SECONDS * 1000), "heartbeat.interval.ms": "1000"}
        return {**self.settings, "partitions": STREAMS, "options": options}


_CONSUMER = {"group_protocol": "consumer"}
_COOPERATIVE = {"group_protocol": "classic", "assignment_strategy": "cooperative-sticky"}
_EAGER = {"group_protocol": "classic", "assignment_strategy": "range"}

# Static members of classic groups are left out: one that comes late for a rebalance is fenced, see the how-to page.
PROTOCOLS = (
    Protocol(name="consumer", settings=_CONSUMER),
    Protocol(name="cooperative-sticky", settings=_COOPERATIVE),
    Protocol(name="eager", settings=_EAGER),
    Protocol(name="static", settings=_CONSUMER, static=True),
)


class GroupStage(Stage):
    """Eight streams, each with a partition of its own; ``port`` is where consumers find ClickHouse."""

    session_seconds = SESSION_SECONDS

    def __init__(self, house: House, name: str, protocol: Protocol, *, port: int, workers: int) -> None:
        super().__init__(house, name, Story.OFFLOAD)
        self.protocol = protocol
        self.days = 0
        self._port = port
        self._workers = workers
        self._started = 0

    def _add_streams(self) -> None:
        free = set(range(STREAMS))
        for number in count():
            if not free:
                return
            table = f"t{number}"
            partition = partition_of(f"{self.name}_{table}", STREAMS)
            if partition in free:
                free.discard(partition)
                self.streams.append(self.platform.add_stream(table, batch={"rows": ROWS}))

    def _sections(self) -> dict[str, dict[str, Any]]:
        return super()._sections() | {
            "kafka": self.protocol.kafka,
            "clickhouse": {"password": self.house.endpoints.clickhouse.password, "port": self._port},
            "consumer": {
                "lease_seconds": LEASE_SECONDS,
                "workers": self._workers,
                "revoke_deadline_seconds": _DEADLINE_SECONDS,
                "shutdown_deadline_seconds": _DEADLINE_SECONDS,
            },
        }

    def join(self, slot: int) -> Child:
        """Start a consumer in one of the slots; static members keep their identity from one process to the next."""
        self._started += 1
        identity = {"ICEHAUL_KAFKA__GROUP_INSTANCE_ID": f"{self.name}-{slot}"} if self.protocol.static else {}
        return self.start(f"consumer-{slot}-{self._started}", "run", **identity)

    def feed(self, days: int = 1) -> None:
        """Insert further days of rows into every stream, and send one tick for all of them."""
        for _ in range(days):
            text = (_FIRST + timedelta(days=self.days)).date().isoformat()
            for stream in self.streams:
                table = self.application.streams[stream].source.table
                self.platform.insert(ROWS, table=table, first=self.days * ROWS, day=text)
            self.days += 1
        self.goal = _FIRST + timedelta(days=self.days)
        self.application.event_sink.send([tick(stream=stream, boundary=self.goal) for stream in self.streams])

    def add_partitions(self) -> None:
        """Give the topic half as many partitions again: from now on, events of many streams go to other ones."""
        topic = self.application.configuration.kafka.topic
        for future in self.house.admin.create_partitions([NewPartitions(topic, GROWN_PARTITIONS)]).values():
            future.result(30)

    def offloaded(self) -> bool:
        """Whether every watermark has reached the last tick's instant."""
        records = self.application.ledger.read(self.streams)
        return all(name in records and records[name].watermark >= self.goal for name in self.streams)

    def longest_event(self) -> float:
        """Return the longest time, in seconds, for which one process was busy with the batches of one event."""
        ((longest,),) = self.query(
            "SELECT coalesce(max(seconds), 0) FROM (SELECT extract(epoch FROM max(ended) - min(started))::float8"
            " AS seconds FROM offload_batches GROUP BY kafka_partition, kafka_offset, owner) AS handled"
        )
        return float(longest)
