"""One unit that ClickHouse writes to the store by itself: no row passes through this process."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from uuid import UUID

from pyiceberg.schema import Schema

from consumer.domain.batch import WrittenFile
from consumer.domain.clickhouse_error import exception_code
from consumer.domain.errors import (
    AccessDeniedError,
    CheckFailedError,
    ConfigurationError,
    EngineFailedError,
    IcehaulError,
    StoreUnavailableError,
)
from consumer.domain.export_query import ATTEMPT, EXPORT_SETTINGS, PROOF_COLUMN, read_proof
from consumer.domain.file_options import Codec
from consumer.failpoints.acting import Failpoints
from consumer.failpoints.effects import EFFECTS
from spark.iceberg_footer import complete
from spark.parquet_footer import TRAILER_BYTES, FooterError, ParquetFooter, footer_length, with_trailer
from spark.source_query import answered, counted
from spark.tail_rewrite import read_tail, remove, write_with_tail
from spark.unit_task import ExportOrder, FileLayout, JobContext, SourceAccess, UnitTask, attempt_path

_TAIL_BYTES = 64 * 1024
"""More than nearly every footer has, so that one request reads it."""
_CODECS = {Codec.UNCOMPRESSED: "none"}
"""Codecs that ClickHouse has other names for."""
_BLOCKS = 4
"""Of how many blocks a row group is put together, about, where its size in bytes ends it."""
_REFUSALS = frozenset({36, 48, 115, 344, 452, 499})
"""ClickHouse's codes BAD_ARGUMENTS, NOT_IMPLEMENTED, UNKNOWN_SETTING, SUPPORT_IS_DISABLED, SETTING_CONSTRAINT_VIOLATION
and S3_ERROR: it does not export here, and may be read from all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Raw:
    """The file as ClickHouse has left it: its data end where its footer begins."""

    data_bytes: int
    footer: bytes


def refused(error: IcehaulError) -> bool:
    """Tell whether an export failed for a reason that does not keep the task from reading the rows itself."""
    unwilling = isinstance(error, (AccessDeniedError, ConfigurationError, CheckFailedError, StoreUnavailableError))
    return unwilling or exception_code(error.message) in _REFUSALS


def export_unit(
    context: JobContext, task: UnitTask, order: ExportOrder, attempt: UUID, failpoints: Failpoints
) -> WrittenFile | None:
    """Let ClickHouse write the unit, and give its file the footer that the target asks for; ``None`` without rows.

    Raises:
        SourceUnavailableError, AccessDeniedError, SourceMissingError, ConfigurationError: as ClickHouse refuses.
        StoreUnavailableError: if the file can't be read or completed.
        CheckFailedError: if the counts of server, footer and proof differ.
        EngineFailedError: if the file is not laid out as the target asks.
    """
    name = attempt_path(task.prefix, task.index, attempt)
    raw, uri = f"{name}.export", f"{name}.parquet"
    before_read, after_read = EFFECTS["task.read"].points
    failpoints.hit(before_read)
    try:
        written = _order(context, task, order, attempt)
        failpoints.hit(after_read)
        if written == 0:
            return None
        with failpoints.around("task.close"):
            return _complete(context, task, written, raw, uri)
    finally:
        remove(context.store, raw)


def _order(context: JobContext, task: UnitTask, order: ExportOrder, attempt: UUID) -> int:
    """Run the statement, and return how many rows the server says that it wrote."""
    statement = context.complete(order.statement).replace(ATTEMPT, str(attempt))
    settings = {
        **dict(context.source.settings),
        **_settings(context.source),
        **_layout_settings(context.layout),
        "query_id": f"icehaul-{task.batch_id}-{task.index}-{attempt}",
    }
    with answered(context.source, statement, settings, context.file_secret) as response:
        response.read()
        return counted(response, context.source, "written_rows")


def _settings(source: SourceAccess) -> dict[str, str | int]:
    return {
        **EXPORT_SETTINGS,
        "wait_end_of_query": 1,
        "max_execution_time": max(1, int(source.query_timeout_s)),
    }


def _layout_settings(layout: FileLayout) -> dict[str, str | int]:
    wanted: dict[str, str | int | None] = {
        "output_format_parquet_row_group_size": layout.row_group_rows,
        "output_format_parquet_row_group_size_bytes": layout.row_group_bytes,
        # A row group ends with a block at the earliest, and an insert joins small blocks.
        "min_insert_block_size_bytes": max(1, layout.row_group_bytes // _BLOCKS),
        "output_format_parquet_compression_method": _CODECS.get(layout.codec, layout.codec.value),
        "output_format_compression_level": layout.level,
        "output_format_parquet_data_page_size": layout.page_bytes,
        "output_format_parquet_max_dictionary_size": layout.dictionary_bytes,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def _complete(context: JobContext, task: UnitTask, written: int, raw: str, uri: str) -> WrittenFile:
    found = _read(context, raw)
    try:
        footer = ParquetFooter(found.footer)
        proof = read_proof(footer.take_constant(PROOF_COLUMN) or "")
        complete(footer, Schema.model_validate_json(context.layout.schema_json))
    except FooterError as error:
        raise EngineFailedError(
            f"unit {task.index} of batch {task.batch_id}: ClickHouse's Parquet file can't be used: {error}",
            remedy="set spark.writer to stream, and report this as a defect with the version of ClickHouse",
        ) from error
    if not written == footer.rows == proof.rows:
        raise CheckFailedError(
            f"unit {task.index} of batch {task.batch_id}: ClickHouse counted {proof.rows} rows in the source and"
            f" {written} written, {footer.rows} stand in the file",
            remedy="nothing to do once: the batch is tried again; if it repeats, set spark.writer to stream",
        )
    content = footer.to_bytes()
    tail = with_trailer(content)
    write_with_tail(context.store, raw, uri, found.data_bytes, tail)
    return WrittenFile(
        unit=task.index,
        path=uri,
        bytes=found.data_bytes + len(tail),
        fingerprint=proof,
        footer_crc=zlib.crc32(content),
    )


def _read(context: JobContext, raw: str) -> _Raw:
    found = read_tail(context.store, raw, _TAIL_BYTES)
    if found is None:
        raise StoreUnavailableError(
            f"ClickHouse says that it has written {raw}, and it is not on the store",
            remedy="check that clickhouse.store_endpoint and store.endpoint are the same store; it is tried again",
        )
    size, tail = found
    try:
        length = footer_length(tail[-TRAILER_BYTES:])
    except FooterError as error:
        raise CheckFailedError(
            f"{raw} is truncated or corrupt: {error}", remedy="nothing to do once: the batch is tried again"
        ) from error
    if len(tail) < length + TRAILER_BYTES <= size:
        again = read_tail(context.store, raw, length + TRAILER_BYTES)
        tail = again[1] if again is not None else tail
    footer = tail[-TRAILER_BYTES - length : -TRAILER_BYTES]
    return _Raw(data_bytes=size - TRAILER_BYTES - length, footer=footer)
