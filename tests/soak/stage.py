"""Where a soak is played: a stack of its own, an emitter, a consumer that stays and one that does not."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from consumer.bootstrap import Application
from consumer.demo.group import Group
from consumer.demo.market import TABLES, stream_settings
from consumer.domain.duration import format_duration
from consumer.embedded.stack import EmbeddedStack
from tests.matrix.stage import LEASE_SECONDS, House, assigned, patiently
from tests.platform.trading import Trading
from tests.soak import nursery
from tests.soak.clock import SimulatedClock
from tests.soak.feed import Feed
from tests.soak.witness import Witness
from tests.support.nursery import Child, Nursery
from tests.support.platform import Platform
from tests.support.waiting import wait_for

SETTLE_LAG = timedelta(minutes=2)
STAYING, PASSING, EMITTER = "consumer-staying", "consumer-passing", "emitter"
TARGET_FILE_BYTES = 64 * 1024
"""Days of a soak are small, and so are the files that they should end in."""
_START_S = 180.0
_COMMAND_S = 3600.0
_RETRIES = {"attempts": 1000, "initial": "100ms", "maximum": "2s"}
"""Quarter hours pass in seconds, and so do pauses; a server that is away for one of them halts no stream."""


@dataclass
class SoakStage:
    """The tables, the servers and the processes of a soak."""

    stack: EmbeddedStack
    house: House
    platform: Platform
    application: Application
    clock: SimulatedClock
    feed: Feed
    dsn: str
    local: bool
    processes: dict[str, Child] = field(default_factory=dict)
    started: int = 0

    def start(self, role: str) -> None:
        """Start the process of a role, and wait until it takes part."""
        self.started += 1
        child = self._icehaul(f"{self.started:03d}-{role}", "emit" if role == EMITTER else "run")
        self.processes[role] = child
        sign = emits if role == EMITTER else assigned
        wait_for(lambda: sign(child) or self._ended(child), _START_S, f"{role} to take part")

    def kill(self, role: str) -> None:
        """Kill the process of a role, as a crash would."""
        self.processes.pop(role).end()

    def terminate(self, role: str) -> None:
        """Ask the process of a role to end, and wait until it has."""
        child = self.processes.pop(role)
        child.send(signal.SIGTERM)
        wait_for(lambda: not child.running, _START_S, f"{role} to end")
        assert child.status == 0, f"{role} ended with {child.status}: {child.text()[-3000:]}"

    def end(self) -> None:
        """Kill all processes that run."""
        for role in tuple(self.processes):
            self.kill(role)

    def run(self, *arguments: str) -> None:
        """Run a command of icehaul to its end, which has to be a success."""
        self.started += 1
        child = self._icehaul(f"{self.started:03d}-{arguments[0]}", *arguments)
        wait_for(lambda: not child.running, _COMMAND_S, f"icehaul {arguments[0]} to end")
        assert child.status == 0, child.text()

    def check_alive(self) -> None:
        """Fail if a process has ended that nobody has ended."""
        for child in self.processes.values():
            self._ended(child)

    def query(self, statement: bytes, *values: object) -> list[TupleRow]:
        """Ask the ledger's database."""
        with psycopg.connect(self.dsn) as connection:
            return connection.execute(statement, values).fetchall()

    def age_ledger(self, by: timedelta) -> None:
        """Let time pass in what the ledger has noted of maintenance: nobody can set the clock of its server."""
        with psycopg.connect(self.dsn) as connection:
            connection.execute("UPDATE offload_maintenance SET looked = looked - %s", [by])
            connection.execute("UPDATE offload_superfluous SET found = found - %s", [by])

    def acknowledged(self) -> bool:
        """Whether every event is acknowledged, and none waits to be sent."""
        waiting = self.query(b"SELECT FROM offload_outbox UNION ALL SELECT FROM offload_parked LIMIT 1")
        return not waiting and patiently(self._behind) == 0

    def _behind(self) -> int:
        # By new connections: a client that slept while its broker was away may wait for answers that never come.
        kafka = self.application.configuration.kafka
        group = Group(bootstrap_servers=kafka.bootstrap_servers, group=kafka.group, topic=kafka.topic)
        with closing(group):
            return group.behind()

    def _icehaul(self, name: str, *arguments: str) -> Child:
        return self.house.nursery.start(
            (*arguments, "--config", str(self.platform.directory / f"{self.platform.name}.yaml")),
            environment={
                **{key: value for key, value in self.platform.environment().items() if "DSN" not in key},
                nursery.CLOCK: str(self.platform.directory / "clock"),
                nursery.ENGINE: nursery.LOCAL if self.local else "spark",
            },
            log=self.platform.directory / "logs" / f"{name}.log",
        )

    def _ended(self, child: Child) -> bool:
        assert child.running, f"{child.log.name} has ended with {child.status}:\n{child.text()[-3000:]}"
        return False


def emits(child: Child) -> bool:
    """Whether the process is the emitter that is active."""
    return "emitter.active" in child.text()


@contextmanager
def staged(
    stack: EmbeddedStack, name: str, directory: Path, *, retention: timedelta, local: bool
) -> Iterator[SoakStage]:
    """Make tables, ledger, topic and witness; no process of icehaul runs yet."""
    with ExitStack() as resources:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "logs").mkdir()
        children = resources.enter_context(Nursery(directory / "nursery.log", "tests.soak.nursery"))
        house = resources.enter_context(
            House(endpoints=stack.endpoints, nursery=children, directory=directory, spark={}, name=name)
        )
        dsn = house.create_database(name)
        resources.callback(house.drop_database, name)
        platform = Platform(stack.endpoints, name, directory, sections=_sections(stack, dsn))
        resources.callback(platform.close)
        platform.streams += [_stream(table, name) for table in TABLES]
        application = resources.enter_context(Application(platform.configuration(), environment={}))
        application.topics.ensure()
        house.shorten_session(application.configuration.kafka.group)
        trading = Trading(platform.client, name)
        trading.market.create_tables()
        witness = Witness(platform.client, name)
        witness.create()
        resources.callback(witness.drop)
        stage = SoakStage(
            stack=stack,
            house=house,
            platform=platform,
            application=application,
            clock=SimulatedClock(directory / "clock"),
            feed=Feed(trading, witness, retention),
            dsn=dsn,
            local=local,
        )
        resources.callback(stage.end)
        yield stage


def _sections(stack: EmbeddedStack, dsn: str) -> dict[str, dict[str, Any]]:
    endpoints = stack.endpoints
    return {
        "clickhouse": {"password": endpoints.clickhouse.password},
        "store": {"secret_key": endpoints.store.secret_key},
        "postgres": {"dsn": dsn},
        "kafka": {"partitions": 12},
        "spark": {"master": "local[2]"},
        "consumer": {
            "lease_seconds": LEASE_SECONDS,
            "relay_interval_seconds": 0.25,
            "table_watch_seconds": 3600,
            "shutdown_deadline_seconds": 20,
        },
        "emitter": {"poll": "500ms", "grace": format_duration(SETTLE_LAG), "lease_seconds": LEASE_SECONDS},
    }


def _stream(table: str, database: str) -> dict[str, Any]:
    maintenance = {
        "enabled": True,
        "every": "1h",
        "compaction": {"target_file_bytes": TARGET_FILE_BYTES},
        "removal": {"grace": "1d"},
    }
    settings = stream_settings(table, database=database, settle_lag=SETTLE_LAG)
    # No row of a soak is years old: every target is cut into days, which close.
    settings = {key: value for key, value in settings.items() if key not in {"partition_by", "batch"}}
    return settings | {"on_failure": _RETRIES, "maintenance": maintenance}
