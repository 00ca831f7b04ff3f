"""A task speaks TLS to ClickHouse and the store, and to nobody whose certificate it can't check."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from consumer.adapters.spark.access import source_access, store_access
from consumer.domain.errors import IcehaulError, SourceUnavailableError, UntrustedServerError
from consumer.settings.connections import ClickHouseSettings, SparkSettings, StoreSettings
from spark.object_store import connect, store_error
from spark.unit_reader import open_unit
from spark.unit_task import SourceAccess
from tests.support.certificates import Authority, needs_openssl

pytestmark = needs_openssl


class _Silent(BaseHTTPRequestHandler):
    """Answers every query with nothing, which no ClickHouse does."""

    def do_POST(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Refused handshakes are what the tests are about."""


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> tuple[Authority, Authority]:
    home = tmp_path_factory.mktemp("certificates")
    return Authority(home, "trusted"), Authority(home, "stranger")


@pytest.fixture(scope="module")
def access(authorities: tuple[Authority, Authority]) -> Iterator[SourceAccess]:
    """How a task reaches a server with a certificate for 127.0.0.1."""
    server = _Server(("127.0.0.1", 0), _Silent)
    context = authorities[0].issue("clickhouse", "IP:127.0.0.1").server_context()
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    settings = ClickHouseSettings(port=server.server_address[1], secure=True, ca_file=str(authorities[0].certificate))
    yield source_access(settings, SparkSettings())
    server.shutdown()
    server.server_close()


def failure(access: SourceAccess) -> IcehaulError:
    with pytest.raises(IcehaulError) as failed, open_unit(access, "SELECT 1", "id"):
        pass
    return failed.value


def test_a_server_of_the_trusted_authority_is_asked(access: SourceAccess) -> None:
    assert type(failure(access)) is SourceUnavailableError
    assert "did not say how many rows" in failure(access).message


def test_another_authoritys_server_is_asked_nothing(
    access: SourceAccess, authorities: tuple[Authority, Authority]
) -> None:
    refused = failure(replace(access, ca_file=str(authorities[1].certificate)))
    assert type(refused) is UntrustedServerError
    assert "clickhouse.ca_file" in refused.remedy


def test_a_server_under_another_name_is_asked_nothing(access: SourceAccess) -> None:
    refused = failure(replace(access, host="localhost"))
    assert type(refused) is UntrustedServerError
    assert "clickhouse.host" in refused.remedy


def test_a_file_that_is_not_on_the_workers_machine_is_named(access: SourceAccess, tmp_path: Path) -> None:
    refused = failure(replace(access, ca_file=str(tmp_path / "nowhere.pem")))
    assert type(refused) is UntrustedServerError
    assert "every machine that runs icehaul or its Spark tasks" in refused.remedy


def test_a_store_of_another_authority_gets_no_file(
    access: SourceAccess, authorities: tuple[Authority, Authority]
) -> None:
    store = StoreSettings(
        endpoint=f"https://127.0.0.1:{access.port}",
        access_key="key",
        secret_key="secret",
        ca_file=str(authorities[1].certificate),
    )
    with pytest.raises(OSError, match="curlCode: 60") as failed:
        connect(store_access(store)).open_input_file("bucket/file")
    refused = store_error("s3://bucket/file", failed.value)
    assert type(refused) is UntrustedServerError
    assert "store.ca_file" in refused.remedy


def test_a_store_of_the_trusted_authority_is_asked(
    access: SourceAccess, authorities: tuple[Authority, Authority]
) -> None:
    store = StoreSettings(
        endpoint=f"https://127.0.0.1:{access.port}",
        access_key="key",
        secret_key="secret",
        ca_file=str(authorities[0].certificate),
    )
    with pytest.raises(OSError, match="AWS Error") as failed:
        connect(store_access(store)).open_input_file("bucket/file")
    assert "curlCode" not in str(failed.value)
