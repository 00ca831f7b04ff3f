"""Fingerprints of parts add up to the fingerprint of the whole, and keep duplicates apart."""

from __future__ import annotations

from functools import reduce
from operator import add

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.fingerprint import EMPTY, Fingerprint

digests = st.integers(min_value=0, max_value=2**64 - 1)
fingerprints = st.builds(Fingerprint, rows=st.integers(min_value=0, max_value=2**40), digest=digests)


def of(*hashes: int) -> Fingerprint:
    return reduce(add, (Fingerprint(rows=1, digest=one) for one in hashes), EMPTY)


@given(st.lists(digests), st.randoms())
def test_the_order_of_rows_does_not_matter(hashes: list[int], random: object) -> None:
    shuffled = list(hashes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert of(*shuffled) == of(*hashes)


@given(st.lists(digests), st.lists(digests))
def test_parts_add_up_to_the_whole(one: list[int], other: list[int]) -> None:
    assert of(*one) + of(*other) == of(*one, *other)


@given(fingerprints, fingerprints, fingerprints)
def test_addition_is_associative_commutative_and_has_a_neutral_element(
    a: Fingerprint, b: Fingerprint, c: Fingerprint
) -> None:
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a
    assert a + EMPTY == a


@given(digests)
def test_a_pair_of_equal_rows_does_not_cancel_itself(one: int) -> None:
    assert of(one, one).rows == 2
    if one not in {0, 2**63}:
        assert of(one, one).digest != EMPTY.digest


def test_a_sum_stays_in_64_bits() -> None:
    assert of(2**64 - 1, 2).digest == 1


@given(fingerprints)
def test_the_written_form_is_16_digits_and_reads_back(one: Fingerprint) -> None:
    assert len(one.hex) == 16
    assert Fingerprint.parse(rows=one.rows, hexadecimal=one.hex) == one


@pytest.mark.parametrize(("rows", "digest"), [(-1, 0), (0, -1), (0, 2**64)])
def test_an_impossible_fingerprint_is_refused(rows: int, digest: int) -> None:
    with pytest.raises(ValueError, match="fingerprint"):
        Fingerprint(rows=rows, digest=digest)
