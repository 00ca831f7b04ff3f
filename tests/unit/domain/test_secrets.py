"""A secret that is known stands in no text, in whatever form a library quotes it."""

from __future__ import annotations

import base64
import json
import pickle
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain import secrets
from consumer.domain.errors import AccessDeniedError
from consumer.domain.secrets import SHORTEST, Secrets, hide, remember

passwords = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), min_size=12, max_size=40)
around = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)


def carried(error: AccessDeniedError) -> AccessDeniedError:
    """An error as it comes out of a Spark task."""
    found = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert isinstance(found, AccessDeniedError)
    return found


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test makes known is forgotten with it."""
    monkeypatch.setattr(secrets._known, "secrets", Secrets())


@given(passwords, around, around)
def test_a_secret_is_hidden_in_every_form(password: str, before: str, after: str) -> None:
    known = Secrets([password])
    in_base64 = base64.b64encode(f"{before}{password}{after}".encode()).decode()
    for form in (password, quote(password, safe=""), quote_plus(password), repr(password)[1:-1], json.dumps(password)):
        hidden = known.hide(f"{before}{form}{after}")
        assert "***" in hidden
        assert password not in hidden.replace("***", "")
    assert "***" in known.hide(in_base64)
    assert "***" in known.hide(base64.urlsafe_b64encode(f"{before}{password}{after}".encode()).decode())


def test_what_stands_around_a_secret_stays() -> None:
    known = Secrets(["hunter2 & co"])
    assert known.hide("postgresql://me:hunter2%20%26%20co@db/x") == "postgresql://me:***@db/x"
    assert known.hide("user me") == "user me"


@pytest.mark.parametrize("weak", ["", "1" * (SHORTEST - 1), "icehaul", "clickhouse"])
def test_a_value_that_stands_in_innocent_words_is_left_alone(weak: str) -> None:
    assert Secrets([weak]).hide(f"{weak} stays") == f"{weak} stays"


def test_a_secret_that_begins_like_another_is_hidden_whole() -> None:
    assert Secrets(["hunter2", "hunter2-longer"]).hide("hunter2-longer hunter2") == "*** ***"


def test_no_error_of_ours_quotes_a_secret_wherever_it_is_made_and_carried() -> None:
    remember(["hunter2-hunter2"])
    error = AccessDeniedError("refused hunter2-hunter2", remedy="not hunter2%2Dhunter2 but hunter2-hunter2")
    for said in (error, carried(error)):
        assert "hunter2-hunter2" not in f"{said} {said!r} {said.message} {said.remedy} {said.args}"
    assert error.message == "refused ***"


def test_an_error_that_comes_from_another_process_is_scrubbed_on_its_way_in() -> None:
    foreign = AccessDeniedError("refused hunter2-hunter2", remedy="none")
    remember(["hunter2-hunter2"])
    assert "hunter2-hunter2" not in str(carried(foreign))


def test_an_old_secret_stays_one() -> None:
    remember(["hunter2-before"])
    remember(["hunter2-after"])
    assert hide("hunter2-before hunter2-after") == "*** ***"
