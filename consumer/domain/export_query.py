"""The statement by which ClickHouse writes a unit's data file itself, and the settings that this depends on."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from consumer.domain.clickhouse_sql import quote_name
from consumer.domain.errors import CheckFailedError
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.mapping import TableMapping
from consumer.domain.row_order import AS_READ, RowOrder
from consumer.domain.unit_query import UNIT_SETTINGS

PROOF_COLUMN = "_icehaul_proof"
"""Name of the column with count and digest, the same in every row; the task takes it out of the file's footer."""

ATTEMPT = "@icehaul-attempt@"
"""What a statement has in the place of the id of the task's attempt, which is a part of the file's path."""

EXPORT_SETTINGS: Mapping[str, str | int] = MappingProxyType(
    {
        **UNIT_SETTINGS,
        # Count and digest describe the rows that are written, whatever arrives meanwhile: both read the same parts.
        "enable_shared_storage_snapshot_in_query": 1,
        "output_format_parquet_string_as_string": 1,
        "output_format_parquet_fixed_string_as_fixed_byte_array": 1,
        "output_format_parquet_datetime_as_uint32": 0,
        "output_format_parquet_write_page_index": 1,
        # They cost a third of the time, and no reader of Iceberg asks for them unless they are configured.
        "output_format_parquet_write_bloom_filter": 0,
        # The path is this attempt's own: a file that is there already is a mistake.
        "s3_truncate_on_insert": 0,
        "s3_create_new_file_on_insert": 0,
        "s3_retry_attempts": 5,
    }
)
"""Settings of every export. ``enable_shared_storage_snapshot_in_query`` is what older servers refuse (since 25.6)."""


def file_columns(mapping: TableMapping) -> str:
    """Return the structure of the file that ClickHouse writes: the wire values, and the proof."""
    columns = [(column.name, column.wire_type) for column in mapping.columns]
    return ", ".join(f"{quote_name(name)} {kind}" for name, kind in (*columns, (PROOF_COLUMN, "String")))


def export_statement(mapping: TableMapping, rows: str, target: str, order: RowOrder = AS_READ) -> str:
    """Return the statement that writes ``rows``, a query of wire values, to the table function ``target`` in ``order``.

    Every row also gets count and digest of all of them, computed over the same parts: in a Parquet file that is one
    value in a dictionary, and stands in the footer as the column's least and greatest value.
    """
    names = ", ".join(quote_name(column.name) for column in mapping.columns)
    proof = f"SELECT concat(toString(count()), ':', toString(sum({mapping.digest_sql()}))) FROM ({rows})"
    proved = f"SELECT {names}, ({proof}) AS {quote_name(PROOF_COLUMN)} FROM ({rows})"
    return f"INSERT INTO FUNCTION {target} {order.applied_to(proved)}"


def read_proof(text: str) -> Fingerprint:
    """Return count and digest from the value of the proof column.

    Raises:
        CheckFailedError: if it is no such value.
    """
    rows, mark, digest = text.partition(":")
    if not (mark and rows.isdecimal() and digest.isdecimal()):
        raise CheckFailedError(
            f"the exported file says {text!r} where count and digest belong",
            remedy="set spark.writer to stream, and report this as a defect",
        )
    return Fingerprint(rows=int(rows), digest=int(digest))
