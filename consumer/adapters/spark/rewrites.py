"""The tasks of a rewrite, and what they report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pyiceberg.schema import Schema

from consumer.domain.batch import Batch
from consumer.domain.rewriting import Rewriting
from consumer.domain.row_order import AS_READ, RowOrder
from consumer.ports import TargetTable, UnitReport
from spark.unit_task import RewriteOrder, UnitOutcome


def rewrite_order(rewriting: Rewriting, target: TargetTable) -> RewriteOrder:
    """Return what a task makes one file of."""
    order = _sorted_by(target, rewriting.schema)
    return RewriteOrder(
        paths=rewriting.paths,
        deletes=rewriting.deletes,
        schema_json=rewriting.schema,
        rows=rewriting.rows,
        keys=order.keys,
        sort_id=order.id,
    )


def _sorted_by(target: TargetTable, schema: str) -> RowOrder:
    """Return the table's order, if files of this schema have its keys: they may be older than a column of them."""
    present = {field.name: field.field_id for field in target.schema.fields}
    written = {field.name: field.field_id for field in Schema.model_validate_json(schema).fields}
    same = all(written.get(key.column) == present.get(key.column) is not None for key in target.order.keys)
    return target.order if same else AS_READ


def rewrite_reports(outcome: UnitOutcome, seconds: float) -> Iterator[UnitReport]:
    """Yield the reports of a unit's new file, and of that of its deleted rows; no row, no file."""
    if outcome.file is not None:
        yield UnitReport(file=replace(outcome.file, kept=True), seconds=seconds)
    if outcome.removed is not None:
        yield UnitReport(file=outcome.removed, removed=True)


def readable(batch: Batch, target: TargetTable) -> str | None:
    """Return the folder below which the tasks of a batch read data files from the store by themselves, if they do."""
    return None if batch.rewrite is None else target.location
