"""The queries that compare rows by hash: what is computed beside a source's columns never hides one of them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from consumer.domain.late_query import file_instants, file_rows_by_window, hashes, keyed_hashes
from consumer.domain.mapping import SourceColumn, TableMapping
from consumer.domain.stream import Stream, TableName
from consumer.domain.type_mapping import map_table
from consumer.domain.unit_query import fingerprint_query
from consumer.domain.window import Window

NAME = TableName.parse("d.t")
STREAM = Stream(name="s", source=NAME, target=NAME, timestamp_column="ts")
DAY = Window(lower=datetime(2024, 1, 1, tzinfo=UTC), upper=datetime(2024, 1, 2, tzinfo=UTC))


def mapping() -> TableMapping:
    names = ("sign", "hash", "micros", "key", "file", "inside", "rows", "digest")
    columns = [SourceColumn(name="ts", type="DateTime"), *(SourceColumn(name=name, type="Int64") for name in names)]
    return map_table(columns, timestamp_column="ts")


def test_no_alias_beside_a_digest_is_the_name_that_a_column_may_have() -> None:
    mapped = mapping()
    for query in (
        hashes(STREAM, mapped, "rows", 1),
        keyed_hashes(STREAM, mapped, "rows", -1, "ts"),
        file_rows_by_window(STREAM, mapped, DAY, "f", 3).partition(" FROM (")[0],
        file_instants(STREAM, mapped, "f").partition(" FROM (")[0],
        fingerprint_query(mapped, "q").partition("FROM (")[2],
    ):
        aliases = re.findall(r"\) AS (\w+)|\d AS (\w+)", query)
        assert aliases
        assert all(name.startswith("_icehaul_") for pair in aliases for name in pair if name)


def test_the_key_of_a_row_is_made_of_the_columns_that_the_sorting_key_names_or_of_all() -> None:
    mapped = mapping()
    assert keyed_hashes(STREAM, mapped, "rows", 1, "toDate(ts), hash").count("`hash`") == 2
    whole = mapped.digest_sql()
    assert f"{whole} AS _icehaul_key" in keyed_hashes(STREAM, mapped, "rows", 1, "")
