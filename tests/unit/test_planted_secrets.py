"""The search for planted secrets finds them."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest

from tests.support.planted_secrets import found_in, planted

SECRET = planted("/@ %'\"")


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "user:"])
def test_a_secret_is_found_in_base64_whatever_stands_before_it(before: str) -> None:
    text = base64.b64encode(f"{before}{SECRET} and more".encode()).decode()
    assert found_in(f"Basic {text}", [SECRET])


@pytest.mark.parametrize(
    "form",
    [SECRET, quote(SECRET, safe=""), repr(SECRET), SECRET.encode().hex()],
    ids=["plain", "in a URL", "as Python writes it", "in hexadecimal"],
)
def test_a_secret_is_found_as_it_is_quoted(form: str) -> None:
    assert found_in(f"<{form}>", [SECRET, planted()])


def test_a_secret_that_is_not_there_is_not_found() -> None:
    assert found_in("pl4nted, but another", [SECRET]) == []
