"""No event causes a connection, a statement or a path that the configuration does not allow: watched on a consumer."""

from __future__ import annotations

import json
import random
import re
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from confluent_kafka import Producer

from consumer.adapters.postgres.statements import statements
from consumer.bootstrap import Application
from consumer.demo.group import Group
from consumer.domain.event_factory import tick
from consumer.embedded.stack import EmbeddedStack
from tests.fuzz.hostile import VALUES
from tests.fuzz.messages import DATA, message
from tests.support.bait import Bait
from tests.support.kafka_topics import read_topic
from tests.support.local_platform import LocalPlatform, ledger_database, local_platform
from tests.support.open_connections import Address, ConnectionWatch
from tests.support.platform import day
from tests.support.postgres_proxy import runs
from tests.support.processes import icehaul
from tests.support.recording_proxies import HttpRecorder, StatementRecorder
from tests.support.waiting import wait_until
from tests.support.watched_consumer import Act, acts

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]

SEED = 20261126
MESSAGES = 200
ROWS = 50
SQL_FILES = (
    "attempts",
    "backfill",
    "comparison",
    "drops",
    "ledger",
    "migrations",
    "offsets",
    "publish",
    "registry",
    "retention",
    "session",
)
CATALOG_SQL = Path(__file__).resolve().parents[2] / "consumer" / "adapters" / "iceberg" / "sql"
CONTROL = re.compile(r"(?:begin|commit|rollback|set|show)\b[^;]*", re.IGNORECASE)
TEXT = re.compile(r"'(?:[^'\\]|\\.|'')*'")
COMMENT = re.compile(r"--[^\n]*")
READS = re.compile(r"\b(?:FROM|JOIN)\s+([`\w.]+)\s*(\()?", re.IGNORECASE)
CHANGES = re.compile(
    r"\b(INSERT|ALTER|DROP|CREATE|TRUNCATE|RENAME|EXCHANGE|ATTACH|DETACH|OPTIMIZE|KILL|GRANT|BACKUP)\s", re.IGNORECASE
)
NAMES = re.compile(r"\b(?:WITH|,)\s*(\w+) AS \(")
BOUNDARY = day("2024-01-02")


@dataclass
class Scene:
    """A consumer whose every server is behind a proxy that keeps what it is asked for."""

    platform: LocalPlatform
    stream: str
    directory: Path
    clickhouse: HttpRecorder
    store: HttpRecorder
    postgres: StatementRecorder
    bait: Bait
    secret_file: Path
    before: list[Act] = field(default_factory=list)
    after: list[Act] = field(default_factory=list)
    remote: set[Address] = field(default_factory=set)

    @property
    def allowed_addresses(self) -> set[Address]:
        """The servers of the configuration."""
        host, _, port = self.platform.endpoints.kafka.bootstrap_servers.partition(":")
        ports = {self.clickhouse.port, self.store.port, self.postgres.port}
        return {Address("127.0.0.1", one) for one in ports} | {Address(host, int(port))}


@pytest.fixture(scope="module")
def scene(stack: EmbeddedStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A consumer that has read a few hundred hostile messages, and ended in order."""
    name = f"t_hostile_{random.SystemRandom().randrange(10**9)}"
    directory = tmp_path_factory.mktemp("hostile")
    endpoints = stack.endpoints
    with ExitStack() as running, pytest.MonkeyPatch.context() as patch:
        clickhouse = running.enter_context(HttpRecorder(endpoints.clickhouse.port))
        store = running.enter_context(HttpRecorder(urlsplit(endpoints.store.endpoint).port or 80))
        postgres = running.enter_context(StatementRecorder(endpoints.postgres.port))
        bait = running.enter_context(Bait())
        dsn = running.enter_context(ledger_database(endpoints, name))
        there = dsn.replace(f":{endpoints.postgres.port}/", f":{postgres.port}/") + "?sslmode=disable"
        platform = running.enter_context(local_platform(endpoints, name, there, directory, patch))
        stream = platform.add_stream()
        platform.insert(ROWS)
        platform.client.command(f"CREATE TABLE {name}.not_configured AS {name}.trades")
        platform.sections["clickhouse"] = {"port": clickhouse.port}
        platform.sections["store"] = {"endpoint": f"http://127.0.0.1:{store.port}"}
        secret_file = directory / "nobody-reads-this.txt"
        secret_file.write_text("x", encoding="utf-8")
        made = Scene(platform, stream, directory, clickhouse, store, postgres, bait, secret_file)
        _play(made)
        yield made


def _play(scene: Scene) -> None:
    with Application(scene.platform.configuration(), environment={}) as view:
        view.topics.ensure()
        watched = scene.directory / "acts.jsonl"
        arguments = (str(watched), "run", "-c", str(scene.platform.write()))
        with icehaul(
            *arguments,
            log=scene.directory / "run.log",
            environment=scene.platform.environment(),
            program="tests.support.watched_consumer",
        ) as consumer:
            consumer.http_port()
            view.event_sink.send([tick(stream=scene.stream, boundary=BOUNDARY)])
            wait_until(lambda: _watermark(view, scene.stream) == BOUNDARY, seconds=120, what="the honest event")
            scene.before = acts(watched)
            with ConnectionWatch(consumer.pid) as connections:
                _send(scene)
                _wait_for_the_group(scene)
            scene.remote = connections.remote
            assert consumer.terminate() == 0
            scene.after = acts(watched)[len(scene.before) :]


def _watermark(view: Application, stream: str) -> object:
    record = view.ledger.read([stream]).get(stream)
    return None if record is None else record.watermark


def _send(scene: Scene) -> None:
    """Send hostile messages; each third is an event that would be handled but for what strangers add to it."""
    values = (*VALUES, *scene.bait.values, str(scene.secret_file), f"{scene.platform.name}.not_configured")
    data: Mapping[str, Mapping[str, Any]] = {
        type_: {**content, "stream": scene.stream, "table": f"{scene.platform.name}.not_configured"}
        for type_, content in DATA.items()
    }
    chance = random.Random(SEED)
    kafka = scene.platform.configuration().kafka
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "message.max.bytes": 3_000_000})
    for number in range(MESSAGES):
        sent = message(chance, data, values)
        value = sent.value()
        if value is not None and len(value) > 900_000:  # the broker would not take it
            value = value[:900_000]
        producer.produce(kafka.topic, key=sent.key(), value=value, headers=sent.headers() or [])
        if number % 3 == 0:
            producer.produce(kafka.topic, key=scene.stream, value=json.dumps(_event(chance, data, values, number)))
    assert producer.flush(60) == 0


def _event(chance: random.Random, data: Mapping[str, Any], values: tuple[Any, ...], number: int) -> dict[str, Any]:
    """Return an event that is one, with fields that no event has."""
    type_ = chance.choice(list(data))
    names = ("host", "url", "source_table", "target", "bucket", "path", "clickhouse", "store", "table_function")
    added = {name: chance.choice(values) for name in chance.sample(names, 4)}
    attributes = {"specversion": "1.0", "id": f"hostile-{number}", "source": "/strangers", "type": type_}
    own = {**added, **data[type_], "partition_id": chance.choice(("20240101", "all", "--", "0"))}
    return {**added, **attributes, "time": "2026-01-01T00:00:00Z", "data": own}


def _wait_for_the_group(scene: Scene) -> None:
    kafka = scene.platform.configuration().kafka
    group = Group(bootstrap_servers=kafka.bootstrap_servers, group=kafka.group, topic=kafka.topic)
    try:
        wait_until(lambda: group.behind() == 0, seconds=120, what="every message to be acknowledged")
    finally:
        group.close()


def test_every_message_is_handled_or_a_dead_letter_and_the_table_holds_the_rows_once(scene: Scene) -> None:
    kafka = scene.platform.configuration().kafka
    letters = read_topic(kafka, kafka.dead_letter_topic)
    reasons = {dict(letter.headers() or [])["icehaul-reason"] for letter in letters}
    assert len(letters) > MESSAGES // 2
    assert len(reasons) >= 10, reasons
    with Application(scene.platform.configuration(), environment={}) as view:
        found = view.verifier.verify(view.streams[scene.stream])
        assert (found.equal, found.cold.rows) == (True, ROWS)
        assert set(view.ledger.read([scene.stream, "bars", "twice", "nobody"])) == {scene.stream}


def test_nothing_is_connected_to_but_the_servers_of_the_configuration(scene: Scene) -> None:
    assert scene.bait.visitors == 0
    assert scene.remote <= scene.allowed_addresses
    # Its own JVM listens on a port of this machine, and was connected to before.
    known = {act.what for act in scene.before if act.kind == "connect"}
    connected = {act.what for act in scene.after if act.kind == "connect"} - known
    assert connected <= {repr(tuple(address)) for address in scene.allowed_addresses}
    resolved = {act.what.rpartition(":")[0] for act in scene.after if act.kind == "resolve"}
    assert resolved <= {"127.0.0.1", "localhost", socket.gethostname()}


def test_clickhouse_is_asked_for_nothing_but_the_configured_table(scene: Scene) -> None:
    tables = {f"`{scene.platform.name}`.`trades`", f"{scene.platform.name}.trades"}
    files = f"http://127.0.0.1:{scene.store.port}/{scene.platform.endpoints.store.bucket}/tests/{scene.platform.name}/"
    asked = {request.statement for request in scene.clickhouse.requests()} - {""}
    assert len(asked) > 10
    for statement in asked:
        text = TEXT.sub("''", COMMENT.sub("", statement))
        assert CHANGES.search(text) is None, statement
        names = set(NAMES.findall(text))
        for read, function in READS.findall(text):
            allowed = read in ({"s3", "numbers", "viewExplain"} if function else tables | names)
            assert allowed or read.startswith("system."), f"{read} in {statement}"
        read_files = re.findall(r"s3\('([^']*)'", statement)
        assert all(path.startswith(files) and ".." not in path for path in read_files), statement
        assert "not_configured" not in statement
        assert f":{scene.bait.port}" not in statement


def test_postgres_is_sent_no_statement_but_those_of_our_files(scene: Scene) -> None:
    known = [runs(sql) for file in SQL_FILES for sql in statements(file).values()]
    known += [runs(path.read_bytes()) for path in CATALOG_SQL.glob("*.sql")]
    # One message may be several statements, each as in our files; an empty one is a ping.
    asked = {one.strip() for message in scene.postgres.statements() for one in message.split(";\n")} - {""}
    assert len(asked) > 10
    assert [
        statement
        for statement in asked
        if CONTROL.fullmatch(statement) is None and not any(sql.fullmatch(statement.lower().encode()) for sql in known)
    ] == []


def test_the_store_is_asked_for_nothing_outside_the_configured_prefix(scene: Scene) -> None:
    bucket = scene.platform.endpoints.store.bucket
    prefix = f"tests/{scene.platform.name}/"
    requests = scene.store.requests()
    assert len(requests) > 5
    for request in requests:
        path = request.path.removeprefix(f"/{bucket}").removeprefix("/")
        listed = path == "" and f"prefix={prefix}".replace("/", "%2F") in request.target
        assert (path.startswith(prefix) and ".." not in path) or listed, request.target


def test_no_file_is_written_or_program_started_for_an_event(scene: Scene) -> None:
    assert [act.what for act in scene.after if act.kind == "start"] == []
    own = (tempfile.gettempdir(), str(scene.directory))
    written = {act.what for act in scene.after if act.kind == "write"}
    foreign = {path for path in written if not path.startswith(own) and "__pycache__" not in path}
    assert foreign <= {"/dev/null"}
    opened = [act.what for act in scene.after if act.kind in {"open", "write"}]
    assert not [path for path in opened if ".." in path or str(scene.secret_file) in path or "etc/passwd" in path]
