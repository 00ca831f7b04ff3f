"""What the doctor says of the ways to the servers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from consumer.bootstrap import Application
from consumer.entrypoints.ways import ways
from consumer.service.doctor.encryption import EncryptionCheck, Way
from consumer.service.doctor.finding import Severity, Statement
from consumer.settings.model import Configuration

CLICKHOUSE, KAFKA, POSTGRES, STORE = range(4)


def found(sections: Mapping[str, Any]) -> list[Way]:
    with Application(Configuration.model_validate(sections), environment={}) as application:
        return [*ways(application)]


def said(**way: Any) -> Statement:
    defaults = {"server": "it", "host": "db.example", "encrypted": True, "proven": True, "remedy": "mend it"}
    (statement,) = EncryptionCheck(ways=[Way(**{**defaults, **way})]).run()
    return statement


def test_a_proved_server_is_good() -> None:
    assert said().severity is Severity.OK


def test_a_server_that_is_not_proved_is_warned_of() -> None:
    statement = said(proven=False)
    assert (statement.severity, statement.remedy) == (Severity.WARNING, "mend it")


@pytest.mark.parametrize(
    ("host", "severity"),
    [
        ("127.0.0.1", Severity.OK),
        ("::1", Severity.OK),
        ("localhost", Severity.OK),
        ("/run/postgresql", Severity.OK),
        ("", Severity.OK),
        ("10.0.0.1", Severity.INFO),
        ("localhost.example", Severity.INFO),
    ],
)
def test_plain_text_is_told_where_it_leaves_the_machine(host: str, severity: Severity) -> None:
    assert said(host=host, encrypted=False, proven=False).severity is severity


@pytest.mark.parametrize(
    ("sections", "number", "encrypted", "proven"),
    [
        ({}, CLICKHOUSE, False, True),
        ({"clickhouse": {"secure": True}}, CLICKHOUSE, True, True),
        ({"clickhouse": {"secure": True, "verify": False}}, CLICKHOUSE, True, False),
        ({}, KAFKA, False, True),
        ({"kafka": {"options": {"security.protocol": "sasl_ssl"}}}, KAFKA, True, True),
        ({"kafka": {"secret_options": {"security.protocol": "SSL"}}}, KAFKA, True, True),
        (
            {"kafka": {"options": {"security.protocol": "SSL", "enable.ssl.certificate.verification": "false"}}},
            KAFKA,
            True,
            False,
        ),
        (
            {"kafka": {"options": {"security.protocol": "SSL", "ssl.endpoint.identification.algorithm": "none"}}},
            KAFKA,
            True,
            False,
        ),
        ({"postgres": {"dsn": "postgresql://db/l"}}, POSTGRES, False, False),
        ({"postgres": {"dsn": "postgresql://db/l?sslmode=require"}}, POSTGRES, True, False),
        ({"postgres": {"dsn": "postgresql://db/l?sslmode=verify-ca"}}, POSTGRES, True, False),
        ({"postgres": {"dsn": "postgresql://db/l?sslmode=verify-full"}}, POSTGRES, True, True),
        ({"store": {"endpoint": "http://s3.example"}}, STORE, False, True),
        ({"store": {"endpoint": "https://s3.example"}}, STORE, True, True),
        ({}, STORE, True, True),
    ],
)
def test_what_the_configuration_says(sections: Mapping[str, Any], number: int, encrypted: bool, proven: bool) -> None:
    way = found(sections)[number]
    assert (way.encrypted, way.proven) == (encrypted, proven)


def test_the_host_is_the_one_that_is_connected_to() -> None:
    sections = {
        "clickhouse": {"host": "ch.example"},
        "kafka": {"bootstrap_servers": "k1.example:9093,k2.example:9093"},
        "postgres": {"dsn": "postgresql://pg.example/l"},
        "store": {"endpoint": "https://s3.example:9000"},
    }
    assert [way.host for way in found(sections)] == ["ch.example", "k1.example", "pg.example", "s3.example"]
