"""How a target's schema follows its source's columns: what is added, widened, renamed or left without new values."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from pyiceberg.schema import Schema
from pyiceberg.types import (
    DecimalType,
    DoubleType,
    FloatType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    MapType,
    NestedField,
    StructType,
)

from consumer.domain.mapping import DOC_PREFIX


@dataclass(frozen=True, slots=True, kw_only=True)
class Evolution:
    """What a target's schema is, and what it becomes together with the next rows.

    Attributes:
        base: the schema as it was when this was planned.
        schema: the schema that rows are written with; its id is the base's where nothing changes.
        changes: what changes, in words, each naming its column.
    """

    base: Schema
    schema: Schema
    changes: tuple[str, ...] = ()

    @property
    def pending(self) -> bool:
        """Whether the schema changes."""
        return bool(self.changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """A change that loses values: the column, what the target has, and what the source would need."""

    column: str
    there: str
    wanted: str
    loses: str


class ObstaclesError(Exception):
    """The schema can't follow, for these reasons."""

    def __init__(self, obstacles: Collection[Obstacle]) -> None:
        super().__init__(str(obstacles))
        self.obstacles = tuple(obstacles)


def evolve(
    base: Schema,
    wanted: Schema,
    *,
    last_column_id: int,
    next_schema_id: int,
    dropped: Collection[str] = (),
    renamed: Mapping[str, str] | None = None,
) -> Evolution:
    """Return what a target's schema becomes; fields keep their ids and places, new ones are optional and follow.

    Args:
        base: the target's schema.
        wanted: what the source's columns ask for; its ids mean nothing.
        last_column_id: the highest field id that the target ever had.
        next_schema_id: the id of a schema that is added.
        dropped: columns that the source has no longer: their fields stay, and are optional.
        renamed: old names of columns that have a new one, by the new name.

    Raises:
        ObstaclesError: if values would be lost, or a field that nobody fills is required.
    """
    builder = _Builder(count(last_column_id + 1))
    old_names = {old: new for new, old in (renamed or {}).items()}
    here = StructType(*(_renamed(field, old_names, builder.changes) for field in base.fields))
    fields = builder.struct("", here, StructType(*wanted.fields), dropped=frozenset(dropped))
    if builder.obstacles:
        raise ObstaclesError(builder.obstacles)
    if not builder.changes:
        return Evolution(base=base, schema=base)
    schema = Schema(*fields, schema_id=next_schema_id, identifier_field_ids=list(base.identifier_field_ids))
    return Evolution(base=base, schema=schema, changes=tuple(builder.changes))


def _renamed(field: NestedField, names: Mapping[str, str], changes: list[str]) -> NestedField:
    if field.name not in names:
        return field
    changes.append(f"{field.name}: renamed to {names[field.name]}")
    return field.model_copy(update={"name": names[field.name]})


class _Builder:
    """Builds the fields of the next schema, and notes what changes and what can't."""

    def __init__(self, ids: Iterator[int]) -> None:
        self._ids = ids
        self.changes: list[str] = []
        self.obstacles: list[Obstacle] = []

    def struct(
        self, path: str, base: StructType, wanted: StructType, *, dropped: Collection[str] | None = None
    ) -> list[NestedField]:
        """Return the fields of a struct; of a nested one, every field that is not wanted any more was dropped."""
        asked = {field.name: field for field in wanted.fields}
        fields = []
        for field in base.fields:
            name = f"{path}{field.name}"
            if field.name in asked:
                fields.append(self._field(name, field, asked.pop(field.name)))
            elif dropped is None or field.name in dropped:
                fields.append(self._without_source(name, field))
            else:
                fields.append(self._foreign(name, field))
        return fields + [self._added(f"{path}{field.name}", field) for field in asked.values()]

    def _field(self, name: str, base: NestedField, wanted: NestedField) -> NestedField:
        type_ = self._type(name, base.field_type, wanted.field_type)
        required = base.required and wanted.required
        if base.required and not required:
            self.changes.append(f"{name}: NULL is allowed")
        update: dict[str, Any] = {"field_type": type_, "required": required}
        if wanted.doc is not None and (base.doc is None or base.doc.startswith(DOC_PREFIX)):
            update["doc"] = wanted.doc
        return base.model_copy(update=update)

    def _without_source(self, name: str, field: NestedField) -> NestedField:
        if not field.required:
            return field
        self.changes.append(f"{name}: no longer in the source; NULL from now on")
        return field.model_copy(update={"required": False})

    def _foreign(self, name: str, field: NestedField) -> NestedField:
        if field.required:
            self.obstacles.append(
                Obstacle(
                    column=name,
                    there=f"required {field.field_type}",
                    wanted="no such column",
                    loses="rows without a value for it can't be written",
                )
            )
        return field

    def _added(self, name: str, wanted: NestedField) -> NestedField:
        self.changes.append(f"{name}: added as {wanted.field_type}")
        number = next(self._ids)
        return wanted.model_copy(
            update={"field_id": number, "required": False, "field_type": self._fresh(wanted.field_type)}
        )

    def _fresh(self, type_: IcebergType) -> IcebergType:
        """Return a type whose nested fields have ids of their own."""
        match type_:
            case StructType():
                return StructType(
                    *(
                        field.model_copy(
                            update={"field_id": next(self._ids), "field_type": self._fresh(field.field_type)}
                        )
                        for field in type_.fields
                    )
                )
            case ListType():
                number = next(self._ids)
                return ListType(number, self._fresh(type_.element_type), element_required=type_.element_required)
            case MapType():
                key, value = next(self._ids), next(self._ids)
                return MapType(
                    key,
                    self._fresh(type_.key_type),
                    value,
                    self._fresh(type_.value_type),
                    value_required=type_.value_required,
                )
            case _:
                return type_

    def _type(self, name: str, base: IcebergType, wanted: IcebergType) -> IcebergType:
        match base, wanted:
            case StructType(), StructType():
                return StructType(*self.struct(f"{name}.", base, wanted))
            case ListType(), ListType():
                element = self._field(f"{name}.element", base.element_field, wanted.element_field)
                return ListType(base.element_id, element.field_type, element_required=element.required)
            case MapType(), MapType():
                key = self._type(f"{name}.key", base.key_type, wanted.key_type)
                value = self._field(f"{name}.value", base.value_field, wanted.value_field)
                return MapType(base.key_id, key, base.value_id, value.field_type, value_required=value.required)
            case _ if base == wanted:
                return base
            case _ if widens(base, wanted):
                self.changes.append(f"{name}: widened from {base} to {wanted}")
                return wanted
            case _:
                self.obstacles.append(
                    Obstacle(column=name, there=str(base), wanted=str(wanted), loses=_loss(base, wanted))
                )
                return base


def widens(base: IcebergType, wanted: IcebergType) -> bool:
    """Tell whether Iceberg reads every value of ``base`` as one of ``wanted`` (format version 2)."""
    match base, wanted:
        case (IntegerType(), LongType()) | (FloatType(), DoubleType()):
            return True
        case DecimalType(), DecimalType():
            return base.scale == wanted.scale and base.precision <= wanted.precision
        case _:
            return False


def _loss(base: IcebergType, wanted: IcebergType) -> str:
    if widens(wanted, base):
        return f"{wanted} holds less than {base}: the rows that are there would not fit"
    return f"Iceberg can't read the {base} values that are there as {wanted}"
