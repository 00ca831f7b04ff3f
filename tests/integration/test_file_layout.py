"""Both writers lay files out as the table's properties and its sort order ask: read back from the footers."""

from __future__ import annotations

import os
import re
import threading
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from consumer.adapters.spark.access import store_access
from consumer.bootstrap import Application
from consumer.domain.event_factory import tick
from consumer.domain.file_options import FILE_BYTES, LAYOUT_PROPERTIES
from consumer.domain.row_order import AS_READ, RowOrder, SortKey
from consumer.domain.window import PartitionBy
from consumer.domain.writer import WriterPolicy
from consumer.embedded.stack import EmbeddedStack
from spark.object_store import connect, key_of
from spark.thrift_struct import read_struct
from spark.unit_offload import offload_unit
from tests.support.local_engine import LocalEngine
from tests.support.platform import Platform, day
from tests.support.spark import HotTable, clickhouse_settings, store_settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "lay-out-the-files.md"
ROWS = 60_000
BLOCK_ROWS = 5000
BOTH = pytest.mark.parametrize("policy", [WriterPolicy.STREAM, WriterPolicy.EXPORT])
PARQUET = "write.parquet."
TEXT = 4
"""Number of the column with the most different values."""


@pytest.fixture(scope="module")
def trades(stack: EmbeddedStack) -> HotTable:
    """Rows of one minute, in ClickHouse's order by time; the symbols and notes have another one."""
    table = HotTable.create(
        stack.endpoints,
        "ts DateTime64(6, 'UTC'), symbol LowCardinality(String), note Nullable(String), number UInt64, text String",
    )
    table.client.command(
        f"INSERT INTO {table.stream.source.table} SELECT toDateTime64('2024-01-01 00:00:00', 6, 'UTC')"
        " + toIntervalMillisecond(number), 'S' || toString(cityHash64(number) % 50), if(number % 3 = 0, NULL,"
        f" toString(number % 7)), number, 'order ' || toString(cityHash64(number) % 5000) || ' of '"
        f" || toString(cityHash64(number, 1) % 3000) FROM numbers({ROWS})"
    )
    return table


def written(
    table: HotTable, policy: WriterPolicy, properties: dict[str, str], order: RowOrder = AS_READ
) -> tuple[HotTable, str]:
    asking = replace(table, target=replace(table.target, properties=properties, order=order))
    small_blocks = clickhouse_settings(table.endpoints).model_copy(
        update={"query_settings": {"max_block_size": BLOCK_ROWS}}
    )
    outcome = offload_unit(asking.context(clickhouse=small_blocks), asking.task(asking.batch(0, 60), policy))
    assert outcome.error is None, outcome.error
    assert outcome.writer.value == policy.value
    assert outcome.file is not None
    assert outcome.file.fingerprint == table.source_fingerprint() == table.file_fingerprint(outcome.file.path)
    return asking, outcome.file.path


def text_bytes(footer: pq.FileMetaData) -> int:
    return int(footer.row_group(0).column(TEXT).total_compressed_size)


@BOTH
@pytest.mark.parametrize("codec", ["zstd", "snappy", "gzip", "lz4", "brotli", "uncompressed"])
def test_the_compression_codec_is_the_table_s(trades: HotTable, policy: WriterPolicy, codec: str) -> None:
    asking, path = written(trades, policy, {f"{PARQUET}compression-codec": codec})
    footer = asking.footer(path)
    assert {footer.row_group(0).column(n).compression.lower() for n in range(footer.num_columns)} == {codec}


@BOTH
def test_the_compression_level_is_the_table_s(trades: HotTable, policy: WriterPolicy) -> None:
    low, high = (
        text_bytes(trades.footer(written(trades, policy, {f"{PARQUET}compression-level": level})[1]))
        for level in ("1", "12")
    )
    assert high < low * 0.97


@BOTH
def test_row_groups_end_at_the_table_s_number_of_rows(trades: HotTable, policy: WriterPolicy) -> None:
    asking, path = written(trades, policy, {f"{PARQUET}row-group-limit": "20000"})
    footer = asking.footer(path)
    sizes = [footer.row_group(n).num_rows for n in range(footer.num_row_groups)]
    assert len(sizes) == 3
    # ClickHouse ends a row group with a block.
    assert all(20_000 <= size < 20_000 + BLOCK_ROWS for size in sizes[:2])


@BOTH
def test_row_groups_end_at_the_table_s_size_in_bytes(trades: HotTable, policy: WriterPolicy) -> None:
    asking, path = written(trades, policy, {f"{PARQUET}row-group-size-bytes": "1000000"})
    assert 3 <= asking.footer(path).num_row_groups <= 8


@BOTH
def test_pages_have_the_table_s_size(trades: HotTable, policy: WriterPolicy) -> None:
    small, large = (
        pages(trades, written(trades, policy, {f"{PARQUET}page-size-bytes": size})[1]) for size in ("16384", "4194304")
    )
    assert small > 10
    assert large * 4 < small


def pages(table: HotTable, path: str) -> int:
    """How many pages of the last column the offset index lists (parquet.thrift of the Parquet format)."""
    with table.store.open_input_file(key_of(path)) as file:
        content = file.read()
    length = int.from_bytes(content[-8:-4], "little")
    groups = read_struct(content[-8 - length : -8])[4][1][1]
    chunk = groups[0][1][1][1][-1]
    offset, size = chunk[4][1], chunk[5][1]
    return len(read_struct(content[offset : offset + size])[1][1][1])


@BOTH
def test_a_column_gives_up_its_dictionary_at_the_table_s_size(trades: HotTable, policy: WriterPolicy) -> None:
    sizes = [
        trades.footer(written(trades, policy, {f"{PARQUET}dict-size-bytes": size})[1]).row_group(0).column(TEXT)
        for size in ("1024", "16777216")
    ]
    assert sizes[0].total_uncompressed_size < sizes[1].total_uncompressed_size


@BOTH
def test_rows_stand_in_the_order_that_the_table_asks_for(trades: HotTable, policy: WriterPolicy) -> None:
    order = RowOrder(
        keys=(
            SortKey(column="symbol"),
            SortKey(column="note", descending=True, nulls_first=False),
            SortKey(column="ts"),
        ),
        id=1,
    )
    asking, path = written(trades, policy, {f"{PARQUET}row-group-limit": "7000"}, order)
    rows = asking.read(path).select(["symbol", "note", "ts"])
    expected = rows.sort_by([("symbol", "ascending"), ("note", "descending"), ("ts", "ascending")])
    assert rows.to_pylist() == expected.to_pylist()
    assert rows.to_pylist() != trades.read(written(trades, policy, {})[1]).select(["symbol", "note", "ts"]).to_pylist()


def test_each_property_that_is_followed_has_a_test_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert {name for name in LAYOUT_PROPERTIES - {FILE_BYTES} if name.removeprefix(PARQUET) not in text} == set()


def test_files_have_the_size_that_the_table_asks_for_once_it_holds_some(
    stack: EmbeddedStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = Platform(stack.endpoints, f"t_size_{os.getpid()}", tmp_path)
    for name, value in platform.environment().items():
        monkeypatch.setenv(name, value)
    limit = 60_000
    stream = platform.add_stream(table_properties={FILE_BYTES: str(limit), f"{PARQUET}compression-codec": "snappy"})
    files = []
    with Application(platform.configuration(), environment={}) as application:
        application.migrate()
        application.engine = LocalEngine(application.configuration)
        for start, end in (("2024-01-01", "2024-01-02"), ("2024-01-02", "2024-01-03")):
            platform.insert(10_000, day=start)
            application.offload.handle(tick(stream=stream, boundary=day(end)), threading.Event())
            target = application.catalog.inspect(application.streams[stream].target)
            assert target is not None
            files.append(target)
        first, second = files
        paths = application.catalog.data_files(second.name, PartitionBy.DAY, None)
    platform.close()

    assert (first.rows, second.rows) == (10_000, 20_000)
    assert first.bytes > 2 * limit, "nothing was known of the size of rows"
    assert len(paths) - 1 == -(-first.bytes // limit)
    footer = 3_000  # each of the smaller files has one
    assert (second.bytes - first.bytes) / (len(paths) - 1) <= limit + footer
    assert second.properties[f"{PARQUET}compression-codec"] == "snappy"


def test_a_stream_lays_its_target_out_as_the_page_shows(
    stack: EmbeddedStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (asked,) = yaml.safe_load(shown)["streams"]
    platform = Platform(stack.endpoints, f"t_layout_{os.getpid()}", tmp_path)
    for name, value in platform.environment().items():
        monkeypatch.setenv(name, value)
    properties = asked["table_properties"] | {f"{PARQUET}row-group-limit": "2500"}
    stream = platform.add_stream(sort_by=asked["sort_by"], table_properties=properties)
    platform.insert(10_000)
    with Application(platform.configuration(), environment={}) as application:
        application.migrate()
        application.engine = LocalEngine(application.configuration)
        application.offload.handle(tick(stream=stream, boundary=day("2024-01-02")), threading.Event())
        target = application.catalog.inspect(application.streams[stream].target)
        assert target is not None
        (path,) = application.catalog.data_files(target.name, PartitionBy.DAY, None)
    store = connect(store_access(store_settings(stack.endpoints)))
    with store.open_input_file(key_of(path)) as file:
        parquet = pq.ParquetFile(file)
        symbols = parquet.read(columns=["symbol"]).column(0).to_pylist()
        footer = parquet.metadata
    platform.close()

    assert properties.items() <= target.properties.items()
    assert symbols == sorted(symbols)
    assert [footer.row_group(number).num_rows for number in range(footer.num_row_groups)] == [2500] * 4
