"""Which mode a source table allows, and why not another: what FINAL and mutations have to leave where it is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from consumer.domain.engine_semantics import merges_keep_versions, merges_remove_rows
from consumer.domain.errors import ModeRefusedError
from consumer.domain.mapping import SourceColumn
from consumer.domain.stream import Mode, Stream
from consumer.domain.table_key import bare_columns, named_columns

_AGGREGATE = re.compile(r"(Simple)?AggregateFunction\((\w+)(?:\([^)]*\))?(?:, *(.*))?\)", re.DOTALL)
_ORDERLESS = frozenset(
    {
        *("any", "anyLast", "any_respect_nulls", "anyLast_respect_nulls", "argMax", "argMin", "avg", "count", "max"),
        *("min", "sum", "sumWithOverflow", "groupBitAnd", "groupBitOr", "groupBitXor"),
    }
)
"""Aggregates whose states do not tell in how many steps they were combined."""
_ADDING = frozenset({"sum", "sumWithOverflow", "avg"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TableShape:
    """What of a source table decides which modes it allows.

    Attributes:
        engine: as ``system.tables`` names it.
        partition_key: the expression, empty where there is none.
        sorting_key: the expression, empty where there is none.
        columns: those that make a full row.
        ttl_changes_rows: whether a TTL resets values of columns, or rolls rows up.
    """

    engine: str
    partition_key: str
    sorting_key: str
    columns: Sequence[SourceColumn]
    ttl_changes_rows: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeObstacle:
    """Why a table does not allow a mode, and what to do."""

    reason: str
    remedy: str


_APPEND = "set mode: append, and let readers take the last version"


def check_mode(stream: Stream, shape: TableShape) -> None:
    """Make sure that a stream's mode is one that its source allows.

    Raises:
        ModeRefusedError: if it is not, with reason and remedy.
    """
    found = mode_obstacle(stream.mode, shape, time_column=stream.timestamp_column)
    if found is not None:
        raise ModeRefusedError(
            f"stream {stream.name}: mode {stream.mode} is not possible for {stream.source}: {found.reason}",
            remedy=found.remedy,
        )


def mode_obstacle(mode: Mode, shape: TableShape, *, time_column: str) -> ModeObstacle | None:
    """Return why a table does not allow a mode; ``None`` if it does."""
    if mode is Mode.APPEND:
        return None
    if shape.ttl_changes_rows:
        return ModeObstacle(
            reason="a TTL of it resets values or rolls rows up, and the target would lose what the TTL takes",
            remedy="set mode: append; or remove that TTL from the source",
        )
    if mode is Mode.REPLACE_WINDOW:
        return _obstacle_to_replacing(shape)
    return _obstacle_to_final(shape, time_column)


def mode_meaning(mode: Mode) -> str:
    """Return in a few words what a target holds in a mode."""
    return _MEANINGS[mode]


_MEANINGS: Mapping[Mode, str] = MappingProxyType(
    {
        Mode.APPEND: "every row as it was when it was read; later changes are reported",
        Mode.LATEST_VERSION: "rows as FINAL shows them, whatever was merged; windows with other versions are replaced",
        Mode.REPLACE_WINDOW: "rows as mutations leave them; windows that were changed are replaced",
    }
)


def proposed_mode(shape: TableShape, *, time_column: str) -> tuple[Mode, str]:
    """Return the mode that suits a table, and why."""
    if not merges_remove_rows(shape.engine):
        return Mode.APPEND, f"merges of {shape.engine} leave rows alone; replace-window also follows mutations"
    found = mode_obstacle(Mode.LATEST_VERSION, shape, time_column=time_column)
    if found is None:
        return Mode.LATEST_VERSION, f"{shape.engine} keeps versions: the target holds what FINAL shows"
    return Mode.APPEND, f"latest-version is not possible: {found.reason}"


def _obstacle_to_replacing(shape: TableShape) -> ModeObstacle | None:
    if not merges_remove_rows(shape.engine):
        return None
    return ModeObstacle(
        reason=f"merges of {shape.engine} make rows go that no mutation has touched, so what a window holds depends on"
        " when it is read",
        remedy=f"set mode: latest-version; or {_APPEND}",
    )


def _obstacle_to_final(shape: TableShape, time_column: str) -> ModeObstacle | None:
    if not merges_keep_versions(shape.engine):
        return ModeObstacle(
            reason=f"rows of {shape.engine} have no versions that FINAL could choose from",
            remedy="set mode: replace-window to follow mutations, or mode: append",
        )
    key = bare_columns(shape.sorting_key)
    if time_column not in key:
        return ModeObstacle(
            reason=f"the sorting key ({shape.sorting_key or 'none'}) does not hold {time_column}, so versions of one"
            " row may lie in several windows",
            remedy=f"{_APPEND}; or make the table anew with {time_column} in its sorting key",
        )
    foreign = sorted(named_columns(shape.partition_key, (column.name for column in shape.columns)) - key)
    if foreign:
        return ModeObstacle(
            reason=f"the partition key ({shape.partition_key}) names {', '.join(foreign)}, which is not in the sorting"
            f" key ({shape.sorting_key}): versions of one row may lie in several partitions, which are never merged",
            remedy=f"{_APPEND}; or make the table anew with {', '.join(foreign)} in its sorting key",
        )
    return _obstacle_of_columns(shape, key)


def _obstacle_of_columns(shape: TableShape, key: frozenset[str]) -> ModeObstacle | None:
    adds = shape.engine.endswith("SummingMergeTree")
    for column in shape.columns:
        if column.name not in key and _depends_on_merges(column.type, adds=adds):
            return ModeObstacle(
                reason=f"the value of {column.name} ({column.type}) depends on the order in which merges combine it",
                remedy=f"{_APPEND}; or make it a Decimal or an integer, with sum, min, max, any, anyLast, count, avg,"
                " argMin, argMax or groupBit… where it is an aggregate",
            )
    return None


def _depends_on_merges(type_: str, *, adds: bool) -> bool:
    """Tell whether the value that is left of several depends on how many merges it took."""
    match = _AGGREGATE.fullmatch(type_)
    if match is None:
        return adds and "Float" in type_
    function, arguments = match.group(2), match.group(3) or ""
    return function not in _ORDERLESS or (function in _ADDING and "Float" in arguments)
