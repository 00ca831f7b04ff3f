"""The whole configuration: connections and streams."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from consumer.domain.stream import BatchBounds, DigestPolicy, Layer, RetryPolicy, Stream, TableName, check_identifier
from consumer.domain.window import PartitionBy
from consumer.settings.connections import (
    CatalogSettings,
    ClickHouseSettings,
    ConsumerSettings,
    EmitterSettings,
    KafkaSettings,
    PostgresSettings,
    Section,
    SparkSettings,
    StoreSettings,
    TelemetrySettings,
)
from consumer.settings.scalars import Duration, Size


def _identifier(value: str) -> str:
    return check_identifier("name", value)


def _table(value: str) -> str:
    return str(TableName.parse(value))


Identifier = Annotated[str, AfterValidator(_identifier)]
Table = Annotated[str, AfterValidator(_table)]


class BatchSettings(Section):
    """Upper bounds of one batch; ``unit_rows`` bounds one Spark task and so one file."""

    rows: Annotated[int, Field(ge=1, le=1_000_000_000)] = 5_000_000
    bytes: Size = Field(default=Size(2 * 1024**3), gt=0)
    window: Duration = timedelta(days=31)
    unit_rows: Annotated[int, Field(ge=1, le=100_000_000)] = 1_000_000


class FailureSettings(Section):
    """How a stream's passing errors are retried before the stream is halted."""

    attempts: Annotated[int, Field(ge=1, le=1000)] = 5
    initial: Duration = timedelta(seconds=1)
    maximum: Duration = timedelta(seconds=60)


class StreamSettings(Section):
    """One source table → target table."""

    name: Identifier
    source: Table
    target: Table
    timestamp_column: Identifier
    sequence_columns: tuple[Identifier, ...] = ()
    layer: Layer = Layer.BRONZE
    settle_lag: Duration = timedelta(minutes=5)
    row_span: Duration = timedelta(0)
    batch: BatchSettings = BatchSettings()
    partition_by: PartitionBy = PartitionBy.DAY
    upstreams: tuple[Identifier, ...] = ()
    on_failure: FailureSettings = FailureSettings()
    digest: DigestPolicy = DigestPolicy.ALWAYS
    create_target: bool = True
    retain_snapshots: Annotated[int, Field(ge=1, le=10_000)] = 100

    @field_validator("settle_lag", "row_span")
    @classmethod
    def _not_negative(cls, value: timedelta) -> timedelta:
        if value < timedelta(0):
            raise ValueError("a duration must not be negative")
        return value

    def to_stream(self) -> Stream:
        """Return the domain's view of this stream."""
        return Stream(
            name=self.name,
            source=TableName.parse(self.source),
            target=TableName.parse(self.target),
            timestamp_column=self.timestamp_column,
            sequence_columns=self.sequence_columns,
            layer=self.layer,
            settle_lag=self.settle_lag,
            row_span=self.row_span,
            partition_by=self.partition_by,
            upstreams=self.upstreams,
            bounds=BatchBounds(
                rows=self.batch.rows,
                bytes=int(self.batch.bytes),
                window=self.batch.window,
                unit_rows=self.batch.unit_rows,
            ),
            retry=RetryPolicy(
                attempts=self.on_failure.attempts, initial=self.on_failure.initial, maximum=self.on_failure.maximum
            ),
            digest=self.digest,
            create_target=self.create_target,
            retain_snapshots=self.retain_snapshots,
        )


class Configuration(BaseModel):
    """Everything that one icehaul process is configured with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    clickhouse: ClickHouseSettings = ClickHouseSettings()
    kafka: KafkaSettings = KafkaSettings()
    postgres: PostgresSettings = PostgresSettings()
    store: StoreSettings = StoreSettings()
    catalog: CatalogSettings = CatalogSettings()
    spark: SparkSettings = SparkSettings()
    consumer: ConsumerSettings = ConsumerSettings()
    emitter: EmitterSettings = EmitterSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    streams: tuple[StreamSettings, ...] = ()

    @model_validator(mode="after")
    def _emitter_grace(self) -> Self:
        longest = max((stream.settle_lag for stream in self.streams), default=timedelta(0))
        if self.emitter.grace < longest:
            raise ValueError(
                f"emitter.grace is {self.emitter.grace}, shorter than the longest settle_lag ({longest}):"
                " a partition would be reported closed while its rows may still arrive; raise emitter.grace"
            )
        return self

    def by_name(self) -> dict[str, Stream]:
        """Return the streams by name, in the order of the file."""
        return {stream.name: stream.to_stream() for stream in self.streams}
