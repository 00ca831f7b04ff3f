"""One connection pool to the ClickHouse server, shared by all threads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from importlib import resources
from string import Template
from threading import Lock
from typing import Any

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ProgrammingError

from consumer.adapters.clickhouse.errors import Meaning, translated
from consumer.adapters.telemetry.sql_spans import Server, System, sql_span
from consumer.adapters.telemetry.sql_summary import summarize
from consumer.domain.clickhouse_error import exception_code, source_error
from consumer.domain.errors import AccessDeniedError, ConfigurationError
from consumer.domain.unit_query import DISTRIBUTED_SETTINGS
from consumer.settings.connections import ClickHouseSettings
from consumer.settings.limits import limit_of

Row = tuple[Any, ...]


def load_sql(name: str, **parts: str) -> str:
    """Return the statement ``sql/<name>.sql`` with its ``$parts`` put in."""
    return _template(name).substitute(parts)


@cache
def _template(name: str) -> Template:
    """Read a statement, without the lines that are comments: the driver looks at each word that it sends."""
    lines = resources.files(__package__).joinpath("sql", f"{name}.sql").read_text("utf-8").splitlines()
    return Template("\n".join(line for line in lines if not line.lstrip().startswith("--")))


class ClickHouseConnection:
    """Runs queries; connects at the first one, and again after a failure to connect.

    The client carries no session, so that threads may use it at once.
    """

    def __init__(self, settings: ClickHouseSettings, query_settings: Mapping[str, str | int]) -> None:
        self._settings = settings
        self._query_settings = query_settings
        self._lock = Lock()
        self._client: Client | None = None
        self.address = f"{settings.host}:{settings.port}"

    def rows(
        self,
        query: str,
        *,
        parameters: Mapping[str, str | int] | None = None,
        settings: Mapping[str, str | int] | None = None,
        secrets: Sequence[str] = (),
        meaning: Meaning = source_error,
    ) -> Sequence[Row]:
        """Run a query and return its rows.

        ``secrets`` are kept out of error messages; ``meaning`` turns the server's exceptions into errors.

        Raises:
            SourceUnavailableError, AccessDeniedError, SourceMissingError, UnsupportedTypeError, ConfigurationError
        """
        with translated(self.address, (*secrets, self._settings.password.get_secret_value()), meaning):
            client = self._connected()
            known = {name: value for name, value in (settings or {}).items() if name in client.server_settings}
            with self._traced(client, query):
                result = client.query(query, parameters=dict(parameters or {}), settings=known)
            return [tuple(row) for row in result.result_rows]

    def known(self, settings: Mapping[str, str | int]) -> Mapping[str, str | int]:
        """Return those settings that the server knows.

        Raises:
            SourceUnavailableError, AccessDeniedError, ConfigurationError
        """
        with translated(self.address, (self._settings.password.get_secret_value(),), source_error):
            client = self._connected()
        return {name: value for name, value in settings.items() if name in client.server_settings}

    def run(
        self,
        statement: str,
        *,
        settings: Mapping[str, str | int] | None = None,
        secrets: Sequence[str] = (),
        meaning: Meaning = source_error,
    ) -> None:
        """Run a statement that changes something and returns no rows; sent once, and never again by itself.

        ``secrets`` are kept out of error messages; ``meaning`` turns the server's exceptions into errors.

        Raises:
            SourceUnavailableError: if it failed, or nobody knows whether it landed.
            AccessDeniedError, SourceMissingError, ConfigurationError
        """
        with translated(self.address, (*secrets, self._settings.password.get_secret_value()), meaning):
            client = self._connected()
            known = {name: value for name, value in (settings or {}).items() if name in client.server_settings}
            with self._traced(client, statement):
                client.command(statement, settings=known)

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _traced(self, client: Client, statement: str) -> AbstractContextManager[None]:
        settings = self._settings

        def server() -> Server:
            namespace = client.database or "default"
            return Server(system=System.CLICKHOUSE, address=settings.host, port=settings.port, namespace=namespace)

        return sql_span(server, lambda: summarize(statement), _code)

    def _connected(self) -> Client:
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _connect(self) -> Client:
        settings = self._settings
        client = clickhouse_connect.get_client(
            host=settings.host,
            port=settings.port,
            username=settings.user,
            password=settings.password.get_secret_value(),
            secure=settings.secure,
            verify=settings.verify,
            ca_cert=settings.ca_file,
            connect_timeout=settings.connect_timeout_seconds,
            send_receive_timeout=settings.query_timeout_seconds,
            settings={"max_execution_time": math.ceil(settings.query_timeout_seconds), **settings.query_settings},
            client_name="icehaul",
            query_limit=0,
            autogenerate_session_id=False,
            show_clickhouse_errors="scrub",
        )
        for name, value in settings.limits.settings().items():
            self._limit(client, name, value)
        distributed = DISTRIBUTED_SETTINGS if settings.cluster is not None else {}
        for name, value in {**distributed, **self._query_settings}.items():
            if name in client.server_settings:
                self._set(client, name, value)
        return client

    def _limit(self, client: Client, name: str, value: str | int) -> None:
        try:
            client.set_client_setting(name, value)
        except ProgrammingError as error:
            known = name in client.server_settings
            why = f"does not let user {self._settings.user} set {name} = {value}" if known else f"knows no {name}"
            raise ConfigurationError(
                f"clickhouse.limits.{limit_of(name)}: ClickHouse at {self.address} {why}: {error}",
                remedy="set it so in the profile of the user, and leave the field out"
                if known
                else "leave the field out, or upgrade ClickHouse",
            ) from None

    def _set(self, client: Client, name: str, value: str | int) -> None:
        try:
            client.set_client_setting(name, value)
        except ProgrammingError as error:
            raise AccessDeniedError(
                f"ClickHouse at {self.address} does not let user {self._settings.user} set {name} = {value}: {error}",
                remedy="give the user readonly = 2, or set it so in the user's profile: correctness depends on it",
            ) from None


def _code(error: Exception) -> str | None:
    code = exception_code(str(error))
    return None if code is None else str(code)
