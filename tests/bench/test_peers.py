"""How values of different libraries are compared, and what is said about a program that fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest

from consumer.entrypoints.type_reference import EXAMPLES
from tests.bench.peer_values import OTHER_BYTES, VALUES, insert, means
from tests.bench.peers import _judged, cause, normal

TOKYO = timezone(timedelta(hours=9))
ID = UUID("61f0c404-5cb3-11e7-907b-a6006ad3dba0")


def test_every_type_of_the_page_has_values() -> None:
    assert VALUES.keys() - {OTHER_BYTES} == set(EXAMPLES) - {"Nothing"}
    assert all(insert(example, "t").count("CAST(") >= len(VALUES[example]) for example in VALUES)
    assert all(means(example) for example in VALUES)


@pytest.mark.parametrize(
    ("example", "one", "other"),
    [
        ("UInt64", 18446744073709551615, Decimal(18446744073709551615)),
        ("Decimal(38, 10)", Decimal("1.50"), Decimal("1.5")),
        ("Float64", float("nan"), float("nan")),
        ("Nullable(Int32)", None, None),
        ("Bool", True, "true"),
        ("UUID", ID, str(ID)),
        ("Date", date(2024, 2, 29), "2024-02-29"),
        ("DateTime", "2024-02-29 12:00:00", datetime(2024, 2, 29, 21, tzinfo=TOKYO)),
        ("DateTime64(6)", "2024-02-29 12:00:00.123456", datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=UTC)),
        ("FixedString(16)", "FF00", b"\xff\x00"),
        ("Map(String, Int64)", {"a": 1}, [("a", 1)]),
        ("Tuple(a Int32, b String)", (1, "x"), {"a": 1, "b": "x"}),
        ("Nested(a Int32)", [{"a": 1}], [(1,)]),
    ],
)
def test_equal_values_of_different_libraries_are_equal(example: str, one: object, other: object) -> None:
    assert normal(one, example) == normal(other, example)


@pytest.mark.parametrize(
    ("example", "one", "other"),
    [
        ("Float64", 0.0, -0.0),
        ("UInt32", 4294967295, -1),
        ("Nullable(Int32)", None, 0),
        ("DateTime64(9)", "2024-02-29 12:00:00.123456789", datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=UTC)),
        ("Map(String, Int64)", {"a": 1}, [("a", 2)]),
    ],
)
def test_different_values_differ(example: str, one: object, other: object) -> None:
    assert normal(one, example) != normal(other, example)


def test_the_innermost_cause_is_told_without_addresses_and_codes() -> None:
    jvm = "An error\nCaused by: java.lang.IllegalStateException: first\n\tat x\nCaused by: a.b.Other: the reason\n"
    clickhouse = "Code: 36. DB::Exception: Unsupported type for iceberg Int8. (BAD_ARGUMENTS) (version 26.9.2.1)"

    assert cause(RuntimeError(jvm)) == "the reason"
    assert (
        cause(RuntimeError("a.b.SQLException: no type\nCaused by: a.b.C: Full stacktrace of original x")) == "no type"
    )
    assert cause(RuntimeError(clickhouse)) == "Unsupported type for iceberg Int8"
    assert "127.0.0.1" not in cause(RuntimeError("no answer from http://127.0.0.1:1/x"))


@dataclass
class Source:
    """A client that gives the same rows to every query."""

    rows: Sequence[tuple[Any, ...]]

    def query(self, _: str) -> SimpleNamespace:
        return SimpleNamespace(result_rows=self.rows)


def written(*values: object) -> Any:
    table = pa.table({"id": range(len(values)), "c": list(values)})
    return SimpleNamespace(
        schema=lambda: SimpleNamespace(find_type=lambda _: "long"),
        scan=lambda: SimpleNamespace(to_arrow=lambda: table),
    )


def test_a_peer_is_exact_only_if_every_value_is() -> None:
    source: Any = Source([(1,), (4294967295,)])

    assert _judged(source, "UInt32", "t", lambda _: written(1, 4294967295))["verdict"] == "exact"
    lossy = _judged(source, "UInt32", "t", lambda _: written(1, -1))
    missing = _judged(source, "UInt32", "t", lambda _: written(1))

    assert (lossy["verdict"], lossy["note"]) == ("lossy", "4294967295 became -1")
    assert (missing["verdict"], missing["note"]) == ("lossy", "2 rows became 1 rows")


def test_what_raises_is_an_error_or_unreadable() -> None:
    def fails(_: str) -> Any:
        raise RuntimeError("DB::Exception: Unsupported type")

    assert _judged(Source([]), "Int8", "t", fails)["verdict"] == "error"  # type: ignore[arg-type]
