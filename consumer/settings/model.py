"""The whole configuration: connections and streams."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from consumer.domain.errors import TargetMismatchError
from consumer.domain.file_options import FileOptions
from consumer.domain.retention import OnDanger, RetentionPolicy
from consumer.domain.stream import (
    BatchBounds,
    DigestPolicy,
    Layer,
    Mode,
    OnDivergence,
    ReplacePolicy,
    RetryPolicy,
    Stream,
    TableName,
    check_identifier,
)
from consumer.domain.type_choices import As
from consumer.domain.window import PartitionBy
from consumer.settings.connections import (
    CatalogSettings,
    ClickHouseSettings,
    ConsumerSettings,
    KafkaSettings,
    PostgresSettings,
    SparkSettings,
    StoreSettings,
    TelemetrySettings,
)
from consumer.settings.emission import EmitterSettings
from consumer.settings.maintenance import MaintenanceSettings
from consumer.settings.scalars import Duration, Instant, PositiveDuration, Size
from consumer.settings.section import Section


def _identifier(value: str) -> str:
    return check_identifier("name", value)


def _table(value: str) -> str:
    return str(TableName.parse(value))


Identifier = Annotated[str, AfterValidator(_identifier)]
Table = Annotated[str, AfterValidator(_table)]


class BatchSettings(Section):
    """Upper bounds of one batch; ``unit_rows`` bounds one Spark task and so one file."""

    rows: Annotated[int, Field(ge=1, le=1_000_000_000)] = 5_000_000
    """Rows of one batch."""
    bytes: Size = Field(default=Size(2 * 1024**3), gt=0)
    """Uncompressed source bytes of one batch."""
    window: PositiveDuration = timedelta(days=31)
    """Span of the time column in one batch, counted from its first row."""
    unit_rows: Annotated[int, Field(ge=1, le=100_000_000)] = 2_000_000
    """Rows of one unit: one Spark task, one data file."""


class FailureSettings(Section):
    """How a stream's passing errors are retried before the stream is halted."""

    attempts: Annotated[int, Field(ge=1, le=1000)] = 5
    """Attempts before the stream is halted."""
    initial: Duration = timedelta(seconds=1)
    """Pause after the first failure; it doubles with each further one, and some jitter is added."""
    maximum: Duration = timedelta(seconds=60)
    """Longest pause."""


class LateRowsSettings(Section):
    """What happens to rows that arrive below the watermark."""

    max_age: PositiveDuration | None = None
    """Rows that are found this long after their timestamp are reported, and not added; without it all are added."""


class ReplaceSettings(Section):
    """How windows are replaced in the modes that do so by themselves: latest-version and replace-window."""

    remove_rows: bool = False
    """Whether rows that were deleted in the source go from the target, too; otherwise they stay, and are reported. What
    a TTL or a dropped partition has taken stays in any case."""
    windows_per_event: Annotated[int, Field(ge=1, le=10_000)] = 8
    """How many windows are replaced on behalf of one event, after its new rows; the others wait for the next event."""


class RetentionSettings(Section):
    """What happens when the source's TTL is about to delete rows that were not offloaded."""

    margin: PositiveDuration = timedelta(hours=6)
    """Time to loss below which rows are in danger: status and doctor warn, and the stream's events come first."""
    on_danger: OnDanger = OnDanger.PROCEED
    """What to do where waiting for upstreams would lose rows: proceed (without waiting) or halt (for an operator)."""


class StreamSettings(Section):
    """One source table → target table."""

    name: Identifier
    """Unique name: letters, digits and _; the key of the stream's events."""
    source: Table
    """ClickHouse table: database.table."""
    target: Table
    """Iceberg table: namespace.table; written by this stream alone."""
    timestamp_column: Identifier
    """Time column (Date, Date32, DateTime or DateTime64 up to microseconds, not Nullable)."""
    sequence_columns: tuple[Identifier, ...] = ()
    """Columns that order rows of one instant; an oversized instant is split by them."""
    columns: dict[Identifier, As] = Field(default_factory=dict)
    """What columns become whose type leaves a choice, by name, such as {amount: string}; docs/reference/types.md lists
    the choices of each type and what they lose. Fixed once the target exists."""
    mode: Mode = Mode.APPEND
    """What the target follows: append (rows as they are read, once), latest-version (rows as FINAL shows them) or
    replace-window (rows as they are after mutations); docs/how-to/choose-a-mode.md."""
    replace: ReplaceSettings = ReplaceSettings()
    """How windows are replaced in the modes that do so by themselves."""
    renamed_columns: dict[Identifier, Identifier] = Field(default_factory=dict)
    """Source columns that were renamed: the old name by the new one, such as {amount: total}; the target's column is
    renamed with them. Without it a rename halts the stream. An entry may stay: it has done its work once."""
    dropped_columns: tuple[Identifier, ...] = ()
    """Source columns that were dropped, and not renamed, where a column was added at the same time."""
    layer: Layer = Layer.BRONZE
    """Layer of the lake: bronze, silver or gold."""
    start: Instant | None = None
    """Where the stream starts: rows before this instant are offloaded by `icehaul backfill` only. It counts when the
    stream is first claimed; later changes are reported, and change nothing."""
    settle_lag: Duration = timedelta(minutes=5)
    """How long a row may arrive after its timestamp; younger rows are not read yet."""
    row_span: Duration = timedelta(0)
    """How long after its timestamp a row may still change, such as 1d for a daily bar."""
    batch: BatchSettings = BatchSettings()
    """Upper bounds of one batch."""
    partition_by: PartitionBy = PartitionBy.DAY
    """Partition transform of the target on the time column, in UTC."""
    sort_by: tuple[Identifier, ...] = ()
    """Columns that a new target has the rows of its files sorted by; none: they stay as ClickHouse reads them.
    Afterwards the target's own sort order counts: ALTER TABLE … WRITE ORDERED BY changes it for new files."""
    format_version: Literal[2] = 2
    """Version of Iceberg's table format that a new target has. Version 3, with timestamps in nanoseconds and variants,
    is refused: the library that commits does not write it (docs/reference/types.md)."""
    table_properties: dict[str, str] = Field(default_factory=dict)
    """Iceberg table properties that the target gets unless it has other values for them already, such as
    write.parquet.compression-level: "3" or write.target-file-size-bytes."""
    upstreams: tuple[Identifier, ...] = ()
    """Streams that this one is derived from, and whose watermark it never passes."""
    on_failure: FailureSettings = FailureSettings()
    """How passing errors are retried before the stream is halted."""
    late_rows: LateRowsSettings = LateRowsSettings()
    """What happens to rows that arrive below the watermark."""
    on_divergence: OnDivergence = OnDivergence.HALT
    """What happens where the target was rolled back, dropped or restored, or the ledger was: halt (until it is repaired
    with `icehaul repair`) or heal (repaired by itself; what the source does not hold any more is reported)."""
    digest: DigestPolicy = DigestPolicy.ALWAYS
    """Which written files ClickHouse reads back before the publish, to compare their digest with that of the rows read:
    always (all), sampled (a share) or on_demand (none; `icehaul verify` does it)."""
    digest_share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the files that are read back with digest: sampled; drawn by batch and unit, at every attempt alike."""
    create_target: bool = True
    """Whether a missing target is created; otherwise the stream is halted."""
    retain_snapshots: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Snapshots that the target keeps."""
    retention: RetentionSettings = RetentionSettings()
    """What happens when the source's TTL is about to delete rows that were not offloaded."""
    maintenance: MaintenanceSettings = MaintenanceSettings()
    """What is maintained of the target, and when."""

    @field_validator("format_version", mode="before")
    @classmethod
    def _written(cls, value: object) -> object:
        if value in {3, "3"}:
            raise ValueError(
                "3 can't be written: PyIceberg, by which icehaul commits, writes no metadata of format version 3; leave"
                " it at 2, and choose in `columns` what times in nanoseconds and variants become"
            )
        return value

    @field_validator("table_properties")
    @classmethod
    def _followed(cls, value: dict[str, str]) -> dict[str, str]:
        if owned := sorted(name for name in value if name.startswith("icehaul.") or name == "format-version"):
            raise ValueError(f"{owned[0]} is set by icehaul itself")
        try:
            FileOptions.of("of the stream", value)
        except TargetMismatchError as error:
            raise ValueError(error.message) from error
        return value

    @field_validator("sequence_columns", "upstreams", "sort_by", "dropped_columns")
    @classmethod
    def _no_repetition(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if repeated := sorted({name for name in value if value.count(name) > 1}):
            raise ValueError(f"{', '.join(repeated)} stands there more than once")
        return value

    def to_stream(self, cluster: str | None = None) -> Stream:
        """Return the domain's view of this stream, whose source may be read over a cluster."""
        return Stream(
            name=self.name,
            source=replace(TableName.parse(self.source), cluster=cluster),
            target=TableName.parse(self.target),
            timestamp_column=self.timestamp_column,
            sequence_columns=self.sequence_columns,
            columns=tuple(sorted(self.columns.items())),
            renamed_columns=tuple(sorted(self.renamed_columns.items())),
            dropped_columns=self.dropped_columns,
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
            digest_share=self.digest_share,
            create_target=self.create_target,
            retain_snapshots=self.retain_snapshots,
            late_rows_max_age=self.late_rows.max_age,
            start=self.start,
            on_divergence=self.on_divergence,
            sort_by=self.sort_by,
            table_properties=tuple(sorted(self.table_properties.items())),
            retention=RetentionPolicy(margin=self.retention.margin, on_danger=self.retention.on_danger),
            mode=self.mode,
            replace=ReplacePolicy(
                remove_rows=self.replace.remove_rows, windows_per_event=self.replace.windows_per_event
            ),
            maintenance=self.maintenance.to_policy(),
        )


class Configuration(BaseModel):
    """Everything that one icehaul process is configured with."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    clickhouse: ClickHouseSettings = ClickHouseSettings()
    """The hot tier."""
    kafka: KafkaSettings = KafkaSettings()
    """Events and the consumer group."""
    postgres: PostgresSettings = PostgresSettings()
    """Ledger and Iceberg catalog."""
    store: StoreSettings = StoreSettings()
    """The object store of the cold tier."""
    catalog: CatalogSettings = CatalogSettings()
    """The Iceberg catalog."""
    spark: SparkSettings = SparkSettings()
    """The Spark session."""
    consumer: ConsumerSettings = ConsumerSettings()
    """One consumer process."""
    emitter: EmitterSettings = EmitterSettings()
    """The emitter."""
    telemetry: TelemetrySettings = TelemetrySettings()
    """Traces and logs."""
    streams: tuple[StreamSettings, ...] = ()
    """The tables to offload, in the order of reports."""

    def by_name(self) -> dict[str, Stream]:
        """Return the streams by name, in the order of the file."""
        return {stream.name: stream.to_stream(self.clickhouse.cluster) for stream in self.streams}
