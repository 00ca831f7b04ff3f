"""What the ClickHouse source says when the server is gone, refuses, or breaks off."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing

import pytest
from pydantic import ByteSize, SecretStr

from consumer.adapters.clickhouse.client import ClickHouseConnection
from consumer.adapters.clickhouse.source import ClickHouseSource
from consumer.domain.errors import (
    AccessDeniedError,
    ConfigurationError,
    IcehaulError,
    SourceUnavailableError,
    UntrustedServerError,
)
from consumer.domain.stream import Stream, TableName
from consumer.domain.type_mapping import map_table
from consumer.domain.window import BEGINNING, END_OF_TIME, Window
from consumer.embedded.stack import EmbeddedStack
from consumer.settings.connections import ClickHouseSettings, StoreSettings
from consumer.settings.limits import ClickHouseLimits
from tests.support.hot_tier import HotTier, clickhouse_settings, hot_tier
from tests.support.replayed_http import chunked, replaying
from tests.support.tcp_proxy import TcpProxy

STORE = StoreSettings()
ALWAYS = Window(lower=BEGINNING, upper=END_OF_TIME)


@pytest.fixture(scope="module")
def hot(stack: EmbeddedStack) -> Iterator[HotTier]:
    with hot_tier(stack, f"t_{uuid.uuid4().hex[:12]}") as tier:
        yield tier


def failure(settings: ClickHouseSettings) -> IcehaulError:
    source = ClickHouseSource(settings, STORE)
    try:
        with pytest.raises(IcehaulError) as raised:
            source.now()
    finally:
        source.close()
    return raised.value


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"port": 1}, "Connection refused"),
        ({"host": "no-such-host.invalid"}, "resolve"),
    ],
)
def test_a_server_that_can_not_be_reached_is_named_with_the_cause(
    stack: EmbeddedStack, change: dict[str, object], said: str
) -> None:
    settings = clickhouse_settings(stack).model_copy(update=change)

    error = failure(settings)

    assert type(error) is SourceUnavailableError
    assert f"{settings.host}:{settings.port}" in error.message
    assert said in error.message


def test_a_server_without_tls_is_not_trusted_where_tls_is_asked_for(stack: EmbeddedStack) -> None:
    error = failure(clickhouse_settings(stack).model_copy(update={"secure": True}))

    assert type(error) is UntrustedServerError
    assert "does not speak TLS" in error.message
    assert "clickhouse.secure: false" in error.remedy


def test_a_wrong_password_is_access_denied_and_stays_secret(stack: EmbeddedStack) -> None:
    error = failure(clickhouse_settings(stack).model_copy(update={"password": SecretStr("open-sesame")}))

    assert type(error) is AccessDeniedError
    assert "open-sesame" not in str(error)
    assert "clickhouse.password" in error.remedy


def test_an_unknown_setting_is_a_matter_of_configuration(stack: EmbeddedStack) -> None:
    error = failure(clickhouse_settings(stack).model_copy(update={"query_settings": {"no_such_setting": 1}}))

    assert type(error) is ConfigurationError
    assert "no_such_setting" in error.message


def test_limits_hold_for_every_query_and_one_that_needs_more_fails(stack: EmbeddedStack) -> None:
    limits = ClickHouseLimits(threads=1, memory=ByteSize(16 * 1024**2), read_bandwidth=ByteSize(1024**3), priority=3)
    connection = ClickHouseConnection(clickhouse_settings(stack).model_copy(update={"limits": limits}), {})
    with closing(connection):
        names = sorted(limits.settings())
        values = ", ".join(f"toString(getSetting('{name}'))" for name in names)
        assert connection.rows(f"SELECT {values}") == [tuple(str(limits.settings()[name]) for name in names)]
        with pytest.raises(SourceUnavailableError, match="emory limit") as raised:
            connection.rows("SELECT length(groupArray(number)) FROM numbers(20000000)")
        assert "clickhouse.limits.memory" in raised.value.remedy


def test_a_silent_server_is_given_up_after_the_time_out(stack: EmbeddedStack) -> None:
    settings = clickhouse_settings(stack)
    with TcpProxy(settings.port) as proxy:
        proxy.silence()
        error = failure(settings.model_copy(update={"port": proxy.port, "query_timeout_seconds": 1}))

    assert type(error) is SourceUnavailableError
    assert "timed out" in error.message


def test_a_source_works_again_once_the_server_is_back(stack: EmbeddedStack) -> None:
    settings = clickhouse_settings(stack)
    with TcpProxy(settings.port) as proxy:
        source = ClickHouseSource(settings.model_copy(update={"port": proxy.port}), STORE)
        proxy.stop()
        with pytest.raises(SourceUnavailableError):
            source.now()
        proxy.accept()
        source.now()
        proxy.stop()
        with pytest.raises(SourceUnavailableError):
            source.now()
        proxy.accept()
        source.now()
        source.close()


def answer(status: str, body: bytes, *headers: str) -> bytes:
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers)
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def test_a_missing_grant_is_named() -> None:
    said = (
        "Code: 497. DB::Exception: reader: Not enough privileges. To execute this query, it's necessary to have the"
        " grant SELECT(ts, price) ON market.trades. (ACCESS_DENIED) (version 24.3.1.2672 (official build))"
    )
    denied = answer("403 Forbidden", said.encode(), "X-ClickHouse-Exception-Code: 497")
    with replaying(denied) as port:
        error = failure(ClickHouseSettings(port=port))

    assert type(error) is AccessDeniedError
    assert "SELECT(ts, price) ON market.trades" in error.message
    assert error.remedy.endswith("GRANT SELECT(ts, price) ON market.trades TO reader")


def test_a_proxy_that_answers_for_the_server_is_a_passing_error() -> None:
    with replaying(answer("502 Bad Gateway", b"<html>upstream</html>")) as port:
        error = failure(ClickHouseSettings(port=port))

    assert type(error) is SourceUnavailableError


@pytest.mark.parametrize("reset", [False, True])
def test_an_answer_that_breaks_off_is_a_passing_error(reset: bool) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-ClickHouse-Format: Native\r\n\r\n"
    with replaying(head + chunked(b"\x01\x01", whole=False), reset=reset) as port:
        error = failure(ClickHouseSettings(port=port))

    assert type(error) is SourceUnavailableError


def test_a_profile_that_caches_results_is_overruled(stack: EmbeddedStack, hot: HotTier, unique_name: str) -> None:
    table = TableName(database=hot.database, table=unique_name)
    hot.run(f"CREATE TABLE {table} (ts DateTime, n UInt64) ENGINE = MergeTree ORDER BY ts")
    stream = Stream(name="s", source=table, target=table, timestamp_column="ts")
    mapping = map_table(hot.source.describe(table).columns, timestamp_column="ts")
    profile: dict[str, str | int] = {"use_query_cache": 1, "query_cache_min_query_runs": 0}
    source = ClickHouseSource(clickhouse_settings(stack).model_copy(update={"query_settings": profile}), STORE)

    for rows in range(3):
        assert source.fingerprint(stream, mapping, ALWAYS).rows == rows
        hot.run(f"INSERT INTO {table} VALUES (1, 1)")
    source.close()


def test_a_profile_that_shortens_results_without_an_error_is_overruled(
    stack: EmbeddedStack, hot: HotTier, unique_name: str
) -> None:
    table = TableName(database=hot.database, table=unique_name)
    hot.run(f"CREATE TABLE {table} (ts DateTime, n UInt64) ENGINE = MergeTree ORDER BY ts")
    hot.run(f"INSERT INTO {table} SELECT number, number FROM numbers(100000)")
    stream = Stream(name="s", source=table, target=table, timestamp_column="ts")
    mapping = map_table(hot.source.describe(table).columns, timestamp_column="ts")
    profile: dict[str, str | int] = {"max_rows_to_read": 10, "read_overflow_mode": "break", "max_block_size": 10}
    source = ClickHouseSource(clickhouse_settings(stack).model_copy(update={"query_settings": profile}), STORE)

    with pytest.raises(SourceUnavailableError, match="TOO_MANY_ROWS"):
        source.fingerprint(stream, mapping, ALWAYS)
    source.close()
