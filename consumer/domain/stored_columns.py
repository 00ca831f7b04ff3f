"""A column as it is read from data files that may lack it, or have it under a name that it had before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from consumer.domain.clickhouse_sql import default_of_type, quote_name
from consumer.domain.mapping import ColumnMapping
from consumer.domain.wire_form import ScalarForm, WireForm


def as_stored(
    column: ColumnMapping, form: WireForm, former: Sequence[str], *, lacking: bool, default: str | None = None
) -> ColumnMapping:
    """Return a column with the expression that finds its wire value in a file of any era.

    What a file lacks is NULL where ClickHouse has NULL, and empty where the column holds more than one value.

    Args:
        column: the column.
        form: its wire form.
        former: names that files may have it under, besides its own.
        lacking: whether files may lack it under all of its names.
        default: expression of the wire value of rows without one; ``None`` for the default of the wire type.
    """
    names = [quote_name(name) for name in (column.name, *former)]
    if not isinstance(form, ScalarForm):
        return _first_filled(column, form, names, former)
    if not former and (form.nullable or not lacking):
        return column
    optional = f"Nullable({form.bare_type})"
    defaults = [] if form.nullable else [default or default_of_type(form.bare_type)]
    function = "coalesce" if former else "ifNull"
    return replace(
        column,
        file_sql=f"{function}({', '.join((*names, *defaults))})",
        stored=tuple((name, optional) for name in (column.name, *former)),
    )


def _first_filled(column: ColumnMapping, form: WireForm, names: Sequence[str], former: Sequence[str]) -> ColumnMapping:
    if not former:
        return column
    found = names[-1]
    for name in reversed(names[:-1]):
        found = f"if(empty({name}), {found}, {name})"
    return replace(column, file_sql=found, stored=tuple((name, form.wire_type) for name in (column.name, *former)))
