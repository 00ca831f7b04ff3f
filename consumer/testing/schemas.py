"""The schemas of tables in memory, by the rules of the real catalog."""

from __future__ import annotations

from typing import Protocol

from pyiceberg.schema import Schema

from consumer.domain.errors import SchemaMovedError
from consumer.domain.evolution import Evolution
from consumer.domain.mapping import TableMapping
from consumer.domain.schema_change import follow
from consumer.domain.schema_history import SchemaHistory
from consumer.domain.stream import Stream
from consumer.domain.target_schema import check_columns
from consumer.ports import Publication


class HasSchema(Protocol):
    """A table, as far as its schema goes."""

    schema: Schema


def evolution_of(table: HasSchema, stream: Stream, mapping: TableMapping, history: SchemaHistory) -> Evolution:
    """Compare a table's columns with the stream's, and return what they become."""
    base = table.schema
    if not history:
        check_columns(stream, mapping.iceberg_schema(), base)
        return Evolution(base=base, schema=base)
    return follow(
        stream,
        mapping,
        history,
        base,
        last_column_id=base.highest_field_id,
        next_schema_id=base.schema_id + 1,
    )


def next_schema(table: HasSchema, publication: Publication) -> Schema:
    """Return the schema that a table has after a publish.

    Raises:
        SchemaMovedError: if it is not the one that the files were written for any more.
    """
    evolution = publication.evolution
    if evolution is None or table.schema.as_struct() == evolution.schema.as_struct():
        return table.schema
    if table.schema.as_struct() != evolution.base.as_struct():
        raise SchemaMovedError(
            f"the columns of {publication.stream.target} were changed while rows were written for it",
            remedy="nothing to do: the event is planned again with the columns of now",
        )
    return evolution.schema
