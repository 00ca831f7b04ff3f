"""From the settings to the values that Spark's session and tasks are given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydantic import SecretStr
from pyiceberg.schema import Schema

from consumer.domain.errors import ConfigurationError
from consumer.domain.file_options import FileOptions
from consumer.domain.unit_query import DISTRIBUTED_SETTINGS
from consumer.settings.cache import cache_directory
from consumer.settings.connections import ClickHouseSettings, SparkSettings, StoreSettings
from spark.batch_session import BatchSession
from spark.environment import pack_environment
from spark.properties import SessionSettings
from spark.session import Session
from spark.unit_task import STORE_KEY, FileLayout, SourceAccess, StoreAccess

_ROW_GROUP_BYTES = 96 * 1024**2
"""Bound of a row group in Arrow memory: the larger part of what a task holds at once."""


def open_session(spark: SparkSettings) -> BatchSession:
    """Start a driver of our own, or join the session on a Spark Connect server.

    Raises:
        ConfigurationError: if there is no Java for the one, no client library for the other, or the settings are wrong.
        AccessDeniedError: if the server refuses us.
        EngineFailedError: if Spark does not start, or no server answers.
    """
    if spark.remote is None:
        return Session(session_settings(spark))
    try:
        # Needs the packages of an extra, and half a second: only where it is used.
        from spark.connect_session import ConnectSession, RemoteSettings  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(
            f"spark.remote: the client of Spark Connect can't be loaded: {error}",
            remedy="pip install 'icehaul[connect]'",
        ) from error
    return ConnectSession(RemoteSettings(url=spark.remote.get_secret_value(), address=spark.place))


def session_settings(spark: SparkSettings) -> SessionSettings:
    """Return what a driver of our own is started with; the archive of libraries is made where one has to be sent.

    Raises:
        ConfigurationError: if the libraries can't be packed.
    """
    settings = SessionSettings(
        master=spark.master, driver_memory=spark.driver_memory, jars=spark.jars, conf=dict(spark.conf)
    )
    if settings.local or spark.environment == "installed":
        return settings
    return replace(settings, environment=packed(cache_directory()))


def packed(directory: Path) -> Path:
    """Return the archive of the tasks' libraries in ``directory``.

    Raises:
        ConfigurationError: if it can't be made.
    """
    try:
        return pack_environment(directory)
    except OSError as error:
        raise ConfigurationError(
            f"the libraries for Spark's executors can't be packed into {directory}: {error}",
            remedy="free about 100 MB there, or name another place in XDG_CACHE_HOME",
        ) from error


def source_access(clickhouse: ClickHouseSettings, spark: SparkSettings) -> SourceAccess:
    """Return how tasks reach ClickHouse."""
    distributed = DISTRIBUTED_SETTINGS if clickhouse.cluster is not None else {}
    return SourceAccess(
        host=clickhouse.host,
        port=clickhouse.port,
        user=clickhouse.user,
        password=clickhouse.password.get_secret_value(),
        secure=clickhouse.secure,
        verify=clickhouse.verify,
        ca_file=clickhouse.ca_file,
        connect_timeout_s=clickhouse.connect_timeout_seconds,
        query_timeout_s=clickhouse.query_timeout_seconds,
        settings=tuple({**clickhouse.limits.settings(), **clickhouse.query_settings, **distributed}.items()),
        block_rows=spark.block_rows,
    )


def store_access(store: StoreSettings) -> StoreAccess:
    """Return how tasks reach the object store."""
    return StoreAccess(
        endpoint=store.endpoint,
        region=store.region,
        access_key=store.access_key,
        secret_key=store.secret_key.get_secret_value() if store.secret_key is not None else None,
        path_style=store.path_style,
        ca_file=store.ca_file,
    )


def without_keys(clickhouse: ClickHouseSettings, store: StoreSettings) -> tuple[ClickHouseSettings, StoreSettings]:
    """Return the settings with a placeholder for the secret keys of the store, as the tasks' queries are written."""
    hidden = SecretStr(STORE_KEY)
    if clickhouse.store_secret_key is not None:
        clickhouse = clickhouse.model_copy(update={"store_secret_key": hidden})
    if store.secret_key is not None:
        store = store.model_copy(update={"secret_key": hidden})
    return clickhouse, store


def file_layout(schema: Schema, spark: SparkSettings, options: FileOptions) -> FileLayout:
    """Return how the data files of a target are laid out: as its properties ask, otherwise as we are set up."""
    return FileLayout(
        schema_json=schema.model_dump_json(),
        row_group_rows=options.row_group_rows or spark.row_group_rows,
        row_group_bytes=options.row_group_bytes or _ROW_GROUP_BYTES,
        codec=options.codec,
        level=options.level,
        page_bytes=options.page_bytes,
        dictionary_bytes=options.dictionary_bytes,
    )
