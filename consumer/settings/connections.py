"""Settings of the servers that icehaul talks to.

Every field can be given in the YAML file, as an environment variable (``ICEHAUL_CLICKHOUSE__PASSWORD``) or
as a file in the secrets directory (``icehaul_clickhouse__password``).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from consumer.domain.stream import CLUSTER, IDENTIFIER
from consumer.domain.turns import StreamOrder
from consumer.domain.writer import WriterPolicy
from consumer.settings.limits import ClickHouseLimits, limit_of
from consumer.settings.scalars import (
    Bucket,
    Folders,
    Host,
    LongDuration,
    Names,
    PositiveDuration,
    ResourceAttributes,
    Topic,
    TraceUrl,
)
from consumer.settings.section import Port, Seconds, Section
from consumer.settings.spark_remote import SparkRemote, address_of


class ClickHouseSettings(Section):
    """The hot tier: a ClickHouse server, spoken to by HTTP."""

    host: Host = "127.0.0.1"
    """Host name or address of the HTTP interface."""
    port: Port = 8123
    """Port of the HTTP interface (8443 is usual with TLS)."""
    user: str = "default"
    """User that reads the source tables; it needs SELECT on them and on system.parts, and readonly 0 or 2."""
    password: SecretStr = SecretStr("")
    """Its password: a secret, better given as an environment variable or a secret file."""
    secure: bool = False
    """Whether to speak TLS."""
    verify: bool = True
    """Whether to check the server's certificate."""
    ca_file: str | None = None
    """File with the certificate authority (PEM), where it is not one of the system's; it has to be there on every
    machine that runs Spark tasks, too."""
    connect_timeout_seconds: Seconds = 10
    """Seconds until a connection must be there."""
    query_timeout_seconds: Seconds = 600
    """Seconds that one query may take."""
    query_settings: dict[str, str | int] = Field(default_factory=dict)
    """ClickHouse settings sent with every query, such as max_execution_speed."""
    limits: ClickHouseLimits = Field(default_factory=ClickHouseLimits)
    """What one query may take of the server."""
    cluster: Annotated[str, Field(pattern=f"^{CLUSTER.pattern}$")] | None = None
    """Cluster (of system.clusters) over all shards of which the source tables are read; none: the server alone."""
    store_endpoint: str | None = None
    """URL of the object store as the ClickHouse server reaches it, where it differs from store.endpoint."""
    store_collection: Annotated[str, Field(pattern=f"^{IDENTIFIER.pattern}$")] | None = None
    """Named collection of the server with the store's keys (access_key_id, secret_access_key); none: they stand in the
    text of queries that read data files."""
    store_access_key: str | None = None
    """Access key with which the ClickHouse server reads data files; without it, store.access_key."""
    store_secret_key: SecretStr | None = None
    """Secret of that key."""

    @model_validator(mode="after")
    def _said_once(self) -> Self:
        for setting in sorted(self.limits.settings().keys() & self.query_settings.keys()):
            raise ValueError(
                f"query_settings names {setting}, which limits.{limit_of(setting)} is for; leave one of them out"
            )
        return self


class KafkaSettings(Section):
    """The event topic, its dead letters, and the consumer group."""

    bootstrap_servers: str = "127.0.0.1:9092"
    """Brokers to start from: host:port, separated by commas."""
    topic: Topic = "icehaul.events"
    """Topic of the events."""
    dead_letter_topic: Topic = "icehaul.events.dead"
    """Topic of the messages that can never be handled."""
    group: str = "icehaul"
    """Consumer group; all consumers of one deployment share it."""
    group_protocol: Literal["consumer", "classic"] = "consumer"
    """Protocol of the group: consumer (KIP-848, Kafka 4.0 and newer) or classic."""
    assignment_strategy: Literal["cooperative-sticky", "range", "roundrobin"] = "cooperative-sticky"
    """How partitions are handed out; used by the classic protocol only."""
    group_instance_id: str | None = None
    """Identity of a static member, different for each consumer process."""
    partitions: Annotated[int, Field(ge=1, le=1000)] = 12
    """Partitions of the event topic, where it has to be created."""
    replication_factor: Annotated[int, Field(ge=1, le=10)] = 1
    """Copies of each partition, where a topic has to be created."""
    retention: PositiveDuration = timedelta(days=7)
    """How long events are kept, where the event topic has to be created."""
    options: dict[str, str] = Field(default_factory=dict)
    """Options for librdkafka as they are, such as security.protocol, sasl.mechanism, sasl.username, ssl.ca.location."""
    secret_options: dict[str, SecretStr] = Field(default_factory=dict)
    """The same for options whose values are secrets, such as sasl.password."""


class PostgresSettings(Section):
    """The ledger's database, which holds the Iceberg catalog too."""

    dsn: SecretStr = SecretStr("postgresql://127.0.0.1:5432/icehaul")
    """Connection string: postgresql://USER:PASSWORD@HOST:PORT/DATABASE, a secret; ?sslmode=verify-full&sslrootcert=FILE
    makes the connection an encrypted one to a server that was proved to be the right one."""
    pool_size: Annotated[int, Field(ge=1, le=100)] = 8
    """Connections of one process at most."""
    connect_timeout_seconds: Seconds = 10
    """Seconds until a connection must be there."""
    lock_timeout_seconds: Seconds = 5
    """Seconds that a statement waits for a lock."""
    statement_timeout_seconds: Seconds = 30
    """Seconds that a statement may take."""


class StoreSettings(Section):
    """The object store that holds the cold tier, spoken to by the S3 protocol."""

    endpoint: str | None = None
    """URL of the S3 service; without it, Amazon's for the region."""
    region: str = "us-east-1"
    """Region of the bucket."""
    bucket: Bucket = "icehaul"
    """Bucket, which must exist."""
    prefix: Folders = "warehouse"
    """Folder of the warehouse in the bucket."""
    access_key: str | None = None
    """Access key; without it, what the process's environment offers (a profile, a role)."""
    secret_key: SecretStr | None = None
    """Secret of the access key."""
    task_role: Annotated[str, Field(pattern="^arn:[a-z-]+:iam:.*role/.+$")] | None = None
    """ARN of a role that is assumed for each batch: its Spark tasks get credentials that expire and reach the batch's
    own folder alone, instead of the keys; none: they get the keys."""
    sts_endpoint: str | None = None
    """URL of the service where the role is assumed (STS); without it, store.endpoint, or Amazon's."""
    task_credentials_seconds: Annotated[int, Field(ge=900, le=43_200)] = 3600
    """Seconds for which these credentials are good; units that are not written by then get new ones."""
    ca_file: str | None = None
    """File with the certificate authority of an https endpoint (PEM), where it is not one of the system's; it has to be
    there on every machine that runs Spark tasks, too. Certificates are always checked."""
    path_style: bool = True
    """Whether the bucket stands in the path and not in the host name; most stores but Amazon's need it."""

    @property
    def warehouse(self) -> str:
        """The warehouse location: ``s3://bucket/prefix``."""
        return f"s3://{self.bucket}/{self.prefix}"


class CatalogSettings(Section):
    """The Iceberg catalog: by default tables of the ledger's own database, so that a publish is one transaction.

    In another database (``dsn``) or behind a REST server (``type: rest``) a publish has two steps.
    """

    name: str = "icehaul"
    """Name of the catalog, shared with every engine that reads it (in Postgres: iceberg_tables.catalog_name)."""
    type: Literal["postgres", "rest"] = "postgres"
    """postgres: Iceberg's JDBC catalog; rest: a server that speaks Iceberg's REST protocol."""
    dsn: SecretStr | None = None
    """Connection string of the database that holds the catalog, where that is not the ledger's; a secret."""
    uri: str | None = None
    """Address of the REST server, without /v1: https://HOST:PORT/PATH; with type rest, as everything below."""
    warehouse: str | None = None
    """Warehouse (catalog, table bucket) that the REST server is asked for; without it, the server's own default."""
    credential: SecretStr | None = None
    """Credential for OAuth2 of the REST server: ID:SECRET; a secret."""
    token: SecretStr | None = None
    """Bearer token for the REST server, instead of a credential; a secret."""
    oauth2_server_uri: str | None = None
    """Address at which a credential is exchanged for a token; without it, the REST server's own."""
    scope: str | None = None
    """OAuth2 scope that is asked for."""
    properties: dict[str, str] = Field(default_factory=dict)
    """Further properties of PyIceberg's REST catalog as they are, such as header.X-Tenant or rest.sigv4-enabled."""
    secret_properties: dict[str, SecretStr] = Field(default_factory=dict)
    """The same for properties whose values are secrets, such as header.Authorization."""
    ca_file: str | None = None
    """File with the certificate authority (PEM) of the REST server, where it is not one of the system's."""
    connect_timeout_seconds: Seconds = 5
    """Seconds until a connection to the REST server must be there."""
    timeout_seconds: Seconds = 30
    """Seconds that the REST server may take for an answer; a commit that takes longer is read back."""

    @property
    def two_step(self) -> bool:
        """Whether the catalog lies outside the ledger's database, so that a publish has two steps."""
        return self.type == "rest" or self.dsn is not None


class SparkSettings(Section):
    """The Spark session that writes batches."""

    master: str = "local[2]"
    """Where the tasks run: local[N] (in this process's machine, N at a time), spark://HOST:PORT, yarn, or
    k8s://URL of a Kubernetes API server."""
    remote: SparkRemote | None = None
    """Spark Connect server that runs the tasks, instead of master: sc://HOST:PORT, with a token a secret."""
    driver_memory: str = "512m"
    """Heap of the driver's JVM, as Spark writes it: 512m, 2g; not with remote."""
    jars: Names = ()
    """Paths or URLs of further jars (spark.jars), where JVM engines read Iceberg in this session; not with remote."""
    conf: dict[str, str] = Field(default_factory=dict)
    """Further Spark properties; they win over icehaul's own; not with remote."""
    environment: Literal["shipped", "installed"] = "shipped"
    """Where executors on other machines have the Python libraries of tasks from: shipped (sent along by icehaul) or
    installed (there already); not with remote."""
    writer: WriterPolicy = WriterPolicy.STREAM
    """Who makes the Parquet files: stream (the tasks), export (ClickHouse), or auto (large ones by export)."""
    block_rows: Annotated[int, Field(ge=1024, le=1_048_576)] = 65_536
    """Rows that a task holds in memory at once."""
    row_group_rows: Annotated[int, Field(ge=1024)] = 1_048_576
    """Rows of one Parquet row group at most."""

    @property
    def place(self) -> str:
        """Where the tasks run, as it may be shown: without the parameters of ``remote``, which may be secrets."""
        return self.master if self.remote is None else address_of(self.remote.get_secret_value())


class ConsumerSettings(Section):
    """One consumer process."""

    workers: Annotated[int, Field(ge=1, le=256)] = 4
    """Streams that are worked on at the same time; one that waits for its next attempt does not count."""
    order: StreamOrder = StreamOrder.WAITING
    """Which stream's events come first where more wait than there are workers: the longest wait, the oldest or
    newest watermark, or the least time to loss; streams in danger come before all others."""
    turn_seconds: Seconds = 60
    """Seconds after which a stream that works on a backlog lets others have its worker, at the end of a batch."""
    events_per_partition: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Events of one partition that wait in memory at most; then the partition is paused."""
    lease_seconds: Seconds = 30
    """Seconds after which a dead consumer's streams are free for others."""
    revoke_deadline_seconds: Seconds = 20
    """Seconds that running batches get when a partition is taken away."""
    shutdown_deadline_seconds: Seconds = 25
    """Seconds that running batches get after SIGTERM."""
    relay_interval_seconds: Seconds = 1
    """Seconds between two looks at the outbox."""
    loss_watch_seconds: Seconds = 60
    """Seconds between two looks at how near the sources' TTLs are to rows that were not offloaded."""
    table_watch_seconds: Seconds = 300
    """Seconds between two looks at how many files the targets have, and how small they are."""
    ledger_history: LongDuration = timedelta(weeks=13)
    """How long the ledger keeps what nothing needs any more, at least 7d; windows, batches and files stay."""
    audit_interval: PositiveDuration | None = None
    """How often the streams whose events this consumer handles are audited, without reading rows; none: never."""
    http_host: str = "127.0.0.1"
    """Address on which /metrics, /livez, /readyz, /startupz and the console are served."""
    http_port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """Port of these; 0 takes a free one."""
    console: bool = True
    """Whether the console, a web page that shows the streams, is served there."""
    console_token: Annotated[SecretStr, Field(min_length=16)] | None = None
    """Token with which streams can be paused and resumed in the console; without it, it only shows; a secret."""
    console_hosts: Names = ()
    """Host names under which a proxy serves the console; addresses, localhost and http_host need not be named."""


class TelemetrySettings(Section):
    """Traces and logs. ``otlp_endpoint`` and ``trace_file`` may both be given, or neither."""

    service_name: str = "icehaul"
    """service.name of all spans."""
    otlp_endpoint: str | None = None
    """URL of an OTLP/HTTP collector that spans are sent to, as protobuf; its path is /v1/traces unless it has one."""
    otlp_headers: dict[str, SecretStr] = Field(default_factory=dict)
    """Headers of every request to it, such as Authorization; their values are secrets."""
    otlp_ca_file: str | None = None
    """File with the certificate authority (PEM) of an https collector, where it is not one of the system's."""
    trace_file: str | None = None
    """File that spans are appended to, one OTLP/JSON line each."""
    trace_url: TraceUrl | None = None
    """Address of a trace in what shows traces, with {trace_id} in the place of its id; `icehaul trace` prints it."""
    sample_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of traces that are recorded: 0 to 1; a trace that its producer has sampled is, whatever this says."""
    resource: ResourceAttributes = Field(default_factory=dict)
    """Further resource attributes of all spans, such as deployment.environment.name."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity that is logged."""
    log_format: Literal["auto", "console", "json"] = "auto"
    """console for people, json for programs; auto is console on a terminal."""
