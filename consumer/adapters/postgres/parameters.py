"""What a connection string says, and what every connection is made with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import psycopg
from psycopg import conninfo

from consumer.domain.errors import ConfigurationError
from consumer.settings.connections import PostgresSettings


def connection_parameters(
    settings: PostgresSettings, *, lease: timedelta, application_name: str, setting: str
) -> dict[str, Any]:
    """Return what libpq is given; the connection string's own words count before these.

    Raises:
        ConfigurationError: if the value of ``setting`` is no connection string, or its password is not encoded.
    """
    try:
        named = conninfo.conninfo_to_dict(settings.dsn.get_secret_value())
    except psycopg.Error:
        # Not chained: libpq quotes the DSN, password included.
        raise ConfigurationError(
            f"{setting}: the value is no connection string",
            remedy="write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with special characters percent-encoded",
        ) from None
    if _misread(named):
        # A part of the password has become host, port or database, which messages name.
        raise ConfigurationError(
            f"{setting}: the value is no connection string with one @ and one /, so that its password ends too early",
            remedy="percent-encode special characters of user and password: @ as %40, / as %2F, : as %3A",
        )
    defaults: dict[str, Any] = {
        "application_name": application_name,
        "connect_timeout": max(2, round(settings.connect_timeout_seconds)),
        "keepalives": 1,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": milliseconds(lease),
        # With several hosts in the DSN: the primary.
        "target_session_attrs": "read-write",
    }
    return {**defaults, **named}


def _misread(named: Mapping[str, Any]) -> bool:
    """Tell whether libpq found the borders of a URL elsewhere than its author meant them."""
    # A host that begins with it is a socket without a file.
    host, database = str(named.get("host") or ""), str(named.get("dbname") or "")
    ports = str(named.get("port") or "").split(",")
    return "@" in host[1:] or "@" in database or not all(port == "" or port.isdecimal() for port in ports)


def milliseconds(duration: timedelta) -> int:
    """Return a duration as Postgres takes one: whole milliseconds, and never zero, which would be no bound."""
    return max(1, round(duration / timedelta(milliseconds=1)))
