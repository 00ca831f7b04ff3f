"""The hot tier: the ClickHouse engine in a process of its own, behind ClickHouse's HTTP interface."""

from __future__ import annotations

import base64
import http.client
import sys
from pathlib import Path
from typing import ClassVar

from consumer.embedded.component import Component, ComponentName, NotReadyError
from consumer.embedded.endpoints import ClickHouseEndpoint
from consumer.embedded.private_files import write_private
from consumer.embedded.process import Launch

_PROBE_TIMEOUT_S = 5.0
_PROBE_QUERY = b"SELECT count() > 0 FROM system.databases FORMAT TabSeparated"
_MODULE = "consumer.embedded.clickhouse"
_PROJECT = Path(__file__).resolve().parents[2]


class HotTier(Component):
    """One ClickHouse engine on one loopback port."""

    name = ComponentName.CLICKHOUSE
    stop_grace_s: ClassVar[float] = 8.0

    def __init__(self, home: Path, log_file: Path, endpoint: ClickHouseEndpoint) -> None:
        super().__init__(home, log_file)
        self._endpoint = endpoint

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        return self._endpoint.port

    def prepare(self) -> None:
        """Write the password for the server to read; make the data directory."""
        (self.home / "data").mkdir(exist_ok=True)
        (self.home / "ready").unlink(missing_ok=True)
        write_private(self.home / "password", self._endpoint.password)

    def launch(self) -> Launch:
        """The server in the foreground, under the interpreter that runs this."""
        home = self.home
        arguments = (
            *("--data-dir", str(home / "data"), "--port", str(self._endpoint.port), "--user", self._endpoint.user),
            *("--password-file", str(home / "password"), "--log-file", str(self.log_file)),
            *("--ready-file", str(home / "ready")),
        )
        # The working directory is the component's own, so an uninstalled source tree has to be named.
        environment = {"PYTHONPATH": str(_PROJECT), "PYTHONUNBUFFERED": "1"}
        return Launch(argv=(sys.executable, "-m", _MODULE, *arguments), cwd=home, env=environment)

    def probe(self) -> None:
        """Log in and run a query over HTTP."""
        endpoint = self._endpoint
        credentials = base64.b64encode(f"{endpoint.user}:{endpoint.password}".encode()).decode()
        connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=_PROBE_TIMEOUT_S)
        try:
            connection.request("POST", "/", body=_PROBE_QUERY, headers={"Authorization": f"Basic {credentials}"})
            response = connection.getresponse()
            answer = response.read(1024)
        except (OSError, http.client.HTTPException) as error:
            raise NotReadyError(f"{type(error).__name__}: {error}") from error
        finally:
            connection.close()
        if response.status != http.client.OK or answer.strip() != b"1":
            raise NotReadyError(f"unexpected answer {response.status} {answer!r}")
