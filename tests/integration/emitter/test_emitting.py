from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from consumer.adapters.clickhouse.inventory import ClickHouseInventory
from consumer.adapters.kafka.codec import decode_message
from consumer.adapters.postgres.emissions import PostgresEmitterStore
from consumer.bootstrap import Application
from consumer.domain.emission import Emission, EmitterLease
from consumer.domain.errors import LedgerUnavailableError
from consumer.domain.event import Event, EventType
from consumer.embedded.stack import EmbeddedStack
from consumer.emitter.emitter import Emitter
from tests.support.kafka_topics import read_topic
from tests.support.platform import Platform
from tests.support.waiting import wait_until


class Scene:
    """A closed day of trades, topics, and a ledger database, all of this test's own."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.stream = platform.add_stream()
        platform.insert(100, day="2024-01-01")
        platform.sections["emitter"] = {"tick": "1d", "poll": "100ms", "grace": "1s", "lease_seconds": 2}
        self.configuration = platform.configuration()
        self.path = platform.write()

    def events(self, type_: EventType | None = None) -> Sequence[Event]:
        settings = self.configuration.kafka
        found = [decode_message(message) for message in read_topic(settings, settings.topic)]
        return [event for event in found if type_ is None or event.type is type_]

    def icehaul(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "consumer.entrypoints.cli.main", *arguments, "--config", str(self.path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @contextmanager
    def emitting(self, log: Path) -> Iterator[subprocess.Popen[bytes]]:
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "consumer.entrypoints.cli.main", "emit", "--config", str(self.path)],
                stderr=stderr,
            )
            try:
                yield process
            finally:
                process.kill()
                process.wait(60)


@pytest.fixture
def scene(stack: EmbeddedStack, unique_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    endpoint = stack.endpoints.postgres
    with psycopg.connect(endpoint.dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(unique_name)))
        dsn = endpoint.model_copy(update={"database": unique_name}).dsn
        platform = Platform(stack.endpoints, unique_name, tmp_path)
        for name, value in {**platform.environment(), "ICEHAUL_POSTGRES__DSN": dsn}.items():
            monkeypatch.setenv(name, value)
        scene = Scene(platform)
        with Application(scene.configuration) as application:
            application.migrate()
            application.topics.ensure()
        yield scene
        platform.close()
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(unique_name)))


def _content_is_quiet(scene: Scene) -> None:
    """Wait for the grace time (1 s) to pass."""
    with Application(scene.configuration) as application:
        wait_until(lambda: application.emitter.run_once().closes, what="the close of the first day")


def test_a_closed_day_and_a_tick_are_sent_once(scene: Scene) -> None:
    _content_is_quiet(scene)
    with Application(scene.configuration) as application:
        done = application.emitter.run_once()
    assert (done.ticks, done.closes, done.failed) == (0, 0, {})
    (close,) = scene.events(EventType.PARTITION_CLOSED)
    assert (close.stream, close.partition_id) == (scene.stream, "20240101")
    assert close.content is not None
    assert close.content.rows == 100
    assert close.cutoff.isoformat() == "2024-01-02T00:00:00+00:00"
    (tick,) = scene.events(EventType.TICK)
    assert (tick.cutoff.hour, tick.cutoff.minute) == (0, 0)


def test_a_late_row_closes_the_day_again(scene: Scene) -> None:
    _content_is_quiet(scene)
    scene.platform.insert(1, first=100, day="2024-01-01")
    _content_is_quiet(scene)
    first, second = scene.events(EventType.PARTITION_CLOSED)
    assert first.id != second.id
    assert first.cutoff == second.cutoff


class Forgetful(PostgresEmitterStore):
    """Loses its connection before it has recorded what Kafka has acknowledged."""

    def record_tick(self, lease: EmitterLease, boundary: datetime) -> None:
        raise LedgerUnavailableError("gone", remedy="wait")

    def record_emissions(self, lease: EmitterLease, emissions: Sequence[Emission]) -> None:
        raise LedgerUnavailableError("gone", remedy="wait")


def test_a_crash_between_sending_and_recording_repeats_the_same_ids(scene: Scene) -> None:
    with Application(scene.configuration) as application:
        inventory, sink = ClickHouseInventory(application.configuration.clickhouse), application.event_sink
        crashing = Emitter(
            streams=tuple(application.streams.values()),
            source=inventory,
            sink=sink,
            store=Forgetful(application.database),
            settings=application.configuration.emitter,
            owner="crashing",
        )
        with pytest.raises(LedgerUnavailableError):
            crashing.run_once()
        inventory.close()
        assert application.emitter.run_once().ticks == 1
    first, second = scene.events(EventType.TICK)
    assert first.id == second.id


def test_once_from_the_command_line(scene: Scene) -> None:
    done = scene.icehaul("emit", "--once", "--output", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ticks"] == 1
    scene.platform.client.command(f"DROP TABLE {scene.platform.name}.trades")
    broken = scene.icehaul("emit", "--once", "--output", "json")
    assert broken.returncode == 1
    assert list(json.loads(broken.stdout)["failed"]) == [scene.stream]


def test_topics_from_the_command_line(scene: Scene) -> None:
    assert scene.icehaul("topics").returncode == 0
    settings = scene.configuration.kafka
    differing = scene.platform
    differing.sections["kafka"] = {"partitions": settings.partitions + 1}
    differing.write()
    done = scene.icehaul("topics", "--check", "--output", "json")
    assert done.returncode == 1
    assert {finding["field"] for finding in json.loads(done.stdout)["findings"]} == {"partitions"}


def test_a_second_emitter_stands_by_and_takes_over_when_the_first_is_killed(scene: Scene, tmp_path: Path) -> None:
    def closes() -> int:
        return len(scene.events(EventType.PARTITION_CLOSED))

    with scene.emitting(tmp_path / "one.log") as first:
        wait_until(closes, what="the first close")
        with scene.emitting(tmp_path / "two.log") as second:
            wait_until(lambda: b"emitter.waits" in (tmp_path / "two.log").read_bytes())
            refused = scene.icehaul("emit", "--once")
            assert refused.returncode == 3
            assert "emitter lease" in refused.stderr
            first.send_signal(signal.SIGKILL)
            scene.platform.insert(1, first=100, day="2024-01-01")
            wait_until(lambda: closes() == 2, what="the close by the second emitter")
            second.send_signal(signal.SIGTERM)
            assert second.wait(60) == 0
    assert b"emitter.stopped" in (tmp_path / "two.log").read_bytes()
    # A stopped emitter gives its lease back at once; a killed one leaves it to expire.
    assert scene.icehaul("emit", "--once").returncode == 0
    assert len({event.id for event in scene.events()}) == len(scene.events()) == 3
