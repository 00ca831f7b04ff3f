"""A DSN whose password is not percent-encoded is refused without a word of it: libpq takes parts of it for a host."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from consumer.adapters.postgres.database import Database
from consumer.domain.errors import ConfigurationError
from consumer.settings.connections import PostgresSettings


@pytest.mark.parametrize("password", ["hunter@two", "hunter/two", "a:hunter/two", "hunter/two@three", "p@hunter/two"])
def test_a_password_that_ends_too_early_is_refused_and_not_shown(password: str) -> None:
    with pytest.raises(ConfigurationError, match=r"postgres\.dsn") as raised:
        Database(PostgresSettings(dsn=SecretStr(f"postgresql://me:{password}@db.example:5432/icehaul")))
    assert "hunter" not in str(raised.value)
    assert "%40" in raised.value.remedy


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://me:hunter%40%2Ftwo@db.example:5432/icehaul",
        "postgresql://me:hunter:two?three@db.example/icehaul",
        "postgresql://a:1,b:2/icehaul",
        "host=/var/run/postgresql dbname=icehaul",
        "host=@sockets dbname=icehaul",
        "postgresql:///icehaul?host=/tmp",
    ],
)
def test_what_is_written_as_it_should_be_is_taken(dsn: str) -> None:
    assert "hunter" not in Database(PostgresSettings(dsn=SecretStr(dsn))).target
