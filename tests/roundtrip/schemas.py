"""Random tables, each derived from a number: columns of any type in one another, and the rows that fill them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from consumer.domain.clickhouse_sql import quote_text
from consumer.domain.clickhouse_type import ClickHouseType, Element, parse_type
from consumer.domain.type_choices import As, choices
from tests.roundtrip.leaves import LEAVES, POISON, Leaf

TIME_TYPES = (
    "Date", "Date32", "DateTime", "DateTime('America/New_York')", "DateTime64(0)", "DateTime64(3, 'Asia/Tokyo')",
    "DateTime64(6, 'UTC')", "DateTime64(6)",
)  # fmt: skip
_DEEPEST = 3
_MOST_COLUMNS = 6
_LONGEST_ARRAY = 2
_SECONDS = 20 * 86_400
_FIRST = "toDateTime64('2024-01-02 00:00:00', 6, 'UTC')"
BOUNDARY = "2024-02-01"
"""All rows lie before this day."""


class Expected(StrEnum):
    """What has to become of a table."""

    EXACT = "exact"
    REFUSED_BYTES = "refused: bytes that are not UTF-8"
    REFUSED_TYPE = "refused: a type that needs a choice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column: its type, what it becomes, and how its values are made of ``generateRandom``'s."""

    type: str
    raw: str
    value: str
    choice: As | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TableCase:
    """A table: everything that is needed to make it again, whatever becomes of the generator."""

    name: str
    seed: int
    time_type: str
    columns: tuple[Column, ...]
    expected: Expected

    @property
    def chosen(self) -> dict[str, str]:
        """What columns become, by name."""
        named = ((f"c{number}", column.choice) for number, column in enumerate(self.columns))
        return {name: str(choice) for name, choice in named if choice is not None}

    def create(self, table: str) -> str:
        """Return the statement that creates it."""
        columns = ", ".join(f"c{number} {column.type}" for number, column in enumerate(self.columns))
        return f"CREATE TABLE {table} (ts {self.time_type}, {columns}) ENGINE = MergeTree ORDER BY tuple()"

    def insert(self, table: str, rows: int) -> str:
        """Return the statement that fills it."""
        raw = ", ".join(f"r{number} {column.raw}" for number, column in enumerate(self.columns))
        values = ", ".join(column.value for column in self.columns)
        instant = f"CAST({_FIRST} + toIntervalSecond(at % {_SECONDS}) + toIntervalMicrosecond(at % 1000000)"
        return (
            f"INSERT INTO {table} SELECT {instant} AS {self.time_type}), {values}"
            f" FROM generateRandom({quote_text(f'at UInt32, {raw}')}, {self.seed}, 12, {_LONGEST_ARRAY}) LIMIT {rows}"
        )

    def text(self) -> str:
        """Return it as a document."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, path: Path) -> TableCase:
        """Return the case of a document."""
        found = json.loads(path.read_text(encoding="utf-8"))
        columns = tuple(
            Column(**{**column, "choice": None if column["choice"] is None else As(column["choice"])})
            for column in found["columns"]
        )
        return cls(**{**found, "columns": columns, "expected": Expected(found["expected"])})


def cases(seed: int, number: int) -> Iterator[TableCase]:
    """Yield so many tables of a campaign."""
    for index in range(number):
        yield case(seed, index)


def case(seed: int, index: int) -> TableCase:
    """Return one table of a campaign."""
    chance = random.Random(f"{seed} {index}")
    # Each type and choice in its turn, and what chance puts beside it.
    turn = LEAVES[index % len(LEAVES)]
    columns = [_placed(chance, [turn], turn.choice, 0)]
    columns += [_column(chance) for _ in range(chance.randrange(_MOST_COLUMNS))]
    expected = Expected.EXACT
    lot = chance.random()
    if lot < 0.03:
        expected = Expected.REFUSED_BYTES
        columns.append(Column(type="String", raw="String", value=POISON.make(_raw(len(columns)))))
    elif lot < 0.06:
        expected = Expected.REFUSED_TYPE
        refused = [leaf for leaf in LEAVES if leaf.choice is not None and not _exact_without(leaf)]
        leaf = chance.choice(refused)
        columns.append(Column(type=leaf.type, raw=leaf.raw, value=leaf.make("{raw}")))
    placed = tuple(
        Column(
            type=column.type,
            raw=column.raw,
            value=column.value.replace("{raw}", _raw(number)),
            choice=column.choice,
        )
        for number, column in enumerate(columns)
    )
    return TableCase(
        name=f"s{seed}_{index}",
        seed=chance.randrange(1 << 31),
        time_type=chance.choice(TIME_TYPES),
        columns=placed,
        expected=expected,
    )


def _raw(number: int) -> str:
    return f"r{number}"


@cache
def _exact_without(leaf: Leaf) -> bool:
    """Whether the type has an exact counterpart, its choices notwithstanding."""
    return parse_type(leaf.type).name in {"String", "FixedString", "IPv4", "IPv6"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A type in the making; ``make`` has ``{raw}`` for the raw value."""

    type: str
    raw: str
    make: str
    bare: bool = False
    key: bool = False


def _column(chance: random.Random) -> Column:
    """A column of anything; two of five take a choice if a part of them leaves it."""
    choice = chance.choice(list(As)) if chance.random() < 0.4 else None
    return _placed(chance, _pool(choice), choice, chance.choice((0, 0, 0, 1, 2, _DEEPEST)))


def _placed(chance: random.Random, pool: Sequence[Leaf], choice: As | None, depth: int) -> Column:
    part = _part(chance, pool, depth)
    used = choice is not None and _offers(part.type, choice)
    return Column(type=part.type, raw=part.raw, value=part.make, choice=choice if used else None)


@cache
def _pool(choice: As | None) -> Sequence[Leaf]:
    """Leaves that may stand in a column with a choice, which counts for all parts of the column that have it."""
    free = [leaf for leaf in LEAVES if leaf.choice is None]
    if choice is None:
        return free
    taking = [leaf for leaf in LEAVES if leaf.choice is choice]
    return taking * 3 + [leaf for leaf in free if not _offers(leaf.type, choice)]


def _offers(type_: str, choice: As) -> bool:
    """Whether a part of the type has the choice."""
    return any(choice in choices(part) for part in _parts(parse_type(type_)))


def _parts(type_: ClickHouseType) -> Iterator[ClickHouseType]:
    yield type_
    if type_.name in {"AggregateFunction", "Variant", "JSON"}:
        return
    for argument in type_.arguments:
        if isinstance(argument, Element):
            yield from _parts(argument.type)
        elif isinstance(argument, ClickHouseType):
            yield from _parts(argument)


def _part(chance: random.Random, pool: Sequence[Leaf], depth: int) -> _Part:
    if depth == 0 or chance.random() < 0.3:
        return _single(chance, chance.choice(pool))
    kind = chance.choice(("array", "array", "map", "tuple", "tuple", "nested"))
    if kind == "array":
        return _array(_part(chance, pool, depth - 1), depth)
    if kind == "map":
        keys = [leaf for leaf in pool if leaf.key] or [leaf for leaf in LEAVES if leaf.type == "UInt16"]
        return _map(_leaf(chance.choice(keys)), _part(chance, pool, depth - 1), depth)
    parts = [_part(chance, pool, depth - 1) for _ in range(chance.randint(1, 3))]
    return _tuple(parts, named=chance.random() < 0.6) if kind == "tuple" else _nested(parts, depth)


def _single(chance: random.Random, leaf: Leaf) -> _Part:
    lot = chance.random()
    if lot < 0.15 and leaf.low:
        type_ = f"LowCardinality({leaf.type})"
        return _Part(type=type_, raw=leaf.raw, make=f"CAST({leaf.make('{raw}')} AS {type_})")
    if lot < 0.25 and leaf.low:
        return _nullable(leaf, f"LowCardinality(Nullable({leaf.type}))")
    if lot < 0.45 and not leaf.bare:
        return _nullable(leaf, f"Nullable({leaf.type})")
    return _leaf(leaf)


def _leaf(leaf: Leaf) -> _Part:
    return _Part(type=leaf.type, raw=leaf.raw, make=leaf.make("{raw}"), bare=leaf.bare, key=leaf.key)


def _nullable(leaf: Leaf, type_: str) -> _Part:
    made = leaf.make("assumeNotNull({raw})")
    return _Part(
        type=type_,
        raw=f"Nullable({leaf.raw})",
        make=f"if(isNull({{raw}}), CAST(NULL AS {type_}), CAST({made} AS {type_}))",
    )


def _array(inner: _Part, depth: int) -> _Part:
    type_, variable = f"Array({inner.type})", f"e{depth}"
    made = f"arrayMap({variable} -> {inner.make.replace('{raw}', variable)}, {{raw}})"
    return _Part(type=type_, raw=f"Array({inner.raw})", make=f"CAST({made} AS {type_})", bare=True)


def _map(key: _Part, value: _Part, depth: int) -> _Part:
    type_, variable = f"Map({key.type}, {value.type})", f"e{depth}"
    keys = f"arrayMap({variable} -> {key.make.replace('{raw}', f'{variable}.1')}, {{raw}})"
    values = f"arrayMap({variable} -> {value.make.replace('{raw}', f'{variable}.2')}, {{raw}})"
    raw = f"Array(Tuple({key.raw}, {value.raw}))"
    return _Part(type=type_, raw=raw, make=f"CAST(({keys}, {values}) AS {type_})", bare=True)


def _tuple(parts: Sequence[_Part], *, named: bool) -> _Part:
    elements = ", ".join(f"{f'f{number} ' if named else ''}{part.type}" for number, part in enumerate(parts))
    type_ = f"Tuple({elements})"
    values = ", ".join(
        part.make.replace("{raw}", f"tupleElement({{raw}}, {number})") for number, part in enumerate(parts, start=1)
    )
    raw = f"Tuple({', '.join(part.raw for part in parts)})"
    return _Part(type=type_, raw=raw, make=f"CAST(tuple({values}) AS {type_})", bare=True)


def _nested(parts: Sequence[_Part], depth: int) -> _Part:
    rows = _array(_tuple(parts, named=True), depth)
    elements = ", ".join(f"f{number} {part.type}" for number, part in enumerate(parts))
    return _Part(type=f"Nested({elements})", raw=rows.raw, make=rows.make, bare=True)
