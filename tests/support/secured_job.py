"""icehaul on the secured stack: each command as the user that it is meant for."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from consumer.adapters.kafka.consumer import KafkaEventSource
from consumer.adapters.spark.engine import SparkEngine
from consumer.bootstrap import Application
from consumer.domain.offset_incident import OffsetIncident
from consumer.service.runtime.ports import Partition
from consumer.settings.connections import ConsumerSettings, KafkaSettings, SparkSettings
from consumer.settings.load import load
from consumer.testing.telemetry import MemoryMetrics
from tests.support.platform import TRADES
from tests.support.secured_stack import DATABASE, DROPPER, READER, RESTORER, VIEWER, SecuredStack
from tests.support.waiting import wait_until

WRONG = "wrong-password"
_ROWS = """
INSERT INTO {table} SELECT toDateTime64('2024-01-0{day} 00:00:00', 6, 'UTC') + toIntervalMillisecond(number),
    number + {first}, ['BTC', 'ETH', 'ADA'][number % 3 + 1], toDecimal64(number, 8) / 7, toDecimal64(number, 8) / 3,
    if(number % 5 = 0, NULL, toString(number)), range(number % 3)::Array(String), map('k', toString(number % 10))
FROM numbers({rows})
"""


@dataclass(frozen=True, kw_only=True)
class Users:
    """Who a process is at each server."""

    postgres: str
    kafka: str = "icehaul-operator"
    clickhouse: str = READER
    store: str = "consumer"


OWNER = Users(postgres="icehaul_owner")
OPERATOR = Users(postgres="icehaul_committer")
EMITTER = Users(postgres="icehaul_committer", kafka="icehaul-producer", store="reader")
CONSUMER = Users(postgres="icehaul_committer", kafka="icehaul-consumer")
LOOKING = Users(postgres="icehaul_reader", store="reader")
VIEWING = Users(postgres="icehaul_reader", clickhouse=VIEWER, store="reader")
DROPPING = Users(postgres="icehaul_committer", clickhouse=DROPPER, store="reader")
RESTORING = Users(postgres="icehaul_committer", clickhouse=RESTORER, store="reader")
MAINTENANCE = Users(postgres="icehaul_maintenance", store="reader")


@dataclass
class SecuredJob:
    """One stream under names of its own, and the processes that work on it."""

    stack: SecuredStack
    name: str
    directory: Path
    patch: pytest.MonkeyPatch
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.table = f"{DATABASE}.{self.name}"
        self.topic = f"{self.name}.events"
        self.stack.admin.command(
            f"CREATE TABLE {self.table} ({TRADES}) ENGINE = MergeTree PARTITION BY toDate(ts) ORDER BY ts"
        )

    def insert(self, rows: int, *, day: int = 1, first: int = 0) -> None:
        """Insert rows of a day of January 2024."""
        self.stack.admin.command(_ROWS.format(table=self.table, rows=rows, day=day, first=first))

    def mutate(self, change: str) -> None:
        """Change rows of the source, as an administrator may."""
        self.stack.admin.command(f"ALTER TABLE {self.table} {change} SETTINGS mutations_sync = 2")

    def hot_rows(self) -> int:
        """How many rows the source holds."""
        return int(self.stack.admin.query(f"SELECT count() FROM {self.table}").result_rows[0][0])

    def become(self, users: Users, **secret: str) -> None:
        """Be these users from now on: write the file, and put the secrets into this process's environment."""
        given = self.stack.secrets(
            clickhouse=users.clickhouse, kafka=users.kafka, store=users.store, postgres=users.postgres
        )
        for name, value in {**given, **secret}.items():
            self.patch.setenv(name, value)
        self.patch.setenv("ICEHAUL_CONFIG", str(self._write(users)))

    def changed(self, section: str, **fields: object) -> None:
        """Change a section of the configuration file that is written next."""
        self.changes[section] = {**self.changes.get(section, {}), **fields}

    def in_examples(self, report: Mapping[str, Any]) -> list[str]:
        """The doctor's errors and remedies, with the names that the pages use."""
        stack = self.stack
        names = {
            f"127.0.0.1:{stack.clickhouse_port}": "clickhouse.example:8443",
            stack.kafka.servers: "kafka.example:9093",
            f"127.0.0.1:{stack.postgres_port}/": "postgres.example:5432/",
            f'"127.0.0.1", port {stack.postgres_port}': '"postgres.example", port 5432',
            stack.store.endpoint.endpoint: "https://s3.example",
            self.topic: "icehaul.events",
            self.name: "trades",
        }
        found = [
            one[part] for one in report["findings"] if one["severity"] == "error" for part in ("message", "remedy")
        ]
        for real, example in names.items():
            found = [line.replace(real, example) for line in found]
        varying = {r"after \d+ms": "after 5ms", r" \(_ssl\.c:\d+\)": "", r"/[0-9a-f-]{36}\.parquet": "/….parquet"}
        for pattern, example in varying.items():
            found = [re.sub(pattern, example, line) for line in found]
        return found

    def break_security(self, fault: str) -> None:
        """Be an operator whose configuration is wrong at every server in the same way."""
        stack, users = self.stack, OPERATOR
        stranger = str(stack.stranger.certificate)
        options = stack.kafka.options(users.kafka)
        secret: dict[str, str] = {}

        def dsn(host: str = "127.0.0.1", **parameters: str) -> dict[str, str]:
            address = stack.postgres.dsn(users.postgres, stack.postgres_port, host=host, **parameters)
            return {"ICEHAUL_POSTGRES__DSN": address}

        match fault:
            case "authority":
                self.changed("clickhouse", ca_file=stranger)
                self.changed("store", ca_file=stranger)
                self.changed("kafka", options={**options, "ssl.ca.location": stranger})
                secret = dsn(sslrootcert=stranger)
            case "name":
                self.changed("clickhouse", host="localhost")
                self.changed("store", endpoint=stack.store.endpoint.endpoint.replace("127.0.0.1", "localhost"))
                self.changed("kafka", bootstrap_servers=stack.kafka.servers.replace("127.0.0.1", "localhost"))
                secret = dsn(host="localhost")
            case "plain":
                self.changed("clickhouse", secure=False)
                self.changed("store", endpoint=stack.store.endpoint.endpoint.replace("https", "http"))
                self.changed("kafka", options={**options, "security.protocol": "SASL_PLAINTEXT"})
                secret = dsn(sslmode="disable")
            case "password":
                secret = {
                    "ICEHAUL_CLICKHOUSE__PASSWORD": WRONG,
                    "ICEHAUL_STORE__SECRET_KEY": WRONG,
                    "ICEHAUL_KAFKA__SECRET_OPTIONS": f'{{"sasl.password": "{WRONG}"}}',
                    "ICEHAUL_POSTGRES__DSN": dsn()["ICEHAUL_POSTGRES__DSN"].replace(
                        stack.postgres.passwords[users.postgres], WRONG
                    ),
                }
        self.become(users, **secret)

    def permit(self) -> None:
        """Give the Kafka users the rights of the file, on this job's topics and group."""
        names = {"SERVERS": "-", "ADMIN": "-", "TOPIC": self.topic, "DEAD": f"{self.topic}.dead", "GROUP": self.name}
        self.stack.kafka.apply(names)

    @contextmanager
    def engine(self, warm: SparkEngine) -> Iterator[SparkEngine]:
        """The consumer's engine, on the session of a warm one: one driver serves all engines of a process."""
        self.become(CONSUMER)
        configuration = load(None)
        engine = SparkEngine(SparkSettings(), configuration.clickhouse, configuration.store)
        engine._session = warm._living_session()
        try:
            yield engine
        finally:
            engine._session = None

    @contextmanager
    def consuming(self) -> Iterator[Application]:
        """A consumer whose loop runs beside the test."""
        self.become(CONSUMER)
        with Application(load(None)) as application:
            loop = application.loop(application.observe("consumer"))
            thread = threading.Thread(target=loop.run, daemon=True)
            thread.start()
            try:
                yield application
            finally:
                loop.stop()
                thread.join(60)
            assert not thread.is_alive()

    def wait_for_batches(self, application: Application, kinds: Sequence[str]) -> None:
        """Wait until exactly these batches are published."""

        def there() -> bool:
            record = application.ledger.read([self.name]).get(self.name)
            assert record is None or record.halt_reason is None, f"{record.halt_reason}: {record.halt_remedy}"
            found = application.ledger.batches(self.name, 100)
            return sorted(one.kind for one in found if one.rows) == sorted(kinds)

        wait_until(there, seconds=120, what=f"batches {kinds}")

    def _write(self, users: Users) -> Path:
        document: dict[str, Any] = {
            **self.stack.document(clickhouse=users.clickhouse, kafka=users.kafka, store=users.store),
            "consumer": {"http_port": 0, "lease_seconds": 5},
            "emitter": {"tick": "52w", "poll": "200ms", "grace": "1s", "lease_seconds": 3},
            "streams": [_stream(self.name, self.table)],
        }
        ours: Mapping[str, Any] = {"topic": self.topic, "dead_letter_topic": f"{self.topic}.dead", "group": self.name}
        document["kafka"] = {**document["kafka"], **ours, "partitions": 2}
        for section, values in self.changes.items():
            document[section] = {**document[section], **values}
        path = self.directory / "icehaul.yaml"
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        return path


def _stream(name: str, table: str) -> dict[str, Any]:
    return {
        "name": name,
        "source": table,
        "target": table,
        "timestamp_column": "ts",
        "sequence_columns": ["seq"],
        "settle_lag": "0s",
        "on_failure": {"attempts": 2, "initial": "10ms", "maximum": "100ms"},
    }


def consume_until_refused(kafka: KafkaSettings, seconds: float = 60.0) -> None:
    """Be a member of the group until an error ends the consumer, which is raised."""
    source = KafkaEventSource(kafka, ConsumerSettings(), MemoryMetrics(), start_seconds=seconds)
    try:
        source.start(_Listener())
        wait_until(lambda: source.poll(0.1, 1), seconds=seconds, what="the refusal")
    finally:
        source.close()


class _Listener:
    """A member of a group that does nothing with what it gets."""

    def assigned(self, partitions: Sequence[Partition], incidents: Sequence[OffsetIncident] = ()) -> None:
        """Nothing is begun."""

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Nothing was begun."""

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Nothing was begun."""

    def committed(self, offsets: Mapping[Partition, int], refused: Mapping[Partition, str]) -> None:
        """Nothing is committed."""
