"""Offloads random tables by both writers, and compares what both tiers hold."""

from __future__ import annotations

import io
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import clickhouse_connect
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from pyarrow import fs

from consumer.bootstrap import Application
from consumer.domain.batch import Unit
from consumer.domain.clickhouse_type import ClickHouseType, Element, parse_type
from consumer.domain.errors import IcehaulError, Reaction, StreamError
from consumer.domain.event_factory import tick
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.stream import Stream
from consumer.domain.unit_query import READ_SETTINGS, unit_query
from consumer.domain.window import BEGINNING, END_OF_TIME, Window
from consumer.domain.wire_form import INVALID_TEXT
from consumer.domain.writer import WriterPolicy
from consumer.embedded.endpoints import Endpoints
from consumer.ports import StreamState
from spark.columns import ColumnCast
from tests.roundtrip.schemas import BOUNDARY, Expected, TableCase
from tests.support.hot_tier import CREATE_SETTINGS
from tests.support.local_platform import DELIVERIES, LocalPlatform, deliver, mapping_of

WRITERS = (WriterPolicy.STREAM, WriterPolicy.EXPORT)
_ALWAYS = Window(lower=BEGINNING, upper=END_OF_TIME)
_AT_ONCE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A table that did not come through as it has to."""

    case: TableCase
    writer: str
    problem: str


@dataclass(slots=True)
class Outcome:
    """What became of the tables; ``values_read`` counts those whose values a second reader compared one by one."""

    schemas: int = 0
    rows: int = 0
    columns: int = 0
    refused: int = 0
    unequal: int = 0
    values_read: int = 0
    families: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)


class Stage:
    """A database of source tables, and a consumer for each writer."""

    def __init__(self, endpoints: Endpoints, name: str, dsn: str, directory: Path, spark_url: str) -> None:
        self.endpoints = endpoints
        self.platforms = {
            writer: LocalPlatform(endpoints, f"{name}_{writer}", directory, dsn=dsn) for writer in WRITERS
        }
        self.database = self.platforms[WriterPolicy.STREAM].name
        for writer, platform in self.platforms.items():
            platform.sections = {"spark": {"remote": spark_url, "writer": writer.value}}

    def client(self) -> Client:
        """A client of a thread's own."""
        server = self.endpoints.clickhouse
        return clickhouse_connect.get_client(
            host=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            autogenerate_session_id=False,
        )

    @contextmanager
    def consumers(self, cases: Sequence[TableCase]) -> Iterator[dict[WriterPolicy, Application]]:
        """A consumer for each writer, with a stream for each table; tables and files are gone in the end."""
        with ExitStack() as resources:
            applications: dict[WriterPolicy, Application] = {}
            for writer, platform in self.platforms.items():
                platform.streams = [self._stream(case, platform.name) for case in cases]
                applications[writer] = resources.enter_context(Application(platform.configuration(), environment={}))
            try:
                yield applications
            finally:
                self._clear(cases)

    def _stream(self, case: TableCase, database: str) -> dict[str, object]:
        return {
            "name": f"{database}_{case.name}",
            "source": f"{self.database}.{case.name}",
            "target": f"{database}.{case.name}",
            "timestamp_column": "ts",
            "settle_lag": "0s",
            "partition_by": "month",
            "columns": case.chosen,
            "on_failure": {"attempts": 2, "initial": "10ms", "maximum": "100ms"},
        }

    def _clear(self, cases: Sequence[TableCase]) -> None:
        store = self.endpoints.store
        files = fs.S3FileSystem(
            endpoint_override=store.endpoint,
            region=store.region,
            access_key=store.access_key,
            secret_key=store.secret_key,
        )
        for platform in self.platforms.values():
            for case in cases:
                platform.client.command(f"DROP TABLE IF EXISTS {self.database}.{case.name} SYNC")
            files.delete_dir_contents(f"{store.bucket}/tests/{platform.name}", missing_dir_ok=True)

    def close(self) -> None:
        """Drop the databases."""
        for platform in self.platforms.values():
            platform.close()


def play(stage: Stage, cases: Sequence[TableCase], rows: int, *, sample: int = 1) -> Outcome:
    """Offload tables of so many rows by both writers; every ``sample``-th is also read by a second reader."""
    outcome, lock = Outcome(), threading.Lock()
    with stage.consumers(cases) as consumers, ThreadPoolExecutor(_AT_ONCE) as threads:

        def one(number: int) -> None:
            trial = _Trial(stage, consumers, cases[number], rows, read=number % sample == 0)
            trial.run()
            with lock:
                trial.add_to(outcome)

        list(threads.map(one, range(len(cases))))
    return outcome


class _Trial:
    """One table, by both writers."""

    def __init__(
        self, stage: Stage, consumers: dict[WriterPolicy, Application], case: TableCase, rows: int, *, read: bool
    ) -> None:
        self._stage, self._consumers, self._case, self._rows, self._read = stage, consumers, case, rows, read
        self._problems: dict[str, str] = {}
        self._cold: dict[WriterPolicy, Fingerprint] = {}
        self._refused = self._unequal = False
        self._arrived = 0

    def run(self) -> None:
        """Fill the table, and let both writers offload it."""
        client, table = self._stage.client(), f"{self._stage.database}.{self._case.name}"
        try:
            client.command(self._case.create(table), settings=CREATE_SETTINGS)
            client.command(self._case.insert(table, self._rows), settings=CREATE_SETTINGS)
        except Exception as error:  # noqa: BLE001 - a table that ClickHouse can't make is the generator's defect
            self._problems["source"] = f"{type(error).__name__}: {str(error)[:1_000]}"
            return
        finally:
            client.close()
        for writer, application in self._consumers.items():
            try:
                self._until_done(writer, application)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
                self._problems[writer] = f"{type(error).__name__}: {str(error)[:1_000]}"
        if len(set(self._cold.values())) > 1:
            self._unequal = True
            self._problems["both"] = f"the writers' files differ: {self._cold}"

    def _until_done(self, writer: WriterPolicy, application: Application) -> None:
        """Offload and compare; what passes by itself, such as a lost connection, is tried again as the runtime does."""
        for attempt in range(DELIVERIES):
            try:
                self._offload(writer, application)
            except IcehaulError as error:
                if error.reaction not in {Reaction.RETRY, Reaction.READ_BACK} or attempt == DELIVERIES - 1:
                    raise
            else:
                return

    def add_to(self, outcome: Outcome) -> None:
        """Count what became of it."""
        outcome.schemas += 1
        outcome.rows += self._arrived
        outcome.columns += len(self._case.columns)
        outcome.refused += self._refused
        outcome.unequal += self._unequal
        outcome.values_read += self._read and not self._refused
        outcome.families.update(name for column in self._case.columns for name in families(parse_type(column.type)))
        outcome.failures += [
            Failure(case=self._case, writer=writer, problem=problem) for writer, problem in self._problems.items()
        ]

    def _offload(self, writer: WriterPolicy, application: Application) -> None:
        stream = application.streams[f"{self._stage.platforms[writer].name}_{self._case.name}"]
        boundary = datetime.fromisoformat(BOUNDARY).replace(tzinfo=UTC)
        try:
            deliver(application, tick(stream=stream.name, boundary=boundary))
        except StreamError as error:
            self._halt(writer, f"{error.message}; {error.remedy}")
            return
        record = application.ledger.read([stream.name])[stream.name]
        if record.state is not StreamState.ACTIVE:
            self._halt(writer, f"{record.halt_reason}; {record.halt_remedy}")
            return
        if self._case.expected is not Expected.EXACT:
            self._problems[writer] = f"was not {self._case.expected}"
            return
        found = application.verifier.verify(stream)
        self._cold[writer], self._arrived = found.cold, found.cold.rows
        if not found.equal or found.cold.rows != self._rows:
            self._unequal = True
            self._problems[writer] = f"{found}"
        elif self._read:
            self._compare_values(writer, application, stream)

    def _halt(self, writer: WriterPolicy, said: str) -> None:
        self._refused = True
        wanted = {Expected.REFUSED_BYTES: INVALID_TEXT, Expected.REFUSED_TYPE: "choose by columns."}
        if self._case.expected is Expected.EXACT or wanted[self._case.expected] not in said:
            self._problems[writer] = f"refused: {said[:1_000]}"

    def _compare_values(self, writer: WriterPolicy, application: Application, stream: Stream) -> None:
        """Read the table by PyIceberg and Arrow's Parquet reader, and compare value by value with the source."""
        base = application.catalog._bases.load(stream.target)
        assert base is not None
        cold = base.table(application.catalog._io).scan().to_arrow()
        hot = self._hot_values(application, stream)
        differing = _rows(hot) - _rows(cold.select(hot.column_names))
        if differing or cold.num_rows != hot.num_rows:
            self._unequal = True
            self._problems[writer] = (
                f"read by Arrow, {differing.total()} rows differ, such as {next(iter(differing), '')}"
            )

    def _hot_values(self, application: Application, stream: Stream) -> pa.Table:
        mapping = mapping_of(application, stream.name)
        client = self._stage.client()
        try:
            query = unit_query(stream, mapping, Unit(index=0, window=_ALWAYS, rows=0))
            body = client.raw_query(query, fmt="ArrowStream", settings=dict(READ_SETTINGS))
        finally:
            client.close()
        arrived = pa.ipc.open_stream(io.BytesIO(body))
        cast = ColumnCast.to_iceberg(mapping.iceberg_schema().model_dump_json(), arrived.schema)
        batches = [cast.cast(batch) for batch in arrived]
        return pa.Table.from_batches(batches, schema=cast.schema)


def _rows(table: pa.Table) -> Counter[str]:
    """The rows as text, in which NaN equals NaN and the zeros differ."""
    return Counter(map(repr, zip(*(column.to_pylist() for column in table.columns), strict=True)))


def families(type_: ClickHouseType) -> Iterator[str]:
    """Yield the names of a type and of all that stand in it."""
    yield "Interval" if type_.name.startswith("Interval") else type_.name
    for argument in type_.arguments:
        if isinstance(argument, Element):
            yield from families(argument.type)
        elif isinstance(argument, ClickHouseType):
            yield from families(argument)


def seconds_since(started: float) -> float:
    """Return the seconds since an instant of the monotonic clock."""
    return round(time.monotonic() - started, 1)
