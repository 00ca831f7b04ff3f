"""The grants in ``ops/security/clickhouse`` cover every system table and table function that icehaul's SQL names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumer.adapters.clickhouse.grants import to_move_rows

ROOT = Path(__file__).resolve().parents[3]
OPS = ROOT / "ops" / "security" / "clickhouse"
SOURCES = [
    *(ROOT / "consumer" / "adapters" / "clickhouse").rglob("*.py"),
    *(ROOT / "consumer" / "adapters" / "clickhouse").rglob("*.sql"),
    *(ROOT / "consumer" / "domain").glob("*.py"),
    *(ROOT / "spark").glob("*.py"),
]
# They may be read without a grant, and show only what one has rights on (ClickHouse: "always accessible").
FREE = {"tables", "columns", "databases", "settings", "one"}
GRANTED = {"parts": "reader.sql", "clusters": "cluster.sql", "replicas": "cluster.sql", "view_refreshes": "events.sql"}
FUNCTIONS = {
    "s3": ("reader.sql", "GRANT S3 ON *.*"),
    "icebergS3": ("reader.sql", "GRANT S3 ON *.*"),
    "cluster": ("cluster.sql", "GRANT REMOTE ON *.*"),
}


def system_tables() -> Iterator[str]:
    """The system tables that are read, by whatever way SQL comes to name one."""
    for source in SOURCES:
        text = source.read_text("utf-8")
        yield from re.findall(r"\b(?:FROM|JOIN)\s+system\.(\w+)", text)
        yield from re.findall(r'read_system\([^,]+, "(\w+)"\)', text)
        yield from re.findall(r'TableName\(database="system", table="(\w+)"', text)


def test_every_system_table_is_free_or_granted() -> None:
    found = set(system_tables())
    assert found - {"settings"} == FREE - {"settings"} | GRANTED.keys(), "add the grant, with a reason"


@pytest.mark.parametrize(("table", "file"), GRANTED.items())
def test_system_tables_are_granted_where_they_are_needed(table: str, file: str) -> None:
    assert f"GRANT SELECT ON system.{table} TO icehaul_reader;" in (OPS / file).read_text("utf-8")


def test_every_table_function_is_granted() -> None:
    named = {
        function
        for source in SOURCES
        for function in re.findall(r'f"(s3|icebergS3|cluster|url|remote|file|hdfs)\(', source.read_text("utf-8"))
    }
    assert named == FUNCTIONS.keys()
    for file, statement in FUNCTIONS.values():
        assert f"{statement} TO icehaul_reader;" in (OPS / file).read_text("utf-8")
    assert "GRANT CREATE TEMPORARY TABLE ON *.* TO icehaul_reader;" in (OPS / "reader.sql").read_text("utf-8")


def test_the_reader_can_only_read() -> None:
    text = (OPS / "reader.sql").read_text("utf-8")
    assert "SETTINGS readonly = 2" in text
    assert not re.search(r"GRANT[^;]*\b(?:INSERT|ALTER|DROP|CREATE (?!TEMPORARY)|ALL)\b", re.sub(r"--.*", "", text))


@pytest.mark.parametrize("file", ["restorer.sql", "dropper.sql"])
def test_the_roles_that_move_rows_have_the_rights_that_the_commands_ask_for(file: str) -> None:
    given = re.findall(r"GRANT (.+?) ON market\.\* TO", (OPS / file).read_text("utf-8"))
    rights = {f"{right} ON `market`.*" for some in given for right in some.split(", ")}
    assert rights == set(to_move_rows("market"))


@pytest.mark.parametrize("file", sorted(OPS.glob("*.sql")), ids=lambda file: file.stem)
def test_every_grant_has_its_reason_above_it(file: Path) -> None:
    for block in file.read_text("utf-8").split("\n\n"):
        if "GRANT " in block:
            assert block.startswith("-- "), block
