"""Merging manifests: how many there are, and how often an entry is written, after any number of appends."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.adapters.iceberg.manifest_levels import Weight, to_merge

LARGE = 10**9


def one(files: int, *, each: int = 1) -> Weight:
    return Weight(files=files, bytes=files * each)


def appended(manifests: list[Weight], new: Weight, *, fan_in: int, target_bytes: int) -> tuple[list[Weight], int]:
    """The list after an append, and how many entries it wrote anew."""
    chosen = to_merge(manifests, fan_in=fan_in, target_bytes=target_bytes)
    if not chosen:
        return [new, *manifests], 0
    members = [manifests[position] for position in chosen]
    merged = Weight(files=sum(each.files for each in members), bytes=sum(each.bytes for each in members))
    left = [each for position, each in enumerate(manifests) if position not in chosen]
    return [new, *left[: chosen[0]], merged, *left[chosen[0] :]], merged.files


def test_fewer_manifests_than_the_fan_in_are_left_alone() -> None:
    assert to_merge([one(1)] * 9, fan_in=10, target_bytes=LARGE) == []
    assert to_merge([], fan_in=10, target_bytes=LARGE) == []


def test_a_full_level_becomes_one_manifest_and_larger_ones_are_not_written_again() -> None:
    weights = [*[one(1)] * 10, one(10), one(500)]
    assert to_merge(weights, fan_in=10, target_bytes=LARGE) == list(range(10))


def test_a_level_that_is_filled_by_the_one_below_is_merged_with_it_at_once() -> None:
    weights = [*[one(1)] * 10, *[one(10)] * 9, one(100)]
    assert to_merge(weights, fan_in=10, target_bytes=LARGE) == list(range(19))


def test_a_full_level_above_one_that_is_not_is_merged() -> None:
    weights = [one(1), *[one(10)] * 10]
    assert to_merge(weights, fan_in=10, target_bytes=LARGE) == list(range(1, 11))


def test_a_merged_manifest_is_of_the_oldest_and_not_larger_than_the_target() -> None:
    assert to_merge([one(1, each=40)] * 10, fan_in=10, target_bytes=100) == [8, 9]


def test_manifests_of_more_than_half_the_target_are_left_alone() -> None:
    assert to_merge([one(1, each=51)] * 30, fan_in=10, target_bytes=100) == []


@given(
    st.lists(st.integers(1, 40), max_size=400),
    st.integers(2, 20),
    st.integers(50, 5_000),
)
def test_after_any_appends_every_file_is_listed_once_in_few_manifests(
    files: list[int], fan_in: int, target_bytes: int
) -> None:
    manifests: list[Weight] = []
    for number in files:
        manifests, _ = appended(manifests, one(number), fan_in=fan_in, target_bytes=target_bytes)
        assert all(each.bytes <= max(target_bytes, number, 40) for each in manifests)
    assert sum(each.files for each in manifests) == sum(files)
    # Two that were merged, and what is too large to be merged again, fill a quarter of the target on average.
    levels = math.floor(math.log(target_bytes, fan_in)) + 1
    assert len(manifests) <= (fan_in + 1) * levels + sum(files) * 4 // target_bytes + 1


@pytest.mark.parametrize("fan_in", [5, 10, 20])
def test_five_thousand_appends_write_an_entry_about_once_for_each_level(fan_in: int) -> None:
    manifests: list[Weight] = []
    written = []
    for _ in range(5_000):
        manifests, anew = appended(manifests, one(1, each=130), fan_in=fan_in, target_bytes=256 * 1024)
        written.append(anew)
    levels = math.ceil(math.log(5_000, fan_in))
    assert sum(written) <= 5_000 * levels
    assert max(written) * 130 <= 256 * 1024
    assert len(manifests) <= levels * fan_in + 5_000 * 130 // (128 * 1024)
