"""A small platform of a test's own on the shared stack: source tables, a topic, a group, a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import clickhouse_connect
import yaml
from clickhouse_connect.driver.client import Client

from consumer.embedded.endpoints import Endpoints
from consumer.settings.load import load
from consumer.settings.model import Configuration

TRADES = """
    ts DateTime64(6, 'UTC'), seq UInt64, symbol LowCardinality(String), price Decimal(18, 8),
    quantity Decimal(18, 8), note Nullable(String), tags Array(String), attributes Map(String, String)
"""


@dataclass
class Platform:
    """Everything that one test needs under names that no other test uses."""

    endpoints: Endpoints
    name: str
    directory: Path
    sections: dict[str, dict[str, Any]] = field(default_factory=dict)
    streams: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        server = self.endpoints.clickhouse
        self.client: Client = clickhouse_connect.get_client(
            host=server.host, port=server.port, username=server.user, password=server.password
        )
        self.client.command(f"CREATE DATABASE {self.name}")

    def close(self) -> None:
        self.client.command(f"DROP DATABASE {self.name}")
        self.client.close()

    def add_stream(
        self,
        table: str = "trades",
        *,
        columns: str = TRADES,
        chosen: object = None,
        **settings: object,
    ) -> str:
        """Create a source table with a stream of its own, and return the stream's name.

        ``columns`` are those of the table, ``chosen`` is what some of them become.
        """
        self.client.command(
            f"CREATE TABLE {self.name}.{table} ({columns}) ENGINE = MergeTree PARTITION BY toDate(ts) ORDER BY ts"
        )
        stream = {
            "name": f"{self.name}_{table}",
            "source": f"{self.name}.{table}",
            "target": f"{self.name}.{table}",
            "timestamp_column": "ts",
            "sequence_columns": ["seq"],
            "settle_lag": "0s",
            "on_failure": {"attempts": 3, "initial": "10ms", "maximum": "100ms"},
        }
        self.streams.append(stream | settings | ({"columns": chosen} if chosen else {}))
        return str(stream["name"])

    def insert(self, rows: int, *, table: str = "trades", first: int = 0, day: str = "2024-01-01") -> None:
        """Insert trades, one each millisecond from the day's beginning, numbered from ``first``."""
        self.client.command(
            f"INSERT INTO {self.name}.{table} SELECT toDateTime64('{day} 00:00:00', 6, 'UTC')"
            f" + toIntervalMillisecond(number), number + {first}, ['BTC', 'ETH', 'ADA'][number % 3 + 1],"
            " toDecimal64(number % 100000, 8) / 7, toDecimal64(number % 1000, 8) / 3,"
            " if(number % 5 = 0, NULL, toString(number)), range(number % 3)::Array(String),"
            f" map('k', toString(number % 10)) FROM numbers({rows})"
        )

    def rows(self, table: str = "trades") -> int:
        """How many rows the source table holds."""
        return int(self.client.query(f"SELECT count() FROM {self.name}.{table}").result_rows[0][0])

    @property
    def topic(self) -> str:
        return f"{self.name}.events"

    def write(self) -> Path:
        """Write the configuration file and return its path; the secrets stand in the environment only."""
        endpoints = self.endpoints
        document: dict[str, Any] = {
            "clickhouse": {
                "host": endpoints.clickhouse.host,
                "port": endpoints.clickhouse.port,
                "user": endpoints.clickhouse.user,
            },
            "kafka": {
                "bootstrap_servers": endpoints.kafka.bootstrap_servers,
                "topic": self.topic,
                "dead_letter_topic": f"{self.topic}.dead",
                "group": self.name,
                "partitions": 4,
            },
            "store": {
                "endpoint": endpoints.store.endpoint,
                "bucket": endpoints.store.bucket,
                "access_key": endpoints.store.access_key,
                "region": endpoints.store.region,
                "prefix": f"tests/{self.name}",
            },
            "spark": {"master": "local[1]"},
            "consumer": {"http_port": 0, "lease_seconds": 3, "relay_interval_seconds": 0.2},
            "emitter": {"poll": "200ms", "grace": "1s", "lease_seconds": 3},
            "streams": self.streams,
        }
        for section, values in self.sections.items():
            document[section] = document.get(section, {}) | values
        if "remote" in document["spark"]:
            del document["spark"]["master"]
        path = self.directory / f"{self.name}.yaml"
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        return path

    def environment(self) -> Mapping[str, str]:
        """What a process needs besides the configuration file."""
        return {
            "ICEHAUL_CLICKHOUSE__PASSWORD": self.endpoints.clickhouse.password,
            "ICEHAUL_POSTGRES__DSN": self.endpoints.postgres.dsn,
            "ICEHAUL_STORE__SECRET_KEY": self.endpoints.store.secret_key,
            "ICEHAUL_TELEMETRY__LOG_FORMAT": "json",
            "JAVA_HOME": str(self.endpoints.java_home),
        }

    def configuration(self) -> Configuration:
        """Load the configuration as this process would; the secrets must stand in its environment."""
        return load(self.write())


def day(text: str) -> datetime:
    """Midnight UTC of a day."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
