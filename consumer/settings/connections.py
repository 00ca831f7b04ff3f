"""Settings of the servers that icehaul talks to.

Every field can be given in the YAML file, as an environment variable (``ICEHAUL_CLICKHOUSE__PASSWORD``) or
as a file in the secrets directory (``icehaul_clickhouse__password``).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from consumer.settings.scalars import Duration, Names

Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=3600)]


class Section(BaseModel):
    """Base of all sections: unknown fields are errors, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class ClickHouseSettings(Section):
    """The hot tier.

    ``store_endpoint`` is the object store as the ClickHouse server reaches it, where that differs from
    ``store.endpoint``.
    """

    host: str = "127.0.0.1"
    port: Port = 8123
    user: str = "default"
    password: SecretStr = SecretStr("")
    secure: bool = False
    verify: bool = True
    ca_file: str | None = None
    connect_timeout_seconds: Seconds = 10
    query_timeout_seconds: Seconds = 600
    query_settings: dict[str, str | int] = Field(default_factory=dict)
    store_endpoint: str | None = None


class KafkaSettings(Section):
    """The event topic, its dead letters, and the consumer group.

    ``options`` are passed to librdkafka as they are (TLS, SASL, and the like).
    """

    bootstrap_servers: str = "127.0.0.1:9092"
    topic: str = "icehaul.events"
    dead_letter_topic: str = "icehaul.events.dead"
    group: str = "icehaul"
    group_protocol: Literal["consumer", "classic"] = "consumer"
    assignment_strategy: Literal["cooperative-sticky", "range", "roundrobin"] = "cooperative-sticky"
    group_instance_id: str | None = None
    partitions: Annotated[int, Field(ge=1, le=1000)] = 12
    replication_factor: Annotated[int, Field(ge=1, le=10)] = 1
    retention: Duration = timedelta(days=7)
    options: dict[str, str] = Field(default_factory=dict)
    secret_options: dict[str, SecretStr] = Field(default_factory=dict)


class PostgresSettings(Section):
    """The ledger's database, which holds the Iceberg catalog too."""

    dsn: SecretStr = SecretStr("postgresql://127.0.0.1:5432/icehaul")
    pool_size: Annotated[int, Field(ge=1, le=100)] = 8
    connect_timeout_seconds: Seconds = 10
    lock_timeout_seconds: Seconds = 5
    statement_timeout_seconds: Seconds = 30


class StoreSettings(Section):
    """The object store that holds the cold tier, spoken to by the S3 protocol."""

    endpoint: str | None = None
    region: str = "us-east-1"
    bucket: str = "icehaul"
    prefix: str = "warehouse"
    access_key: str | None = None
    secret_key: SecretStr | None = None
    path_style: bool = True

    @property
    def warehouse(self) -> str:
        """The warehouse location: ``s3://bucket/prefix``."""
        return f"s3://{self.bucket}/{self.prefix}"


class CatalogSettings(Section):
    """The Iceberg catalog: its name is shared with every engine that reads it."""

    name: str = "icehaul"


class SparkSettings(Section):
    """The Spark session that writes batches.

    ``conf`` adds or overrides Spark properties; ``jars`` are needed only where JVM engines read Iceberg.
    """

    master: str = "local[2]"
    driver_memory: str = "512m"
    jars: Names = ()
    conf: dict[str, str] = Field(default_factory=dict)
    block_rows: Annotated[int, Field(ge=1024, le=1_048_576)] = 65_536
    row_group_rows: Annotated[int, Field(ge=1024)] = 1_048_576


class ConsumerSettings(Section):
    """One consumer process."""

    workers: Annotated[int, Field(ge=1, le=256)] = 4
    events_per_partition: Annotated[int, Field(ge=1, le=10_000)] = 100
    lease_seconds: Seconds = 30
    revoke_deadline_seconds: Seconds = 20
    shutdown_deadline_seconds: Seconds = 25
    relay_interval_seconds: Seconds = 1
    http_host: str = "127.0.0.1"
    http_port: Annotated[int, Field(ge=0, le=65535)] = 8080


class EmitterSettings(Section):
    """The emitter of ticks and partition closes.

    ``tick`` is the distance of the wall-clock boundaries, counted from midnight UTC of 1970-01-01; 0 sends none.
    """

    tick: Duration = timedelta(minutes=15)
    poll: Duration = timedelta(seconds=15)
    grace: Duration = timedelta(minutes=5)
    lease_seconds: Seconds = 30


class TelemetrySettings(Section):
    """Traces and logs. ``otlp_endpoint`` and ``trace_file`` may both be given, or neither."""

    service_name: str = "icehaul"
    otlp_endpoint: str | None = None
    trace_file: str | None = None
    sample_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "console", "json"] = "auto"
