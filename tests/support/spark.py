"""The warm Spark engines of the test run, and tables for them to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import uuid4

import clickhouse_connect
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clickhouse_connect.driver.client import Client
from pyarrow.fs import FileSystem
from pyiceberg.schema import assign_fresh_schema_ids

from consumer.adapters.clickhouse.files import FileReader
from consumer.adapters.spark.access import file_layout, open_session, source_access, store_access, without_keys
from consumer.adapters.spark.engine import SparkEngine
from consumer.adapters.spark.exports import Exports
from consumer.domain.batch import Batch, BatchKind, Unit
from consumer.domain.clickhouse_sql import quote_text
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.mapping import SourceColumn, TableMapping
from consumer.domain.stream import Stream, TableName
from consumer.domain.type_choices import As
from consumer.domain.type_mapping import map_source
from consumer.domain.unit_query import file_rows, file_structure, fingerprint_query, unit_query, wire_rows
from consumer.domain.window import Window
from consumer.domain.writer import EXPORT_BYTES_MIN, WriterPolicy
from consumer.embedded.endpoints import Endpoints
from consumer.embedded.stack import EmbeddedStack
from consumer.ports import TargetTable, UnitReport
from consumer.settings.connections import ClickHouseSettings, SparkSettings, StoreSettings
from spark.connect_session import ConnectSession
from spark.object_store import connect, key_of
from spark.unit_task import JobContext, UnitTask
from tests.support.spark_connect_server import SparkConnectServer, running_connect_server

START = datetime(2024, 1, 1, tzinfo=UTC)


def clickhouse_settings(endpoints: Endpoints) -> ClickHouseSettings:
    server = endpoints.clickhouse
    return ClickHouseSettings(host=server.host, port=server.port, user=server.user, password=server.password)


def store_settings(endpoints: Endpoints) -> StoreSettings:
    store = endpoints.store
    return StoreSettings(
        endpoint=store.endpoint,
        bucket=store.bucket,
        access_key=store.access_key,
        secret_key=store.secret_key,
        region=store.region,
    )


@pytest.fixture(scope="session")
def spark_engine(stack: EmbeddedStack) -> Iterator[SparkEngine]:
    """The one engine of this process, on the stack's servers; starts with its first batch."""
    engine = SparkEngine(SparkSettings(), clickhouse_settings(stack.endpoints), store_settings(stack.endpoints))
    yield engine
    engine.stop()


@pytest.fixture(scope="session")
def connect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkConnectServer]:
    """The one Spark Connect server of this process: warm, shared, and never to be killed."""
    with running_connect_server(tmp_path_factory.mktemp("spark-connect")) as server:
        yield server


@pytest.fixture(scope="session")
def connect_engine(stack: EmbeddedStack, connect_server: SparkConnectServer) -> Iterator[SparkEngine]:
    """The engine that hands its batches to the shared Spark Connect server."""
    engine = remote_engine(stack.endpoints, connect_server.url)
    yield engine
    engine.stop()


def remote_engine(endpoints: Endpoints, url: str, writer: WriterPolicy = WriterPolicy.STREAM) -> SparkEngine:
    """An engine on a Spark Connect server; any number of them fits into a process."""
    settings = SparkSettings.model_validate({"remote": url, "writer": writer})
    return SparkEngine(settings, clickhouse_settings(endpoints), store_settings(endpoints))


def joined(url: str) -> ConnectSession:
    """A session on a Spark Connect server, without an engine."""
    session = open_session(SparkSettings.model_validate({"remote": url}))
    assert isinstance(session, ConnectSession)
    return session


@dataclass(frozen=True)
class HotTable:
    """A source table of a test, with everything that offloading it needs."""

    client: Client
    endpoints: Endpoints
    stream: Stream
    mapping: TableMapping
    target: TargetTable

    @classmethod
    def create(
        cls, endpoints: Endpoints, columns: str, order_by: str = "ts", chosen: Mapping[str, As] | None = None
    ) -> HotTable:
        server = endpoints.clickhouse
        client = clickhouse_connect.get_client(
            host=server.host, port=server.port, username=server.user, password=server.password
        )
        name = f"t_{uuid4().hex}"
        client.command(f"CREATE TABLE {name} ({columns}) ENGINE = MergeTree ORDER BY ({order_by})")
        return cls.of(endpoints, client, name, chosen)

    @classmethod
    def numbered(cls, endpoints: Endpoints, rows: int) -> HotTable:
        """A table with a row for each second after ``START``."""
        table = cls.create(endpoints, "ts DateTime64(6, 'UTC'), number UInt64")
        table.client.command(
            f"INSERT INTO {table.stream.source.table}"
            f" SELECT toDateTime64('2024-01-01 00:00:00', 6, 'UTC') + number, number FROM numbers({rows})"
        )
        return table

    @classmethod
    def of(cls, endpoints: Endpoints, client: Client, name: str, chosen: Mapping[str, As] | None = None) -> HotTable:
        described = client.query(
            f"SELECT name, type FROM system.columns WHERE database = 'default' AND table = '{name}' ORDER BY position"
        )
        columns = [SourceColumn(name=row[0], type=row[1]) for row in described.result_rows]
        stream = Stream(
            name=name,
            source=TableName(database="default", table=name),
            target=TableName(database="cold", table=name),
            timestamp_column="ts",
            columns=tuple((chosen or {}).items()),
        )
        mapping = map_source(stream, columns)
        target = TargetTable(
            name=stream.target,
            uuid=uuid4(),
            location=f"s3://{endpoints.store.bucket}/tests/{name}",
            schema=assign_fresh_schema_ids(mapping.iceberg_schema()),
            snapshot_id=None,
            evidence=None,
        )
        return cls(client, endpoints, stream, mapping, target)

    def slow_view(self, seconds: int) -> HotTable:
        """A view of the table whose every reading takes at least ``seconds``."""
        name = f"slow_{uuid4().hex}"
        self.client.command(
            f"CREATE VIEW {name} AS SELECT * FROM {self.stream.source.table} WHERE sleep({seconds}) = 0"
            " SETTINGS function_sleep_max_microseconds_per_block = 30000000"
        )
        return HotTable.of(self.endpoints, self.client, name)

    def running_queries(self) -> int:
        """How many queries that name the table run at this moment, this one left out."""
        name = self.stream.source.table
        found = self.client.query(
            f"SELECT count() FROM system.processes WHERE position(query, '{name}') > 0"
            " AND position(query, 'system.processes') = 0"
        )
        return int(found.result_rows[0][0])

    def batch(self, *seconds: int) -> Batch:
        """A batch whose units are the stretches between the given seconds after ``START``."""
        instants = [START + timedelta(seconds=second) for second in seconds]
        units = tuple(
            Unit(index=index, window=Window(lower=lower, upper=upper), rows=0)
            for index, (lower, upper) in enumerate(pairwise(instants))
        )
        return Batch(
            id=uuid4(),
            stream=self.stream.name,
            kind=BatchKind.WINDOW,
            window=Window(lower=instants[0], upper=instants[-1]),
            generation=0,
            units=units,
        )

    def prefix(self, batch: Batch) -> str:
        return f"{self.target.location}/data/{batch.id}"

    def write(self, engine: SparkEngine, batch: Batch) -> Sequence[UnitReport]:
        return engine.write(
            stream=self.stream,
            mapping=self.mapping,
            target=self.target,
            batch=batch,
            prefix=self.prefix(batch),
            traceparent=None,
        )

    def context(
        self,
        *,
        spark: SparkSettings | None = None,
        clickhouse: ClickHouseSettings | None = None,
        store: StoreSettings | None = None,
    ) -> JobContext:
        """What the tasks would be given, to run one without Spark."""
        spark = spark or SparkSettings()
        return JobContext(
            source=source_access(clickhouse or clickhouse_settings(self.endpoints), spark),
            store=store_access(store or store_settings(self.endpoints)),
            layout=file_layout(self.target.schema, spark, self.target.options),
            file_secret=self.endpoints.store.secret_key,
        )

    def task(
        self,
        batch: Batch,
        policy: WriterPolicy = WriterPolicy.STREAM,
        clickhouse: ClickHouseSettings | None = None,
    ) -> UnitTask:
        """What the batch's first unit is as a task; ``auto`` takes it for a large one."""
        unit = replace(batch.units[0], bytes=EXPORT_BYTES_MIN)
        clickhouse = clickhouse or clickhouse_settings(self.endpoints)
        files = FileReader(*without_keys(clickhouse, store_settings(self.endpoints)))
        return UnitTask(
            index=unit.index,
            batch_id=str(batch.id),
            query=self.target.order.applied_to(unit_query(self.stream, self.mapping, unit)),
            prefix=self.prefix(batch),
            export=Exports(policy, files).order(self.stream, self.mapping, unit, self.prefix(batch), self.target.order),
        )

    @property
    def store(self) -> FileSystem:
        return connect(store_access(store_settings(self.endpoints)))

    def stored(self, batch: Batch) -> list[str]:
        """The paths under the batch's prefix."""
        directory = self.store.get_file_info(key_of(self.prefix(batch)))
        if not directory.is_file and directory.type.name == "NotFound":
            return []
        selector = pa.fs.FileSelector(key_of(self.prefix(batch)), allow_not_found=True)
        return [f"s3://{info.path}" for info in self.store.get_file_info(selector)]

    def read(self, path: str) -> pa.Table:
        return pq.read_table(key_of(path), filesystem=self.store)

    def footer(self, path: str) -> pq.FileMetaData:
        return pq.read_metadata(key_of(path), filesystem=self.store)

    def source_fingerprint(self) -> Fingerprint:
        """Count and digest of the whole table, computed by ClickHouse."""
        return self._fingerprint(wire_rows(self.mapping, self.stream.source.table))

    def file_fingerprint(self, path: str) -> Fingerprint:
        """Count and digest of a data file, computed by ClickHouse."""
        store = self.endpoints.store
        arguments = ", ".join(
            quote_text(text)
            for text in (
                f"{store.endpoint}/{key_of(path)}",
                store.access_key,
                store.secret_key,
                "Parquet",
                file_structure(self.mapping),
            )
        )
        return self._fingerprint(file_rows(self.mapping, f"s3({arguments})"))

    def _fingerprint(self, rows: str) -> Fingerprint:
        count, digest = self.client.query(fingerprint_query(self.mapping, rows)).result_rows[0]
        return Fingerprint(rows=count, digest=digest)
