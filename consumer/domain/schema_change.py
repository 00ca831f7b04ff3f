"""What becomes of a target when its source's columns were changed: it follows, or the stream halts with a plan."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from pyiceberg.schema import Schema
from pyiceberg.types import StructType

from consumer.domain.clickhouse_type import ClickHouseType, TypeSyntaxError, parse_type
from consumer.domain.errors import SchemaChangeError
from consumer.domain.evolution import Evolution, Obstacle, ObstaclesError, evolve
from consumer.domain.mapping import DOC_PREFIX, SourceColumn, TableMapping
from consumer.domain.schema_history import KnownColumn, SchemaEra, SchemaHistory, ever_known
from consumer.domain.stream import Stream

_WRAPPERS = frozenset({"LowCardinality", "Nullable", "SimpleAggregateFunction"})
_PAGE = "docs/how-to/change-a-schema.md"
_ANEW = "let all consumers read the file anew (SIGHUP, or a restart)"


def follow(
    stream: Stream,
    mapping: TableMapping,
    history: SchemaHistory,
    base: Schema,
    *,
    last_column_id: int,
    next_schema_id: int,
) -> Evolution:
    """Return what the target's schema becomes, so that rows with the source's present columns can be written.

    Args:
        stream: the stream, which says which columns were renamed or dropped.
        mapping: the source's present columns.
        history: what the source's columns were, as recorded; the last era tells what has changed since.
        base: the target's schema.
        last_column_id: the highest field id that the target ever had.
        next_schema_id: the id of a schema that is added.

    Raises:
        SchemaChangeError: if values would be lost, or a dropped column may be a renamed one; with every column, what
            would be lost, and the choices.
    """
    names = {column.name for column in mapping.columns}
    renamed = {new: old for new, old in stream.renamed_columns if new in names and old not in names}
    fields = {field.name for field in base.fields}
    pending = {new: old for new, old in renamed.items() if new not in fields and old in fields}
    last = history[-1]
    _check_renames(stream, mapping, history, fields, pending)
    _check_guesses(stream, last, names, fields, renamed)
    obstacles = list(_narrowed(last, mapping))
    ours = {*ever_known(history), *(field.name for field in base.fields if (field.doc or "").startswith(DOC_PREFIX))}
    try:
        evolution = evolve(
            base,
            mapping.iceberg_schema(),
            last_column_id=last_column_id,
            next_schema_id=next_schema_id,
            dropped=ours,
            renamed=pending,
        )
    except ObstaclesError as error:
        raise _refusal(stream, (*obstacles, *error.obstacles)) from None
    if obstacles:
        raise _refusal(stream, obstacles)
    return evolution


def columns_of(base: Schema, columns: Sequence[SourceColumn]) -> tuple[KnownColumn, ...]:
    """Return the source's columns as they were when the target's schema was made, for a stream without a history.

    The fields' docs tell the types; where another engine has made the table, they are taken for what they are now.
    """
    present = {column.name: column.type for column in columns}
    known = []
    for field in base.fields:
        doc = field.doc or ""
        type_ = doc.removeprefix(DOC_PREFIX) if doc.startswith(DOC_PREFIX) else present.get(field.name)
        if type_ is not None:
            known.append(KnownColumn(name=field.name, type=type_))
    return tuple(known)


def _check_renames(
    stream: Stream,
    mapping: TableMapping,
    history: SchemaHistory,
    fields: Collection[str],
    pending: Mapping[str, str],
) -> None:
    """Refuse renames by which data files could not be told apart by their columns' names any more."""
    former = {name: one.name for one in ever_known(history).values() for name in one.former}
    for column in mapping.columns:
        if column.name in former and column.name not in fields:
            raise SchemaChangeError(
                f"stream {stream.name}: the new column {column.name} of {stream.source} has the name that"
                f" {former[column.name]} had before: older data files have that under this name",
                remedy=f"give the new column another name; see {_PAGE}",
            )
        if column.name in pending and isinstance(column.iceberg_type, StructType):
            raise SchemaChangeError(
                f"stream {stream.name}: {column.name} is a Tuple, whose rename can't be followed",
                remedy=f"give it its old name {pending[column.name]} again, or offload it as a new column:"
                f" dropped_columns: [{pending[column.name]}]; see {_PAGE}",
            )


def _check_guesses(
    stream: Stream, last: SchemaEra, names: Collection[str], fields: Collection[str], renamed: Mapping[str, str]
) -> None:
    """Refuse to guess whether a column that is gone and one that is new are the same one."""
    explained = {*stream.dropped_columns, *renamed.values()}
    gone = sorted(name for name in last.names if name not in names and name not in explained)
    new = sorted(name for name in names if name not in fields and name not in renamed and name not in last.names)
    if not gone or not new:
        return
    raise SchemaChangeError(
        f"stream {stream.name}: {stream.source} has no column {', '.join(gone)} any more, and {', '.join(new)} is new:"
        " renamed, or dropped and added? A rename that is taken for the other would split its values over two columns",
        remedy=f"say which it is in the stream: renamed_columns: {{{new[0]}: {gone[0]}}} if it was renamed;"
        f" dropped_columns: [{', '.join(gone)}] if it was dropped, and the new one is another; then {_ANEW};"
        f" see {_PAGE}",
    )


def _narrowed(last: SchemaEra, mapping: TableMapping) -> Iterator[Obstacle]:
    """Yield the columns of which the source holds less than before, although the target's type may be the same."""
    before = {column.name: column.type for column in last.columns}
    for column in mapping.columns:
        old = before.get(column.name, column.source_type)
        if old == column.source_type:
            continue
        if _nullable(old) and not _nullable(column.source_type):
            yield Obstacle(
                column=column.name, there=old, wanted=column.source_type, loses="NULLs have become default values"
            )
        was, now = _time_digits(old), _time_digits(column.source_type)
        if was is not None and now is not None and now < was:
            yield Obstacle(
                column=column.name,
                there=old,
                wanted=column.source_type,
                loses=f"{was - now} digits of the second",
            )


def _nullable(type_: str) -> bool:
    return any(one.name == "Nullable" for one in _unwrapped(type_))


def _time_digits(type_: str) -> int | None:
    """Return how many digits of a second a time has; ``None`` for other types."""
    match _unwrapped(type_)[-1]:
        case ClickHouseType(name="DateTime"):
            return 0
        case ClickHouseType(name="DateTime64", arguments=(int(digits), *_)):
            return digits
        case _:
            return None


def _unwrapped(type_: str) -> list[ClickHouseType]:
    """Return a type with what it wraps, from the outside."""
    try:
        found = [parse_type(type_)]
    except TypeSyntaxError:
        return [ClickHouseType(type_)]
    while found[-1].name in _WRAPPERS and found[-1].arguments:
        inner = found[-1].arguments[-1]
        if not isinstance(inner, ClickHouseType):
            break
        found.append(inner)
    return found


def _refusal(stream: Stream, obstacles: Sequence[Obstacle]) -> SchemaChangeError:
    told = "; ".join(f"column {one.column}: from {one.there} to {one.wanted}: {one.loses}" for one in obstacles)
    column = obstacles[0].column.partition(".")[0]
    return SchemaChangeError(
        f"stream {stream.name}: the target {stream.target} can't follow what was changed in {stream.source}: {told}",
        remedy=f"restore the type: ALTER TABLE {stream.source} MODIFY COLUMN {column} …; or offload it as a new column:"
        f" ALTER TABLE {stream.source} RENAME COLUMN {column} TO {column}_2, and dropped_columns: [{column}] in the"
        f" stream; or choose by columns.{column} what it becomes, where docs/reference/types.md offers that type; after"
        f" a change of the stream, {_ANEW}; see {_PAGE}",
    )
