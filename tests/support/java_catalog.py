"""Another engine that writes to a cold tier's table: Iceberg's own JDBC catalog, called in a JVM."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from py4j.java_gateway import JavaGateway
from py4j.protocol import Py4JJavaError

from consumer.domain.stream import TableName
from consumer.domain.window import Window
from consumer.embedded.endpoints import Endpoints
from tests.support.cold_tier import HOUR, IcebergColdTier, parquet_bytes, rows_of
from tests.support.jvm import PYSPARK_JARS, running_jvm

ROWS = 2
"""How many rows ``append`` appends."""
_LOWER = datetime(1990, 1, 1, tzinfo=UTC)
# Of Spark's libraries only what Iceberg itself needs.
_NEEDED = ("hadoop-client-*.jar", "slf4j-api-*.jar", "log4j-*.jar", "commons-logging-*.jar")


@contextmanager
def iceberg_jvm(endpoints: Endpoints) -> Iterator[JavaGateway]:
    """Yield the way into a JVM with the Iceberg that icehaul's Spark uses."""
    jars = [*endpoints.spark_jars, *(jar for pattern in _NEEDED for jar in PYSPARK_JARS.glob(pattern))]
    with running_jvm(endpoints.java_home, jars) as gateway:
        yield gateway


class JavaWriter:
    """A ``JdbcCatalog`` whose connections go to ``port``; errors are Java's, by the simple names of their classes."""

    def __init__(
        self, gateway: JavaGateway, tier: IcebergColdTier, *, port: int, user: str | None = None, password: str = ""
    ) -> None:
        self._jvm = gateway.jvm
        self._tier = tier
        dsn, store = urlsplit(tier.dsn), tier.store
        assert store.secret_key is not None
        settings = {
            "uri": f"jdbc:postgresql://127.0.0.1:{port}{dsn.path}",
            "jdbc.user": user or dsn.username,
            "jdbc.password": password or dsn.password,
            "jdbc.schema-version": "V1",
            "warehouse": store.warehouse,
            "io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
            "s3.endpoint": store.endpoint,
            "s3.path-style-access": "true",
            "s3.access-key-id": store.access_key,
            "s3.secret-access-key": store.secret_key.get_secret_value(),
            "client.region": store.region,
        }
        properties = self._jvm.java.util.HashMap()
        for name, value in settings.items():
            properties.put(name, value)
        self._catalog = self._jvm.org.apache.iceberg.jdbc.JdbcCatalog()
        self._catalog.initialize("icehaul", properties)

    def close(self) -> None:
        """Close the catalog's connections."""
        self._catalog.close()

    def table(self) -> Any:
        """Load the table."""
        return self._catalog.loadTable(self._identifier(self._tier.stream.target))

    def append(self) -> str | None:
        """Append ``ROWS`` rows, and return what the commit said: nothing, or the class of its error."""
        table = self.table()
        content = parquet_bytes(rows_of(Window(lower=_LOWER, upper=_LOWER + HOUR), ROWS), self._tier.target())
        path = f"{table.location()}/data/{uuid4()}.parquet"
        self._tier.put(path, content)
        file = (
            self._jvm.org.apache.iceberg.DataFiles.builder(table.spec())
            .withPath(path)
            .withFormat("parquet")
            .withFileSizeInBytes(len(content))
            .withRecordCount(ROWS)
            .withPartitionPath(f"ts_day={_LOWER:%Y-%m-%d}")
            .build()
        )
        return self._outcome(table.newAppend().appendFile(file).commit)

    def create(self, name: TableName) -> str | None:
        """Create a table with the schema of the one that is there, and return what the catalog said."""
        schema = self.table().schema()
        return self._outcome(lambda: self._catalog.createTable(self._identifier(name), schema))

    def _identifier(self, name: TableName) -> Any:
        return self._jvm.org.apache.iceberg.catalog.TableIdentifier.parse(str(name))

    def _outcome(self, act: Any) -> str | None:
        try:
            act()
        except Py4JJavaError as error:
            return str(error.java_exception.getClass().getSimpleName())
        return None
