"""A Spark Connect server from the pyspark wheel, on loopback: local tasks, bounded memory, its log in a file."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyspark

from consumer.adapters.spark.access import open_session
from consumer.domain.errors import EngineFailedError
from consumer.embedded.java import find_java_home
from consumer.embedded.ports import LOOPBACK, free_ports
from consumer.embedded.process import Launch, ServerProcess
from consumer.settings.cache import cache_directory
from consumer.settings.connections import SparkSettings
from tests.support.waiting import wait_for

_CLASS = "org.apache.spark.sql.connect.service.SparkConnectServer"
_SPARK = Path(pyspark.__path__[0])
_DEADLINE_S = 180.0
_STOP_GRACE_S = 10.0
_JVM_OPTIONS = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:+ExitOnOutOfMemoryError"


@dataclass
class SparkConnectServer:
    """One server, which can be killed and started again at the same address."""

    directory: Path
    cores: int = 2
    memory: str = "512m"
    properties: Mapping[str, str] = field(default_factory=dict)
    token: str | None = None
    port: int = field(default_factory=lambda: free_ports(1)[0])

    def __post_init__(self) -> None:
        self.log = self.directory / "spark-connect.log"
        self.process: ServerProcess | None = None

    @property
    def url(self) -> str:
        """What ``spark.remote`` is given."""
        # By the address, PySpark's client insists on TLS where there is a token.
        return (
            f"sc://{LOOPBACK}:{self.port}" if self.token is None else f"sc://localhost:{self.port}/;token={self.token}"
        )

    def start(self) -> None:
        """Start the server, and wait until a task has run icehaul's code there: the workers are warm then."""
        self.directory.mkdir(parents=True, exist_ok=True)
        process = ServerProcess(self._launch(), self.log)
        self.process = process

        def answers() -> bool:
            assert process.exit_code() is None, f"the server ended with {process.exit_code()}:\n{process.log_tail()}"
            try:
                open_session(SparkSettings.model_validate({"remote": self.url})).stop()
            except EngineFailedError:
                return False
            return True

        wait_for(answers, _DEADLINE_S, f"a task on port {self.port}, where the log is {self.log}")

    def kill(self) -> None:
        """End the server and its workers at once, as a crash would."""
        assert self.process is not None
        self.process.kill()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let the server hang for a block: it takes connections, and answers nothing."""
        assert self.process is not None
        self.process.signal_group(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.signal_group(signal.SIGCONT)

    def stop(self) -> None:
        """Stop the server with all that it started."""
        if self.process is not None:
            self.process.stop(signal.SIGTERM, _STOP_GRACE_S)

    def _launch(self) -> Launch:
        properties = {
            "spark.master": f"local[{self.cores}]",
            "spark.driver.memory": self.memory,
            "spark.driver.extraJavaOptions": _JVM_OPTIONS,
            "spark.driver.host": LOOPBACK,
            "spark.driver.bindAddress": LOOPBACK,
            "spark.connect.grpc.binding.address": LOOPBACK,
            "spark.connect.grpc.binding.port": str(self.port),
            # What a killed consumer left running ends soon, and frees its cores for the heir.
            "spark.connect.execute.manager.detachedTimeout": "5s",
            "spark.connect.execute.manager.maintenanceInterval": "1s",
            "spark.scheduler.mode": "FAIR",
            "spark.locality.wait": "0s",
            "spark.ui.enabled": "false",
            "spark.sql.catalogImplementation": "in-memory",
            "spark.local.dir": str(self.directory),
        } | dict(self.properties)
        options = [word for name, value in properties.items() for word in ("--conf", f"{name}={value}")]
        return Launch(
            argv=(str(_SPARK / "bin" / "spark-submit"), "--class", _CLASS, *options),
            cwd=self.directory,
            env={
                "JAVA_HOME": str(find_java_home(cache_directory())),
                "SPARK_HOME": str(_SPARK),
                "SPARK_LOCAL_IP": LOOPBACK,
                "PYSPARK_PYTHON": sys.executable,
            }
            | ({} if self.token is None else {"SPARK_CONNECT_AUTHENTICATE_TOKEN": self.token}),
        )


@contextmanager
def running_connect_server(
    directory: Path,
    *,
    cores: int = 2,
    memory: str = "512m",
    properties: Mapping[str, str] | None = None,
    token: str | None = None,
) -> Iterator[SparkConnectServer]:
    """Run a server in ``directory``; it ends with the block, and with this process however that ends.

    ``properties`` are further Spark properties, ``token`` is what clients have to bring.
    """
    server = SparkConnectServer(directory, cores=cores, memory=memory, properties=properties or {}, token=token)
    try:
        server.start()
        yield server
    finally:
        server.stop()
