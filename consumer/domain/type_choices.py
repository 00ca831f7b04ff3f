"""ClickHouse types that Iceberg has no exact counterpart for, and what a stream may choose for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from pyiceberg.types import (
    BinaryType,
    DecimalType,
    FixedType,
    IcebergType,
    IntegerType,
    LongType,
    StringType,
    TimestamptzType,
)

from consumer.domain.clickhouse_type import ClickHouseType

MAX_DECIMAL_PRECISION = 38
MICROSECONDS = 6
_NOTHING = "nothing"
_TOO_LONG = f"nothing; a value of more than {MAX_DECIMAL_PRECISION} digits halts the stream"


class As(StrEnum):
    """What the values of a column become whose type leaves a choice."""

    STRING = "string"
    """Text, as ClickHouse writes it."""
    BINARY = "binary"
    """Bytes, as ClickHouse holds them."""
    DECIMAL = "decimal"
    """A decimal of 38 digits at most."""
    LONG = "long"
    """A whole number."""
    MICROS = "micros"
    """A timestamp in microseconds."""
    NANOS = "nanos"
    """A whole number: nanoseconds since 1970-01-01 00:00 UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a type may become.

    Attributes:
        iceberg_type: Iceberg type.
        bare_type: ClickHouse type of the wire value without ``Nullable``.
        loses: what can't be told from the Iceberg value any more; "nothing" where it is exact.
        function: ClickHouse expression with ``{}`` for the value, where ``CAST`` won't do.
        back: ClickHouse expression with ``{}`` for the Iceberg value from which ``CAST`` leads back to the type.
        back_through: ClickHouse type by way of which ``CAST`` leads back, without ``Nullable``.
        returns: whether the way back leads to the very value; if not, what it ``loses`` is gone for good.
    """

    iceberg_type: IcebergType
    bare_type: str
    loses: str = _NOTHING
    function: str | None = None
    back: str | None = None
    back_through: str | None = None
    returns: bool = True


def _text(loses: str, function: str | None = "toString({})") -> Choice:
    return Choice(iceberg_type=StringType(), bare_type="String", loses=loses, function=function)


_AS_TEXT = _text("the order of numbers: it is text")
_ANY_TYPE = replace(_text("which type each value had", None), returns=False)


def _long_decimal(scale: int) -> Mapping[As, Choice]:
    if scale > MAX_DECIMAL_PRECISION:
        return {As.STRING: _AS_TEXT}
    decimal = Choice(
        iceberg_type=DecimalType(MAX_DECIMAL_PRECISION, scale),
        bare_type=f"Decimal({MAX_DECIMAL_PRECISION}, {scale})",
        loses=_TOO_LONG,
        # By way of the text, which is refused where it has too many digits: a plain conversion lets 39 through.
        function=f"toDecimal128(toString({{}}), {scale})",
    )
    return {As.STRING: _AS_TEXT, As.DECIMAL: decimal}


_WIDE = _long_decimal(0)
_FIXED: Mapping[str, Mapping[As, Choice]] = {
    "Int128": _WIDE,
    "UInt128": _WIDE,
    "Int256": _WIDE,
    "UInt256": _WIDE,
    "String": {As.BINARY: Choice(iceberg_type=BinaryType(), bare_type="String", loses="that it is text")},
    "FixedString": {As.STRING: _text("zero bytes at the end")},
    "IPv4": {
        As.LONG: Choice(
            iceberg_type=LongType(),
            bare_type="Int64",
            loses="that it is an address",
            function="toUInt32({})",
            back_through="UInt32",
        )
    },
    "IPv6": {
        As.BINARY: Choice(
            iceberg_type=FixedType(16),
            bare_type="FixedString(16)",
            loses="that it is an address",
            function="IPv6StringToNum(toString({}))",
        )
    },
    "Time": {
        As.STRING: _text("the order of times: it is text"),
        As.LONG: Choice(iceberg_type=IntegerType(), bare_type="Int32", loses="nothing: it is seconds"),
    },
    "AggregateFunction": {
        As.BINARY: Choice(
            iceberg_type=BinaryType(),
            bare_type="String",
            loses="nothing for ClickHouse, which takes the state back; other engines can't read it",
            function="unhex(hex({}))",
        )
    },
    "JSON": {As.STRING: _ANY_TYPE},
    "Object": {As.STRING: _ANY_TYPE},
    "Variant": {As.STRING: _ANY_TYPE},
    "Dynamic": {As.STRING: _ANY_TYPE},
    "Geometry": {As.STRING: _ANY_TYPE},
}

_FINE_TIME: Mapping[As, Choice] = {
    As.MICROS: Choice(
        iceberg_type=TimestamptzType(),
        bare_type="DateTime64(6, 'UTC')",
        loses="the digits after the sixth",
        function="toStartOfMicrosecond({}, 'UTC')",
        returns=False,
    ),
    As.NANOS: Choice(
        iceberg_type=LongType(),
        bare_type="Int64",
        loses="that it is a time; one outside the years 1678 to 2262 halts the stream",
        function="toUnixTimestamp64Nano(toDateTime64({}, 9, 'UTC'))",
        back="fromUnixTimestamp64Nano({}, 'UTC')",
    ),
    As.STRING: replace(_text("that it is a time", "toString({}, 'UTC')"), back_through="DateTime64(9, 'UTC')"),
}

HOLDS_NULL = frozenset({"Variant", "Dynamic", "Geometry"})
"""Types that hold NULL without being ``Nullable``."""

UNORDERED = frozenset({*HOLDS_NULL, "JSON", "Object", "AggregateFunction"})
"""Types whose values have no order that every version of ClickHouse agrees on."""


def choices(type_: ClickHouseType) -> Mapping[As, Choice]:
    """Return what a stream may choose for a type; empty where there is no choice."""
    match type_.name, type_.arguments:
        case "Decimal", (int(precision), int(scale)) if precision > MAX_DECIMAL_PRECISION:
            return _long_decimal(scale)
        case "DateTime64", (int(precision), *_) if precision > MICROSECONDS:
            return _FINE_TIME
        case "Time64", (int(precision),):
            return _fine_duration(precision)
        case name, _:
            return _FIXED.get(name, {})


def _fine_duration(precision: int) -> Mapping[As, Choice]:
    return {
        As.STRING: _text("the order of times: it is text"),
        As.DECIMAL: Choice(
            iceberg_type=DecimalType(18, precision),
            bare_type=f"Decimal(18, {precision})",
            loses="nothing: it is seconds",
        ),
    }
