"""How a target's data files are to be laid out: what its table properties (Iceberg's own names) ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from consumer.domain.errors import TargetMismatchError

CODEC = "write.parquet.compression-codec"
LEVEL = "write.parquet.compression-level"
ROW_GROUP_BYTES = "write.parquet.row-group-size-bytes"
ROW_GROUP_ROWS = "write.parquet.row-group-limit"
PAGE_BYTES = "write.parquet.page-size-bytes"
DICTIONARY_BYTES = "write.parquet.dict-size-bytes"
FILE_BYTES = "write.target-file-size-bytes"

LAYOUT_PROPERTIES = frozenset({CODEC, LEVEL, ROW_GROUP_BYTES, ROW_GROUP_ROWS, PAGE_BYTES, DICTIONARY_BYTES, FILE_BYTES})
"""The table properties that icehaul's writers follow."""

_ROWS_MIN, _BYTES_MIN = 1024, 1024
_BYTES_MAX = 2 * 1024**3
"""Parquet's sizes of pages and dictionaries are signed numbers of 32 bits."""


class Codec(StrEnum):
    """Compression of a Parquet file, as Iceberg names it."""

    ZSTD = "zstd"
    SNAPPY = "snappy"
    GZIP = "gzip"
    LZ4 = "lz4"
    BROTLI = "brotli"
    UNCOMPRESSED = "uncompressed"


_LEVELS: Mapping[Codec, tuple[int, int, int]] = {
    # Level 3, the usual one, takes a third more CPU of the writer for files that are a few percent smaller.
    Codec.ZSTD: (1, 22, 1),
    Codec.GZIP: (1, 9, 6),
    Codec.BROTLI: (0, 11, 4),
}
"""Least and greatest level, and the one that is taken where the table names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOptions:
    """What a table asks of the data files that are written to it; ``None`` leaves it to the writer.

    Attributes:
        codec: how pages are compressed.
        level: level of the codec; ``None`` for a codec without levels.
        row_group_rows: rows of a row group at most.
        row_group_bytes: bytes of a row group in memory, at most.
        page_bytes: bytes of a page before compression, about.
        dictionary_bytes: bytes of a dictionary; a column that needs more is written without one.
        file_bytes: bytes of a data file that planning aims at, at most.
    """

    codec: Codec = Codec.ZSTD
    level: int | None = _LEVELS[Codec.ZSTD][2]
    row_group_rows: int | None = None
    row_group_bytes: int | None = None
    page_bytes: int | None = None
    dictionary_bytes: int | None = None
    file_bytes: int | None = None

    @classmethod
    def of(cls, table: object, properties: Mapping[str, str]) -> FileOptions:
        """Return what the properties of ``table`` ask for.

        Raises:
            TargetMismatchError: naming the property, its value, and what is allowed.
        """
        text = properties.get(CODEC, Codec.ZSTD).lower()
        if text not in set(Codec):
            raise _refused(table, CODEC, text, f"one of {', '.join(Codec)}")
        codec = Codec(text)
        level = None
        if codec in _LEVELS:
            least, greatest, usual = _LEVELS[codec]
            level = _number(table, properties, LEVEL, least, greatest)
            level = usual if level is None else level
        return cls(
            codec=codec,
            level=level,
            row_group_rows=_number(table, properties, ROW_GROUP_ROWS, _ROWS_MIN),
            row_group_bytes=_number(table, properties, ROW_GROUP_BYTES, _BYTES_MIN),
            page_bytes=_number(table, properties, PAGE_BYTES, _BYTES_MIN, _BYTES_MAX - 1),
            dictionary_bytes=_number(table, properties, DICTIONARY_BYTES, _BYTES_MIN, _BYTES_MAX - 1),
            file_bytes=_number(table, properties, FILE_BYTES, _BYTES_MIN),
        )


DEFAULTS = FileOptions()
"""What a table without properties asks for."""


def rows_of_a_file(file_bytes: int | None, *, rows: int, stored_bytes: int) -> int | None:
    """Return how many rows make a file of ``file_bytes``, by what a table's live files hold; ``None``: any number."""
    if file_bytes is None or rows <= 0 or stored_bytes <= 0:
        return None
    return max(1, file_bytes * rows // stored_bytes)


def _number(
    table: object, properties: Mapping[str, str], name: str, least: int, greatest: int | None = None
) -> int | None:
    text = properties.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and least <= int(text) <= (greatest or int(text))):
        allowed = f"a whole number from {least}" + ("" if greatest is None else f" to {greatest}")
        raise _refused(table, name, text, allowed)
    return int(text)


def _refused(table: object, name: str, value: str, allowed: str) -> TargetMismatchError:
    return TargetMismatchError(
        f"the table {table} has the property {name} = {value[:100]!r}, which icehaul can't follow; {allowed} is",
        remedy=f"ALTER TABLE {table} SET TBLPROPERTIES ('{name}' = …) with {allowed}, or UNSET it",
    )
