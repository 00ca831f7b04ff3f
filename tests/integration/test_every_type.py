"""Every type that the engine knows has a place in the reference: an exact counterpart, or choices."""

from __future__ import annotations

import re
from pathlib import Path

import clickhouse_connect
import pytest

from consumer.domain.clickhouse_type import parse_type
from consumer.domain.errors import UnsupportedTypeError
from consumer.domain.mapping import SourceColumn
from consumer.domain.type_choices import choices
from consumer.domain.type_mapping import map_table
from consumer.embedded.stack import EmbeddedStack
from consumer.entrypoints.type_reference import EXAMPLES
from consumer.settings.load import load

ROOT = Path(__file__).resolve().parents[2]
TIME = SourceColumn(name="ts", type="DateTime")
ABSTRACT = {"Nothing"}
"""No column of a table can have it."""
OTHER_NAMES = {
    "DateTime32": "DateTime",
    "Enum": "Enum8",
    **dict.fromkeys(("Decimal32", "Decimal64", "Decimal128", "Decimal256"), "Decimal"),
}
"""Names that no column's type has: the engine writes another one."""


def families(stack: EmbeddedStack) -> set[str]:
    server = stack.endpoints.clickhouse
    with clickhouse_connect.get_client(
        host=server.host, port=server.port, username=server.user, password=server.password
    ) as client:
        rows = client.query("SELECT name FROM system.data_type_families WHERE alias_to = ''").result_rows
        return {str(name) for (name,) in rows}


def family(example: str) -> str:
    name = parse_type(example).name
    return "Interval" if name.startswith("Interval") else name


def test_every_family_of_the_engine_stands_in_the_reference(stack: EmbeddedStack) -> None:
    known = {family(example) for example in EXAMPLES}

    found = {family(OTHER_NAMES.get(name, name)) for name in families(stack)}

    assert found == known


def refused(columns: list[SourceColumn]) -> UnsupportedTypeError | None:
    try:
        map_table(columns, timestamp_column="ts")
    except UnsupportedTypeError as refusal:
        return refusal
    return None


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_type_is_exact_or_is_refused_with_choices_each_of_which_is_taken(example: str) -> None:
    columns = [TIME, SourceColumn(name="c", type=example)]
    offered = choices(parse_type(example))

    refusal = refused(columns)
    if refusal is not None:
        assert offered or example in ABSTRACT
        assert [choice for choice in offered if f"{choice} (loses" not in refusal.remedy] == []
    for choice, what in offered.items():
        mapped = map_table(columns, timestamp_column="ts", chosen={"c": choice}).columns[1]
        assert mapped.iceberg_type == what.iceberg_type


def test_the_stream_of_the_page_chooses_what_the_page_says(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "reference" / "types.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    file = tmp_path / "icehaul.yaml"
    file.write_text(snippet, encoding="utf-8")
    stream = load(file).by_name()["payments"]

    types = {"created_at": "DateTime", "amount": "UInt256", "receipt": "String", "created_ns": "DateTime64(9)"}
    columns = [SourceColumn(name=name, type=type_) for name, type_ in types.items()]
    mapping = map_table(columns, timestamp_column=stream.timestamp_column, chosen=dict(stream.columns))

    assert [str(column.iceberg_type) for column in mapping.columns[1:]] == ["decimal(38, 0)", "binary", "long"]
