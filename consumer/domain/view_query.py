"""The query of a view over both tiers: the hot rows from a boundary on, and the cold ones below it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from consumer.domain.clickhouse_sql import quote_name, quote_text, read_rows
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
    """Return a short digest of the source's columns and their types."""
    return sha256(view_columns(mapping).encode()).hexdigest()[:16]


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
    return f"{hot} UNION ALL {cold_query(mapping, cold, cold_condition(stream, types, boundary), types)}"


def cold_condition(stream: Stream, types: Mapping[str, str], boundary: datetime) -> str:
    """Return the condition that a cold row lies below a boundary, on the column as it is stored, for pruning."""
    name = stream.timestamp_column
    return time_type(types[name]).before(quote_name(name), boundary)


def cold_query(mapping: TableMapping, cold: str, condition: str, types: Mapping[str, str]) -> str:
    """Return the query of cold rows in the source's types; ``condition`` is on the columns as they are stored."""
    names = ", ".join(quote_name(one.name) for one in mapping.columns)
    cast = ", ".join(_cast(one, types) for one in mapping.columns)
    return f"SELECT {cast} FROM (SELECT {names} FROM {cold} WHERE {condition})"


def _cast(column: ColumnMapping, types: Mapping[str, str]) -> str:
    name = quote_name(column.name)
    # A column that needs no cast is left alone: a filter on it prunes files.
    if _SPACE.sub("", types[column.name]) == _SPACE.sub("", column.source_type):
        return name
    if column.required and types[column.name].startswith("Nullable("):
        # Added later: for rows that are older ClickHouse computes its default.
        default = column.default_sql or f"defaultValueOfTypeName({quote_text(column.source_type)})"
        return f"if(isNull({name}), CAST({default} AS {column.source_type}), {column.restore_sql}) AS {name}"
    return f"{column.restore_sql} AS {name}"


def _time_column(stream: Stream, mapping: TableMapping) -> ColumnMapping:
    return next(column for column in mapping.columns if column.name == stream.timestamp_column)
