"""What the generator of random tables makes: the same from the same number, and every type."""

from __future__ import annotations

from pathlib import Path

import pytest

from consumer.domain.clickhouse_type import parse_type
from consumer.domain.errors import UnsupportedTypeError
from consumer.domain.mapping import SourceColumn
from consumer.domain.type_choices import As, choices
from consumer.domain.type_mapping import map_table
from consumer.entrypoints.type_reference import EXAMPLES
from tests.roundtrip.campaign import families
from tests.roundtrip.leaves import LEAVES
from tests.roundtrip.schemas import Expected, TableCase, case, cases

SEED = 20261126
CASES = tuple(cases(SEED, 500))


def mapped(one: TableCase) -> None:
    columns = [SourceColumn(name=f"c{number}", type=column.type) for number, column in enumerate(one.columns)]
    chosen = {name: As(choice) for name, choice in one.chosen.items()}
    map_table([SourceColumn(name="ts", type=one.time_type), *columns], timestamp_column="ts", chosen=chosen)


def test_a_table_comes_from_its_number_alone_and_from_its_document(tmp_path: Path) -> None:
    document = tmp_path / "case.json"
    document.write_text(CASES[7].text(), encoding="utf-8")

    assert case(SEED, 7) == CASES[7] == TableCase.read(document)


def test_every_table_is_mapped_or_refused_as_it_has_to_be() -> None:
    for one in CASES:
        if one.expected is Expected.REFUSED_TYPE:
            with pytest.raises(UnsupportedTypeError, match=r"no exact counterpart|at most 38 digits|in microseconds"):
                mapped(one)
        else:
            mapped(one)


def test_500_tables_have_every_family_and_every_choice() -> None:
    columns = [column for one in CASES for column in one.columns]
    found = {name for column in columns for name in families(parse_type(column.type))}
    wanted = {name for example in EXAMPLES for name in families(parse_type(example))}

    # No column can have Nothing.
    assert wanted - found == {"Nothing"}
    assert {column.choice for column in columns} == {None, *As}
    assert {one.expected for one in CASES} == set(Expected)


def test_the_leaves_have_every_choice_of_every_type() -> None:
    offered = {(parse_type(leaf.type).name, choice) for leaf in LEAVES for choice in choices(parse_type(leaf.type))}

    assert {(parse_type(leaf.type).name, leaf.choice) for leaf in LEAVES if leaf.choice is not None} == offered
