"""A stream: one configured source table that is offloaded into one target table."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from consumer.domain.maintenance import MaintenancePolicy
from consumer.domain.retention import RetentionPolicy
from consumer.domain.type_choices import As
from consumer.domain.window import BEGINNING, PartitionBy

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,126}")
"""What icehaul accepts as a name of a database, table, column, namespace or stream (ASCII only)."""

CLUSTER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,126}")
"""What icehaul accepts as the name of a ClickHouse cluster."""

_SHOWN = 130
"""How many characters of a wrong name a message quotes."""


def check_identifier(field_name: str, value: str) -> str:
    """Return ``value`` if it is an acceptable identifier.

    Raises:
        ValueError: naming the field, the value and what is allowed.
    """
    if IDENTIFIER.fullmatch(value) is None:
        shown = value if len(value) <= _SHOWN else value[:_SHOWN] + "..."
        raise ValueError(
            # Escaped, for a letter of another alphabet looks like one of ours.
            f"{field_name}: {shown!a} is not an allowed name; the letters a to z and A to Z, digits and _ are,"
            " not starting with a digit, 127 characters at most"
        )
    return value


class Layer(StrEnum):
    """Layer of the lake that a stream's target belongs to."""

    BRONZE = "bronze"
    SILVER = "silver"
    GOLD = "gold"


class DigestPolicy(StrEnum):
    """When ClickHouse reads the written files back to compare their digest with what was read."""

    ALWAYS = "always"
    """Every file, before its batch is published."""
    SAMPLED = "sampled"
    """A share of the files, before their batch is published."""
    ON_DEMAND = "on_demand"
    """None; `icehaul verify` reads them."""


class OnDivergence(StrEnum):
    """What happens where ledger and target table tell different stories."""

    HALT = "halt"
    """The stream is halted, with the command that repairs it."""
    HEAL = "heal"
    """The ledger is made to follow the table, and what that lacks is written again."""


class Mode(StrEnum):
    """What the cold tier follows: which rows of the source are offloaded, and what later changes of them do."""

    APPEND = "append"
    """Rows as the parts hold them when they are read; later changes are reported."""
    LATEST_VERSION = "latest-version"
    """Rows as a query with FINAL sees them; a window whose rows have other versions later is replaced."""
    REPLACE_WINDOW = "replace-window"
    """Rows as the parts hold them; a window whose rows a mutation has changed is replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplacePolicy:
    """How windows are replaced without being asked for, in the modes that do so.

    Attributes:
        remove_rows: whether rows go from the cold tier that were deleted in the source; else they stay, as a finding.
        windows_per_event: how many windows are replaced on behalf of one event; the others wait for the next.
    """

    remove_rows: bool = False
    windows_per_event: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TableName:
    """A two-part table name: ClickHouse ``database.table`` or Iceberg ``namespace.table``.

    Attributes:
        cluster: ClickHouse cluster over whose shards the table is read; ``None`` for one server's own table.
    """

    database: str
    table: str
    cluster: str | None = None

    def __post_init__(self) -> None:
        check_identifier("database", self.database)
        check_identifier("table", self.table)
        if self.cluster is not None and CLUSTER.fullmatch(self.cluster) is None:
            raise ValueError(f"cluster: {self.cluster[:_SHOWN]!a} is no allowed name of a cluster")

    def __str__(self) -> str:
        return f"{self.database}.{self.table}"

    @classmethod
    def parse(cls, text: str) -> TableName:
        """Parse ``database.table``.

        Raises:
            ValueError: if there are not exactly two parts, or one is no allowed identifier.
        """
        database, separator, table = text.partition(".")
        if not separator:
            raise ValueError(f"{text!r} has no database part; write it as database.table")
        return cls(database=database, table=table)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchBounds:
    """Upper bounds of one batch, and of one unit (one Spark task, one file) inside it.

    ``rows`` and ``unit_rows`` count rows, ``bytes`` counts uncompressed source bytes, ``window`` is a
    span of the time column counted from the first row.
    """

    rows: int = 5_000_000
    bytes: int = 2 * 1024**3
    window: timedelta = timedelta(days=31)
    unit_rows: int = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how fast a passing error is retried before the stream is halted."""

    attempts: int = 5
    initial: timedelta = timedelta(seconds=1)
    maximum: timedelta = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One configured source table → target table.

    Attributes:
        name: unique name; the Kafka key of its events.
        timestamp_column: time column of the source; the watermark and all windows are on it.
        sequence_columns: order inside an instant; split of an oversized instant.
        settle_lag: how long a row may arrive after its timestamp before it counts as late.
        row_span: how long after its timestamp a row may still change (a daily bar: one day).
        late_rows_max_age: rows that are found this long after their timestamp are reported, not added; ``None``
            adds all.
        upstreams: names of streams whose watermark this one never passes, but in danger of loss.
        digest_share: share of the files that are read back where ``digest`` is sampled, above 0 and below 1.
        on_divergence: what happens where ledger and target table tell different stories.
        columns: what columns become whose type leaves a choice, by name.
        renamed_columns: old names of source columns that were renamed, by the new name: their fields are renamed, too.
        dropped_columns: source columns that were dropped, and not renamed: their fields get no new values.
        start: where live windows start; ``None`` is the beginning of time. History below it is offloaded on request.
        sort_by: columns that rows are sorted by inside of each file; none: rows stand as ClickHouse reads them. The
            target is made with it; afterwards its own sort order counts.
        table_properties: Iceberg table properties that the target gets where it has no value for them.
        retention: how near the source's TTL may come to rows that were not offloaded, and what happens then.
        mode: what the cold tier follows.
        replace: how windows are replaced where the mode does that by itself.
        maintenance: what is maintained of the target, and when.
    """

    name: str
    source: TableName
    target: TableName
    timestamp_column: str
    sequence_columns: tuple[str, ...] = ()
    layer: Layer = Layer.BRONZE
    settle_lag: timedelta = timedelta(minutes=5)
    row_span: timedelta = timedelta(0)
    partition_by: PartitionBy = PartitionBy.DAY
    upstreams: tuple[str, ...] = ()
    bounds: BatchBounds = field(default_factory=BatchBounds)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    digest: DigestPolicy = DigestPolicy.ALWAYS
    digest_share: float = 0.1
    create_target: bool = True
    retain_snapshots: int = 100
    late_rows_max_age: timedelta | None = None
    retention: RetentionPolicy = field(default_factory=RetentionPolicy)
    start: datetime | None = None
    on_divergence: OnDivergence = OnDivergence.HALT
    columns: tuple[tuple[str, As], ...] = ()
    renamed_columns: tuple[tuple[str, str], ...] = ()
    dropped_columns: tuple[str, ...] = ()
    sort_by: tuple[str, ...] = ()
    table_properties: tuple[tuple[str, str], ...] = ()
    mode: Mode = Mode.APPEND
    replace: ReplacePolicy = field(default_factory=ReplacePolicy)
    maintenance: MaintenancePolicy = field(default_factory=MaintenancePolicy)

    def __post_init__(self) -> None:
        check_identifier("stream name", self.name)
        check_identifier("timestamp_column", self.timestamp_column)
        for column in self.sequence_columns:
            check_identifier("sequence_columns", column)
        for column in self.sort_by:
            check_identifier("sort_by", column)

    @property
    def begins(self) -> datetime:
        """The instant from which on rows are offloaded by live windows, as configured."""
        return BEGINNING if self.start is None else self.start
