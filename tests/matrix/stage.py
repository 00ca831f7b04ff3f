"""Where a case is played: servers shared by all cases, and a database, a topic, a group and tables for each one."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from psycopg import sql

from consumer.bootstrap import Application
from consumer.demo.group import Group
from consumer.domain.stream import Stream
from consumer.domain.time_type import from_micros
from consumer.domain.window import BEGINNING, EVER
from consumer.embedded.endpoints import Endpoints
from consumer.failpoints.acting import VARIABLE
from tests.matrix.cases import MAINTAINED, REMOVALS, Story
from tests.support.cold_tier import new_database
from tests.support.nursery import Child, Nursery
from tests.support.platform import Platform
from tests.support.waiting import wait_for

LEASE_SECONDS = 3
SESSION_SECONDS = 4
"""The broker's time-out of a silent group member (KIP-848), set for each group."""
START_SECONDS = 120.0
"""How long a process may take to start on a busy machine."""

_KAFKA_SECONDS = 60.0
_SECRET = "ICEHAUL_POSTGRES__DSN"


@dataclass
class House:
    """What all cases of a run share; used as a context manager.

    Attributes:
        name: begins the names of everything that is made on the servers.
        spark: the section of that name in every configuration.
        spark_log: where Python workers log, if that is not the log of the consumer.
    """

    endpoints: Endpoints
    nursery: Nursery
    directory: Path
    spark: Mapping[str, Any]
    spark_log: Path | None = None
    name: str = "case"
    admin: AdminClient = field(init=False)

    def __post_init__(self) -> None:
        self.admin = AdminClient({"bootstrap.servers": self.endpoints.kafka.bootstrap_servers, "log_level": 0})

    def __enter__(self) -> Self:
        new_database(self.endpoints, self._template)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.drop_database(self._template)

    @property
    def _template(self) -> str:
        return f"{self.name}_template"

    def create_database(self, name: str) -> str:
        """Create a migrated database, and return its DSN."""
        self._execute("CREATE DATABASE {} TEMPLATE {}", name, self._template)
        return self.endpoints.postgres.model_copy(update={"database": name}).dsn

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is connected."""
        self._execute("DROP DATABASE {} WITH (FORCE)", name)

    def shorten_session(self, group: str, seconds: int = SESSION_SECONDS) -> None:
        """Set the group's session time-out on the broker."""
        shorten_session(self.admin, group, seconds)

    def _execute(self, statement: str, *names: str) -> None:
        with psycopg.connect(self.endpoints.postgres.dsn, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def shorten_session(admin: AdminClient, group: str, seconds: int = SESSION_SECONDS) -> None:
    """Set a group's session time-out on the broker, so that a member that was killed is soon missed."""
    entry = ConfigEntry("consumer.session.timeout.ms", str(seconds * 1000), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.GROUP, group, incremental_configs=[entry])
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(30)


class Stage:
    """The tables, the topic and the processes of one case; gone when its block ends."""

    session_seconds = SESSION_SECONDS

    def __init__(self, house: House, name: str, story: Story) -> None:
        self.house = house
        self.name = name
        self.story = story
        self.directory = house.directory / name
        self.processes: dict[str, Child] = {}
        self.streams: list[str] = []
        self.goal = BEGINNING
        """What the watermarks have to pass besides the rows."""
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            self._open(opening)
            self._closing = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    def _open(self, opening: ExitStack) -> None:
        self.directory.mkdir(parents=True)
        self.dsn = self.house.create_database(self.name)
        opening.callback(self.house.drop_database, self.name)
        self.platform = Platform(self.house.endpoints, self.name, self.directory, sections=self._sections())
        opening.callback(self.platform.close)
        opening.callback(self.end)
        self._add_streams()
        self.application = opening.enter_context(Application(self.platform.configuration(), environment={}))
        self.application.topics.ensure()
        self.house.shorten_session(self.name, self.session_seconds)
        kafka = self.application.configuration.kafka
        self.group = Group(bootstrap_servers=kafka.bootstrap_servers, group=kafka.group, topic=kafka.topic)
        opening.callback(self.group.close)
        self.letters = Group(
            bootstrap_servers=kafka.bootstrap_servers, group=f"{kafka.group}.dead", topic=kafka.dead_letter_topic
        )
        opening.callback(self.letters.close)

    def _add_streams(self) -> None:
        lag = {"settle_lag": "1s"} if self.story is Story.TICKS else {}
        if self.story in MAINTAINED:
            self.streams.append(self._add_maintained())
            return
        # Two batches, or one: then the dependant is woken once, and a lost message is not made up for.
        bound = 1000 if self.story is Story.DEPENDANT else 600
        self.streams.append(self.platform.add_stream(batch={"rows": bound}, **lag))
        if self.story is Story.DEPENDANT:
            self.streams.append(self.platform.add_stream("bars", upstreams=self.streams[:1]))
        elif self.story is Story.REDRIVE:
            self.streams.append(self.platform.add_stream("bars"))

    def _add_maintained(self) -> str:
        """Add a stream with several files each day, one day of which fills one rewrite, and few snapshots."""
        compaction = {"batch_bytes": 6000}
        return self.platform.add_stream(
            batch={"rows": 100},
            partition_by="day",
            retain_snapshots=2,
            maintenance={"enabled": self.story is Story.UPKEEP, "every": "1s", "compaction": compaction},
        )

    def _sections(self) -> dict[str, dict[str, Any]]:
        ticks = self.story is Story.TICKS
        endpoints = self.house.endpoints
        return {
            # In the file, so that cases side by side need no environment of their own to be looked at.
            "clickhouse": {"password": endpoints.clickhouse.password},
            "store": {"secret_key": endpoints.store.secret_key},
            "postgres": {"dsn": self.dsn},
            "kafka": {"partitions": 1},
            "spark": dict(self.house.spark),
            "consumer": {"lease_seconds": LEASE_SECONDS, "relay_interval_seconds": 0.1, "workers": 2},
            "emitter": {
                "poll": "200ms",
                "grace": "1s" if ticks else "0s",
                "lease_seconds": LEASE_SECONDS,
                "tick": "2s" if ticks else "0",
            },
        }

    @property
    def stream(self) -> Stream:
        """The stream that the story is about."""
        return self.application.streams[self.streams[0]]

    # ------------------------------------------------------------------------------------ processes

    def start(self, name: str, *arguments: str, failpoints: str = "", **variables: str) -> Child:
        """Start ``icehaul ARGUMENTS`` as a process of this name."""
        environment = {name: value for name, value in self.platform.environment().items() if name != _SECRET}
        child = self.house.nursery.start(
            (*arguments, "--config", str(self.directory / f"{self.name}.yaml")),
            environment={**environment, **variables, VARIABLE: failpoints},
            log=self.directory / f"{name}.log",
        )
        self.processes[name] = child
        return child

    def run(self, name: str, *arguments: str) -> None:
        """Run a command of icehaul to its end."""
        child = self._ended(name, *arguments)
        assert child.status == 0, child.text()

    def run_until_it_succeeds(self, name: str, *arguments: str, failpoints: str = "") -> str:
        """Run a command of icehaul again and again, as an operator does while others hold the lease; what it said."""

        def succeeded() -> list[Child]:
            child = self._ended(name, *arguments, failpoints=failpoints)
            return [child] if child.status == 0 else []

        return wait_for(succeeded, START_SECONDS, f"icehaul {arguments[0]} to succeed")[0].text()

    def _ended(self, name: str, *arguments: str, failpoints: str = "") -> Child:
        child = self.start(name, *arguments, failpoints=failpoints)
        wait_for(lambda: not child.running, START_SECONDS, f"icehaul {arguments[0]} to end")
        return child

    @contextmanager
    def unconfigured(self, name: str) -> Iterator[None]:
        """Leave a stream out of the configuration of what starts meanwhile."""
        streams = list(self.platform.streams)
        self.platform.streams[:] = [one for one in streams if one["name"] != name]
        self.platform.write()
        try:
            yield
        finally:
            self.platform.streams[:] = streams
            self.platform.write()

    @property
    def commands(self) -> Mapping[Story, tuple[str, ...]]:
        """The command that fails in a story; a rewind takes back one and a half of three days, inside of a file."""
        stream = self.streams[0]
        return {
            Story.REWIND: ("rewind", stream, "--to", "2024-01-02T00:00:00.150", "--yes"),
            Story.REPAIR: ("repair", stream, "--yes"),
            Story.PAUSE: ("pause", stream),
            Story.RESUME: ("resume", stream),
            Story.REDRIVE: ("dlq", "redrive", "--all", "--yes"),
            Story.COMPACT: ("maintain", stream, "--only", "compaction"),
            **dict.fromkeys(REMOVALS, ("maintain", stream, "--only", "removal")),
        }

    def end(self, *names: str) -> None:
        """Kill the processes of these names, all without names."""
        for name in names or tuple(self.processes):
            self.processes.pop(name).end()

    def terminate(self, name: str) -> None:
        """Ask a process to end."""
        self.processes[name].send(signal.SIGTERM)

    # ------------------------------------------------------------------------------------ data

    def insert_history(self) -> None:
        """Insert 300 rows on each of three days, two days of which fill one batch."""
        for number in range(3):
            self.platform.insert(300, first=number * 300, day=f"2024-01-0{number + 1}")

    def insert_dependant(self) -> None:
        """Insert rows of the second stream."""
        self.platform.insert(50, table="bars", day="2024-01-02")

    def insert_further(self) -> None:
        """Insert the rows that come after the failure: late ones, then others that are above every watermark."""
        self.platform.client.command(
            f"INSERT INTO {self.name}.trades SELECT * REPLACE (seq + 5000 AS seq) FROM {self.name}.trades"
            " WHERE seq < 20"
        )
        if self.story is Story.TICKS:
            self.platform.client.command(
                f"INSERT INTO {self.name}.trades SELECT * REPLACE(now64(6, 'UTC') + toIntervalSecond(2)"
                " + toIntervalMicrosecond(seq) AS ts, seq + 1000 AS seq) FROM"
                f" {self.name}.trades WHERE seq < 300"
            )
        else:
            self.platform.insert(300, first=1000, day="2024-01-11")

    def drop_source(self) -> str:
        """Drop the source table, and return the statement that creates it."""
        table = f"{self.name}.trades"
        ((statement,),) = self.platform.client.query(f"SHOW CREATE TABLE {table}").result_rows
        self.platform.client.command(f"DROP TABLE {table} SYNC")
        return str(statement)

    def send_nonsense(self) -> None:
        """Send a message that is no event."""
        producer = Producer({"bootstrap.servers": self.house.endpoints.kafka.bootstrap_servers, "log_level": 0})
        producer.produce(self.platform.topic, key=self.streams[0].encode(), value=b'{"specversion": "1.0", "id":')
        assert producer.flush(30) == 0

    # ------------------------------------------------------------------------------------ what is seen

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the ledger's database."""
        with psycopg.connect(self.dsn) as connection:
            return connection.execute(statement.encode(), values).fetchall()

    def members(self) -> int:
        """How many members the group has."""

        def count() -> int:
            (future,) = self.house.admin.describe_consumer_groups([self.name]).values()
            return len(future.result(30).members)

        return patiently(count)

    def behind(self) -> int:
        """How many events the group has not acknowledged."""
        return patiently(self.group.behind)

    def acknowledged(self) -> bool:
        """Whether something was sent, and everything is acknowledged."""
        return patiently(self.group.events) > 0 and self.behind() == 0

    def dead_letters(self) -> int:
        """How many dead letters there are."""
        return patiently(self.letters.events)

    def offloaded(self) -> bool:
        """Whether every row is below the watermarks, and the goal is reached."""
        records = self.application.ledger.read(self.streams)
        for name in self.streams:
            source = self.application.streams[name].source
            ((last,),) = self.platform.client.query(f"SELECT toUnixTimestamp64Micro(max(ts)) FROM {source}").result_rows
            if name not in records or records[name].watermark <= max(from_micros(last), self.goal):
                return False
            # What came below the watermark is late, and waits for an event of its own.
            ((rows,),) = self.platform.client.query(f"SELECT count() FROM {source}").result_rows
            if sum(one.cold.rows for one in self.application.ledger.windows(name, EVER)) < rows:
                return False
        return True

    def state(self) -> str:
        """What is still under way, for people."""
        records = self.application.ledger.read(self.streams)
        streams = [
            f"{one.stream} is {one.state} ({one.halt_reason}) at {one.watermark}, owned by {one.owner}"
            for one in records.values()
        ]
        ((outbox, parked),) = self.query(
            "SELECT (SELECT count(*) FROM offload_outbox), (SELECT count(*) FROM offload_parked)"
        )
        return f"{'; '.join(streams)}; {outbox} in the outbox, {parked} parked, {self.behind()} not acknowledged"

    def settled(self) -> bool:
        """Whether everything is offloaded, and nothing is under way anywhere."""
        waiting = self.query("SELECT FROM offload_outbox UNION ALL SELECT FROM offload_parked LIMIT 1")
        return not waiting and self.offloaded() and self.behind() == 0


def patiently(call: Callable[[], int]) -> int:
    """Return Kafka's answer, as soon as it has one: on a busy machine the broker may lose itself for seconds."""

    def answer() -> list[int]:
        try:
            return [call()]
        except KafkaException:
            return []

    return wait_for(answer, _KAFKA_SECONDS, "Kafka to answer")[0]


def assigned(child: Child) -> bool:
    """Whether the group has given the process a partition."""
    lines = re.findall(r"^\{.*consumer\.assigned.*\}$", child.text(), re.MULTILINE)
    return any(json.loads(line).get("partitions") for line in lines)
