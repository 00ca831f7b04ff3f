"""A server process for the tests of the embedded ClickHouse, and a bare HTTP client for it."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from tests.support.waiting import wait_for

USER, PASSWORD = "icehaul", "not'so\"simple"
START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 30.0
ENDLESS = "SELECT sum(cityHash64(number)) FROM numbers(1000000000000)"


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def summary(self) -> dict[str, str]:
        parsed: dict[str, str] = json.loads(self.headers["x-clickhouse-summary"])
        return parsed


class Server:
    """One server process."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        (home / "password").write_text(PASSWORD + "\n")
        self.ready_file = home / "ready"
        command = [
            sys.executable, "-m", "consumer.embedded.clickhouse", "--data-dir", str(home / "data"), "--user", USER,
            "--password-file", str(home / "password"), "--ready-file", str(self.ready_file),
            "--log-file", str(home / "log"), *arguments,
        ]  # fmt: skip
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=Path(__file__).parents[3])
        try:
            wait_for(self._ready, deadline_s=START_DEADLINE_S, what="the server is ready")
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self.port = int(self.ready_file.read_text())

    def _ready(self) -> bool:
        assert self.process.poll() is None, f"the server ended early; see {self.home / 'log'}"
        return self.ready_file.exists()

    def client(self, **options: Any) -> Client:
        return clickhouse_connect.get_client(
            host="127.0.0.1", port=self.port, username=USER, password=PASSWORD, **options
        )

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(
        self,
        body: bytes | str | Iterator[bytes] | None = None,
        *,
        method: str = "POST",
        headers: dict[str, str] | None = None,
        path: str = "/",
        auth: bool = True,
        **fields: str,
    ) -> Answer:
        login = {"X-ClickHouse-User": USER, "X-ClickHouse-Key": PASSWORD} if auth else {}
        connection = self.connection()
        try:
            url = f"{path}?{urllib.parse.urlencode(fields)}" if fields else path
            sent = body.encode() if isinstance(body, str) else body
            connection.request(
                method, url, sent, {**login, **(headers or {})}, encode_chunked=isinstance(sent, Iterator)
            )
            response = connection.getresponse()
            data = response.read()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, data)
        finally:
            connection.close()

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_DEADLINE_S)


def is_running(server: Server, query: str) -> bool:
    where = f"query LIKE '{query}%'"
    return server.ask(f"SELECT count() > 0 FROM system.processes WHERE {where}").body == b"1\n"
