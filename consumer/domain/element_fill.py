"""Elements that were added to a tuple: rows that are older have NULL in the cold tier, and ClickHouse their default."""

from __future__ import annotations

from consumer.domain.clickhouse_sql import quote_text
from consumer.domain.clickhouse_type import ClickHouseType, Element, EnumValue, parse_type
from consumer.domain.wire_form import lambda_variable

_TEXT_DEFAULTS = {"IPv4": "0.0.0.0", "IPv6": "::"}  # noqa: S104 - a value, no address that anybody listens at
_PASSED = frozenset({"LowCardinality", "Nullable", "SimpleAggregateFunction"})


def filled(value: str, stored: str, source: str) -> str:
    """Return the expression of an Iceberg value with defaults in place of elements that it lacks.

    Tuples that lack some have the source's order then, and no names.

    Args:
        value: ClickHouse expression of the value.
        stored: the type with which ClickHouse reads it from Iceberg.
        source: its type in the source.
    """
    # An element that is named of a column itself is read alone, which ClickHouse can't in files that lack it.
    return _filled(f"materialize({value})", parse_type(stored), parse_type(source), 0) or value


def _filled(value: str, stored: ClickHouseType, source: ClickHouseType, depth: int) -> str | None:
    """Return the expression; ``None`` where the value is as good."""
    stored, source = _bare(stored), _bare(source)
    if source.name == "Nested":
        source = ClickHouseType("Array", (ClickHouseType("Tuple", source.arguments),))
    match stored.name, source.name:
        case "Tuple", "Tuple":
            return _tuple(value, stored, source, depth)
        case "Array", "Array":
            each = lambda_variable(depth)
            inner = _filled(each, stored.types()[0], source.types()[0], depth + 1)
            return None if inner is None else f"arrayMap({each} -> {inner}, {value})"
        case "Map", "Map":
            each = lambda_variable(depth)
            inner = _filled(each, stored.types()[1], source.types()[1], depth + 1)
            if inner is None:
                return None
            return f"mapFromArrays(mapKeys({value}), arrayMap({each} -> {inner}, mapValues({value})))"
        case _:
            return None


def _tuple(value: str, stored: ClickHouseType, source: ClickHouseType, depth: int) -> str | None:
    found = _elements(stored)
    wanted = _elements(source)
    if not wanted.keys() <= found.keys():
        # Before the next batch: CAST gives what is missing its default.
        return None
    expressions = []
    changed = False
    for name, type_ in wanted.items():
        element = f"tupleElement({value}, {quote_text(name)})"
        inner = _filled(element, found[name], type_, depth) or element
        if _optional(found[name]) and not _optional(type_):
            inner = f"ifNull({inner}, {_default(inner, type_)})"
        changed = changed or inner != element
        expressions.append(inner)
    return f"tuple({', '.join(expressions)})" if changed else None


def _elements(tuple_: ClickHouseType) -> dict[str, ClickHouseType]:
    """Return the elements by their names in Iceberg."""
    found = {}
    for number, one in enumerate(tuple_.arguments, start=1):
        match one:
            case Element(name=name, type=type_):
                found[name] = type_
            case ClickHouseType():
                found[f"_{number}"] = one
    return found


def _bare(type_: ClickHouseType) -> ClickHouseType:
    while type_.name in _PASSED and isinstance(type_.arguments[-1], ClickHouseType):
        type_ = type_.arguments[-1]
    return type_


def _optional(type_: ClickHouseType) -> bool:
    """Tell whether a type, or the one in it, is Nullable."""
    while type_.name in _PASSED and isinstance(type_.arguments[-1], ClickHouseType):
        if type_.name == "Nullable":
            return True
        type_ = type_.arguments[-1]
    return False


def _default(value: str, type_: ClickHouseType) -> str:
    """Return ClickHouse's default of a type, as it stands in Iceberg."""
    bare = _bare(type_)
    if bare.name in _TEXT_DEFAULTS:
        return quote_text(_TEXT_DEFAULTS[bare.name])
    values = [one for one in bare.arguments if isinstance(one, EnumValue)]
    if values:
        return quote_text(min(values, key=lambda one: one.number).name)
    if bare.name == "Date":
        return "toDate32('1970-01-01')"
    return f"defaultValueOfArgumentType(assumeNotNull({value}))"
