"""A standalone Spark cluster from the pyspark wheel: a master and workers on loopback."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyspark

_HOST = "127.0.0.1"
_DEADLINE_S = 180.0
_STOP_GRACE_S = 10.0
_MASTER = re.compile(r"Starting Spark master at (spark://\S+)")
_REGISTERED = re.compile(r"Successfully registered with master")


@dataclass(frozen=True)
class StandaloneCluster:
    """Where the master is, and the workers' processes."""

    master: str
    workers: tuple[subprocess.Popen[bytes], ...]


@contextmanager
def running_cluster(directory: Path, workers: int) -> Iterator[StandaloneCluster]:
    """Run a master and workers with one core and 512 MiB each; all of them end with the block.

    Each worker has an address of its own: Spark starts no speculative attempt on the host that runs the first one.
    """
    with ExitStack() as running:
        log = directory / "master.log"
        running.enter_context(
            _daemon("master.Master", ["--host", _HOST, "--port", "0", "--webui-port", "0"], directory, log)
        )
        master = _wait_for(log, _MASTER).group(1)
        processes = []
        for number in range(workers):
            home = directory / f"worker-{number}"
            home.mkdir()
            host = f"127.0.0.{number + 2}"
            arguments = ["--cores", "1", "--memory", "512m", "--host", host, "--port", "0", "--webui-port", "0"]
            log = home / "worker.log"
            processes.append(
                running.enter_context(
                    _daemon("worker.Worker", [*arguments, "--work-dir", str(home), master], home, log, host)
                )
            )
            _wait_for(log, _REGISTERED)
        yield StandaloneCluster(master, tuple(processes))


@contextmanager
def _daemon(
    name: str, arguments: list[str], home: Path, log: Path, host: str = _HOST
) -> Iterator[subprocess.Popen[bytes]]:
    command = [str(Path(pyspark.__path__[0]) / "bin" / "spark-class"), f"org.apache.spark.deploy.{name}", *arguments]
    environment = os.environ | {"SPARK_LOCAL_IP": host, "SPARK_DAEMON_MEMORY": "256m", "SPARK_NO_DAEMONIZE": "1"}
    # A worker hands it to its executors: they are to have nothing but what they are sent.
    environment.pop("PYTHONPATH", None)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=home, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield process
    finally:
        # The group: a worker's executors end with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(_STOP_GRACE_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_for(log: Path, pattern: re.Pattern[str]) -> re.Match[str]:
    end_s = time.monotonic() + _DEADLINE_S
    while True:
        text = log.read_text(errors="replace")
        found = pattern.search(text)
        if found is not None:
            return found
        assert time.monotonic() < end_s, (
            f"{log.name} does not say {pattern.pattern!r} in {_DEADLINE_S} s:\n{text[-2000:]}"
        )
        threading.Event().wait(0.1)
