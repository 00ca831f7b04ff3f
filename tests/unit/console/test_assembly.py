"""The console as it is configured: what exists without a token, and with one."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from consumer.bootstrap import Application
from consumer.entrypoints.console.assembly import console
from consumer.entrypoints.http_messages import Answer, Request
from consumer.settings.connections import ConsumerSettings
from consumer.settings.model import Configuration
from consumer.settings.secrets import secrets_of

TOKEN = "a-token-of-some-length"


def configuration(**consumer: object) -> Configuration:
    return Configuration.model_validate(
        {
            "postgres": {"dsn": "postgresql://me@127.0.0.1:1/nothing"},
            "consumer": consumer,
            "streams": [
                {
                    "name": "trades",
                    "source": "market.trades",
                    "target": "bronze.trades",
                    "timestamp_column": "ts",
                    "sequence_columns": ["n"],
                }
            ],
        }
    )


def ask(settings: Configuration, method: str, path: str, host: str = "127.0.0.1") -> Answer | None:
    with Application(settings, environment={}) as application:
        return console(application).answer(Request(method=method, path=path, headers={"host": host}))


@pytest.mark.parametrize("action", ["pause", "resume"])
def test_actions_exist_with_a_token_only(action: str) -> None:
    path = f"/api/streams/trades/{action}"
    assert ask(configuration(), "POST", path) is None
    refused = ask(configuration(console_token=TOKEN), "POST", path)
    assert refused is not None
    assert refused.status == 403


def test_the_name_that_it_listens_on_and_those_of_proxies_are_its_own() -> None:
    settings = configuration(http_host="lake-1", console_hosts=["icehaul.example"])
    for host, status in [("lake-1:8080", 200), ("icehaul.example", 200), ("evil.example", 421)]:
        answer = ask(settings, "GET", "/console/", host)
        assert answer is not None
        assert answer.status == status


def test_the_token_is_a_secret_and_no_short_one() -> None:
    assert TOKEN in secrets_of(configuration(console_token=TOKEN))
    assert TOKEN not in repr(configuration(console_token=TOKEN))
    for short in ("", "fifteen-letters"):
        with pytest.raises(ValidationError, match="console_token"):
            ConsumerSettings.model_validate({"console_token": short})
