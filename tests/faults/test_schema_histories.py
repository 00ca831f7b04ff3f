"""Any sequence of changes of a source's columns, with rows in between: after each batch both tiers agree."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import pytest

from consumer.bootstrap import Application
from tests.support.local_platform import LocalPlatform, judge, offload
from tests.support.platform import day

pytestmark = pytest.mark.thorough

ROWS = 6
STEPS = 5
WIDER = {
    "Int32": "Int64",
    "Int64": "Nullable(Int64)",
    "Float32": "Float64",
    "Decimal(9, 2)": "Decimal(25, 2)",
    "String": "LowCardinality(Nullable(String))",
    "Tuple(x Int32)": "Tuple(x Int64, y Nullable(String))",
    "Array(Int32)": "Array(Int64)",
}
NEW = ("Int32", "Nullable(String)", "Float32", "Decimal(9, 2)", "Array(Int32)", "Map(String, Int32)", "Tuple(x Int32)")


@dataclass
class History:
    """What the columns are, and how they change; columns have names of their own for good."""

    random: Random
    columns: dict[str, str] = field(default_factory=lambda: {"a": "Int32", "s": "String"})
    made: int = 0
    dropped: list[str] = field(default_factory=list)

    def change(self) -> str:
        """Return the next change as ALTER TABLE takes it."""
        widening = [name for name, type_ in self.columns.items() if type_ in WIDER]
        kind = self.random.choice(["add", "widen", "drop", "move"])
        if kind == "widen" and widening:
            name = self.random.choice(widening)
            self.columns[name] = WIDER[self.columns[name]]
            return f"MODIFY COLUMN {name} {self.columns[name]}"
        if kind == "drop" and len(self.columns) > 1:
            name = self.random.choice(sorted(self.columns))
            del self.columns[name]
            self.dropped.append(name)
            return f"DROP COLUMN {name}"
        if kind == "move":
            name = self.random.choice(sorted(self.columns))
            return f"MODIFY COLUMN {name} {self.columns[name]} FIRST"
        self.made += 1
        name = f"c{self.made}"
        self.columns[name] = self.random.choice(NEW)
        return f"ADD COLUMN {name} {self.columns[name]}"


def insert(platform: LocalPlatform, history: History, on: str) -> None:
    """Insert random rows: no two of them alike."""
    structure = ", ".join(f"{name} {type_}" for name, type_ in history.columns.items())
    seed = history.random.randrange(2**31)
    platform.client.command(
        f"INSERT INTO {platform.name}.trades (ts, seq, {', '.join(history.columns)})"
        f" SELECT toDateTime64('{on} 00:00:00', 6, 'UTC') + toIntervalSecond(rowNumberInAllBlocks()),"
        f" {seed} + rowNumberInAllBlocks(), {', '.join(map(valid, history.columns.items()))}"
        f" FROM generateRandom('{structure}', {seed}, 5, 3) LIMIT {ROWS}"
    )


def valid(column: tuple[str, str]) -> str:
    """Return a random value of a column as Iceberg can hold it: text is UTF-8, decimals have their digits."""
    name, type_ = column
    if "String" in type_ and "(" not in type_.replace("Nullable(", "").replace("LowCardinality(", ""):
        return f"toValidUTF8({name})"
    if type_.startswith("Map"):
        return f"mapFromArrays(arrayMap(k -> toValidUTF8(k), mapKeys({name})), mapValues({name}))"
    if type_.startswith("Tuple") and "String" in type_:
        return f"tuple(tupleElement({name}, 1), toValidUTF8(tupleElement({name}, 2)))"
    if type_.startswith("Decimal"):
        return f"toDecimal64(reinterpretAsInt32({name}) % 1000000, 2)"
    return name


def offloaded(application: Application, stream: str, on: str) -> None:
    assert offload(application, stream, day(on)) == []


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_both_tiers_agree_after_every_change(local: LocalPlatform, seed: int) -> None:
    history = History(Random(seed))
    stream = local.add_stream(columns="ts DateTime64(6, 'UTC'), seq UInt64, a Int32, s String")
    # Steps may drop and add between two looks.
    rows = 0
    for step in range(1, STEPS + 1):
        insert(local, history, f"2024-01-{step:02}")
        if step > 1:
            # A late one, too.
            insert(local, history, f"2024-01-{history.random.randrange(1, step):02}")
            rows += ROWS
        rows += ROWS
        with local.consumer() as application:
            offloaded(application, stream, f"2024-01-{step + 1:02}")
            judge(application, stream, rows=rows)
        change = history.change()
        local.client.command(f"ALTER TABLE {local.name}.trades {change} SETTINGS mutations_sync = 2")
        local.streams[0]["dropped_columns"] = history.dropped
        with local.consumer() as application:
            found = application.verifier.verify(application.streams[stream])
            assert found.equal, (change, found)
