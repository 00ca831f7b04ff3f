"""Where the components of a running stack are, and with which secrets."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ClickHouseEndpoint(_Frozen):
    """The hot tier's HTTP interface."""

    host: str
    port: int
    user: str
    password: str = Field(repr=False)


class KafkaEndpoint(_Frozen):
    """The broker."""

    bootstrap_servers: str


class PostgresEndpoint(_Frozen):
    """The ledger's database, over TCP because JVM engines need that."""

    host: str
    port: int
    database: str
    user: str
    password: str = Field(repr=False)

    @property
    def dsn(self) -> str:
        """The libpq URI, password included."""
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{self.database}"

    @property
    def jdbc_url(self) -> str:
        """The JDBC URL, without credentials: JVM engines take them as properties."""
        return f"jdbc:postgresql://{self.host}:{self.port}/{self.database}"


class StoreEndpoint(_Frozen):
    """The S3-compatible object store and the bucket made for the cold tier."""

    endpoint: str
    bucket: str
    access_key: str
    secret_key: str = Field(repr=False)
    region: str


class RestCatalogEndpoint(_Frozen):
    """The Iceberg REST catalog that the object store serves; it takes the store's keys as its credential."""

    uri: str
    warehouse: str


class Endpoints(_Frozen):
    """Everything that a client of the stack has to know."""

    clickhouse: ClickHouseEndpoint
    kafka: KafkaEndpoint
    postgres: PostgresEndpoint
    store: StoreEndpoint
    rest_catalog: RestCatalogEndpoint
    java_home: Path
    spark_jars: tuple[Path, ...]
    log_directory: Path

    def environment(self) -> dict[str, str]:
        """The same as environment variables, in the names that icehaul's settings read."""
        return {
            "ICEHAUL_CLICKHOUSE__HOST": self.clickhouse.host,
            "ICEHAUL_CLICKHOUSE__PORT": str(self.clickhouse.port),
            "ICEHAUL_CLICKHOUSE__USER": self.clickhouse.user,
            "ICEHAUL_CLICKHOUSE__PASSWORD": self.clickhouse.password,
            "ICEHAUL_KAFKA__BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "ICEHAUL_POSTGRES__DSN": self.postgres.dsn,
            "ICEHAUL_STORE__ENDPOINT": self.store.endpoint,
            "ICEHAUL_STORE__BUCKET": self.store.bucket,
            "ICEHAUL_STORE__ACCESS_KEY": self.store.access_key,
            "ICEHAUL_STORE__SECRET_KEY": self.store.secret_key,
            "ICEHAUL_STORE__REGION": self.store.region,
            "ICEHAUL_SPARK__JARS": ",".join(str(jar) for jar in self.spark_jars),
            "JAVA_HOME": str(self.java_home),
        }
