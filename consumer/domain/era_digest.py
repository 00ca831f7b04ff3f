"""How a value enters the row hash of an era in which its column had another form.

What the ledger has recorded of a window was computed over the columns that the source had when it was written. After a
column was widened, made Nullable or given another element, the same rows have to give the same hash: a value that fits
the old form is hashed as it was, one that does not fit gets a hash that hardly any value of the old form has.
"""

from __future__ import annotations

from pyiceberg.types import DecimalType, DoubleType, FloatType, IcebergType, IntegerType, LongType, StructType

from consumer.domain.clickhouse_sql import default_of_type, quote_text
from consumer.domain.wire_form import (
    ArrayForm,
    MapForm,
    ScalarForm,
    TupleForm,
    WireForm,
    invalid_text_message,
    lambda_variable,
)

_NO_VALUE = {
    "String": r"'\0icehaul: NULL'",
    "Date32": "toDate32('2299-12-31')",
    "DateTime64(6, 'UTC')": "toDateTime64('2299-12-31 23:59:59.999999', 6, 'UTC')",
}
"""What stands in the hash for a NULL, by the type that had none."""
_UINT64_DIGITS = 19


def era_digest_sql(era: WireForm, now: WireForm, value: str, column: str | None) -> str:
    """Return the expressions of a column that enter the row hash of an era, comma separated.

    Args:
        era: the column's form in that era.
        now: its present form, which ``value`` has.
        value: ClickHouse expression of the wire value.
        column: the column's name, for the message of the check that text is UTF-8; ``None``: it was checked before.
    """
    expressions = _digest(era, now, value, 0)
    if era.valid_text(value, 0) is not None:
        # The check is an argument of the hash, so it has to stand in its place, whatever else is text by now.
        valid = now.valid_text(value, 0)
        check = column is not None and valid is not None
        message = quote_text(invalid_text_message(column or ""))
        expressions.append(f"throwIf(NOT ({valid}), {message})" if check else "toUInt8(0)")
    return ", ".join(expressions)


def _digest(era: WireForm, now: WireForm, value: str, depth: int) -> list[str]:
    match era, now:
        case ScalarForm(), ScalarForm():
            return _scalar(era, now, value, depth)
        case ArrayForm(), ArrayForm():
            return [_array(era, now, value, depth)]
        case MapForm(), MapForm():
            keys = _digest(era.keys, now.keys, f"mapKeys({value})", depth)
            return keys + _digest(era.values, now.values, f"mapValues({value})", depth)
        case TupleForm(), TupleForm():
            return _tuple(era, now, value, depth)
        case _:
            return now.digest(value, depth)


def _array(era: ArrayForm, now: ArrayForm, value: str, depth: int) -> str:
    """Return what enters the hash of an array: itself, the elements as they were, or a hash of each."""
    each = lambda_variable(depth)
    inner = _digest(era.element, now.element, each, depth + 1)
    if inner == [each]:
        return value
    if era.element.digest(each, depth + 1) == [each]:
        return f"arrayMap({each} -> {inner[0]}, {value})"
    return f"arrayMap({each} -> cityHash64({', '.join(inner)}), {value})"


def _tuple(era: TupleForm, now: TupleForm, value: str, depth: int) -> list[str]:
    """Return what enters the hash of the elements that the era had; for one that has gone, its default."""
    places = {name: number for number, name in enumerate(_names(now), start=1)}
    expressions: list[str] = []
    for name, form in zip(_names(era), era.elements, strict=True):
        if name in places:
            number = places[name]
            expressions += _digest(form, now.elements[number - 1], f"tupleElement({value}, {number})", depth)
        else:
            expressions += form.digest(default_of(form), depth)
    return expressions


def default_of(form: WireForm) -> str:
    """Return the expression of what stands for a value that there is none of."""
    return default_of_type(form.wire_type)


def _names(form: TupleForm) -> list[str]:
    if not isinstance(form.iceberg_type, StructType):
        raise TypeError(f"a tuple is a struct, and no {form.iceberg_type}")
    return [field.name for field in form.iceberg_type.fields]


def _scalar(era: ScalarForm, now: ScalarForm, value: str, depth: int) -> list[str]:
    if (era.bare_type, era.nullable) == (now.bare_type, now.nullable):
        return now.digest(value, depth)
    spread = _spread(era, now, value)
    same = era.bare_type == now.bare_type
    fitting = value if same else f"accurateCastOrNull({value}, {quote_text(era.bare_type)})"
    if not era.nullable:
        return [f"ifNull({fitting}, {spread})"]
    default = default_of_type(era.bare_type)
    if not now.nullable:
        return ["toUInt8(0)", f"ifNull({fitting}, {spread})"]
    return [f"isNull({value})", f"if(isNull({value}), {default}, ifNull({fitting}, {spread}))"]


def _spread(era: ScalarForm, now: ScalarForm, value: str) -> str:
    """Return what stands in the hash for a value that the era's form can't hold, of the type that it had."""
    default = default_of_type(now.bare_type)
    number = f"cityHash64(isNull({value}), ifNull({value}, {default}))"
    kind: IcebergType = era.iceberg_type
    if isinstance(kind, IntegerType | LongType):
        return f"CAST(bitAnd({number}, 2147483647) AS {era.bare_type})"
    if isinstance(kind, FloatType | DoubleType):
        return f"CAST({number} AS {era.bare_type})"
    if isinstance(kind, DecimalType):
        digits = min(kind.precision - kind.scale, _UINT64_DIGITS)
        return f"CAST({number} % {10**digits} AS {era.bare_type})"
    return _NO_VALUE.get(era.bare_type, default_of_type(era.bare_type))
