"""Every secret of a configuration is known, wherever it was given, and so kept out of what is written."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from consumer.domain import secrets
from consumer.domain.errors import LedgerUnavailableError
from consumer.domain.secrets import Secrets
from consumer.settings.secrets import secrets_of
from tests.unit.settings.conftest import Load


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets._known, "secrets", Secrets())


def test_every_secret_field_is_found_with_what_stands_inside_of_it(load_text: Load) -> None:
    loaded = load_text(
        "clickhouse: {password: of-clickhouse, query_settings: {some_token: of-a-setting}}\n"
        "postgres: {dsn: 'postgresql://me:of%20postgres@db/x?sslpassword=of-the-key'}\n"
        "store: {access_key: public, secret_key: of-the-store}\n"
        "kafka: {options: {sasl.password: of-options}, secret_options: {ssl.key.pem: of-kafka}}\n"
        "spark: {remote: 'sc://spark:15002/;use_ssl=true;token=of-spark'}\n"
    )
    found = secrets_of(loaded)
    assert {
        "of-clickhouse",
        "of-a-setting",
        "postgresql://me:of%20postgres@db/x?sslpassword=of-the-key",
        "of postgres",
        "of-the-key",
        "of-the-store",
        "of-options",
        "of-kafka",
        "of-spark",
    } <= found
    assert "public" not in found


def test_the_password_of_a_dsn_in_words_is_found(load_text: Load) -> None:
    loaded = load_text("postgres: {dsn: \"host=db user=me password='with a space'\"}")
    assert "with a space" in secrets_of(loaded)


@pytest.mark.parametrize("place", ["file", "environment", "secret file"])
def test_what_is_loaded_from_anywhere_is_in_no_error(
    place: str, load_text: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = uuid4().hex
    text = ""
    if place == "file":
        text = f"clickhouse: {{password: {password}}}"
    elif place == "environment":
        monkeypatch.setenv("ICEHAUL_CLICKHOUSE__PASSWORD", password)
    else:
        (tmp_path / "icehaul_clickhouse__password").write_text(password, encoding="utf-8")
        monkeypatch.setenv("ICEHAUL_SECRETS_DIR", str(tmp_path))
    load_text(text)
    assert password not in str(LedgerUnavailableError(f"the server says {password}", remedy="none"))
