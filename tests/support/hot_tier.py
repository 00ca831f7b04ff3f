"""The stack's ClickHouse and object store, as the tests use them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import clickhouse_connect
import pyarrow as pa
import pyarrow.parquet as pq
from clickhouse_connect.driver.client import Client
from pyarrow import fs
from pydantic import SecretStr

from consumer.adapters.clickhouse.source import ClickHouseSource
from consumer.domain.mapping import TableMapping
from consumer.domain.unit_query import READ_SETTINGS
from consumer.embedded.stack import EmbeddedStack
from consumer.settings.connections import ClickHouseSettings, StoreSettings
from spark.columns import ColumnCast

CREATE_SETTINGS: dict[str, str | int] = {
    "flatten_nested": 0,
    "allow_suspicious_low_cardinality_types": 1,
    "mutations_sync": 2,
}


def clickhouse_settings(stack: EmbeddedStack) -> ClickHouseSettings:
    """Settings of the stack's ClickHouse."""
    endpoint = stack.endpoints.clickhouse
    return ClickHouseSettings(
        host=endpoint.host, port=endpoint.port, user=endpoint.user, password=SecretStr(endpoint.password)
    )


def store_settings(stack: EmbeddedStack) -> StoreSettings:
    """Settings of the stack's object store."""
    endpoint = stack.endpoints.store
    return StoreSettings(
        endpoint=endpoint.endpoint,
        region=endpoint.region,
        bucket=endpoint.bucket,
        access_key=endpoint.access_key,
        secret_key=SecretStr(endpoint.secret_key),
    )


@dataclass(frozen=True)
class HotTier:
    """A client with a database of its own, the source under test, and a folder of its own on the store."""

    client: Client
    source: ClickHouseSource
    database: str
    store: StoreSettings
    files: fs.FileSystem

    def run(self, statement: str) -> None:
        """Run a statement."""
        self.client.command(statement, settings=CREATE_SETTINGS)

    def read(self, query: str, mapping: TableMapping) -> tuple[pa.Table, list[int]]:
        """Run a reading query as a Spark task does: the columns as the target's types, and the rows' hashes."""
        body = self.client.raw_query(query, fmt="ArrowStream", settings=dict(READ_SETTINGS))
        reader = pa.ipc.open_stream(io.BytesIO(body))
        batches = list(reader)
        cast = ColumnCast.to_iceberg(mapping.iceberg_schema().model_dump_json(), reader.schema)
        hashes = [value for batch in batches for value in batch.column("_icehaul_digest").to_pylist()]
        return pa.Table.from_batches([cast.cast(batch) for batch in batches], schema=cast.schema), hashes

    def write(self, table: pa.Table, name: str) -> str:
        """Write a Parquet file, and return its path."""
        path = f"{self.store.bucket}/tests/{self.database}/{name}.parquet"
        pq.write_table(table, path, filesystem=self.files, compression="zstd")
        return f"s3://{path}"


@contextmanager
def hot_tier(stack: EmbeddedStack, database: str) -> Iterator[HotTier]:
    """Connect, with a database of this name that is dropped in the end."""
    settings, store = clickhouse_settings(stack), store_settings(stack)
    client = clickhouse_connect.get_client(
        host=settings.host,
        port=settings.port,
        username=settings.user,
        password=settings.password.get_secret_value(),
        autogenerate_session_id=False,
    )
    source = ClickHouseSource(settings, store)
    assert store.secret_key is not None
    files = fs.S3FileSystem(
        endpoint_override=store.endpoint,
        region=store.region,
        access_key=store.access_key,
        secret_key=store.secret_key.get_secret_value(),
    )
    client.command(f"CREATE DATABASE {database}")
    try:
        yield HotTier(client=client, source=source, database=database, store=store, files=files)
    finally:
        client.command(f"DROP DATABASE {database} SYNC")
        source.close()
        client.close()
