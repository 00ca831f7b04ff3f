"""A consumer with secrets in every place where they are given, and all that it leaves behind while everything fails."""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from confluent_kafka import Producer
from psycopg import sql

from consumer.adapters.spark.access import store_access
from consumer.bootstrap import Application
from consumer.domain.event_factory import tick
from consumer.entrypoints.cli.main import main
from spark.object_store import connect
from tests.support.exposed_places import letters, objects, of_processes, pages, rows, spark_pages, texts
from tests.support.kafka_topics import read_topic
from tests.support.platform import Platform, day
from tests.support.processes import Running, family, icehaul
from tests.support.spark import store_settings
from tests.support.waiting import wait_until

QUOTES_THE_DSN = """
CREATE FUNCTION quote_the_dsn() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.stream LIKE '%quoted' THEN
        RAISE EXCEPTION 'can not reach %, that is %', {dsn}, {password};
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER quote_the_dsn BEFORE INSERT ON offload_batches FOR EACH ROW EXECUTE FUNCTION quote_the_dsn();
"""
FIRST, SECOND = day("2024-01-02"), day("2024-01-03")


@dataclass
class World:
    """Where secrets are planted, and what was written while they were used."""

    platform: Platform
    directory: Path
    postgres_password: str
    sasl_password: str
    key_password: str
    spark_token: str
    ui_port: int
    evidence: dict[str, str] = field(default_factory=dict)

    @property
    def dsn(self) -> str:
        server = self.platform.endpoints.postgres
        password = quote(self.postgres_password, safe="")
        return f"postgresql://{self.platform.name}:{password}@{server.host}:{server.port}/{self.platform.name}"

    @property
    def secrets(self) -> tuple[str, ...]:
        endpoints = self.platform.endpoints
        own = (self.postgres_password, self.sasl_password, self.key_password, self.spark_token)
        return (*own, endpoints.clickhouse.password, endpoints.store.secret_key)

    def environment(self) -> dict[str, str]:
        """Secrets by variables and by a secret file; those of the store and of an option stand in the YAML file."""
        files = self.directory / "secrets"
        files.mkdir(exist_ok=True)
        (files / "icehaul_clickhouse__password").write_text(self.platform.endpoints.clickhouse.password + "\n")
        return {
            "ICEHAUL_SECRETS_DIR": str(files),
            "ICEHAUL_POSTGRES__DSN": self.dsn,
            "ICEHAUL_KAFKA__SECRET_OPTIONS": json.dumps({"sasl.password": self.sasl_password}),
            "JAVA_HOME": str(self.platform.endpoints.java_home),
            "PYTHONFAULTHANDLER": "1",
            "COLUMNS": "400",
        }

    def command(self, *arguments: str, **changed: str) -> None:
        """Run a command in this process, in whatever state its servers are, and keep what it says."""
        said = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(said):
            for name, value in {**self.environment(), **changed}.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["icehaul", *arguments])
            with suppress(SystemExit):
                main()
        before = self.evidence.get("commands", "")
        self.evidence["commands"] = f"{before}\n$ {' '.join(arguments)}\n{said.getvalue()}"


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def make_database(world: World) -> None:
    role, password = sql.Identifier(world.platform.name), sql.Literal(world.postgres_password)
    with psycopg.connect(world.platform.endpoints.postgres.dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, password))
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(role, role))


def drop_database(world: World) -> None:
    role = sql.Identifier(world.platform.name)
    with psycopg.connect(world.platform.endpoints.postgres.dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(role))
        connection.execute(sql.SQL("DROP ROLE {}").format(role))


def configure(world: World) -> None:
    platform, events = world.platform, world.directory / "spark-events"
    events.mkdir()
    platform.sections = {
        "store": {"secret_key": platform.endpoints.store.secret_key},
        "kafka": {"options": {"ssl.key.password": world.key_password}},
        "telemetry": {"log_level": "debug", "log_format": "json", "trace_file": str(world.directory / "traces.jsonl")},
        "spark": {
            "conf": {
                "spark.ui.enabled": "true",
                "spark.ui.port": str(world.ui_port),
                "spark.eventLog.enabled": "true",
                "spark.eventLog.dir": events.as_uri(),
                "spark.eventLog.compress": "false",
                "spark.eventLog.rolling.enabled": "false",
            }
        },
    }


def play(world: World, commands: Sequence[Sequence[str]]) -> None:
    """Let a consumer work, fail and crash, run commands meanwhile, and collect what all of that leaves behind."""
    config = str(world.platform.write())
    with Application(world.platform.configuration(), environment={}) as view:
        view.migrate()
        view.topics.ensure()
        with psycopg.connect(world.dsn) as connection:
            quoted = {"dsn": sql.Literal(world.dsn), "password": sql.Literal(world.postgres_password)}
            connection.execute(sql.SQL(QUOTES_THE_DSN).format(**quoted))
        # The consumer could dump a core if it did not forbid that.
        before = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
        with icehaul(
            "run",
            "-c",
            config,
            log=world.directory / "run.log",
            environment=world.environment() | {"ICEHAUL_FAILPOINTS": "task.before-answer=raise@1"},
            folder=world.directory,
        ) as consumer:
            resource.setrlimit(resource.RLIMIT_CORE, before)
            consumer.http_port()
            _work(world, view)
            _look_at_what_runs(world, consumer)
            for command in commands:
                world.command(*command, ICEHAUL_CONFIG=config)
            _fail(world, config)
            _crash(consumer)
        _look_at_what_is_left(world, view)


def _work(world: World, view: Application) -> None:
    """A batch whose task fails once, one whose ledger fails for ever, a late row, and messages that are no events."""
    trades, quoted = (f"{world.platform.name}_{table}" for table in ("trades", "quoted"))
    view.event_sink.send([tick(stream=name, boundary=FIRST) for name in (trades, quoted, "nobody")])
    producer = Producer({"bootstrap.servers": world.platform.endpoints.kafka.bootstrap_servers})
    producer.produce(world.platform.topic, key=b"x", value=b"{not json")
    assert producer.flush(30) == 0
    wait_until(lambda: view.ledger.register(trades).watermark == FIRST, seconds=120, what="the first batch")
    world.platform.insert(3, first=1_000)
    view.event_sink.send([tick(stream=trades, boundary=SECOND)])
    wait_until(lambda: view.ledger.register(trades).watermark == SECOND, seconds=120, what="the late rows")
    log = world.directory / "run.log"
    wait_until(lambda: "can not reach" in log.read_text(errors="replace"), seconds=60, what="the error with the DSN")


def _look_at_what_runs(world: World, consumer: Running) -> None:
    processes = family(consumer.pid)
    # What a process was given stands in its own environment for ever: whoever starts it knows it.
    world.evidence["environ"] = of_processes([pid for pid in processes if pid != consumer.pid], "environ")
    world.evidence["cmdline"] = of_processes(processes, "cmdline")
    own = f"http://127.0.0.1:{consumer.http_port()}"
    world.evidence["metrics"] = pages(f"{own}/{path}" for path in ("metrics", "readyz", "livez"))
    world.evidence["spark pages"] = spark_pages(f"http://127.0.0.1:{world.ui_port}")


def _fail(world: World, config: str) -> None:
    """Run commands to which each server is unreachable, or refuses what it is given."""
    stream, nobody = f"{world.platform.name}_trades", str(free_port())
    wrong, right = world.key_password, f":{world.platform.endpoints.postgres.port}/"
    refused = world.dsn.replace(f"{world.platform.name}:", f"{world.platform.name}:x", 1)
    protocol = json.dumps({"security.protocol": world.sasl_password})
    broken = f'{{"sasl.{world.sasl_password}": "x"'
    for words, changed in (
        (("status", stream), {"ICEHAUL_POSTGRES__DSN": refused}),
        (("status", stream), {"ICEHAUL_POSTGRES__DSN": world.dsn.replace(right, f":{nobody}/")}),
        (("status", stream), {"ICEHAUL_POSTGRES__DSN": f"postgresql://me:{world.postgres_password}@db/x"}),
        (("plan", stream), {"ICEHAUL_CLICKHOUSE__PASSWORD": wrong}),
        (("plan", stream), {"ICEHAUL_CLICKHOUSE__PORT": nobody}),
        (("verify", stream), {"ICEHAUL_STORE__SECRET_KEY": wrong}),
        (("topics",), {"ICEHAUL_KAFKA__SECRET_OPTIONS": protocol}),
        (("topics",), {"ICEHAUL_KAFKA__SECRET_OPTIONS": broken}),
    ):
        world.command(*words, "-c", config, **changed)
    token = f"sc://127.0.0.1:{nobody}/;token={world.spark_token}"
    world.command("run", "-c", _without_driver(world), ICEHAUL_SPARK__REMOTE=token)


def _without_driver(world: World) -> str:
    """A configuration for a Spark Connect server: what belongs to a driver of one's own is left out."""
    before = world.platform.sections["spark"]
    world.platform.sections["spark"] = {"remote": "sc://127.0.0.1:1"}
    path = world.platform.write()
    there = path.rename(path.with_name("connect.yaml"))
    world.platform.sections["spark"] = before
    world.platform.write()
    return str(there)


def _crash(consumer: Running) -> None:
    """End the JVM and then the consumer as a defect of native code would."""
    jvm = next(pid for pid in family(consumer.pid) if _program(pid).endswith("java"))
    os.kill(jvm, signal.SIGSEGV)
    wait_until(lambda: _program(jvm) == "", seconds=60, what="the end of the JVM")
    os.kill(consumer.pid, signal.SIGABRT)
    consumer.popen.wait(60)


def _program(pid: int) -> str:
    """Return the path of a process's program; empty once it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
    except OSError:
        return ""


def _look_at_what_is_left(world: World, view: Application) -> None:
    kafka, endpoints, directory = view.configuration.kafka, world.platform.endpoints, world.directory
    store = connect(store_access(store_settings(endpoints)))
    world.evidence |= {
        "dead letters": letters(read_topic(kafka, kafka.dead_letter_topic)),
        "ledger": rows(world.dsn),
        "table files": objects(store, f"{endpoints.store.bucket}/tests/{world.platform.name}"),
        "log": texts([directory / "run.log"]),
        "traces": texts([directory / "traces.jsonl"]),
        "spark events": texts((directory / "spark-events").iterdir()),
        "crash dumps": texts([*directory.glob("hs_err*"), *directory.glob("core*")]),
    }
