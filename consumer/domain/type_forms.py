"""From a ClickHouse type to its form on the way to Iceberg: exactly, as chosen, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from pyiceberg.types import (
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FixedType,
    FloatType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    MapType,
    NestedField,
    StringType,
    StructType,
    TimestamptzType,
    UUIDType,
)

from consumer.domain.clickhouse_type import ClickHouseType, Element, TypeSyntaxError, parse_type
from consumer.domain.stream import IDENTIFIER
from consumer.domain.type_choices import (
    HOLDS_NULL,
    MAX_DECIMAL_PRECISION,
    MICROSECONDS,
    As,
    Choice,
    choices,
)
from consumer.domain.vector_form import VectorForm
from consumer.domain.wire_form import ArrayForm, MapForm, ScalarForm, TupleForm, WireForm

_SCALARS: dict[str, tuple[IcebergType, str]] = {
    "Int8": (IntegerType(), "Int32"),
    "Int16": (IntegerType(), "Int32"),
    "Int32": (IntegerType(), "Int32"),
    "Int64": (LongType(), "Int64"),
    "UInt8": (IntegerType(), "Int32"),
    "UInt16": (IntegerType(), "Int32"),
    "UInt32": (LongType(), "Int64"),
    "UInt64": (DecimalType(20, 0), "Decimal(20, 0)"),
    "BFloat16": (FloatType(), "Float32"),
    "Float32": (FloatType(), "Float32"),
    "Float64": (DoubleType(), "Float64"),
    "String": (StringType(), "String"),
    "Bool": (BooleanType(), "Bool"),
    "Date": (DateType(), "Date32"),
    "Date32": (DateType(), "Date32"),
    "DateTime": (TimestamptzType(), "DateTime64(6, 'UTC')"),
    "Enum8": (StringType(), "String"),
    "Enum16": (StringType(), "String"),
    "IPv4": (StringType(), "String"),
    "IPv6": (StringType(), "String"),
}

# The text form is the one that every version of ClickHouse orders alike: 16 bytes, big-endian.
_UUID_FUNCTION = "UUIDStringToNum(toString({}))"
_UUID_BACK = "toUUID(UUIDNumToString({}))"

_FALLBACKS: Mapping[str, str] = {
    "Decimal": f"a Decimal of at most {MAX_DECIMAL_PRECISION} digits",
    "AggregateFunction": "its result with finalizeAggregation()",
}

_POINT = "Tuple(x Float64, y Float64)"
_SHAPES: Mapping[str, str] = {
    "Point": _POINT,
    "Ring": f"Array({_POINT})",
    "LineString": f"Array({_POINT})",
    "MultiPoint": f"Array({_POINT})",
    "Polygon": f"Array(Array({_POINT}))",
    "MultiLineString": f"Array(Array({_POINT}))",
    "MultiPolygon": f"Array(Array(Array({_POINT})))",
}
"""What the geometric types are made of (https://clickhouse.com/docs/sql-reference/data-types/geo)."""

_INTERVAL = "Interval"


class UnsupportedFormError(Exception):
    """A type without an exact Iceberg counterpart: why, what a stream may choose, and what it could be cast to."""

    def __init__(self, reason: str, fallback: str = "String", offered: Mapping[As, Choice] | None = None) -> None:
        super().__init__(reason)
        self.fallback = fallback
        self.offered = offered or {}


class FormMapper:
    """Maps the type of one column; ``ids`` are provisional ids for nested fields.

    What is chosen counts for every part of the column that has this choice; ``used`` tells whether one had, and
    ``lost`` what can't be brought back from it. The way back begins with what ClickHouse reads from an Iceberg table,
    or, ``from_wire``, with the wire value: they differ in UUIDs, which are 16 bytes on the wire.
    """

    def __init__(self, ids: Iterator[int], chosen: As | None = None, *, from_wire: bool = False) -> None:
        self._ids = ids
        self._chosen = chosen
        self._from_wire = from_wire
        self.used = False
        self.lost: str | None = None

    def form(self, parsed: ClickHouseType, *, nullable: bool = False) -> WireForm:
        """Return the wire form of a type."""
        offered = choices(parsed)
        if self._chosen is not None and self._chosen in offered:
            self.used = True
            choice = offered[self._chosen]
            if not choice.returns:
                self.lost = choice.loses
            return ScalarForm(
                iceberg_type=choice.iceberg_type,
                nullable=nullable or parsed.name in HOLDS_NULL,
                bare_type=choice.bare_type,
                function=choice.function,
                back_function=choice.back,
                back_through=choice.back_through,
            )
        if parsed.name in _SCALARS:
            iceberg, wire = _SCALARS[parsed.name]
            return ScalarForm(iceberg_type=iceberg, nullable=nullable, bare_type=wire)
        special: dict[str, Callable[[ClickHouseType, bool], WireForm]] = {
            "UUID": self._uuid,
            "FixedString": self._fixed_string,
            "QBit": self._vector,
            "Decimal": self._decimal,
            "DateTime64": self._datetime64,
            "Nullable": self._nullable,
            "LowCardinality": self._low_cardinality,
            "SimpleAggregateFunction": self._simple_aggregate,
            "Array": self._array,
            "Map": self._map,
            "Tuple": self._tuple,
            "Nested": self._nested,
        }
        if parsed.name in special:
            return special[parsed.name](parsed, nullable)
        if parsed.name in _SHAPES:
            return self.form(parse_type(_SHAPES[parsed.name]))
        if parsed.name.startswith(_INTERVAL):
            return ScalarForm(iceberg_type=LongType(), nullable=nullable, bare_type="Int64")
        reason = f"{parsed.name} has no exact counterpart in Iceberg"
        raise UnsupportedFormError(reason, _FALLBACKS.get(parsed.name, "String"), offered)

    def _uuid(self, _parsed: ClickHouseType, nullable: bool) -> WireForm:
        return ScalarForm(
            iceberg_type=UUIDType(),
            nullable=nullable,
            bare_type="FixedString(16)",
            function=_UUID_FUNCTION,
            back_function=_UUID_BACK if self._from_wire else None,
        )

    def _fixed_string(self, parsed: ClickHouseType, nullable: bool) -> WireForm:
        match parsed.arguments:
            case (int(length),):
                return ScalarForm(iceberg_type=FixedType(length), nullable=nullable, bare_type=f"FixedString({length})")
            case _:
                raise TypeSyntaxError(f"{parsed.name} without a length")

    def _vector(self, parsed: ClickHouseType, _nullable: bool) -> WireForm:
        match parsed.arguments:
            case (ClickHouseType() as element, int(size), *_):
                array = self._array_of(self.form(element))
                return VectorForm(
                    iceberg_type=array.iceberg_type,
                    nullable=False,
                    bare_type=array.bare_type,
                    element=array.element,
                    vector_type=f"{parsed.name}({element.name}, {size})",
                )
            case _:
                raise TypeSyntaxError(f"{parsed.name} without a type and a size")

    def _decimal(self, parsed: ClickHouseType, nullable: bool) -> WireForm:
        match parsed.arguments:
            case (int(precision), int(scale)) if precision <= MAX_DECIMAL_PRECISION:
                return ScalarForm(
                    iceberg_type=DecimalType(precision, scale),
                    nullable=nullable,
                    bare_type=f"Decimal({precision}, {scale})",
                )
            case _:
                reason = f"Iceberg's decimals have at most {MAX_DECIMAL_PRECISION} digits"
                raise UnsupportedFormError(reason, _FALLBACKS["Decimal"], choices(parsed))

    def _datetime64(self, parsed: ClickHouseType, nullable: bool) -> WireForm:
        match parsed.arguments:
            case (int(precision), *_) if precision <= MICROSECONDS:
                return ScalarForm(iceberg_type=TimestamptzType(), nullable=nullable, bare_type="DateTime64(6, 'UTC')")
            case _:
                reason = "Iceberg's timestamps are in microseconds"
                raise UnsupportedFormError(reason, f"DateTime64({MICROSECONDS})", choices(parsed))

    def _nullable(self, parsed: ClickHouseType, _nullable: bool) -> WireForm:
        (inner,) = parsed.types()
        if inner.name in {"Array", "Map", "Tuple", "Nested"}:
            raise UnsupportedFormError(
                f"a Nullable {inner.name} has no stable form in ClickHouse's Parquet", f"a {inner.name}"
            )
        return self.form(inner, nullable=True)

    def _low_cardinality(self, parsed: ClickHouseType, nullable: bool) -> WireForm:
        (inner,) = parsed.types()
        return self.form(inner, nullable=nullable)

    def _simple_aggregate(self, parsed: ClickHouseType, nullable: bool) -> WireForm:
        inner = parsed.arguments[-1] if len(parsed.arguments) > 1 else None
        if not isinstance(inner, ClickHouseType):
            raise TypeSyntaxError(f"{parsed.name} without a type")
        return self.form(inner, nullable=nullable)

    def _element(self, form: WireForm, name: str) -> NestedField:
        return NestedField(next(self._ids), name, form.iceberg_type, required=not form.nullable)

    def _array_of(self, element: WireForm) -> ArrayForm:
        return ArrayForm(
            iceberg_type=ListType(next(self._ids), element.iceberg_type, element_required=not element.nullable),
            nullable=False,
            bare_type=f"Array({element.wire_type})",
            element=element,
        )

    def _array(self, parsed: ClickHouseType, _nullable: bool) -> WireForm:
        (inner,) = parsed.types()
        return self._array_of(self.form(inner))

    def _map(self, parsed: ClickHouseType, _nullable: bool) -> WireForm:
        key, value = (self.form(inner) for inner in parsed.types())
        if key.nullable:
            raise UnsupportedFormError("the keys of an Iceberg map can't be NULL", "a Map whose keys are not Nullable")
        return MapForm(
            iceberg_type=MapType(
                next(self._ids),
                key.iceberg_type,
                next(self._ids),
                value.iceberg_type,
                value_required=not value.nullable,
            ),
            nullable=False,
            bare_type=f"Map({key.wire_type}, {value.wire_type})",
            keys=self._array_of(key),
            values=self._array_of(value),
        )

    def _tuple(self, parsed: ClickHouseType, _nullable: bool) -> WireForm:
        if not parsed.arguments:
            raise UnsupportedFormError("an empty Tuple has no counterpart in Iceberg", "leaving it out")
        names: list[str] = []
        forms: list[WireForm] = []
        for number, argument in enumerate(parsed.arguments, start=1):
            match argument:
                case Element(name=name, type=inner):
                    if IDENTIFIER.fullmatch(name) is None:
                        raise UnsupportedFormError(
                            f"its element {name!r} has a name other than letters, digits and _",
                            "a Tuple with other element names",
                        )
                case ClickHouseType():
                    name, inner = f"_{number}", argument
                case _:
                    raise TypeSyntaxError(f"{argument!r} is no element of a Tuple")
            names.append(name)
            forms.append(self.form(inner))
        wire = ", ".join(f"`{name}` {form.wire_type}" for name, form in zip(names, forms, strict=True))
        fields = [self._element(form, name) for name, form in zip(names, forms, strict=True)]
        return TupleForm(
            iceberg_type=StructType(*fields), nullable=False, bare_type=f"Tuple({wire})", elements=tuple(forms)
        )

    def _nested(self, parsed: ClickHouseType, nullable: bool) -> WireForm:
        return self._array_of(self._tuple(ClickHouseType("Tuple", parsed.arguments), nullable))
