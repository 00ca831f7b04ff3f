"""The demo's stage: the embedded stack, a configuration for it, and icehaul's own processes."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from consumer.demo.market import TABLES, stream_settings
from consumer.domain.duration import format_duration
from consumer.embedded.endpoints import Endpoints
from consumer.embedded.process import Launch, ServerProcess

GROUP = "icehaul-demo"
SETTLE_LAG = timedelta(seconds=1)
_STOP_SECONDS = 30.0
_LISTENING = re.compile(r'"host": "(?P<host>[^"]+)", "port": (?P<port>\d+)')
"""In the line that a consumer logs once it listens."""


@dataclass(frozen=True, slots=True)
class Paths:
    """Where the demo keeps its files, all below one directory."""

    root: Path

    @property
    def stack(self) -> Path:
        """The embedded stack's directory."""
        return self.root / "stack"

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.root / "icehaul.yaml"

    @property
    def secrets(self) -> Path:
        """The directory of secret files."""
        return self.root / "secrets"

    @property
    def logs(self) -> Path:
        """Logs of the emitter and the consumers."""
        return self.root / "logs"

    @property
    def traces(self) -> Path:
        """Spans of all processes, one file each."""
        return self.root / "traces"

    @property
    def report(self) -> Path:
        """The machine-readable result."""
        return self.root / "report.json"

    def environment(self) -> dict[str, str]:
        """What a shell has to export so that `icehaul` uses the demo's configuration."""
        return {"ICEHAUL_CONFIG": str(self.config), "ICEHAUL_SECRETS_DIR": str(self.secrets)}


def write_configuration(paths: Paths, endpoints: Endpoints) -> None:
    """Write the configuration file of the ten streams, and the secrets beside it."""
    for directory in (paths.logs, paths.traces, paths.secrets):
        directory.mkdir(parents=True, exist_ok=True)
    paths.secrets.chmod(0o700)
    secrets = {
        "icehaul_clickhouse__password": endpoints.clickhouse.password,
        "icehaul_postgres__dsn": endpoints.postgres.dsn,
        "icehaul_store__secret_key": endpoints.store.secret_key,
    }
    for name, value in secrets.items():
        file = paths.secrets / name
        file.touch(mode=0o600)
        file.write_text(value, encoding="utf-8")
    text = "# Written by the demo; the secrets are in the files of ICEHAUL_SECRETS_DIR.\n"
    text += yaml.safe_dump(_configuration(endpoints), sort_keys=False, allow_unicode=True)
    paths.config.write_text(text, encoding="utf-8")


def _configuration(endpoints: Endpoints) -> dict[str, Any]:
    return {
        "clickhouse": {
            "host": endpoints.clickhouse.host,
            "port": endpoints.clickhouse.port,
            "user": endpoints.clickhouse.user,
        },
        "kafka": {"bootstrap_servers": endpoints.kafka.bootstrap_servers, "group": GROUP, "partitions": 12},
        "store": {
            "endpoint": endpoints.store.endpoint,
            "region": endpoints.store.region,
            "bucket": endpoints.store.bucket,
            "access_key": endpoints.store.access_key,
        },
        "spark": {"master": "local[1]"},
        "consumer": {"http_port": 0, "lease_seconds": 5, "workers": 4},
        # The demo plays days of the past, so it sends the tick itself, once, at its end.
        "emitter": {"http_port": 0, "poll": "500ms", "grace": format_duration(SETTLE_LAG), "tick": "0"},
        "streams": [stream_settings(table, settle_lag=SETTLE_LAG) for table in TABLES],
    }


@dataclass(slots=True)
class Troupe:
    """icehaul's own processes: one emitter, some consumers. They end with this process, however it ends."""

    paths: Paths
    java_home: Path
    processes: dict[str, ServerProcess] = field(default_factory=dict)

    def start(self, name: str, *arguments: str) -> ServerProcess:
        """Start `icehaul ARGUMENTS` under a name; its log and its spans go to files of that name."""
        environment: Mapping[str, str] = {
            **self.paths.environment(),
            "JAVA_HOME": str(self.java_home),
            "ICEHAUL_TELEMETRY__TRACE_FILE": str(self.paths.traces / f"{name}.jsonl"),
            "ICEHAUL_TELEMETRY__LOG_FORMAT": "json",
        }
        launch = Launch(
            argv=(sys.executable, "-m", "consumer.entrypoints.cli.main", *arguments), cwd=Path.cwd(), env=environment
        )
        process = ServerProcess(launch, self.paths.logs / f"{name}.log")
        self.processes[name] = process
        return process

    def consoles(self) -> Sequence[str]:
        """Return the console's address at each consumer that listens."""
        living = [name for name, process in self.processes.items() if process.exit_code() is None]
        logs = [self.paths.logs / f"{name}.log" for name in living if name.startswith("consumer")]
        found = [_LISTENING.search(log.read_text("utf-8", "replace")) for log in logs]
        return [f"http://{at['host']}:{at['port']}/" for at in found if at is not None]

    def by_pid(self, pid: int) -> str:
        """Return the name of a process."""
        return next(name for name, process in self.processes.items() if process.pid == pid)

    def kill(self, name: str) -> None:
        """Kill a process with SIGKILL."""
        process = self.processes.pop(name)
        os.kill(process.pid, signal.SIGKILL)
        process.kill()

    def stop(self, prefix: str = "") -> None:
        """Ask the processes of this name to end, and wait for them."""
        for name in [name for name in self.processes if name.startswith(prefix)]:
            self.processes.pop(name).stop(signal.SIGTERM, _STOP_SECONDS)

    def fallen(self) -> Mapping[str, str]:
        """Return the processes that have ended by themselves, each with the end of its log."""
        return {
            name: process.log_tail(15) for name, process in self.processes.items() if process.exit_code() is not None
        }
