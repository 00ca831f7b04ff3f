"""The live data files of a table's snapshots."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from pyiceberg.expressions import (
    AlwaysTrue,
    And,
    BooleanExpression,
    GreaterThanOrEqual,
    LessThan,
    LessThanOrEqual,
    Reference,
)
from pyiceberg.expressions.literals import literal
from pyiceberg.manifest import DataFile, ManifestContent
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.types import DateType, TimestampType

from consumer.adapters.iceberg.tables import TIME_COLUMN_PROPERTY
from consumer.domain.errors import TargetMismatchError
from consumer.domain.window import Window


def live_files(table: Table, window: Window | None) -> Iterator[str]:
    """Yield the paths of the data files that may hold rows of ``window`` (all, without one); as live_entries does."""
    return (file.file_path for file in live_entries(table, window))


def live_entries(table: Table, window: Window | None, *, snapshot_id: int | None = None) -> Iterator[DataFile]:
    """Yield the data files of a snapshot (the current one) that may hold rows of ``window`` (all, without one).

    Partitions and the time column's bounds tell; where a table does not say which column that is, all are yielded.

    Raises:
        TargetMismatchError: if another engine has deleted single rows: the data files still hold them.
    """
    _check_no_deletes(table, snapshot_id)
    for task in table.scan(row_filter=_filter(table, window), snapshot_id=snapshot_id).plan_files():
        yield task.file


def _check_no_deletes(table: Table, snapshot_id: int | None) -> None:
    snapshot = table.current_snapshot() if snapshot_id is None else table.snapshot_by_id(snapshot_id)
    manifests = snapshot.manifests(table.io) if snapshot is not None else ()
    if any(
        one.content is ManifestContent.DELETES and (one.has_added_files() or one.has_existing_files())
        for one in manifests
    ):
        raise TargetMismatchError(
            f"the table {'.'.join(table.name())} has row-level deletes, which its data files do not show",
            remedy="rewrite its data files without them (Spark: CALL system.rewrite_data_files with"
            " delete-file-threshold 1), or use a target that nobody else writes to",
        )


def _filter(table: Table, window: Window | None) -> BooleanExpression:
    column = _time_column(table)
    if window is None or column is None:
        return AlwaysTrue()
    kind = table.schema().find_type(column)
    if isinstance(kind, DateType):
        first, last = (instant.astimezone(UTC).date().isoformat() for instant in (window.lower, window.upper))
        return And(
            GreaterThanOrEqual(term=Reference(column), value=literal(first)),
            LessThanOrEqual(term=Reference(column), value=literal(last)),
        )
    naive = isinstance(kind, TimestampType)
    lower, upper = (_text(instant, naive=naive) for instant in (window.lower, window.upper))
    return And(
        GreaterThanOrEqual(term=Reference(column), value=literal(lower)),
        LessThan(term=Reference(column), value=literal(upper)),
    )


def _text(instant: datetime, *, naive: bool) -> str:
    utc = instant.astimezone(UTC)
    return (utc.replace(tzinfo=None) if naive else utc).isoformat()


def _time_column(table: Table) -> str | None:
    named = table.properties.get(TIME_COLUMN_PROPERTY)
    schema: Schema = table.schema()
    if named is not None and any(field.name == named for field in schema.fields):
        return named
    sources = [field.source_id for field in table.spec().fields]
    return schema.find_column_name(sources[0]) if sources else None
