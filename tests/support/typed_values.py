"""Hypothesis strategies: ClickHouse types that icehaul supports, and values of them as SQL."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from consumer.domain.clickhouse_sql import quote_text
from consumer.domain.type_choices import As

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NANOS_1900 = -2_208_988_800_000_000_000


@dataclass(frozen=True)
class TypedValues:
    """A type, and a strategy of SQL expressions of exactly this type."""

    type: str
    values: st.SearchStrategy[str]
    key: bool = False
    """Whether the type may be a map's key."""
    choice: As | None = None
    """What a column of this type becomes, where there is a choice."""

    def __repr__(self) -> str:
        return self.type if self.choice is None else f"{self.type} as {self.choice}"


def _scalar(type_: str, texts: st.SearchStrategy[str], *, key: bool = False) -> TypedValues:
    return TypedValues(type_, texts.map(lambda text: f"CAST({quote_text(text)} AS {type_})"), key=key)


def _integer(name: str, bits: int, *, signed: bool) -> TypedValues:
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return _scalar(name, st.one_of(st.sampled_from((low, high, 0, 1)), st.integers(low, high)).map(str), key=True)


def _integer_of(name: str) -> TypedValues:
    """A wide integer of 38 digits at most."""
    top = 10**38 - 1
    return _scalar(name, st.integers(0 if name.startswith("U") else -top, top).map(str))


def _number(value: float) -> str:
    return f"CAST('{value!r}' AS Float32)"


def _float(name: str, bits: int) -> TypedValues:
    special = st.sampled_from(("nan", "inf", "-inf", "-0", "0"))
    return _scalar(name, st.one_of(special, st.floats(width=32 if bits == 32 else 64).map(repr)))


def _decimal(precision: int, scale: int) -> TypedValues:
    top = 10**precision - 1
    digits = st.one_of(st.sampled_from((0, top, -top)), st.integers(-top, top))

    def literal(number: int) -> str:
        text = f"{abs(number):0{scale + 1}d}"
        whole, fraction = (text[:-scale], text[-scale:]) if scale else (text, "0")
        return f"{'-' if number < 0 else ''}{whole}.{fraction}"

    return _scalar(f"Decimal({precision}, {scale})", digits.map(literal))


def _days(name: str, first: str, last: str) -> TypedValues:
    start, end = datetime.fromisoformat(first), datetime.fromisoformat(last)
    whole = st.one_of(st.sampled_from((0, (end - start).days)), st.integers(0, (end - start).days))
    return _scalar(name, whole.map(lambda days: (start + timedelta(days=days)).date().isoformat()), key=True)


def _instants(name: str, precision: int, first: datetime, last: datetime) -> TypedValues:
    step = 10 ** (6 - precision)
    span = (last - first) // timedelta(microseconds=step)
    number = st.one_of(st.sampled_from((0, span)), st.integers(0, span))

    def literal(steps: int) -> str:
        text = (first + timedelta(microseconds=steps * step)).strftime("%Y-%m-%d %H:%M:%S.%f")
        if precision == 0:
            text = text[:19]
        function = f"toDateTime({quote_text(text)}, 'UTC')"
        if name.startswith("DateTime64"):
            function = f"toDateTime64({quote_text(text)}, {precision}, 'UTC')"
        return f"CAST({function} AS {name})"

    return TypedValues(name, number.map(literal), key=True)


def _bytes(type_: str, values: st.SearchStrategy[bytes]) -> TypedValues:
    return TypedValues(type_, values.map(lambda value: f"CAST(unhex('{value.hex()}') AS {type_})"))


def _sql(type_: str, values: st.SearchStrategy[str], choice: As | None = None) -> TypedValues:
    return TypedValues(type_, values.map(lambda value: f"CAST({value} AS {type_})"), choice=choice)


def _chosen(choice: As, typed: TypedValues) -> TypedValues:
    return replace(typed, choice=choice)


def _fine_time(precision: int) -> TypedValues:
    numbers = st.one_of(st.sampled_from((_NANOS_1900, -1, 0, 2**63 - 1)), st.integers(_NANOS_1900, 2**63 - 1))
    zone = "'Asia/Tokyo'"
    return _sql(
        f"DateTime64({precision}, {zone})",
        numbers.map(lambda nanos: f"fromUnixTimestamp64Nano(toInt64({nanos}), {zone})"),
    )


def _json() -> st.SearchStrategy[str]:
    values = st.one_of(st.integers(-(2**31), 2**31), st.booleans(), _TEXT, st.lists(st.integers(0, 9), max_size=2))
    return st.dictionaries(st.sampled_from("abc"), values, max_size=3).map(lambda one: quote_text(json.dumps(one)))


_LAST_32 = _EPOCH + timedelta(seconds=(1 << 32) - 1)
_FIRST_64 = datetime(1900, 1, 1, tzinfo=UTC)
_LAST_64 = datetime(2299, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
_TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
_BYTES = st.binary(max_size=12)
_UUIDS = st.one_of(st.just(uuid.UUID(int=0)), st.uuids()).map(str)

SCALARS = (
    *(_integer(f"Int{bits}", bits, signed=True) for bits in (8, 16, 32, 64)),
    *(_integer(f"UInt{bits}", bits, signed=False) for bits in (8, 16, 32, 64)),
    _float("Float32", 32),
    _float("Float64", 64),
    *(_decimal(*parameters) for parameters in ((1, 0), (9, 2), (18, 18), (19, 4), (38, 0), (38, 38))),
    _scalar("String", _TEXT, key=True),
    _scalar("Bool", st.sampled_from(("true", "false"))),
    _days("Date", "1970-01-01", "2149-06-06"),
    _days("Date32", "1900-01-01", "2299-12-31"),
    _instants("DateTime", 0, _EPOCH, _LAST_32),
    _instants("DateTime('America/New_York')", 0, _EPOCH, _LAST_32),
    *(_instants(f"DateTime64({precision}, 'Asia/Tokyo')", precision, _FIRST_64, _LAST_64) for precision in range(7)),
    _scalar("UUID", _UUIDS, key=True),
    _scalar("Enum8('a' = 1, 'b\\'c' = -2, '' = 3)", st.sampled_from(("a", "b'c", "")), key=True),
    _scalar("Enum16('x, y' = 300, ')' = -300)", st.sampled_from(("x, y", ")"))),
    _bytes("FixedString(5)", st.binary(max_size=5)),
    _scalar("IPv4", st.ip_addresses(v=4).map(str)),
    _scalar("IPv6", st.ip_addresses(v=6).map(str)),
)

_POINTS = st.tuples(*[st.floats(-180, 180)] * 2).map(repr)
_RINGS = st.lists(_POINTS, max_size=3).map(lambda points: f"[{', '.join(points)}]")
_POLYGONS = st.lists(_RINGS, max_size=2).map(lambda rings: f"[{', '.join(rings)}]")

MADE_OF_OTHERS = (
    _scalar("Point", _POINTS),
    _scalar("Ring", _RINGS),
    _scalar("LineString", _RINGS),
    _scalar("Polygon", _POLYGONS),
    _scalar("MultiLineString", _POLYGONS),
    _scalar("MultiPolygon", st.lists(_POLYGONS, max_size=2).map(lambda parts: f"[{', '.join(parts)}]")),
    *(
        _sql(f"Interval{unit}", st.integers(-(2**63), 2**63 - 1).map(lambda n: f"toInt64({n})"))
        for unit in ("Day", "Month")
    ),
)
"""Types that stand for others, or for numbers."""

RECENT = (
    _scalar("BFloat16", st.one_of(st.sampled_from(("nan", "inf", "-0")), st.floats(-1e3, 1e3).map(repr))),
    _sql("IntervalNanosecond", st.integers(0, 2**63 - 1).map(lambda n: f"toInt64({n})")),
    _scalar("MultiPoint", _RINGS),
    _sql(
        "QBit(Float32, 8)",
        st.lists(st.floats(width=16), min_size=8, max_size=8).map(lambda v: f"[{', '.join(map(_number, v))}]"),
    ),
    _sql(
        "Array(QBit(Float64, 4))",
        st.lists(
            st.lists(st.integers(-9, 9), min_size=4, max_size=4).map(lambda v: f"CAST({v} AS QBit(Float64, 4))"),
            max_size=2,
        ).map(lambda vectors: f"[{', '.join(vectors)}]"),
    ),
    _sql("QBit(BFloat16, 8)", st.lists(st.integers(-9, 9), min_size=8, max_size=8).map(repr)),
)
"""Types that ClickHouse has had for a short time."""

_WIDE = tuple(_integer(f"{sign}Int{bits}", bits, signed=not sign) for bits in (128, 256) for sign in ("", "U"))
_LONG = tuple(_decimal(*parameters) for parameters in ((39, 0), (76, 10), (76, 76)))
_TIMES = st.integers(-3_599_999_999, 3_599_999_999)

CHOSEN = (
    *(_chosen(As.STRING, one) for one in (*_WIDE, *_LONG, _fine_time(7), _fine_time(9))),
    *(_chosen(As.DECIMAL, _integer_of(f"{sign}Int{bits}")) for bits in (128, 256) for sign in ("", "U")),
    _chosen(As.DECIMAL, replace(_decimal(38, 10), type="Decimal(76, 10)")),
    *(_chosen(choice, _fine_time(precision)) for choice in (As.MICROS, As.NANOS) for precision in (7, 8, 9)),
    _chosen(As.BINARY, _bytes("String", _BYTES)),
    _chosen(As.STRING, _bytes("FixedString(5)", st.text(st.characters(codec="ascii"), max_size=5).map(str.encode))),
    _chosen(As.LONG, _scalar("IPv4", st.ip_addresses(v=4).map(str))),
    _chosen(As.BINARY, _scalar("IPv6", st.ip_addresses(v=6).map(str))),
    *(_sql("Time", _TIMES.map(lambda n: str(n // 1000)), choice) for choice in (As.STRING, As.LONG)),
    *(
        _sql("Time64(3)", _TIMES.map(lambda n: f"toDecimal64('{n / 1000:.3f}', 3)"), choice)
        for choice in (As.STRING, As.DECIMAL)
    ),
    _sql(
        "AggregateFunction(sum, UInt64)",
        st.integers(0, 2**64 - 1).map(lambda n: f"initializeAggregation('sumState', toUInt64({n}))"),
        As.BINARY,
    ),
    _sql(
        "AggregateFunction(uniq, String)",
        _TEXT.map(lambda text: f"initializeAggregation('uniqState', {quote_text(text)})"),
        As.BINARY,
    ),
    _sql("JSON", _json(), As.STRING),
    _sql(
        "JSON(max_dynamic_paths = 2, a Int64)",
        st.integers(0, 9).map(lambda n: f'\'{{"a": {n}, "b": [1]}}\''),
        As.STRING,
    ),
    *(
        _sql(type_, st.one_of(st.just("NULL"), st.integers(0, 255).map(str), _TEXT.map(quote_text)), As.STRING)
        for type_ in ("Variant(UInt8, String)", "Dynamic", "Dynamic(max_types=4)")
    ),
    _sql("Geometry", _POINTS.map(lambda point: f"CAST({point} AS Point)"), As.STRING),
)
"""Types that leave a choice, each with one of its choices."""

_LOW = tuple(scalar for scalar in SCALARS if not scalar.type.startswith(("Decimal", "Enum", "DateTime64", "Bool")))
"""Scalars that may stand in LowCardinality."""


def _nullable(inner: TypedValues) -> TypedValues:
    type_ = f"Nullable({inner.type})"
    values = st.one_of(st.just("NULL"), inner.values).map(lambda value: f"CAST({value} AS {type_})")
    return TypedValues(type_, values)


def _low_cardinality(inner: TypedValues) -> TypedValues:
    type_ = f"LowCardinality({inner.type})"
    return TypedValues(type_, inner.values.map(lambda value: f"CAST({value} AS {type_})"), key=inner.key)


def _array(inner: TypedValues) -> TypedValues:
    type_ = f"Array({inner.type})"
    values = st.lists(inner.values, max_size=3)
    return TypedValues(type_, values.map(lambda items: f"CAST([{', '.join(items)}] AS {type_})"))


def _map(key: TypedValues, value: TypedValues) -> TypedValues:
    type_ = f"Map({key.type}, {value.type})"

    def literal(pairs: list[tuple[str, str]]) -> str:
        keys, values = (", ".join(pair[side] for pair in pairs) for side in (0, 1))
        return f"CAST(([{keys}], [{values}]) AS {type_})"

    return TypedValues(type_, st.lists(st.tuples(key.values, value.values), max_size=3).map(literal))


def _tuple(inner: tuple[TypedValues, ...], named: bool) -> TypedValues:
    elements = (f"{f'f{number} ' if named else ''}{part.type}" for number, part in enumerate(inner))
    type_ = f"Tuple({', '.join(elements)})"
    values = st.tuples(*(part.values for part in inner))
    return TypedValues(type_, values.map(lambda items: f"CAST(tuple({', '.join(items)}) AS {type_})"))


def _containers(inner: st.SearchStrategy[TypedValues]) -> st.SearchStrategy[TypedValues]:
    keys = st.sampled_from([scalar for scalar in SCALARS if scalar.key])
    low_keys = st.sampled_from([scalar for scalar in _LOW if scalar.key])
    return st.one_of(
        st.builds(_array, inner),
        st.builds(_map, st.one_of(keys, low_keys.map(_low_cardinality)), inner),
        st.builds(_tuple, st.lists(inner, min_size=1, max_size=3).map(tuple), st.booleans()),
    )


def types() -> st.SearchStrategy[TypedValues]:
    """Return a strategy of supported types, containers nested in one another included."""
    scalars = st.sampled_from(SCALARS)
    nullables = scalars.map(_nullable)
    low = st.sampled_from(_LOW)
    leaves = st.one_of(scalars, nullables, low.map(_low_cardinality), low.map(_nullable).map(_low_cardinality))
    return st.recursive(leaves, _containers, max_leaves=5)
