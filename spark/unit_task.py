"""What travels to a task and back: values that pickle, with secrets kept out of their text."""

from __future__ import annotations

from dataclasses import dataclass, field

from consumer.domain.batch import WrittenFile
from consumer.domain.clickhouse_sql import quote_text
from consumer.domain.errors import IcehaulError
from consumer.domain.file_options import DEFAULTS, Codec
from consumer.domain.row_order import SortKey
from consumer.domain.writer import Writer

STORE_KEY = "$icehaul-store-secret-key$"
"""What a task's query has in the place of the store's secret key, which travels with the job instead."""


def attempt_path(prefix: str, index: int, attempt: object) -> str:
    """Return the path of one attempt at a unit, without what tells the kind of file."""
    return f"{prefix}/{index:05d}-{attempt}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOrder:
    """What the task asks ClickHouse to write by itself.

    Attributes:
        statement: the statement, with placeholders for the attempt's id and the store's key.
        may_stream: whether the task reads the rows itself where ClickHouse refuses.
    """

    statement: str
    may_stream: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RewriteOrder:
    """What a task makes one file of.

    Attributes:
        paths: the data files.
        deletes: position-delete files that may name rows of them.
        schema_json: the Iceberg schema with which they were written, and the file is.
        rows: how many rows the table says they hold, with those that are deleted.
        keys: what the rows are sorted by.
        sort_id: number of the table's sort order that the keys are.
    """

    paths: tuple[str, ...]
    deletes: tuple[str, ...]
    schema_json: str
    rows: int
    keys: tuple[SortKey, ...] = ()
    sort_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitTask:
    """One unit of one batch; the data of the job, which no Spark page or log shows.

    Attributes:
        index: number of the unit in its batch.
        batch_id: the batch, for names and messages.
        query: the reading query; its last column is the row hash. Where it reads a data file, :data:`STORE_KEY` stands
            in the place of the store's key: PySpark writes a job's data to a file on its way to the JVM.
        prefix: URI under which the task makes its own path.
        traceparent: W3C trace context in which the task works.
        export: how ClickHouse is to write the unit by itself; ``None``: the task reads the rows.
        rewrite: the data files whose rows are written; ClickHouse is not asked.
    """

    index: int
    batch_id: str
    query: str
    prefix: str
    traceparent: str | None = None
    export: ExportOrder | None = None
    rewrite: RewriteOrder | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceAccess:
    """How a task reaches ClickHouse over HTTP; times in seconds."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    secure: bool
    verify: bool
    ca_file: str | None
    connect_timeout_s: float
    query_timeout_s: float
    settings: tuple[tuple[str, str | int], ...]
    block_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreAccess:
    """How a task reaches the object store; without keys the machine's own identity is used.

    ``ca_file`` holds the authority that an https endpoint is checked against; without it, those of the system.
    Credentials that expire have a ``session_token``, and ``expires_ns``, in nanoseconds since the Unix epoch.
    """

    endpoint: str | None
    region: str
    access_key: str | None
    secret_key: str | None = field(repr=False)
    path_style: bool
    ca_file: str | None = None
    session_token: str | None = field(default=None, repr=False)
    expires_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLayout:
    """How a data file is laid out.

    ``schema_json`` is the target's Iceberg schema with its field ids; a row group ends at whichever bound
    is met first, ``row_group_bytes`` counting Arrow memory, so that a task's memory is bounded. The rest is as in
    :class:`~consumer.domain.file_options.FileOptions`; sizes of ``None`` are the writer's own.
    """

    schema_json: str
    row_group_rows: int
    row_group_bytes: int
    codec: Codec = DEFAULTS.codec
    level: int | None = DEFAULTS.level
    page_bytes: int | None = None
    dictionary_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobContext:
    """What all tasks of a job share; it travels in the closure, which no Spark page or log shows.

    ``failpoints`` is the specification of those at which the tasks of this one job are to fail; ``file_secret`` is the
    secret with which ClickHouse reads data files: it may stand in a query, and must not in a message.
    """

    source: SourceAccess
    store: StoreAccess
    layout: FileLayout
    failpoints: str = ""
    file_secret: str | None = field(default=None, repr=False)

    def complete(self, query: str) -> str:
        """Return a task's query with the store's key in its place."""
        return query.replace(quote_text(STORE_KEY), quote_text(self.file_secret or ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitOutcome:
    """How a task ended: a file, no file because the unit held no row, or an error.

    Times in nanoseconds since the Unix epoch. ``refusal`` is why ClickHouse did not export a unit which the task then
    read itself. ``traceparent`` is the trace context in which the task worked, ``host``
    and ``pid`` tell where: the driver makes the task's span of them. ``removed`` holds deleted rows of rewritten files.
    """

    unit: int
    file: WrittenFile | None
    error: IcehaulError | None
    started_ns: int
    ended_ns: int
    writer: Writer = Writer.STREAM
    refusal: str | None = None
    traceparent: str | None = None
    host: str = ""
    pid: int = 0
    removed: WrittenFile | None = None
