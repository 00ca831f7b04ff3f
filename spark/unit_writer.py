"""Writing one Parquet file in bounded memory: whole row groups go to the store, nothing else is kept."""

from __future__ import annotations

import contextlib
import zlib
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.fs import FileSystem

from consumer.domain.file_options import Codec
from spark.object_store import key_of, store_error
from spark.unit_task import FileLayout

_TRAILER_BYTES = 8
"""What follows the footer: its length and Parquet's magic number, four bytes each."""
_DICTIONARY_BYTES = 64 * 1024
"""A dictionary that grows beyond this is given up: columns of many values encode faster, and smaller, plain."""


class UnitWriter:
    """A data file under construction; used as a context manager, which removes it on failure.

    The file is opened with the first row: no row, no file.
    """

    def __init__(self, store: FileSystem, uri: str, schema: pa.Schema, layout: FileLayout) -> None:
        self.uri = uri
        self.rows = 0
        self.bytes = 0
        self.footer_crc: int | None = None
        self._store = store
        self._schema = schema
        self._layout = layout
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = 0
        self._pending_bytes = 0
        self._sink: pa.NativeFile | None = None
        self._parquet: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, type_: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if type_ is not None:
            self._discard()

    def write(self, batch: pa.RecordBatch) -> None:
        """Take a record batch; it is on its way to the store once its row group is full.

        Raises:
            StoreUnavailableError, AccessDeniedError
        """
        start = 0
        while start < batch.num_rows:
            room = self._room(batch)
            if room < 1:
                self._flush()
                continue
            part = batch.slice(start, room)
            start += part.num_rows
            self._pending.append(part)
            self._pending_rows += part.num_rows
            self._pending_bytes += part.nbytes
            if self._pending_rows >= self._layout.row_group_rows or self._pending_bytes >= self._layout.row_group_bytes:
                self._flush()

    def close(self) -> None:
        """Write footer and remaining parts; then the file is whole, with ``rows``, ``bytes`` and ``footer_crc``.

        Raises:
            StoreUnavailableError, AccessDeniedError
        """
        self._flush()
        if self._parquet is None or self._sink is None:
            return
        try:
            self._parquet.close()
            self.footer_crc = zlib.crc32(_footer(self._parquet))
            self.bytes = self._sink.tell()
            self._sink.close()
        except OSError as error:
            raise store_error(self.uri, error) from error

    def _room(self, batch: pa.RecordBatch) -> int:
        """Return how many rows of ``batch`` the row group still takes, by its average row; an empty one takes one."""
        row_bytes: int = max(1, batch.nbytes // batch.num_rows)
        by_size = (self._layout.row_group_bytes - self._pending_bytes) // row_bytes
        return max(min(self._layout.row_group_rows - self._pending_rows, by_size), 0 if self._pending_rows else 1)

    def _flush(self) -> None:
        if not self._pending_rows:
            return
        table = pa.Table.from_batches(self._pending, schema=self._schema)
        self._pending, self._pending_rows, self._pending_bytes = [], 0, 0
        try:
            self._opened().write_table(table, row_group_size=table.num_rows)
        except OSError as error:
            raise store_error(self.uri, error) from error
        self.rows += table.num_rows

    def _opened(self) -> pq.ParquetWriter:
        if self._parquet is None:
            layout = self._layout
            self._sink = self._store.open_output_stream(key_of(self.uri))
            self._parquet = pq.ParquetWriter(
                self._sink,
                self._schema,
                compression="none" if layout.codec is Codec.UNCOMPRESSED else layout.codec.value,
                compression_level=layout.level,
                write_page_index=True,
                data_page_size=layout.page_bytes,
                dictionary_pagesize_limit=layout.dictionary_bytes or _DICTIONARY_BYTES,
                store_schema=False,
                # As Iceberg's specification has it (appendix A, Parquet): up to nine digits are an int32, up to 18 an
                # int64. Readers need half the time for those.
                store_decimal_as_integer=True,
            )
        return self._parquet

    def _discard(self) -> None:
        """Give the attempt up: Arrow can only complete an upload, so it is completed and removed.

        What can't be removed now stays under this attempt's own path, which nobody else ever names.
        """
        if self._sink is None:
            return
        if self._parquet is not None:
            with contextlib.suppress(OSError, pa.ArrowException):
                self._parquet.close()
            # Else its destructor would try again, on a closed sink.
            self._parquet.is_open = False
        with contextlib.suppress(OSError):
            self._sink.close()
            self._store.delete_file(key_of(self.uri))


def _footer(parquet: pq.ParquetWriter) -> bytes:
    """Return the footer that a closed writer has written: the metadata alone, in the same encoding."""
    sink = pa.BufferOutputStream()
    parquet.writer.metadata.write_metadata_file(sink)
    file: bytes = sink.getvalue().to_pybytes()
    return file[-_TRAILER_BYTES - int.from_bytes(file[-_TRAILER_BYTES:-4], "little") : -_TRAILER_BYTES]
