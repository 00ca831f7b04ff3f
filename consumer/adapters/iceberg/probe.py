"""One small Parquet file under the warehouse, to try every operation of the object store with."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.fs import FileSelector

from consumer.adapters.iceberg.store import StoreFileIO, store_errors
from consumer.settings.connections import StoreSettings

FOLDER = "_icehaul_doctor"
STRUCTURE = "probe Int64"
_VALUES = [4, 8, 15, 16, 23, 42]


class StoreFile:
    """The file: its name is new each time, so that two doctors do not meet.

    ``read_sum`` is given the file's path (``s3://…``) and its structure in ClickHouse's words, and returns the sum of
    its column as ClickHouse reads it.
    """

    def __init__(self, settings: StoreSettings, read_sum: Callable[[str, str], int]) -> None:
        self._settings = settings
        self._io = StoreFileIO(settings)
        self._read_sum = read_sum
        self._folder = f"{settings.warehouse}/{FOLDER}"
        self.path = f"{self._folder}/{uuid4()}.parquet"
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"probe": pa.array(_VALUES, pa.int64())}), sink)
        self._content: bytes = sink.getvalue().to_pybytes()

    def put(self) -> None:
        """Write the file."""
        with store_errors(self._settings, "writing a file"), self._io.new_output(self.path).create() as stream:
            stream.write(self._content)

    def get(self) -> bool:
        """Tell whether the file reads back as it was written."""
        try:
            with store_errors(self._settings, "reading a file"), self._io.new_input(self.path).open() as stream:
                return bytes(stream.read()) == self._content
        except FileNotFoundError:
            return False

    def listed(self) -> bool:
        """Tell whether its folder lists the file."""
        bucket_and_key = self._folder.removeprefix("s3://")
        try:
            with store_errors(self._settings, "listing a folder"):
                found = self._io.fs_by_scheme("s3", self._settings.bucket).get_file_info(FileSelector(bucket_and_key))
        except FileNotFoundError:
            return False
        return any(f"s3://{one.path}" == self.path for one in found)

    def read_by_clickhouse(self) -> bool:
        """Tell whether ClickHouse reads the file with its values."""
        return self._read_sum(self.path, STRUCTURE) == sum(_VALUES)

    def delete(self) -> None:
        """Remove the file."""
        with store_errors(self._settings, "deleting a file"):
            self._io.delete(self.path)
