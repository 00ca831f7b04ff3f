"""A stream that can't be offloaded is halted with reason and remedy; nothing is lost, others are not affected."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import Producer
from psycopg import sql

from consumer.adapters.spark.engine import SparkEngine
from consumer.bootstrap import Application
from consumer.domain.event_factory import tick
from consumer.domain.type_mapping import map_table
from consumer.embedded.stack import EmbeddedStack
from consumer.ports import StreamState
from tests.support.cases import few
from tests.support.consuming import consuming
from tests.support.kafka_topics import read_topic
from tests.support.platform import TRADES, Platform, day
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]

CUTOFF = day("2024-01-10")
ILL, WELL = "ill", "well"
# Fields of a source table with a time column that will do and one that won't.
TWO_TIMES = "ts DateTime64(6, 'UTC'), bad {type}, seq UInt64"


class World:
    """A stream that is well and one that is ill, which the cases make so."""

    def __init__(self, platform: Platform, engine: SparkEngine) -> None:
        self.platform = platform
        self._engine = engine
        platform.add_stream(WELL)
        platform.insert(50, table=WELL)

    @property
    def ill(self) -> dict[str, Any]:
        """The settings of the ill stream."""
        return next(one for one in self.platform.streams if one["source"].endswith(f".{ILL}"))

    def run(self, statement: str) -> None:
        """Run a statement about the database ``{db}``."""
        self.platform.client.command(statement.replace("{db}", self.platform.name))

    def add_ill(self, columns: str = TRADES, *, rows: int = 30, **settings: object) -> None:
        self.platform.add_stream(ILL, columns=columns, **settings)
        if rows:
            self.platform.insert(rows, table=ILL)

    def add_ill_with_times(self, type_: str) -> None:
        """The ill stream is configured with a time column of this type."""
        self.platform.add_stream(ILL, columns=TWO_TIMES.replace("{type}", type_), timestamp_column="bad")
        self.run("INSERT INTO {db}.ill SELECT ts, ts, seq FROM {db}.well")

    def make_target(self, columns_of: str, **settings: object) -> None:
        """Create the ill stream's target with the columns of another table, or other settings of the stream."""
        changed = self.ill | settings | {"source": f"{self.platform.name}.{columns_of}"}
        before, self.platform.streams = self.platform.streams, [changed | {"create_target": True}]
        with self.application() as application:
            (stream,) = application.streams.values()
            described = application.source.describe(stream.source)
            mapping = map_table(described.columns, timestamp_column="ts", sequence_columns=("seq",))
            application.catalog.ensure(stream, mapping, expected_uuid=None)
        self.platform.streams = before

    @contextmanager
    def application(self) -> Iterator[Application]:
        """A consumer of the present configuration."""
        with Application(self.platform.configuration(), environment={}) as application:
            application.engine = self._engine
            yield application

    def handle(self, application: Application, table: str) -> str:
        """Handle a tick of a table's stream, and return the stream's name."""
        stream = f"{self.platform.name}_{table}"
        application.offload.handle(tick(stream=stream, boundary=CUTOFF), threading.Event())
        return stream


@pytest.fixture
def world(
    stack: EmbeddedStack,
    unique_name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spark_engine: SparkEngine,
) -> Iterator[World]:
    endpoint = stack.endpoints.postgres
    platform = Platform(stack.endpoints, unique_name, tmp_path)
    with psycopg.connect(endpoint.dsn, autocommit=True) as connection:
        # A ledger of its own: what is resumed stands in an outbox that no other test's relay empties.
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(unique_name)))
        dsn = endpoint.model_copy(update={"database": unique_name}).dsn
        for name, value in {**platform.environment(), "ICEHAUL_POSTGRES__DSN": dsn}.items():
            monkeypatch.setenv(name, value)
        made = World(platform, spark_engine)
        with made.application() as application:
            application.migrate()
        yield made
        platform.close()
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(unique_name)))


@dataclass(frozen=True, kw_only=True)
class Case:
    """How a stream becomes ill, what is said of it, and how it is mended."""

    spoil: Callable[[World], None]
    mend: Callable[[World], None]
    reason: tuple[str, ...]
    remedy: str
    first: Callable[[World], None] | None = None
    """Makes the stream while it is still well; its rows are offloaded before it is spoilt."""


def missing_source(world: World) -> None:
    world.add_ill()
    world.run("RENAME TABLE {db}.ill TO {db}.elsewhere")


def new_source(world: World) -> None:
    world.run("RENAME TABLE {db}.ill TO {db}.elsewhere")
    world.run("CREATE TABLE {db}.ill AS {db}.elsewhere")
    world.run("INSERT INTO {db}.ill SELECT * FROM {db}.elsewhere")


def old_source_again(world: World) -> None:
    world.run("DROP TABLE {db}.ill SYNC")
    world.run("RENAME TABLE {db}.elsewhere TO {db}.ill")
    world.platform.insert(5, table=ILL, first=100, day="2024-01-10")


def target_of_another_schema(world: World) -> None:
    world.add_ill()
    world.run(
        "CREATE TABLE {db}.other (ts DateTime64(6, 'UTC'), seq String, price Float32) ENGINE MergeTree ORDER BY seq"
    )
    world.make_target("other")


def target_of_another_partition_spec(world: World) -> None:
    world.add_ill(partition_by="day")
    world.make_target(ILL, partition_by="month")


def other_time_column(world: World) -> None:
    world.ill["timestamp_column"] = "ts"
    world.run("ALTER TABLE {db}.ill DROP COLUMN bad")


CASES = {
    "missing source": Case(
        spoil=missing_source,
        mend=lambda world: world.run("RENAME TABLE {db}.elsewhere TO {db}.ill"),
        reason=(".ill",),
        remedy="source",
    ),
    "source made anew": Case(
        first=lambda world: world.add_ill(),
        spoil=new_source,
        mend=old_source_again,
        reason=("dropped and made anew, or exchanged", ".ill"),
        remedy="put the recorded table back",
    ),
    "missing target": Case(
        spoil=lambda world: world.add_ill(create_target=False),
        mend=lambda world: world.ill.update(create_target=True),
        reason=(".ill",),
        remedy="create_target: true",
    ),
    "target of another schema": Case(
        spoil=target_of_another_schema,
        mend=lambda world: world.ill.update(target=f"{world.platform.name}.fresh"),
        reason=(".ill", "seq"),
        remedy="give the stream a new target",
    ),
    "target of another partition spec": Case(
        spoil=target_of_another_partition_spec,
        mend=lambda world: world.ill.update(partition_by="month"),
        reason=(".ill", "partition"),
        remedy="change the stream",
    ),
    "nullable time column": Case(
        spoil=lambda world: world.add_ill_with_times("Nullable(DateTime64(6, 'UTC'))"),
        mend=other_time_column,
        reason=("bad", "Nullable"),
        remedy="not Nullable",
    ),
    "text as time column": Case(
        spoil=lambda world: world.add_ill_with_times("String"),
        mend=other_time_column,
        reason=("bad", "String"),
        remedy="DateTime64(0 to 6)",
    ),
    "time column finer than a microsecond": Case(
        spoil=lambda world: world.add_ill_with_times("DateTime64(9, 'UTC')"),
        mend=other_time_column,
        reason=("bad", "DateTime64(9"),
        remedy="DateTime64(0 to 6)",
    ),
    "missing time column": Case(
        spoil=lambda world: world.add_ill(timestamp_column="nowhere"),
        mend=lambda world: world.ill.update(timestamp_column="ts"),
        reason=("nowhere",),
        remedy="timestamp_column",
    ),
    "column of an unsupported type": Case(
        spoil=lambda world: world.add_ill(f"{TRADES}, huge Int256 DEFAULT 7", rows=0),
        mend=lambda world: world.run("ALTER TABLE {db}.ill DROP COLUMN huge"),
        reason=("huge", "Int256"),
        remedy="or change the column's type in ClickHouse",
    ),
}


@pytest.mark.parametrize("ill", few(CASES, {"missing source", "target of another schema"}))
def test_an_ill_stream_is_halted_and_catches_up_once_it_is_mended(world: World, ill: str) -> None:
    case = CASES[ill]
    if case.first is not None:
        case.first(world)
        with world.application() as application:
            world.handle(application, ILL)
            world.platform.insert(5, table=ILL, day="2024-01-10")
    case.spoil(world)
    boundary = day("2024-01-11")
    with world.application() as application:
        ill = f"{world.platform.name}_{ILL}"
        event = tick(stream=ill, boundary=boundary)
        application.offload.handle(event, threading.Event())  # done: halted and parked

        record = application.ledger.read([ill])[ill]
        assert record.state is StreamState.HALTED
        for part in case.reason:
            assert part in str(record.halt_reason)
        assert case.remedy in str(record.halt_remedy)
        assert [parked.id for parked in application.ledger.parked(ill)] == [event.id]

        well = world.handle(application, WELL)
        found = application.verifier.verify(application.streams[well])
        assert (found.equal, found.cold.rows) == (True, 50)

    case.mend(world)
    with world.application() as application:
        parked = application.ledger.parked(ill)
        application.ledger.resume(ill)
        for event in parked:
            application.offload.handle(event, threading.Event())
        assert application.ledger.read([ill])[ill].state is StreamState.ACTIVE
        assert application.ledger.read([ill])[ill].watermark == boundary
        found = application.verifier.verify(application.streams[ill])
        assert found.equal, found
        assert found.cold.rows == world.platform.rows(ILL)


def test_a_refused_password_halts_and_the_right_one_catches_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    right = world.platform.endpoints.clickhouse.password
    monkeypatch.setenv("ICEHAUL_CLICKHOUSE__PASSWORD", "hunter2-is-wrong")
    with world.application() as application:
        stream = world.handle(application, WELL)
        record = application.ledger.read([stream])[stream]
        assert record.state is StreamState.HALTED
        assert "clickhouse.user and clickhouse.password" in str(record.halt_remedy)
        assert "hunter2" not in f"{record.halt_reason} {record.halt_remedy}"

    monkeypatch.setenv("ICEHAUL_CLICKHOUSE__PASSWORD", right)
    with world.application() as application:
        (parked,) = application.ledger.parked(stream)
        application.ledger.resume(stream)
        application.offload.handle(parked, threading.Event())
        found = application.verifier.verify(application.streams[stream])
        assert (found.equal, found.cold.rows) == (True, 50)


def send_nonsense(application: Application) -> None:
    """Send what no producer of events would."""
    kafka = application.configuration.kafka
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    producer.produce(kafka.topic, key=b"x", value=b"{not json", headers={"content-type": "application/json"})
    producer.produce(kafka.topic, key=b"x", value=None)
    producer.produce(kafka.topic, key=b"x", value=b"\xff\xfe\x00", headers={"ce_specversion": b"9.9"})
    assert producer.flush(20) == 0


def test_nonsense_on_the_topic_and_a_halted_stream_leave_the_others_alone(world: World) -> None:
    missing_source(world)
    ill, well = (f"{world.platform.name}_{table}" for table in (ILL, WELL))
    with world.application() as application:
        application.topics.ensure()
        kafka = application.configuration.kafka
        send_nonsense(application)
        application.event_sink.send([tick(stream=name, boundary=CUTOFF) for name in ("nobody", ill, well)])

        with consuming(application):

            def done(stream: str) -> bool:
                return application.ledger.register(stream).watermark == CUTOFF

            wait_until(lambda: done(well), seconds=60, what="the well stream")
            wait_until(
                lambda: application.ledger.register(ill).state is StreamState.HALTED, seconds=60, what="the halt"
            )
            wait_until(lambda: len(read_topic(kafka, kafka.dead_letter_topic)) >= 4, seconds=60, what="dead letters")

            CASES["missing source"].mend(world)
            application.ledger.resume(ill)
            assert application.relay.run_once() >= 1
            wait_until(lambda: done(ill), seconds=60, what="the mended stream")

        for stream, rows in ((well, 50), (ill, 30)):
            found = application.verifier.verify(application.streams[stream])
            assert (found.equal, found.cold.rows) == (True, rows)
        letters = read_topic(kafka, kafka.dead_letter_topic)
        assert {letter.key() for letter in letters} == {b"x", b"nobody"}
        assert len(letters) == 4
