"""Single values of every type: how ClickHouse makes them from what ``generateRandom`` gives, extremes included."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from consumer.domain.type_choices import As

_ONE_IN = 16
"""One value in so many is an extreme."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A type of single values.

    Attributes:
        type: ClickHouse type.
        raw: type that ``generateRandom`` makes.
        value: expression with ``{}`` for the raw value that has the type.
        extremes: expressions of further values, which ``generateRandom`` makes seldom or never.
        choice: what the column becomes, where there is a choice.
        key: whether it may be a map's key.
        low: whether it may stand in ``LowCardinality``.
        bare: whether it can't stand in ``Nullable``.
    """

    type: str
    raw: str
    value: str = "{}"
    extremes: tuple[str, ...] = ()
    choice: As | None = None
    key: bool = False
    low: bool = False
    bare: bool = False

    def make(self, raw: str) -> str:
        """Return the expression that makes a value of a raw one; the same raw value always makes the same."""
        value = f"CAST({self.value.replace('{}', raw)} AS {self.type})"
        if not self.extremes:
            return value
        extremes = ", ".join(f"CAST({extreme} AS {self.type})" for extreme in self.extremes)
        chance = f"cityHash64({raw})"
        chosen = f"[{extremes}][intDiv({chance}, {_ONE_IN}) % {len(self.extremes)} + 1]"
        return f"if({chance} % {_ONE_IN} = 0, {chosen}, {value})"


def _same(type_: str, *extremes: str, **more: bool) -> Leaf:
    return Leaf(type=type_, raw=type_, extremes=extremes, **more)  # type: ignore[arg-type]


def _integers() -> Iterator[Leaf]:
    for bits in (8, 16, 32, 64):
        top = 1 << bits - 1
        yield _same(f"Int{bits}", f"'{-top}'", f"'{top - 1}'", "0", "-1", key=True, low=True)
        yield _same(f"UInt{bits}", f"'{2 * top - 1}'", "0", "1", key=True, low=True)
    for bits in (128, 256):
        top = 1 << bits - 1
        yield Leaf(type=f"Int{bits}", raw=f"Int{bits}", extremes=(f"'{-top}'", f"'{top - 1}'", "0"), choice=As.STRING)
        yield Leaf(type=f"UInt{bits}", raw=f"UInt{bits}", extremes=(f"'{2 * top - 1}'", "0"), choice=As.STRING)
        nines = "9" * 38
        extremes = (f"'{nines}'", "0")
        yield Leaf(
            type=f"Int{bits}", raw="Decimal(38, 0)", extremes=(*extremes, f"'-{nines}'"), choice=As.DECIMAL, key=False
        )
        yield Leaf(type=f"UInt{bits}", raw="Decimal(38, 0)", value="abs({})", extremes=extremes, choice=As.DECIMAL)


_FLOAT_EXTREMES = ("'nan'", "'inf'", "'-inf'", "'-0'", "'0'")


def _floats() -> Iterator[Leaf]:
    yield _same("Float32", *_FLOAT_EXTREMES, "'1e-45'", "'3.4028235e38'", low=True)
    yield _same("Float64", *_FLOAT_EXTREMES, "'5e-324'", "'1.7976931348623157e308'", low=True)
    yield Leaf(type="BFloat16", raw="Float32", extremes=_FLOAT_EXTREMES)


def _decimal(precision: int, scale: int, choice: As | None = None, digits: int | None = None) -> Leaf:
    nines = str(10 ** (digits or precision) - 1).rjust(scale + 1, "0")
    text = f"{nines[:-scale]}.{nines[-scale:]}" if scale else nines
    raw = f"Decimal({digits or precision}, {scale})"
    extremes = (f"'{text}'", f"'-{text}'", "0")
    return Leaf(type=f"Decimal({precision}, {scale})", raw=raw, extremes=extremes, choice=choice)


def _decimals() -> Iterator[Leaf]:
    for precision, scale in ((1, 0), (1, 1), (9, 2), (10, 10), (18, 8), (19, 0), (28, 5), (38, 0), (38, 18), (38, 38)):
        yield _decimal(precision, scale)
    for precision, scale in ((39, 0), (50, 38), (76, 10), (76, 76)):
        yield _decimal(precision, scale, As.STRING)
    for scale in (0, 10, 38):
        yield _decimal(76, scale, As.DECIMAL, 38)


def _texts() -> Iterator[Leaf]:
    texts = ("''", "'🧊 ice\\0haul'", "'ß\\t\\n\\'\"\\\\'", "repeat('ï', 300)", "' '", "unhex('EFBFBF')", "'NULL'")
    bytes_ = ("''", "unhex('FF')", "unhex('C328')", "unhex('00')", "unhex('EDA080')")
    yield _same("String", *texts, key=True, low=True)
    yield Leaf(type="String", raw="FixedString(7)", extremes=bytes_, choice=As.BINARY, key=True)
    for length in (1, 4, 16, 33):
        ends = (f"unhex('{'FF' * length}')", "''")
        yield _same(f"FixedString({length})", *ends, key=True, low=True)
        yield Leaf(type=f"FixedString({length})", raw="String", value=f"substring({{}}, 1, {length})", choice=As.STRING)
    zero, ones = "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"
    yield _same("UUID", f"'{zero}'", f"'{ones}'", key=True, low=True)
    yield _same("Bool")
    yield _same("Enum8('a' = 1, 'b\\'c' = -2, '' = 3, '🧊' = 127)", key=True)
    yield _same("Enum16('x, y' = 300, ')' = -300, 'a' = 1)")
    yield _same("IPv4", "'0.0.0.0'", "'255.255.255.255'", low=True)
    yield Leaf(type="IPv4", raw="IPv4", extremes=("'0.0.0.0'", "'255.255.255.255'"), choice=As.LONG)
    addresses = ("'::'", "'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'", "'::ffff:1.2.3.4'", "'fe80::1'")
    yield _same("IPv6", *addresses, low=True)
    yield Leaf(type="IPv6", raw="IPv6", extremes=addresses, choice=As.BINARY)


def _times() -> Iterator[Leaf]:
    yield _same("Date", "'1970-01-01'", "'2149-06-06'", key=True, low=True)
    yield _same("Date32", "'1900-01-01'", "'2299-12-31'", "'1969-12-31'", key=True)
    for zone in ("", "'UTC'", "'America/New_York'"):
        yield _same(f"DateTime({zone})" if zone else "DateTime", "toDateTime(0)", "toDateTime(4294967295)", key=True)
    for digits in range(7):
        ends: tuple[str, ...]
        first, last = "1900-01-01 00:00:00", "2299-12-31 23:59:59.999999"[: 20 + digits].rstrip(".")
        ends = (f"toDateTime64('{first}', {digits}, 'UTC')", f"toDateTime64('{last}', {digits}, 'UTC')")
        yield _same(
            f"DateTime64({digits}, 'Asia/Tokyo')", *ends, f"toDateTime64('1969-12-31 23:59:59', {digits}, 'UTC')"
        )
    for digits in (7, 8, 9):
        nanos = [f"fromUnixTimestamp64Nano(toInt64('{n}'), 'UTC')" for n in (-2208988800000000000, -1, 2**63 - 1)]
        for choice in (As.MICROS, As.NANOS, As.STRING):
            type_ = f"DateTime64({digits}, 'America/New_York')"
            yield Leaf(type=type_, raw=type_, extremes=tuple(nanos), choice=choice)
    for choice in (As.STRING, As.LONG):
        ends = ("3599999", "-3599999", "0")
        yield Leaf(type="Time", raw="Int32", value="{} % 3600000", extremes=ends, choice=choice)
    for digits in (0, 3, 9):
        longest = f"3599999.{'9' * digits}".rstrip(".")
        ends = tuple(f"CAST('{sign}{longest}' AS Decimal({7 + digits}, {digits}))" for sign in ("", "-"))
        for choice in (As.STRING, As.DECIMAL):
            raw = f"Decimal({6 + digits}, {digits})"
            yield Leaf(type=f"Time64({digits})", raw=raw, extremes=ends, choice=choice)
    for unit in ("Nanosecond", "Microsecond", "Millisecond", "Second", "Minute", "Hour", "Day", "Week", "Month"):
        ends = tuple(f"toInt64('{n}')" for n in (-(2**63), 2**63 - 1))
        yield Leaf(type=f"Interval{unit}", raw="Int64", extremes=ends)


def _any(type_: str) -> Leaf:
    """A type that holds values of several types, and NULL."""
    text, number = (f"CAST({value} AS {type_})" for value in ("toString({})", "toUInt8({} % 256)"))
    value = f"multiIf(isNull({{}}), CAST(NULL AS {type_}), {{}} % 2 = 0, {number}, {text})"
    return Leaf(type=type_, raw="Nullable(Int32)", value=value, choice=As.STRING, bare=True)


def _others() -> Iterator[Leaf]:
    for shape in ("Point", "Ring", "LineString", "MultiPoint", "Polygon", "MultiLineString", "MultiPolygon"):
        yield _same(shape, bare=True)
    yield Leaf(type="Geometry", raw="Point", choice=As.STRING, bare=True)
    for element, size in (("Float32", 8), ("Float64", 5), ("BFloat16", 3)):
        type_ = f"QBit({element}, {size})"
        value = f"CAST(arrayResize({{}}, {size}) AS Array({element}))"
        yield Leaf(
            type=type_, raw="Array(Float64)" if element == "Float64" else "Array(Float32)", value=value, bare=True
        )
    for inner in ("Int64", "UInt8", "Float64", "DateTime", "Nullable(String)"):
        yield Leaf(type=f"SimpleAggregateFunction(max, {inner})", raw=inner, bare=True)
    for function, type_ in (("sum", "UInt64"), ("uniq", "String"), ("max", "Decimal(18, 4)"), ("avg", "Float64")):
        value = f"initializeAggregation('{function}State', {{}})"
        state = f"AggregateFunction({function}, {type_})"
        yield Leaf(type=state, raw=type_, value=value, choice=As.BINARY, bare=True)
    pieces = ("'{\"a\": '", "toString({})", '\', "b": {"c": ["\'', "toString({} % 7)", "'\", null]}, \"d'")
    document = ", ".join((*pieces, "toString({} % 5)", "'\": 1.5}'"))
    for type_ in ("JSON", "JSON(max_dynamic_paths=2, a Int64)"):
        yield Leaf(type=type_, raw="Int32", value=f"concat({document})", choice=As.STRING, bare=True)
    yield from (_any(type_) for type_ in ("Variant(String, UInt8)", "Dynamic", "Dynamic(max_types=4)"))


def _all(*parts: Callable[[], Iterator[Leaf]]) -> Sequence[Leaf]:
    return tuple(leaf for part in parts for leaf in part())


LEAVES = _all(_integers, _floats, _decimals, _texts, _times, _others)
"""Every type of single values, and every choice."""

POISON = Leaf(type="String", raw="String", extremes=("unhex('C328')",))
"""Text of which a part is not UTF-8, for a column that does not choose ``binary``."""
