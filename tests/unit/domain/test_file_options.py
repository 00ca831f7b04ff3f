"""What table properties ask of data files, and what icehaul can't follow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.errors import TargetMismatchError
from consumer.domain.file_options import DEFAULTS, Codec, FileOptions, rows_of_a_file

TABLE = "bronze.trades"
PARQUET = "write.parquet."


def test_a_table_without_properties_is_written_as_zstd_of_level_1() -> None:
    assert FileOptions.of(TABLE, {}) == DEFAULTS
    assert (DEFAULTS.codec, DEFAULTS.level) == (Codec.ZSTD, 1)


def test_every_property_is_followed() -> None:
    properties = {
        f"{PARQUET}compression-codec": "GZIP",
        f"{PARQUET}compression-level": "9",
        f"{PARQUET}row-group-limit": "128000",
        f"{PARQUET}row-group-size-bytes": "67108864",
        f"{PARQUET}page-size-bytes": "65536",
        f"{PARQUET}dict-size-bytes": "131072",
        "write.target-file-size-bytes": "134217728",
    }
    assert FileOptions.of(TABLE, properties) == FileOptions(
        codec=Codec.GZIP,
        level=9,
        row_group_rows=128_000,
        row_group_bytes=64 << 20,
        page_bytes=64 << 10,
        dictionary_bytes=128 << 10,
        file_bytes=128 << 20,
    )


@pytest.mark.parametrize("codec", ["snappy", "lz4", "uncompressed"])
def test_a_codec_without_levels_has_none_whatever_the_table_says(codec: str) -> None:
    properties = {f"{PARQUET}compression-codec": codec, f"{PARQUET}compression-level": "3"}
    assert FileOptions.of(TABLE, properties) == FileOptions(codec=Codec(codec), level=None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("compression-codec", "lzo"),
        ("compression-level", "23"),
        ("compression-level", "fast"),
        ("row-group-size-bytes", "-1"),
        ("row-group-limit", "1"),
        ("page-size-bytes", "2147483648"),
        ("page-size-bytes", "٤٠٩٦"),
        ("dict-size-bytes", ""),
    ],
)
def test_a_value_that_can_not_be_followed_is_refused_by_name_with_what_is_allowed(name: str, value: str) -> None:
    with pytest.raises(TargetMismatchError) as refused:
        FileOptions.of(TABLE, {PARQUET + name: value})
    assert f"{PARQUET}{name} = {value!r}" in refused.value.message
    assert TABLE in refused.value.message
    assert "ALTER TABLE" in refused.value.remedy


@given(file_bytes=st.integers(1024, 2**40), rows=st.integers(1, 10**12), stored=st.integers(1, 2**50))
def test_a_file_of_that_many_rows_has_the_size_asked_for_or_one_row(file_bytes: int, rows: int, stored: int) -> None:
    found = rows_of_a_file(file_bytes, rows=rows, stored_bytes=stored)
    assert found is not None
    assert found == 1 or found * stored <= file_bytes * rows
    assert (found + 1) * stored > file_bytes * rows


@pytest.mark.parametrize(("file_bytes", "rows", "stored"), [(None, 10, 10), (1024, 0, 0), (1024, 10, 0)])
def test_without_a_size_or_a_file_any_number_of_rows_will_do(file_bytes: int | None, rows: int, stored: int) -> None:
    assert rows_of_a_file(file_bytes, rows=rows, stored_bytes=stored) is None
