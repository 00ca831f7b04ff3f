"""The newest metadata file is chosen where name and content agree that it is the newest; anything else is a doubt."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.recovery import FoundMetadata, doubt_about, newest_first, version_of

FOLDER = "s3://lake/warehouse/bronze/trades/metadata"
TABLE, OTHER = UUID(int=1), UUID(int=2)
DAY = datetime(2024, 1, 1, tzinfo=UTC)


def found(version: int, **changes: object) -> FoundMetadata:
    """The metadata file of a version, written that many minutes after the first."""
    made = FoundMetadata(
        location=f"{FOLDER}/{version:05d}-{UUID(int=version)}.metadata.json",
        version=version,
        uuid=TABLE,
        owner="trades",
        updated=DAY + timedelta(minutes=version),
        sequence=version,
        snapshots=version,
        epoch=1,
        evidence=None,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("00042-c4be1d2a-7c1e-4d57-8f0f-2a6f0ee1b111.metadata.json", 42),
        ("00000-c4be1d2a-7c1e-4d57-8f0f-2a6f0ee1b111.metadata.json", 0),
        ("00007-c4be1d2a.gz.metadata.json", 7),
        ("v12.metadata.json", 12),
        ("v12.gz.metadata.json", 12),
        ("snap-42-1-c4be1d2a.avro", None),
        ("version-hint.text", None),
        ("table.metadata.json", None),
        ("42.metadata.json", None),
        ("00042-c4be1d2a.stats", None),
    ],
)
def test_a_version_is_told_by_the_names_that_catalogs_give(name: str, version: int | None) -> None:
    assert version_of(f"{FOLDER}/{name}") == version


@given(st.lists(st.integers(min_value=0, max_value=200_000), max_size=30), st.randoms(use_true_random=False))
def test_files_come_by_version_the_highest_first_and_none_is_left_out(
    versions: list[int], shuffled: random.Random
) -> None:
    files = [f"{FOLDER}/{version:05d}-{number}.metadata.json" for number, version in enumerate(versions)]
    shuffled.shuffle(files)
    groups = list(newest_first([*files, f"{FOLDER}/snap-1.avro"]))
    assert [version_of(group[0]) for group in groups] == sorted(set(versions), reverse=True)
    assert all(len({version_of(one) for one in group}) == 1 for group in groups)
    assert sorted(one for group in groups for one in group) == sorted(files)


def test_the_newest_of_all_is_taken() -> None:
    assert doubt_about([found(9)], [found(8)]) is None
    assert doubt_about([found(0)], []) is None


def test_nothing_is_chosen_between_two_of_one_version() -> None:
    assert "2 metadata files have the version 9" in str(doubt_about([found(9), found(9)], [found(8)]))


def test_a_name_that_its_content_contradicts_is_in_doubt() -> None:
    before = found(8)
    later, further = replace(before, updated=DAY + timedelta(days=1)), replace(before, sequence=10)
    for one in (later, further):
        assert "was written later" in str(doubt_about([found(9)], [found(8), one]))


def test_two_tables_in_one_folder_are_in_doubt() -> None:
    assert "different tables" in str(doubt_about([found(9)], [found(8, uuid=OTHER)]))


def test_a_file_that_needs_others_which_are_gone_is_in_doubt() -> None:
    said = str(doubt_about([found(9, missing=("s3://lake/one", "s3://lake/two"))], [found(8)]))
    assert "needs 2 files that the store does not hold, s3://lake/one first" in said
