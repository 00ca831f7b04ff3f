"""What becomes of a target's schema when its source's columns were changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg.schema import Schema, assign_fresh_schema_ids
from pyiceberg.types import LongType, NestedField

from consumer.domain.errors import SchemaChangeError
from consumer.domain.evolution import Evolution
from consumer.domain.history_mapping import map_history
from consumer.domain.mapping import SourceColumn
from consumer.domain.schema_change import columns_of, follow
from consumer.domain.schema_history import (
    KnownColumn,
    SchemaEra,
    SchemaHistory,
    extended,
    known_columns,
    with_new_names,
)
from consumer.domain.stream import Stream, TableName
from consumer.domain.window import BEGINNING

STREAM = Stream(
    name="s",
    source=TableName(database="db", table="t"),
    target=TableName(database="lake", table="t"),
    timestamp_column="ts",
)
TIME = {"ts": "DateTime64(6, 'UTC')"}
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


def columns(**types: str) -> list[SourceColumn]:
    return [SourceColumn(name=name, type=type_) for name, type_ in (TIME | types).items()]


def history_of(**types: str) -> SchemaHistory:
    return extended((), known_columns(columns(**types), {}), BEGINNING)


def target_of(**types: str) -> Schema:
    return assign_fresh_schema_ids(map_history(STREAM, columns(**types), history_of(**types)).iceberg_schema())


def followed(
    before: Mapping[str, str], after: Mapping[str, str], stream: Stream = STREAM, base: Schema | None = None
) -> Evolution:
    """What the target of a source with columns becomes once it has others."""
    there = target_of(**before) if base is None else base
    past = history_of(**before)
    now = extended(past, known_columns(columns(**after), {}), NOON)
    return follow(
        stream,
        map_history(stream, columns(**after), now),
        past,
        there,
        last_column_id=there.highest_field_id,
        next_schema_id=1,
    )


def test_nothing_changes_where_only_the_order_does() -> None:
    found = followed({"a": "Int32", "b": "String"}, {"b": "String", "a": "Int32"})

    assert not found.pending
    assert found.schema is found.base


def test_a_new_column_is_optional_and_has_a_new_id_behind_the_others() -> None:
    found = followed({"a": "Array(Int32)"}, {"first": "Int64", "a": "Array(Int32)"})

    assert [(field.name, field.field_id, field.required) for field in found.schema.fields] == [
        ("ts", 1, True),
        ("a", 2, True),
        ("first", 4, False),
    ]
    assert found.schema.schema_id == 1
    assert found.changes == ("first: added as long",)


def test_a_new_element_of_a_tuple_has_a_new_id_and_is_optional() -> None:
    found = followed({"t": "Array(Tuple(x Int32))"}, {"t": "Array(Tuple(y Map(String, Int8), x Int32))"})

    assert found.changes == ("t.element.y: added as map<string, int>",)
    ids = {name: found.schema.find_field(name).field_id for name in ("t.element.x", "t.element.y", "t.element.y.key")}
    assert ids == {"t.element.x": 4, "t.element.y": 5, "t.element.y.key": 6}
    assert not found.schema.find_field("t.element.y").required


@pytest.mark.parametrize(
    ("before", "after", "becomes"),
    [
        ("Int8", "UInt32", "long"),
        ("Int32", "Nullable(Int64)", "long"),
        ("Float32", "Float64", "double"),
        ("Decimal(9, 2)", "Decimal(20, 2)", "decimal(20, 2)"),
        ("Array(Int32)", "Array(Int64)", "list<long>"),
        ("Map(String, Int32)", "Map(String, Int64)", "map<string, long>"),
    ],
)
def test_a_wider_type_is_followed(before: str, after: str, becomes: str) -> None:
    found = followed({"a": before}, {"a": after})

    assert str(found.schema.find_type("a")) == becomes
    assert found.schema.find_field("a").field_id == 2
    assert found.schema.find_field("a").required is ("Nullable" not in after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("UInt8", "UInt16"),
        ("String", "LowCardinality(String)"),
        ("Enum8('a' = 1)", "Enum16('a' = 1, 'b' = 2)"),
        ("DateTime", "DateTime64(6)"),
    ],
)
def test_what_the_target_holds_already_changes_nothing(before: str, after: str) -> None:
    assert not followed({"a": before}, {"a": after}).pending


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("Int64", "Int32", "int holds less than long"),
        ("String", "Int32", "from string to int"),
        ("UInt32", "UInt64", "from long to decimal"),
        ("Decimal(9, 2)", "Decimal(20, 3)", "from decimal"),
        ("Decimal(20, 2)", "Decimal(9, 2)", "holds less than"),
        ("Nullable(Int32)", "Int32", "NULLs have become default values"),
        ("LowCardinality(Nullable(String))", "String", "NULLs have become"),
        ("DateTime64(6)", "DateTime64(3)", "3 digits of the second"),
        ("DateTime64(3)", "DateTime", "3 digits of the second"),
        ("Tuple(x Int32)", "Tuple(x String)", "column a.x"),
        ("Int32", "Array(Int32)", "from int to list"),
    ],
)
def test_what_loses_values_is_refused_with_a_plan(before: str, after: str, said: str) -> None:
    with pytest.raises(SchemaChangeError) as refused:
        followed({"a": before}, {"a": after})

    assert said in refused.value.message
    assert "MODIFY COLUMN a" in refused.value.remedy
    assert "dropped_columns: [a]" in refused.value.remedy


def test_a_dropped_column_stays_and_is_optional() -> None:
    found = followed({"a": "Int32", "b": "String"}, {"a": "Int32"})

    assert found.changes == ("b: no longer in the source; NULL from now on",)
    assert not found.schema.find_field("b").required


def test_a_column_that_may_have_been_renamed_is_not_guessed_at() -> None:
    with pytest.raises(SchemaChangeError, match="renamed, or dropped and added") as refused:
        followed({"a": "Int32"}, {"b": "Int32"})

    assert "renamed_columns: {b: a}" in refused.value.remedy


def test_a_rename_that_is_told_keeps_the_field() -> None:
    stream = replace(STREAM, renamed_columns=(("b", "a"),))
    past = with_new_names(history_of(a="Int32"), {"ts", "b"}, {"a": "b"})
    mapping = map_history(stream, columns(b="Int64"), extended(past, known_columns(columns(b="Int64"), {}), NOON))
    base = target_of(a="Int32")

    found = follow(stream, mapping, past, base, last_column_id=2, next_schema_id=1)

    assert found.schema.find_field("b").field_id == base.find_field("a").field_id
    assert found.changes == ("a: renamed to b", "b: widened from int to long")


def test_a_column_that_was_dropped_on_purpose_makes_way_for_another() -> None:
    found = followed({"a": "Int32"}, {"b": "Int32"}, replace(STREAM, dropped_columns=("a",)))

    assert [(field.name, field.field_id) for field in found.schema.fields] == [("ts", 1), ("a", 2), ("b", 3)]


def test_a_new_column_does_not_get_the_old_name_of_a_renamed_one() -> None:
    stream = replace(STREAM, renamed_columns=(("b", "a"),))
    past = with_new_names(history_of(a="Int32"), {"ts", "b"}, {"a": "b"})
    now = columns(b="Int32", a="Int32")
    mapping = map_history(stream, now, extended(past, known_columns(now, {}), NOON))

    with pytest.raises(SchemaChangeError, match="older data files have that under this name"):
        follow(stream, mapping, past, target_of(b="Int32"), last_column_id=2, next_schema_id=1)


def test_optional_columns_of_another_engine_stay() -> None:
    base = target_of(a="Int32")
    foreign = Schema(*base.fields, NestedField(9, "theirs", LongType(), required=False))

    found = followed({"a": "Int32"}, {"a": "Int32", "b": "Int8"}, base=foreign)

    assert [(field.name, field.field_id) for field in found.schema.fields][-2:] == [("theirs", 9), ("b", 10)]


def test_required_columns_of_another_engine_are_refused() -> None:
    base = target_of(a="Int32")
    foreign = Schema(*base.fields, NestedField(9, "theirs", LongType(), required=True))

    with pytest.raises(SchemaChangeError, match="column theirs: from required long"):
        followed({"a": "Int32"}, {"a": "Int32"}, base=foreign)


def test_a_stream_without_a_history_takes_it_from_the_targets_docs() -> None:
    base = target_of(a="Int8", b="LowCardinality(String)")

    assert columns_of(base, columns(a="Int64")) == (
        KnownColumn(name="ts", type="DateTime64(6, 'UTC')"),
        KnownColumn(name="a", type="Int8"),
        KnownColumn(name="b", type="LowCardinality(String)"),
    )


def test_rows_without_changes_are_hashed_as_ever() -> None:
    now = columns(a="Int32", b="String")

    assert map_history(STREAM, now, history_of(a="Int32", b="String")).digest is None


def test_the_order_of_the_hash_is_that_of_the_history() -> None:
    before = map_history(STREAM, columns(a="Int32", b="Int32"), history_of(a="Int32", b="Int32"))
    now = columns(b="Int32", a="Int32")
    history = extended(history_of(a="Int32", b="Int32"), known_columns(now, {}), NOON)

    assert len(history) == 1
    assert map_history(STREAM, now, history).digest_sql() == before.digest_sql()


def test_rows_below_an_added_column_are_hashed_without_it() -> None:
    before = map_history(STREAM, columns(a="Int32"), history_of(a="Int32")).digest_sql()
    now = columns(a="Int32", b="Int32")
    history = extended(history_of(a="Int32"), known_columns(now, {}), NOON)
    digest = map_history(STREAM, now, history).digest_sql()

    limit = "`ts` < toDateTime64('2024-01-01 12:00:00.000000', 6, 'UTC')"
    assert digest == f"if({limit}, {before}, cityHash64(`ts`, `a`, `b`))"


def test_eras_that_nothing_was_read_in_are_forgotten() -> None:
    history = extended(history_of(a="Int32"), known_columns(columns(a="Int32", b="Int8"), {}), NOON)
    again = extended(history, known_columns(columns(a="Int32", c="Int8"), {}), NOON)

    assert [era.since for era in again] == [BEGINNING, NOON]
    assert [column.name for column in again[-1].columns] == ["ts", "a", "c"]


_NAMES = st.lists(st.sampled_from("abcdef"), unique=True, min_size=1)


@given(st.lists(_NAMES, min_size=1, max_size=6))
def test_fields_keep_their_ids_through_any_sequence_of_changes(sequence: list[list[str]]) -> None:
    stream = replace(STREAM, dropped_columns=tuple("abcdef"))
    first = dict.fromkeys(sequence[0], "Int32")
    schema, history = target_of(**first), history_of(**first)
    ids = {field.name: field.field_id for field in schema.fields}
    for number, names in enumerate(sequence[1:], start=1):
        now = columns(**dict.fromkeys(names, "Int32"))
        later = extended(history, known_columns(now, {}), NOON)
        found = follow(
            stream,
            map_history(stream, now, later),
            history,
            schema,
            last_column_id=schema.highest_field_id,
            next_schema_id=number,
        )
        for name, id_ in ids.items():
            assert found.schema.find_field(name).field_id == id_
        schema, history = found.schema, later
        ids |= {field.name: field.field_id for field in schema.fields}
        assert len(set(ids.values())) == len(ids)
        assert all(not schema.find_field(name).required for name in ids if name not in {*names, "ts"})


def test_an_era_lists_its_columns() -> None:
    assert SchemaEra(since=NOON, columns=(KnownColumn(name="a", type="Int8"),)).names == {"a"}
