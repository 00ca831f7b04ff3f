"""The columns that are restored, as data files of every era of the source's columns hold them."""

from __future__ import annotations

from dataclasses import replace

from consumer.domain.clickhouse_sql import default_of_type, quote_name
from consumer.domain.mapping import ColumnMapping, TableMapping
from consumer.domain.restore_query import restored_value
from consumer.domain.schema_history import SchemaHistory, ever_known, in_all_eras
from consumer.domain.stored_columns import as_stored
from consumer.domain.stream import Stream
from consumer.domain.table_key import named_columns
from consumer.domain.type_mapping import form_of
from consumer.domain.wire_form import WireForm


def restored_columns(stream: Stream, mapping: TableMapping, history: SchemaHistory) -> TableMapping:
    """Return a destination's columns as they are read from files that lack some, or have them under former names.

    A row without a value gets the column's DEFAULT, or its type's default, as ClickHouse gives it to rows that are
    older than the column. Where the column holds NULL, or more than one value, a file does not tell whether there was
    a value: NULL and an empty one stay.

    Args:
        stream: the stream, with the choices of all columns.
        mapping: the destination's columns, plainly mapped.
        history: the source's columns through time.
    """
    known, everywhere, chosen = ever_known(history), in_all_eras(history), dict(stream.columns)
    former = {name: column.former for name, column in known.items() if column.former}
    if len(history) == 1 and not former:
        return mapping
    columns = []
    for column in mapping.columns:
        form = form_of(column.source_type, chosen.get(column.name))
        default = _default(stream, mapping, column, form)
        lacking = column.name not in everywhere
        columns.append(as_stored(column, form, former.get(column.name, ()), lacking=lacking, default=default))
    return replace(mapping, columns=tuple(columns), partial=True)


def _default(stream: Stream, mapping: TableMapping, column: ColumnMapping, form: WireForm) -> str:
    """Return the wire value of what ClickHouse has in rows that are older than a column.

    A DEFAULT may be computed from other columns: from their values in their own types, and not from what travels. It is
    computed for each row, so it must not fail where another column is NULL in a row that needs no default.
    """
    value = default_of_type(column.source_type)
    if column.default_sql:
        value = f"assumeNotNull({column.default_sql})"
    value = f"CAST({value} AS {column.source_type})"
    others = {one.name: one for one in mapping.columns if one.name != column.name}
    named = [others[name] for name in sorted(named_columns(column.default_sql, others))]
    if named:
        names = ", ".join(quote_name(one.name) for one in named)
        values = ", ".join(f"[{restored_value(stream, one)}]" for one in named)
        value = f"arrayElement(arrayMap(({names}) -> {value}, {values}), 1)"
    return form.read(value, column.source_type)
