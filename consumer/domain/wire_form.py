"""Wire forms: how a value of each supported type travels, and how it enters the row digest.

The digest is computed over wire values on both sides (the source table, the data files), so its
expressions have to give the same number in every version of ClickHouse and for every storage form:

* a Nullable never reaches the hash function (a NULL argument makes the whole hash NULL, and a Nullable
  hashes unlike the bare value in some versions): its NULL flag and its value or default enter instead;
* arrays of anything but bare scalars are reduced to an array of hashes, one for each element;
* maps enter as their keys and their values, in their order, duplicate keys included.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from pyiceberg.types import IcebergType, StringType

from consumer.domain.clickhouse_sql import default_of_type, quote_text


@dataclass(frozen=True, slots=True, kw_only=True)
class WireForm(ABC):
    """A type on its way.

    Attributes:
        iceberg_type: exact Iceberg type.
        nullable: whether NULL is a value.
        bare_type: ClickHouse type of the wire value without ``Nullable``.
    """

    iceberg_type: IcebergType
    nullable: bool
    bare_type: str

    @property
    def wire_type(self) -> str:
        """ClickHouse type of the wire value."""
        return f"Nullable({self.bare_type})" if self.nullable else self.bare_type

    def read(self, value: str, source_type: str) -> str:
        """Return the expression that turns a source value into its wire value."""
        if not self.needs_function:
            return value if source_type == self.wire_type else f"CAST({value} AS {self.wire_type})"
        return self.convert(value, depth=0)

    def restore(self, value: str, source_type: str) -> str:
        """Return the expression that turns an Iceberg value, as ClickHouse reads it, into the source's value."""
        return f"CAST({self.back(value, depth=0) if self.needs_way_back else value} AS {source_type})"

    @property
    @abstractmethod
    def needs_function(self) -> bool:
        """Whether a part of the value can't be converted by ``CAST`` alone."""

    @abstractmethod
    def convert(self, value: str, depth: int) -> str:
        """Return the conversion to the wire value, element by element; ``depth`` counts lambdas around it."""

    @property
    @abstractmethod
    def needs_way_back(self) -> bool:
        """Whether a part of the Iceberg value can't be converted back by ``CAST`` alone."""

    @abstractmethod
    def back(self, value: str, depth: int) -> str:
        """Return the expression over an Iceberg value from which ``CAST`` leads back to the source's type."""

    @abstractmethod
    def digest(self, value: str, depth: int) -> list[str]:
        """Return the expressions over a wire value that enter the hash."""

    @abstractmethod
    def valid_text(self, value: str, depth: int) -> str | None:
        """Return the condition that all text in a wire value is UTF-8; ``None`` where there is no text."""

    def digest_sql(self, value: str, column: str) -> str:
        """Return the expressions of a column that enter the row hash, comma separated.

        A text column adds a check as one more argument, which is 0 or fails the query: ClickHouse's String
        is any bytes, Iceberg's is UTF-8. Inside the hash it can be neither left out nor moved in front of the filter.
        """
        expressions = self.digest(value, depth=0)
        valid = self.valid_text(value, depth=0)
        if valid is not None:
            expressions.append(f"throwIf(NOT ({valid}), {quote_text(invalid_text_message(column))})")
        return ", ".join(expressions)

    def file_digest_sql(self, value: str) -> str:
        """Return the same without the check, for values out of data files.

        The check was made when the rows were read: other bytes in the file have another digest, and that is what has to
        be told of them. It would cost a quarter of reading the file.
        """
        expressions = self.digest(value, depth=0)
        if self.valid_text(value, depth=0) is not None:
            expressions.append("toUInt8(0)")
        return ", ".join(expressions)


INVALID_TEXT = "holds bytes that are not UTF-8"
"""What the message of a query says that met text which Iceberg can't hold."""


def invalid_text_message(column: str) -> str:
    """Return the message with which a query ends that met bytes which are not UTF-8."""
    return f"icehaul: column {column} {INVALID_TEXT}"


def lambda_variable(depth: int) -> str:
    """Return the name of a lambda's variable, by how many lambdas are around it."""
    return f"_e{depth}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalarForm(WireForm):
    """A single value.

    Attributes:
        function: ClickHouse expression with ``{}`` for the value, where CAST won't do.
        back_function: the same for the way back.
        back_through: ClickHouse type by way of which CAST leads back, without ``Nullable``.
    """

    function: str | None = None
    back_function: str | None = None
    back_through: str | None = None

    @property
    def needs_function(self) -> bool:
        """Whether CAST won't do."""
        return self.function is not None

    def convert(self, value: str, depth: int) -> str:  # noqa: ARG002 - a scalar opens no lambda
        """Convert; see the base."""
        if self.function is not None:
            # What a function returns may be a LowCardinality still.
            return f"CAST({self.function.format(value)} AS {self.wire_type})"
        return f"CAST({value} AS {self.wire_type})"

    @property
    def needs_way_back(self) -> bool:
        """Whether CAST won't do."""
        return self.back_function is not None or self.back_through is not None

    def back(self, value: str, depth: int) -> str:  # noqa: ARG002 - a scalar opens no lambda
        """Lead back; see the base."""
        if self.back_function is not None:
            return self.back_function.format(value)
        if self.back_through is None:
            return value
        through = f"Nullable({self.back_through})" if self.nullable else self.back_through
        return f"CAST({value} AS {through})"

    def digest(self, value: str, depth: int) -> list[str]:  # noqa: ARG002 - a scalar opens no lambda
        """Return what enters the hash; see the base."""
        if not self.nullable:
            return [value]
        return [f"isNull({value})", f"ifNull({value}, {default_of_type(self.bare_type)})"]

    def valid_text(self, value: str, depth: int) -> str | None:  # noqa: ARG002 - a scalar opens no lambda
        """Return the check of the text; see the base."""
        if not isinstance(self.iceberg_type, StringType):
            return None
        return f"isValidUTF8(ifNull({value}, ''))" if self.nullable else f"isValidUTF8({value})"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayForm(WireForm):
    """An array of elements of one form."""

    element: WireForm

    @property
    def needs_function(self) -> bool:
        """Whether CAST won't do."""
        return self.element.needs_function

    def convert(self, value: str, depth: int) -> str:
        """Convert; see the base."""
        if not self.needs_function:
            return f"CAST({value} AS {self.wire_type})"
        variable = lambda_variable(depth)
        return f"arrayMap({variable} -> {self.element.convert(variable, depth + 1)}, {value})"

    @property
    def needs_way_back(self) -> bool:
        """Whether CAST won't do."""
        return self.element.needs_way_back

    def back(self, value: str, depth: int) -> str:
        """Lead back; see the base."""
        if not self.needs_way_back:
            return value
        variable = lambda_variable(depth)
        return f"arrayMap({variable} -> {self.element.back(variable, depth + 1)}, {value})"

    def digest(self, value: str, depth: int) -> list[str]:
        """Return what enters the hash; see the base."""
        variable = lambda_variable(depth)
        inner = self.element.digest(variable, depth + 1)
        if inner == [variable]:
            return [value]
        return [f"arrayMap({variable} -> cityHash64({', '.join(inner)}), {value})"]

    def valid_text(self, value: str, depth: int) -> str | None:
        """Return the check of the text; see the base."""
        variable = lambda_variable(depth)
        inner = self.element.valid_text(variable, depth + 1)
        return None if inner is None else f"arrayAll({variable} -> {inner}, {value})"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapForm(WireForm):
    """A map: the keys and the values as two arrays."""

    keys: ArrayForm
    values: ArrayForm

    @property
    def needs_function(self) -> bool:
        """Whether CAST won't do."""
        return self.keys.needs_function or self.values.needs_function

    def convert(self, value: str, depth: int) -> str:
        """Convert; see the base."""
        keys = self.keys.convert(f"mapKeys({value})", depth)
        values = self.values.convert(f"mapValues({value})", depth)
        return f"CAST(({keys}, {values}) AS {self.wire_type})"

    @property
    def needs_way_back(self) -> bool:
        """Whether CAST won't do."""
        return self.keys.needs_way_back or self.values.needs_way_back

    def back(self, value: str, depth: int) -> str:
        """Lead back; see the base."""
        keys, values = self.keys.back(f"mapKeys({value})", depth), self.values.back(f"mapValues({value})", depth)
        return f"mapFromArrays({keys}, {values})"

    def digest(self, value: str, depth: int) -> list[str]:
        """Return what enters the hash; see the base."""
        return self.keys.digest(f"mapKeys({value})", depth) + self.values.digest(f"mapValues({value})", depth)

    def valid_text(self, value: str, depth: int) -> str | None:
        """Return the check of the text; see the base."""
        parts = (
            self.keys.valid_text(f"mapKeys({value})", depth),
            self.values.valid_text(f"mapValues({value})", depth),
        )
        return " AND ".join(part for part in parts if part is not None) or None


@dataclass(frozen=True, slots=True, kw_only=True)
class TupleForm(WireForm):
    """A tuple: its elements in their order."""

    elements: tuple[WireForm, ...]

    def _parts(self, value: str) -> list[tuple[WireForm, str]]:
        return [(form, f"tupleElement({value}, {number})") for number, form in enumerate(self.elements, start=1)]

    @property
    def needs_function(self) -> bool:
        """Whether CAST won't do."""
        return any(element.needs_function for element in self.elements)

    def convert(self, value: str, depth: int) -> str:
        """Convert; see the base."""
        parts = ", ".join(form.convert(part, depth) for form, part in self._parts(value))
        return f"CAST(tuple({parts}) AS {self.wire_type})"

    @property
    def needs_way_back(self) -> bool:
        """Whether CAST won't do."""
        return any(element.needs_way_back for element in self.elements)

    def back(self, value: str, depth: int) -> str:
        """Lead back; see the base."""
        return f"tuple({', '.join(form.back(part, depth) for form, part in self._parts(value))})"

    def digest(self, value: str, depth: int) -> list[str]:
        """Return what enters the hash; see the base."""
        return [expression for form, part in self._parts(value) for expression in form.digest(part, depth)]

    def valid_text(self, value: str, depth: int) -> str | None:
        """Return the check of the text; see the base."""
        conditions = (form.valid_text(part, depth) for form, part in self._parts(value))
        return " AND ".join(condition for condition in conditions if condition is not None) or None
