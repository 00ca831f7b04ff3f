"""ClickHouse engines of several versions, each in a process and a virtual environment of its own."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
from clickhouse_connect.driver.exceptions import DatabaseError
from pydantic import SecretStr

from consumer.adapters.clickhouse import introspection, inventory, source
from consumer.adapters.clickhouse.client import ClickHouseConnection, Row
from consumer.adapters.clickhouse.errors import Meaning, translated
from consumer.adapters.clickhouse.files import FileReader
from consumer.domain.clickhouse_error import source_error
from consumer.domain.clickhouse_sql import quote_text
from consumer.domain.mapping import TableMapping
from consumer.domain.unit_query import READ_SETTINGS
from consumer.settings.connections import ClickHouseSettings, StoreSettings
from spark.columns import ColumnCast

ROOT = Path(__file__).parents[2]
RUNNER = Path(__file__).with_name("run_engine.py")

NEWEST = "26.9"
"""The engine of the embedded stack: it is in the environment of the tests themselves."""
OLDER = ("24.5", "24.8", "25.8")
"""Engines whose environments ``make compat`` makes."""

_SETTINGS = ClickHouseSettings(host="127.0.0.1", password=SecretStr(""))
_JSON_NUMBERS = {"output_format_json_quote_64bit_integers": 0, "output_format_json_quote_denormals": 0}
# Old engines read a literal of a float only nearly, unless told otherwise.
_CREATE_SETTINGS = {
    "flatten_nested": 0,
    "allow_suspicious_low_cardinality_types": 1,
    "mutations_sync": 2,
    "precise_float_parsing": 1,
}


def interpreter(version: str) -> Path:
    """Return the interpreter whose chdb has this engine."""
    return Path(sys.executable) if version == NEWEST else ROOT / ".venvs" / f"chdb-{version}" / "bin" / "python"


class EngineProcess:
    """A running engine: statements in, bytes out. After a failed statement the next one finds a fresh process."""

    def __init__(self, version: str, data_dir: Path) -> None:
        self._command = [interpreter(version), RUNNER, data_dir]
        self._process = self._start()
        self.known_settings = frozenset(
            self.query("SELECT name FROM system.settings", output_format="TSVRaw").decode().split()
        )

    def query(
        self,
        sql: str,
        *,
        before: Mapping[str, str | int] | None = None,
        settings: Mapping[str, str | int] | None = None,
        output_format: str = "JSONCompact",
    ) -> bytes:
        """Run a statement: ``before`` is set first, ``settings`` end the statement itself.

        SET reaches parameters and any statement; but an overflow mode that was set so spoils the next statement
        of ClickHouse 24 in chdb.

        Raises:
            DatabaseError: as clickhouse-connect has it, with what the engine says.
        """
        # Some versions take white space after the last of several statements for one more.
        statement = sql.rstrip()
        if before:
            statement = f"SET {_assignments(before)}; {statement}"
        if settings:
            statement = f"{statement} SETTINGS {_assignments(settings)}"
        reply = self._ask({"sql": statement, "format": output_format})
        if "error" in reply:
            self.close()
            self._process = self._start()
            raise DatabaseError(reply["error"])
        return base64.b64decode(reply["body"])

    def close(self) -> None:
        """End the process."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.wait(timeout=60)

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def _ask(self, request: dict[str, str]) -> dict[str, str]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(request) + "\n")
        stdin.flush()
        line = stdout.readline()
        assert line, f"the engine ended with {self._process.wait()} at: {request['sql']}"
        reply: dict[str, str] = json.loads(line)
        return reply


def _assignments(settings: Mapping[str, str | int]) -> str:
    return ", ".join(
        f"{name} = {value if isinstance(value, int) else quote_text(value)}" for name, value in settings.items()
    )


class EngineConnection(ClickHouseConnection):
    """The adapters' connection, to an engine without a server: the same statements, parameters and settings."""

    def __init__(self, engine: EngineProcess, query_settings: Mapping[str, str | int]) -> None:
        super().__init__(_SETTINGS, query_settings)
        self.engine = engine

    def rows(
        self,
        query: str,
        *,
        parameters: Mapping[str, str | int] | None = None,
        settings: Mapping[str, str | int] | None = None,
        secrets: Sequence[str] = (),
        meaning: Meaning = source_error,
    ) -> Sequence[Row]:
        """Run a query and return its rows; see the base."""
        known = {
            name: value
            for name, value in {**self._query_settings, **(settings or {})}.items()
            if name in self.engine.known_settings
        }
        bound = {f"param_{name}": str(value) for name, value in (parameters or {}).items()}
        with translated(self.address, secrets, meaning):
            body = self.engine.query(query, before=bound, settings={**known, **_JSON_NUMBERS})
        return [tuple(row) for row in json.loads(body)["data"]]


@dataclass(frozen=True, slots=True)
class LocalFiles(FileReader):
    """Data files on the disk: ``file(…)`` in the place of ``s3(…)``, all else alike."""

    def url(self, path: str) -> str:
        """Return the path itself: files are read where they are."""
        return path

    def _call(self, url: str, structure: str) -> str:
        return f"file({quote_text(url)}, 'Parquet', {quote_text(structure)})"


class Engine:
    """An engine with the real adapters on it."""

    def __init__(self, version: str, directory: Path) -> None:
        self.version = version
        self.directory = directory
        self.process = EngineProcess(version, directory / "data")
        store = StoreSettings(bucket="unused")
        with ExitStack() as patches:
            for module in (source, inventory, introspection):
                patches.enter_context(patch.object(module, "ClickHouseConnection", self._connect))
            patches.enter_context(patch.object(source, "FileReader", LocalFiles))
            self.source = source.ClickHouseSource(_SETTINGS, store)
            self.inventory = inventory.ClickHouseInventory(_SETTINGS)
            self.introspection = introspection.ClickHouseIntrospection(_SETTINGS)

    def _connect(self, _: ClickHouseSettings, query_settings: Mapping[str, str | int]) -> EngineConnection:
        return EngineConnection(self.process, query_settings)

    def run(self, statement: str) -> None:
        """Run a statement that returns nothing."""
        self.process.query(statement, before=_CREATE_SETTINGS)

    def read(self, query: str, mapping: TableMapping) -> tuple[pa.Table, list[int]]:
        """Run a reading query as a Spark task does: the columns as the target's types, and the rows' hashes."""
        known = {name: value for name, value in READ_SETTINGS.items() if name in self.process.known_settings}
        body = self.process.query(query, settings=known, output_format="ArrowStream")
        reader = pa.ipc.open_stream(io.BytesIO(body))
        batches = list(reader)
        cast = ColumnCast.to_iceberg(mapping.iceberg_schema().model_dump_json(), reader.schema)
        hashes = [value for batch in batches for value in batch.column("_icehaul_digest").to_pylist()]
        return pa.Table.from_batches([cast.cast(batch) for batch in batches], schema=cast.schema), hashes

    def write(self, table: pa.Table, name: str) -> str:
        """Write a Parquet file, and return its path."""
        path = self.directory / f"{name}.parquet"
        pq.write_table(table, path, compression="zstd")
        return str(path)

    def close(self) -> None:
        """End the engine."""
        self.process.close()
