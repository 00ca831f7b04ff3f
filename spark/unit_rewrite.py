"""Rewriting: data files from the store become one, without the rows that were deleted, in the table's order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import parquet
from pyarrow.fs import S3FileSystem

from consumer.domain.batch import WrittenFile
from consumer.domain.errors import CheckFailedError, EngineFailedError
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.row_order import SortKey
from consumer.domain.type_mapping import DIGEST_COLUMN
from consumer.failpoints.acting import Failpoints
from consumer.failpoints.effects import EFFECTS
from spark.columns import ColumnCast
from spark.object_store import connect, key_of, store_error
from spark.unit_task import JobContext, RewriteOrder, UnitTask, attempt_path
from spark.unit_writer import UnitWriter

_BATCH_ROWS = 65_536
_SORTED_BYTES = 1 << 30
"""Bytes in memory up to which rows are sorted; a file with more keeps the order of the files that it is made of."""
_DELETED_PATH, _DELETED_POSITION = "file_path", "pos"
"""Columns of a position-delete file (Iceberg spec)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten:
    """What one attempt has written: the new file, and one of the rows that were deleted; ``None`` without rows.

    Nobody has computed a digest of them: theirs is zero.
    """

    file: WrittenFile | None
    removed: WrittenFile | None


def rewrite_unit(
    context: JobContext, task: UnitTask, order: RewriteOrder, attempt: UUID, failpoints: Failpoints
) -> Rewritten:
    """Write the rows of a unit's files as one file, and those that were deleted as another, of this attempt's own.

    Raises:
        CheckFailedError: if a file is missing or damaged, or holds another number of rows than the table says.
        UnsupportedTypeError: naming the column with a value that the schema's type can't hold.
        StoreUnavailableError, AccessDeniedError
    """
    store = connect(context.store)
    layout = replace(context.layout, schema_json=order.schema_json)
    path = attempt_path(task.prefix, task.index, attempt)
    before_read, after_read = EFFECTS["task.read"].points
    failpoints.hit(before_read)
    source = _Files(store, order)
    with (
        UnitWriter(store, f"{path}.parquet", source.schema, layout) as kept,
        UnitWriter(store, f"{path}.removed.parquet", source.schema, layout) as removed,
    ):
        rows = _Rows(kept, order.keys)
        for batch, deleted in source.batches():
            rows.write(batch.filter(pa.array(~deleted)) if deleted.any() else batch)
            if deleted.any():
                removed.write(batch.filter(pa.array(deleted)))
            failpoints.hit(after_read)
        rows.finish()
        with failpoints.around("task.close"):
            kept.close()
            removed.close()
    _check_rows(task, order, source.rows, kept, removed)
    sort_order = order.sort_id if rows.sorted else None
    return Rewritten(file=_written(task, kept, sort_order), removed=_written(task, removed, None))


def _check_rows(task: UnitTask, order: RewriteOrder, read: int, kept: UnitWriter, removed: UnitWriter) -> None:
    if not read == order.rows == kept.rows + removed.rows:
        raise CheckFailedError(
            f"unit {task.index} of batch {task.batch_id}: {order.rows} rows stand in the table, {read} were read,"
            f" {kept.rows} and {removed.rows} deleted ones were written",
            remedy="nothing to do once: the files are rewritten again; if it repeats, look at store and network",
        )


def _written(task: UnitTask, writer: UnitWriter, sort_order: int | None) -> WrittenFile | None:
    if not writer.rows:
        return None
    return WrittenFile(
        unit=task.index,
        path=writer.uri,
        bytes=writer.bytes,
        fingerprint=Fingerprint(rows=writer.rows, digest=0),
        footer_crc=writer.footer_crc,
        sort_order=sort_order,
    )


@dataclass(slots=True)
class _Rows:
    """Rows on their way into a file: gathered and sorted where they have to be, as long as they fit into memory."""

    writer: UnitWriter
    keys: Sequence[SortKey]
    sorted: bool = True
    _gathered: list[pa.RecordBatch] = field(default_factory=list)
    _bytes: int = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Take rows."""
        if not (self.keys and self.sorted):
            self.writer.write(batch)
            return
        self._gathered.append(batch)
        self._bytes += batch.nbytes
        if self._bytes > _SORTED_BYTES:
            self.sorted = False
            for one in self._gathered:
                self.writer.write(one)
            self._gathered.clear()

    def finish(self) -> None:
        """Write what was gathered, in order."""
        if self._gathered:
            table = pa.Table.from_batches(self._gathered)
            indices = _order(table, self.keys)
            for start in range(0, len(indices), _BATCH_ROWS):
                for batch in table.take(indices.slice(start, _BATCH_ROWS)).combine_chunks().to_batches():
                    self.writer.write(batch)


def _order(table: pa.Table, keys: Sequence[SortKey]) -> pa.Array:
    """Return the positions of rows in their order; NULLs of each key stand where that key says."""
    columns: dict[str, pa.ChunkedArray] = {}
    terms: list[tuple[str, str]] = []
    for number, key in enumerate(keys):
        column = table.column(key.column)
        if column.null_count:
            columns[f"null {number}"] = pc.is_null(column)
            terms.append((f"null {number}", "descending" if key.nulls_first else "ascending"))
        columns[f"key {number}"] = column
        terms.append((f"key {number}", "descending" if key.descending else "ascending"))
    return pc.sort_indices(pa.table(columns), sort_keys=terms)


class _Files:
    """The data files of a unit, read one after the other with the rows of each that were deleted."""

    def __init__(self, store: S3FileSystem, order: RewriteOrder) -> None:
        self._store = store
        self._order = order
        self._deleted = _deleted_positions(store, order)
        self.rows = 0
        with _reading(order.paths[0]), _open(store, order.paths[0]) as first:
            self.schema = self._cast(first.schema_arrow).schema

    def _cast(self, schema: pa.Schema) -> ColumnCast:
        return ColumnCast.to_iceberg(self._order.schema_json, schema.append(pa.field(DIGEST_COLUMN, pa.uint64())))

    def batches(self) -> Iterator[tuple[pa.RecordBatch, NDArray[np.bool_]]]:
        """Yield rows, and which of them were deleted."""
        for path in self._order.paths:
            position = 0
            with _reading(path), _open(self._store, path) as file:
                cast = self._cast(file.schema_arrow)
                if cast.schema != self.schema:
                    raise CheckFailedError(
                        f"{path} has other columns than {self._order.paths[0]}, with which it was to become one",
                        remedy="report this as a defect, with the footers of both files",
                    )
                for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                    deleted = self._mask(path, position, batch.num_rows)
                    position += batch.num_rows
                    yield cast.cast(batch), deleted
            self.rows += position

    def _mask(self, path: str, first: int, count: int) -> NDArray[np.bool_]:
        mask = np.zeros(count, dtype=np.bool_)
        positions = self._deleted.get(path)
        if positions is not None:
            inside = positions[(positions >= first) & (positions < first + count)]
            mask[inside - first] = True
        return mask


def _deleted_positions(store: S3FileSystem, order: RewriteOrder) -> Mapping[str, NDArray[np.int64]]:
    """Return the positions of deleted rows, by data file."""
    found: dict[str, list[NDArray[np.int64]]] = {}
    wanted = pa.array(order.paths)
    for path in order.deletes:
        with _reading(path), _open(store, path) as file:
            for batch in file.iter_batches(columns=[_DELETED_PATH, _DELETED_POSITION]):
                named = batch.filter(pc.is_in(batch.column(_DELETED_PATH), value_set=wanted))
                paths, positions = named.column(_DELETED_PATH), named.column(_DELETED_POSITION)
                for each in paths.unique().to_pylist():
                    own = positions.filter(pc.equal(paths, each)).to_numpy(zero_copy_only=False)
                    found.setdefault(each, []).append(own.astype(np.int64))
    return {path: np.unique(np.concatenate(parts)) for path, parts in found.items()}


@contextmanager
def _open(store: S3FileSystem, path: str) -> Iterator[parquet.ParquetFile]:
    with store.open_input_file(key_of(path)) as stream, parquet.ParquetFile(stream, pre_buffer=True) as file:
        yield file


@contextmanager
def _reading(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise CheckFailedError(
            f"{path}, which is to be rewritten, is not on the store", remedy="see: icehaul verify --all"
        ) from error
    except pa.ArrowInvalid as error:
        raise CheckFailedError(
            f"{path}, which is to be rewritten, can't be read: {error}", remedy="see: icehaul verify --all"
        ) from error
    except (pa.ArrowNotImplementedError, pa.ArrowKeyError) as error:
        raise EngineFailedError(f"{path} can't be read: {error}", remedy="report this as a defect") from error
    except OSError as error:
        raise store_error(path, error) from error
