from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from consumer.domain.mapping import SourceColumn
from consumer.domain.stream import IDENTIFIER, Mode
from consumer.domain.table_facts import ColumnFacts, TableFacts, ValueRange
from consumer.domain.type_mapping import map_source
from consumer.service.starter.document import render
from consumer.service.starter.draft import Names, Skipped, Surroundings, draft_stream, why_skipped
from consumer.settings.load import load

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AROUND = Surroundings(now=NOW, server_zone="UTC", settle_lag=timedelta(minutes=3))
TYPES = ["DateTime", "Date", "DateTime64(6, 'UTC')", "Nullable(DateTime)", "DateTime64(9)", "UInt64", "String", "IPv4"]
WORDS = st.sampled_from(["null", "yes", "on", "NO", "true", "_1", "ts", "id", "e5", "nan", "x" * 127, "select", "_"])
NAMES = st.one_of(WORDS, st.from_regex(IDENTIFIER, fullmatch=True), st.text(max_size=20))
TEXTS = st.one_of(st.text(max_size=60), st.sampled_from(["a\nb: c", "# no", "\x07\u2028\ufeff", "- name: x", "'\"\\"]))


@st.composite
def tables(draw: st.DrawFn) -> TableFacts:
    names = draw(st.lists(NAMES, max_size=5, unique=True))
    enum = "Enum8('" + draw(TEXTS).replace("'", "") + "' = 1)"
    columns = tuple(
        ColumnFacts(name=name, type=draw(st.sampled_from([*TYPES, enum])), kind=draw(st.sampled_from(["", "ALIAS"])))
        for name in names
    )
    return TableFacts(
        database=draw(NAMES),
        table=draw(NAMES),
        engine=draw(st.sampled_from(["MergeTree", "ReplacingMergeTree", "View"])),
        engine_full=f"MergeTree TTL {draw(TEXTS)}",
        create_query=draw(TEXTS),
        partition_key=draw(TEXTS),
        sorting_key=draw(TEXTS),
        rows=draw(st.one_of(st.none(), st.integers(0, 10**15))),
        bytes=draw(st.integers(0, 10**15)),
        columns=columns,
        has_uuid=draw(st.booleans()),
    )


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ICEHAUL_CONFIG", "ICEHAUL_SECRETS_DIR"):
        monkeypatch.delenv(name, raising=False)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(found=st.lists(tables(), max_size=4), anything=st.text(max_size=20))
@example(found=[], anything="-")
def test_whatever_a_database_holds_the_file_loads_and_holds_what_was_drafted(
    found: list[TableFacts], anything: str, tmp_path: Path
) -> None:
    names = Names()
    drafts, skipped = [], []
    for table in found:
        if (reason := why_skipped(table)) is not None:
            skipped.append(Skipped(name=table.table, reason=reason))
            continue
        ranges = {column.name: ValueRange(first=NOW, last=NOW) for column in table.columns}
        drafts.append(draft_stream(table, ranges, AROUND, names))
    text = render(
        {"kafka": {"group": anything}, "spark": {"jars": ("a,b", "c: d"), "conf": {"k: 1": anything}}}, drafts, skipped
    )
    path = tmp_path / "icehaul.yaml"
    path.write_text(text, encoding="utf-8")
    assert yaml.safe_load(text)["spark"]["jars"] == ["a,b", "c: d"]
    loaded = load(path)
    assert loaded.kafka.group == anything
    assert loaded.spark.conf == {"k: 1": anything}
    ready = [one for one in drafts if not one.obstacles]
    assert [(one.name, one.source, one.target) for one in loaded.streams] == [
        (one.name, one.source, one.target) for one in ready
    ]
    for stream, draft in zip(loaded.streams, ready, strict=True):
        assert draft.time_column is not None
        assert stream.timestamp_column == draft.time_column.column.name
        assert stream.sequence_columns == draft.sequence_columns
        assert (stream.settle_lag, stream.row_span) == (draft.settle_lag, draft.row_span)


def test_a_stream_that_was_commented_out_is_valid_once_its_comment_signs_are_removed(tmp_path: Path) -> None:
    table = TableFacts(
        database="d",
        table="t",
        engine="MergeTree",
        engine_full="MergeTree ORDER BY ts",
        create_query="",
        partition_key="",
        sorting_key="ts",
        rows=1,
        bytes=1,
        columns=(ColumnFacts(name="ts", type="DateTime"), ColumnFacts(name="wide", type="Int256")),
    )
    text = render({}, [draft_stream(table, {}, AROUND, Names())], [])
    path = tmp_path / "icehaul.yaml"
    path.write_text(text, encoding="utf-8")
    assert load(path).streams == ()
    head, mark, stream = text.partition("  # - name:")
    path.write_text(head + (mark + stream).replace("\n  # ", "\n  ").replace("  # - name:", "  - name:"))
    (found,) = load(path).by_name().values()
    assert (str(found.source), found.timestamp_column) == ("d.t", "ts")
    assert "columns.wide" in head
    mapping = map_source(found, [SourceColumn(name=one.name, type=one.type) for one in table.columns])
    assert [str(one.iceberg_type) for one in mapping.columns] == ["timestamptz", "string"]


def test_a_table_of_versions_is_proposed_to_be_read_as_final_shows_it_where_its_keys_allow_that(tmp_path: Path) -> None:
    def proposed(sorting_key: str) -> tuple[Mode, bool, str]:
        table = TableFacts(
            database="d",
            table="t",
            engine="ReplacingMergeTree",
            engine_full=f"ReplacingMergeTree ORDER BY ({sorting_key})",
            create_query="",
            partition_key="",
            sorting_key=sorting_key,
            rows=1,
            bytes=1,
            columns=(ColumnFacts(name="ts", type="DateTime"), ColumnFacts(name="id", type="UInt64")),
        )
        text = render({}, [draft_stream(table, {}, AROUND, Names())], [])
        path = tmp_path / "icehaul.yaml"
        path.write_text(text, encoding="utf-8")
        (found,) = load(path).streams
        return found.mode, found.replace.remove_rows, text

    mode, remove, text = proposed("ts, id")
    assert (mode, remove) == (Mode.LATEST_VERSION, True)
    assert "WARNING: ReplacingMergeTree" not in text
    mode, remove, text = proposed("id")
    assert (mode, remove) == (Mode.APPEND, False)
    assert "WARNING: ReplacingMergeTree" in text
