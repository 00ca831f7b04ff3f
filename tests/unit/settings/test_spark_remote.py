"""`spark.remote`: what is accepted, what is refused with place and reason, and that no token is ever shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from consumer.settings.connections import SparkSettings
from consumer.settings.effective import REDACTED, effective
from consumer.settings.load import load_with_origins
from tests.unit.settings.conftest import Load, Refused

TOKEN = "hunter2"


@pytest.mark.parametrize(
    ("remote", "place"),
    [
        ("sc://spark.example:15002", "sc://spark.example:15002"),
        ("sc://spark.example", "sc://spark.example:15002"),
        ("sc://spark.example:443/", "sc://spark.example:443"),
        (f"sc://spark.example:443/;use_ssl=true;token={TOKEN}", "sc://spark.example:443"),
        ("sc://[::1]:15002/;user_id=ops", "sc://[::1]:15002"),
    ],
)
def test_an_address_is_accepted_and_shown_without_its_parameters(load_text: Load, remote: str, place: str) -> None:
    spark = load_text(f'spark:\n  remote: "{remote}"\n').spark

    assert spark.remote is not None
    assert spark.remote.get_secret_value() == remote
    assert spark.place == place
    assert TOKEN not in repr(spark)


def test_without_a_remote_the_master_is_the_place() -> None:
    assert SparkSettings(master="spark://m:7077").place == "spark://m:7077"


@pytest.mark.parametrize(
    "remote",
    [
        "spark://host:7077",
        "http://host:15002",
        "host:15002",
        "sc://",
        "sc://:15002",
        "sc://host:0",
        "sc://host:70000",
        "sc://host:many",
        "sc://host:15002/path",
        "sc://host:15002?token=hunter2",
        "sc://hunter2@host:15002",
        "sc://user:hunter2@host:15002",
        "sc://host:15002;token=hunter2",
        "sc://host:15002/;token",
        "sc://host:15002/;token=",
        "sc://host:15002/;=hunter2",
        "sc://host:15002/;token=hunter2=",
        "sc://host:15002/;",
    ],
)
def test_what_is_no_address_is_refused_without_being_quoted(refused: Refused, remote: str) -> None:
    message = refused(f'spark:\n  remote: "{remote}"\n')

    assert "line 2: spark.remote: " in message
    assert "sc://host:port, and after that /;name=value" in message
    assert TOKEN not in message


def test_a_session_id_is_refused_because_consumers_share_one(refused: Refused) -> None:
    assert "the session is named after the code" in refused('spark: {remote: "sc://h/;session_id=1"}\n')


def test_remote_beside_a_master_is_refused_with_both_places(refused: Refused) -> None:
    message = refused(f'spark:\n  master: local[2]\n  remote: "sc://h/;token={TOKEN}"\n')

    assert "line 2: spark.master, value 'local[2]': spark.remote is given too (" in message
    assert "line 3); remove one of the two" not in message
    assert "line 3)" in message
    assert "remove one of the two" in message
    assert TOKEN not in message


def test_a_master_from_the_environment_counts_too(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICEHAUL_SPARK__MASTER", "local[1]")

    message = refused('spark: {remote: "sc://h"}\n')

    assert "environment variable ICEHAUL_SPARK__MASTER: spark.master, value 'local[1]'" in message


@pytest.mark.parametrize("field", ["driver_memory: 1g", "jars: [a.jar]", f"conf: {{spark.secret: {TOKEN}}}"])
def test_settings_of_a_driver_of_ones_own_are_refused_beside_remote(refused: Refused, field: str) -> None:
    message = refused(f'spark:\n  remote: "sc://h"\n  {field}\n')

    assert f"line 3: spark.{field.partition(':')[0]}: spark.remote is given too" in message
    assert "set it where that is started" in message
    assert TOKEN not in message


def test_the_effective_configuration_shows_no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICEHAUL_SPARK__REMOTE", f"sc://h:1/;token={TOKEN}")
    path = tmp_path / "icehaul.yaml"
    path.write_text("{}", encoding="utf-8")

    fields = {".".join(map(str, field.location)): field for field in effective(*load_with_origins(path))}

    assert fields["spark.remote"].value == REDACTED
    assert fields["spark.remote"].origin == "environment variable ICEHAUL_SPARK__REMOTE"
