"""The query of a view over both tiers: the hot rows from a boundary on, and the cold ones below it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from consumer.domain.clickhouse_sql import default_of_type, quote_name, read_rows
from consumer.domain.element_fill import filled
from consumer.domain.mapping import ColumnMapping, TableMapping
from consumer.domain.stream import Stream
from consumer.domain.time_type import time_type

_MARK = "icehaul view of both tiers: "
_SPACE = re.compile(r"\s")


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewMark:
    """What a view's comment says: whose it is, where its tiers meet, and what it reads below that.

    ``columns`` is a digest of the source's columns, ``metadata`` the Iceberg metadata file, ``None`` where there is no
    table yet.
    """

    stream: str
    boundary: datetime
    columns: str
    snapshot_id: int | None
    metadata: str | None

    def comment(self) -> str:
        """Return the comment."""
        return _MARK + json.dumps(
            {
                "stream": self.stream,
                "boundary": self.boundary.isoformat(),
                "columns": self.columns,
                "snapshot_id": self.snapshot_id,
                "metadata": self.metadata,
            }
        )

    @classmethod
    def parse(cls, comment: str) -> ViewMark | None:
        """Read a comment; ``None`` if it is another one."""
        if not comment.startswith(_MARK):
            return None
        try:
            said = json.loads(comment.removeprefix(_MARK))
            return cls(
                stream=said["stream"],
                boundary=datetime.fromisoformat(said["boundary"]),
                columns=said["columns"],
                snapshot_id=said["snapshot_id"],
                metadata=said["metadata"],
            )
        except (ValueError, KeyError, TypeError):
            return None


def columns_digest(mapping: TableMapping) -> str:
    """Return a short digest of the source's columns: their types, and what they are in rows that lack them."""
    defaults = [f"{one.name} {one.default_sql} {one.since}" for one in mapping.columns if one.since is not None]
    if defaults:
        defaults += [f"{one.name} {one.type} {one.default}" for one in mapping.unstored]
    return sha256("\n".join([view_columns(mapping), *defaults]).encode()).hexdigest()[:16]


def view_columns(mapping: TableMapping) -> str:
    """Return the view's columns with their types: the source's."""
    return ", ".join(f"{quote_name(column.name)} {column.source_type}" for column in mapping.columns)


def view_query(
    stream: Stream, mapping: TableMapping, boundary: datetime, *, cold: str | None, types: Mapping[str, str]
) -> str:
    """Return the SELECT over both tiers.

    Args:
        stream: the stream whose tiers are read.
        mapping: the source's columns.
        boundary: the watermark; a row at it is a hot one.
        cold: table function that reads the pinned snapshot, ``None`` where there is none.
        types: the types with which the server reads its columns.
    """
    column = _time_column(stream, mapping)
    names = ", ".join(quote_name(one.name) for one in mapping.columns)
    hot_from = time_type(column.source_type).at_or_after(quote_name(column.name), boundary)
    hot = f"SELECT {names} FROM {read_rows(stream)} WHERE {hot_from}"
    if cold is None:
        return hot
    return f"{hot} UNION ALL {cold_query(stream, mapping, cold, cold_condition(column, types, boundary), types)}"


def cold_condition(column: ColumnMapping, types: Mapping[str, str], boundary: datetime) -> str:
    """Return the condition that a cold row lies below a boundary, on the time column as it is stored, for pruning."""
    name = cold_name(column, types) or column.name
    return time_type(types[name]).before(quote_name(name), boundary)


def cold_name(column: ColumnMapping, types: Mapping[str, str]) -> str | None:
    """Return the name that a column has in the target; ``None`` if it has none there before the next batch.

    A renamed column has its former name until then.
    """
    names = (column.name, *(name for name, _ in column.stored))
    return next((name for name in names if name in types), None)


def cold_query(stream: Stream, mapping: TableMapping, cold: str, condition: str, types: Mapping[str, str]) -> str:
    """Return the query of cold rows in the source's types; ``condition`` is on the columns as they are stored."""
    stored: dict[str, str] = {}
    values: list[str] = []
    for one in mapping.columns:
        name = cold_name(one, types)
        if name is not None:
            stored[one.name] = types[name]
            value = filled(quote_name(name), types[name], one.source_type)
            values.append(value if value == quote_name(one.name) else f"{value} AS {quote_name(one.name)}")
    time = _time_column(stream, mapping)
    cast = ", ".join(_cast(one, stored.get(one.name), time) for one in mapping.columns)
    named = _unstored(mapping) if any(one.since is not None for one in mapping.columns) else ""
    return f"{named}SELECT {cast} FROM (SELECT {', '.join(values)} FROM {cold} WHERE {condition})"


def _unstored(mapping: TableMapping) -> str:
    """Return the clause that gives defaults the columns which they name, and which are in no tier."""
    values = [f"{_default(one.default, one.type)} AS {quote_name(one.name)}" for one in mapping.unstored]
    return f"WITH {', '.join(values)} " if values else ""


def _cast(column: ColumnMapping, stored: str | None, time: ColumnMapping) -> str:
    """Return a column in the source's type; ``stored`` is the type with which it is read, if it is there already."""
    name = quote_name(column.name)
    default = _default(column.default_sql, column.source_type)
    if stored is None:
        return f"{default} AS {name}"
    value = name if _SPACE.sub("", stored) == _SPACE.sub("", column.source_type) else column.restore_sql
    absent = _absent(column, stored, time)
    if absent is not None:
        return f"if({absent}, {default}, {value}) AS {name}"
    # A column that needs no cast is left alone: a filter on it prunes files.
    return name if value == name else f"{value} AS {name}"


def _absent(column: ColumnMapping, stored: str, time: ColumnMapping) -> str | None:
    """Return the condition that a row has no value of a column, for which ClickHouse computes the default.

    Where NULL or an empty container may be a value, too, it is one in rows that were offloaded with the column.
    """
    name = quote_name(column.name)
    optional = stored.startswith(("Nullable(", "LowCardinality(Nullable("))
    if column.required and optional and not stored.startswith("Nullable(Tuple("):
        return f"isNull({name})"
    if column.since is None or (optional and not column.default_sql):
        return None
    if stored.startswith(("Array(", "Map(")):
        empty = f"empty({name})"
    elif optional:
        empty = f"isNull({name})"
    else:
        # A Tuple can't be compared with NULLs in it, but as text.
        empty = f"toString({name}) = toString({default_of_type(stored)})"
    before = time_type(time.source_type).before(quote_name(time.name), column.since)
    return f"{before} AND {empty}"


def _default(expression: str, type_: str) -> str:
    return f"CAST({expression or default_of_type(type_)} AS {type_})"


def _time_column(stream: Stream, mapping: TableMapping) -> ColumnMapping:
    return next(column for column in mapping.columns if column.name == stream.timestamp_column)
