"""Footers of data files: read from the store once, for a file never changes after it is written."""

from __future__ import annotations

import os
import threading
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
from pyarrow import parquet
from pyiceberg.io import FileIO, InputStream

from consumer.adapters.iceberg.store import store_errors
from consumer.domain.errors import CheckFailedError
from consumer.settings.connections import StoreSettings

_READERS = 8
_REMEMBERED = 512
_TAIL = 64 * 1024
_TRAILER = 8
"""Bytes behind the footer: its length, and Parquet's magic number."""

WRITE_AGAIN = "nothing to do once: the batch is written again; if it repeats, look at the store and the network"
"""Remedy of every failed check."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footer:
    """A Parquet file's size on the store in bytes, its metadata, and the CRC-32 of the footer that they stand in."""

    path: str
    bytes: int
    metadata: parquet.FileMetaData
    crc: int


class Footers:
    """Reads footers, several at once, and remembers the latest."""

    def __init__(self, io: FileIO, settings: StoreSettings) -> None:
        self._io = io
        self._settings = settings
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Footer] = OrderedDict()

    def read(self, paths: Sequence[str], *, fresh: bool) -> list[Footer]:
        """Return the footers of files, in their order; ``fresh`` reads them even if they are known.

        Raises:
            CheckFailedError: if a file is missing, truncated or no Parquet file.
            AccessDeniedError, StoreUnavailableError: if the store can't be read.
        """
        with self._lock:
            known = {} if fresh else {path: self._known[path] for path in paths if path in self._known}
        missing = [path for path in paths if path not in known]
        if len(missing) == 1:
            known[missing[0]] = self._read_one(missing[0])
        elif missing:
            with ThreadPoolExecutor(max_workers=min(_READERS, len(missing))) as readers:
                known |= dict(zip(missing, readers.map(self._read_one, missing), strict=True))
        self._remember(known)
        return [known[path] for path in paths]

    def _read_one(self, path: str) -> Footer:
        try:
            with (
                store_errors(self._settings, f"reading the footer of {path}"),
                self._io.new_input(path).open() as stream,
            ):
                size = stream.seek(0, os.SEEK_END)
                tail = _tail(stream, size, _TAIL)
                needed = int.from_bytes(tail[-_TRAILER:-4], "little") + _TRAILER
                if len(tail) < needed <= size:
                    tail = _tail(stream, size, needed)
        except FileNotFoundError as error:
            raise CheckFailedError(f"{path} is not on the store", remedy=WRITE_AGAIN) from error
        try:
            # Nothing but the end of the file is needed: offsets in the metadata count from the file's beginning.
            metadata = parquet.read_metadata(pa.BufferReader(tail))
        except (pa.ArrowException, OSError) as error:
            raise CheckFailedError(f"{path} is truncated or corrupt: {error}", remedy=WRITE_AGAIN) from error
        return Footer(path=path, bytes=size, metadata=metadata, crc=zlib.crc32(tail[-needed:-_TRAILER]))

    def _remember(self, footers: dict[str, Footer]) -> None:
        with self._lock:
            self._known.update(footers)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)


def _tail(stream: InputStream, size: int, length: int) -> bytes:
    stream.seek(max(0, size - length))
    return stream.read(length)
