"""From ClickHouse columns to Iceberg columns: exactly, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from uuid import UUID

from pyiceberg.types import (
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
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

from consumer.domain.clickhouse_sql import quote_name
from consumer.domain.clickhouse_type import ClickHouseType, Element, TypeSyntaxError, parse_type
from consumer.domain.errors import SourceMissingError, TimeColumnError, UnsupportedTypeError
from consumer.domain.mapping import ColumnMapping, SourceColumn, TableMapping
from consumer.domain.stream import IDENTIFIER
from consumer.domain.time_type import time_type
from consumer.domain.wire_form import ArrayForm, MapForm, ScalarForm, TupleForm, WireForm

DIGEST_COLUMN = "_icehaul_digest"
"""Name of the row hash in reading queries."""

RESERVED = frozenset(
    {
        DIGEST_COLUMN,
        "_change_ordinal",
        "_change_type",
        "_commit_snapshot_id",
        "_deleted",
        "_file",
        "_last_updated_sequence_number",
        "_partition",
        "_pos",
        "_row_id",
        "_spec_id",
    }
)
"""Column names that Iceberg engines, or icehaul's queries, use themselves."""

MAX_DECIMAL_PRECISION = 38
MICROSECONDS = 6

_SCALARS: dict[str, tuple[IcebergType, str]] = {
    "Int8": (IntegerType(), "Int32"),
    "Int16": (IntegerType(), "Int32"),
    "Int32": (IntegerType(), "Int32"),
    "Int64": (LongType(), "Int64"),
    "UInt8": (IntegerType(), "Int32"),
    "UInt16": (IntegerType(), "Int32"),
    "UInt32": (LongType(), "Int64"),
    "UInt64": (DecimalType(20, 0), "Decimal(20, 0)"),
    "Float32": (FloatType(), "Float32"),
    "Float64": (DoubleType(), "Float64"),
    "String": (StringType(), "String"),
    "Bool": (BooleanType(), "Bool"),
    "Date": (DateType(), "Date32"),
    "Date32": (DateType(), "Date32"),
    "DateTime": (TimestamptzType(), "DateTime64(6, 'UTC')"),
    "Enum8": (StringType(), "String"),
    "Enum16": (StringType(), "String"),
}

# The text form is the one that every version of ClickHouse orders alike: 16 bytes, big-endian.
_UUID_FUNCTION = "UUIDStringToNum(toString({}))"

_CHOICES: dict[str, str] = {
    "FixedString": "a String (trailing zero bytes kept or trimmed, hex() for binary data)",
    "Int128": "Decimal(38, 0) or String",
    "UInt128": "Decimal(38, 0) or String",
    "Int256": "Decimal(38, 0) or String",
    "UInt256": "Decimal(38, 0) or String",
    "Decimal": f"a Decimal of at most {MAX_DECIMAL_PRECISION} digits",
    "DateTime64": f"DateTime64({MICROSECONDS}), which drops digits, or Int64 with toUnixTimestamp64Nano()",
    "IPv4": "String with IPv4NumToString() or UInt32",
    "IPv6": "String with IPv6NumToString()",
    "AggregateFunction": "its result with finalizeAggregation(), or String with hex()",
    "JSON": "String with toString()",
    "Object": "String with toString()",
    "BFloat16": "Float32",
    "Time": "Int32 (seconds)",
    "Time64": "Decimal or Int64",
}


class _Unsupported(Exception):  # noqa: N818 - never leaves this module
    """A type without an exact Iceberg counterpart: why, and what it could be cast to."""

    def __init__(self, reason: str, choice: str = "String") -> None:
        super().__init__(reason)
        self.choice = choice


class _Mapper:
    """Maps the types of one table; hands out provisional ids to nested fields."""

    def __init__(self, first_nested_id: int) -> None:
        self._ids = count(first_nested_id)

    def form(self, parsed: ClickHouseType, *, nullable: bool = False) -> WireForm:
        """Return the wire form of a type."""
        if parsed.name in _SCALARS:
            iceberg, wire = _SCALARS[parsed.name]
            return ScalarForm(iceberg_type=iceberg, nullable=nullable, bare_type=wire)
        special: dict[str, Callable[[ClickHouseType, bool], WireForm]] = {
            "UUID": self._uuid,
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
        if parsed.name not in special:
            raise _Unsupported(
                f"{parsed.name} has no exact counterpart in Iceberg", _CHOICES.get(parsed.name, "String")
            )
        return special[parsed.name](parsed, nullable)

    def _uuid(self, _parsed: ClickHouseType, nullable: bool) -> WireForm:
        return ScalarForm(
            iceberg_type=UUIDType(), nullable=nullable, bare_type="FixedString(16)", function=_UUID_FUNCTION
        )

    def _decimal(self, parsed: ClickHouseType, nullable: bool) -> WireForm:
        match parsed.arguments:
            case (int(precision), int(scale)) if precision <= MAX_DECIMAL_PRECISION:
                return ScalarForm(
                    iceberg_type=DecimalType(precision, scale),
                    nullable=nullable,
                    bare_type=f"Decimal({precision}, {scale})",
                )
            case _:
                raise _Unsupported(
                    f"Iceberg's decimals have at most {MAX_DECIMAL_PRECISION} digits", _CHOICES["Decimal"]
                )

    def _datetime64(self, parsed: ClickHouseType, nullable: bool) -> WireForm:
        match parsed.arguments:
            case (int(precision), *_) if precision <= MICROSECONDS:
                return ScalarForm(iceberg_type=TimestamptzType(), nullable=nullable, bare_type="DateTime64(6, 'UTC')")
            case _:
                raise _Unsupported("Iceberg's timestamps are in microseconds", _CHOICES["DateTime64"])

    def _nullable(self, parsed: ClickHouseType, _nullable: bool) -> WireForm:
        (inner,) = parsed.types()
        if inner.name in {"Array", "Map", "Tuple", "Nested"}:
            raise _Unsupported(f"a Nullable {inner.name} has no stable form in ClickHouse's Parquet", f"a {inner.name}")
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
            raise _Unsupported("the keys of an Iceberg map can't be NULL", "a Map whose keys are not Nullable")
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
            raise _Unsupported("an empty Tuple has no counterpart in Iceberg", "leaving it out")
        names: list[str] = []
        forms: list[WireForm] = []
        for number, argument in enumerate(parsed.arguments, start=1):
            match argument:
                case Element(name=name, type=inner):
                    if IDENTIFIER.fullmatch(name) is None:
                        raise _Unsupported(
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


def _unsupported(column: SourceColumn, reason: str, choice: str) -> UnsupportedTypeError:
    return UnsupportedTypeError(
        f"column {column.name!r} has the type {column.type}: {reason}",
        remedy=(
            f"offload another source table whose column is cast to {choice}, fed by a materialized view;"
            " or one that leaves the column out; or change the column's type in ClickHouse"
        ),
    )


def _map_column(column: SourceColumn, mapper: _Mapper) -> ColumnMapping:
    if IDENTIFIER.fullmatch(column.name) is None or column.name in RESERVED:
        raise UnsupportedTypeError(
            f"column {column.name!r} ({column.type}) has a name that Iceberg's engines do not agree on",
            remedy=(
                "rename it to ASCII letters, digits and _, at most 127, not starting with a digit and not one of"
                f" {', '.join(sorted(RESERVED))}; or offload another source table, fed by a materialized view"
            ),
        )
    try:
        form = mapper.form(parse_type(column.type))
    except _Unsupported as unsupported:
        raise _unsupported(column, str(unsupported), unsupported.choice) from None
    except (TypeSyntaxError, ValueError) as error:
        raise _unsupported(column, f"icehaul does not know this type ({error})", "String") from error
    name = quote_name(column.name)
    return ColumnMapping(
        name=column.name,
        source_type=column.type,
        iceberg_type=form.iceberg_type,
        required=not form.nullable,
        read_sql=form.read(name, column.type),
        wire_type=form.wire_type,
        file_sql=name,
        file_type=form.wire_type,
        digest_sql=form.digest_sql(name, column.name),
    )


def _find(columns: Sequence[SourceColumn], name: str, option: str) -> SourceColumn:
    for column in columns:
        if column.name == name:
            return column
    raise SourceMissingError(
        f"{option}: the source has no column {name!r}; it has {', '.join(column.name for column in columns)}",
        remedy=f"correct {option} of the stream, or add the column to the source",
    )


def _check_sequence_column(column: SourceColumn, form: ColumnMapping) -> None:
    if not form.required or not form.iceberg_type.is_primitive or isinstance(form.iceberg_type, FloatType | DoubleType):
        raise UnsupportedTypeError(
            f"sequence_columns: column {column.name!r} has the type {column.type}, which does not order"
            " all its values (NULL and NaN compare with nothing, containers are not compared)",
            remedy="name columns that are neither Nullable, Float, Array, Map nor Tuple, or none at all",
        )


def map_table(
    columns: Sequence[SourceColumn],
    *,
    timestamp_column: str,
    sequence_columns: Sequence[str] = (),
    source_uuid: UUID | None = None,
) -> TableMapping:
    """Map all columns of a source table; with its UUID, if queries are to refuse another table under its name.

    Raises:
        SourceMissingError: if the time column or a sequence column does not exist.
        TimeColumnError: if the time column is Nullable, no time, or finer than a microsecond.
        UnsupportedTypeError: if a column has no exact counterpart in Iceberg, naming column, type and choices.
    """
    timestamp = _find(columns, timestamp_column, "timestamp_column")
    sequence = [_find(columns, name, "sequence_columns") for name in sequence_columns]
    try:
        time_type(timestamp.type)
    except ValueError as error:
        raise TimeColumnError(
            f"timestamp_column: column {timestamp.name!r} has the type {timestamp.type}: {error}",
            remedy=(
                "name a column of the type Date, Date32, DateTime or DateTime64(0 to 6), not Nullable"
                f" (the source has {', '.join(f'{column.name} {column.type}' for column in columns)})"
            ),
        ) from error
    mapper = _Mapper(first_nested_id=len(columns) + 1)
    mapping = TableMapping(columns=tuple(_map_column(column, mapper) for column in columns), source_uuid=source_uuid)
    by_name = {column.name: column for column in mapping.columns}
    for column in sequence:
        _check_sequence_column(column, by_name[column.name])
    return mapping
