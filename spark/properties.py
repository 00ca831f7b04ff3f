"""What Spark is started with: settings, and the properties that follow from them. No secret is among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from spark.environment import FOLDER
from spark.packages import archive_name

_APPLICATION = "icehaul"
_LOOPBACK = "127.0.0.1"
_ARCHIVES = "spark.archives"
_PATH = "spark.executorEnv.PYTHONPATH"
_DAEMON = "spark.python.daemon.module"
_WARM_DAEMON = "spark.worker_daemon"
_JVM_OPTIONS = (
    # The driver only schedules: the small collector and the quick compiler start sooner and stay small.
    "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xss512k -XX:+ExitOnOutOfMemoryError"
    # What a crashed JVM leaves behind tells where, not what it had in memory: that holds the tasks' credentials.
    " -XX:-CreateCoredumpOnCrash"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """What Spark is started with; ``conf`` overrides everything, and must hold no secret (it is public in Spark).

    ``environment`` is the archive of libraries that executors are sent (:mod:`spark.environment`); ``None``: they have
    them.
    """

    master: str
    driver_memory: str
    environment: Path | None = None
    jars: tuple[str, ...] = ()
    conf: Mapping[str, str] = field(default_factory=dict)

    @property
    def local(self) -> bool:
        """Whether the tasks run on this machine, inside the driver's JVM."""
        return self.master.startswith("local")


def session_properties(settings: SessionSettings, log_configuration: Path, *, scratch: Path) -> dict[str, str]:
    """Return the Spark properties of a session; none holds a secret.

    What the driver needs of the disk is in ``scratch``, which goes with the session: a JVM that is killed clears
    nothing away. Executors have directories of their own, which their workers name.
    """
    properties = {
        "spark.local.dir": str(scratch),
        "spark.app.name": _APPLICATION,
        "spark.driver.memory": settings.driver_memory,
        "spark.driver.extraJavaOptions": " ".join(
            (
                _JVM_OPTIONS,
                f"-Dlog4j2.configurationFile={log_configuration.as_uri()}",
                f'-Djava.io.tmpdir="{scratch}"',
            )
        ),
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
            _DAEMON: _WARM_DAEMON,
        }
    if settings.jars:
        properties["spark.jars"] = ",".join(settings.jars)
    properties |= dict(settings.conf)
    if settings.environment is not None and not settings.local:
        properties |= _shipped(settings.environment, properties)
    return properties | {"spark.master": settings.master}


def _shipped(environment: Path, given: Mapping[str, str]) -> dict[str, str]:
    """Return the properties that make executors unpack the libraries, and Python find them before its own.

    Relative paths: an executor's Python starts in the directory where Spark puts what was sent. With libraries and our
    code on its path, the daemon that workers are forked from can import both before the first task.
    """
    path = (FOLDER, archive_name(), given.get(_PATH))
    return {
        _ARCHIVES: ",".join(filter(None, (given.get(_ARCHIVES), f"{environment}#{FOLDER}"))),
        _PATH: ":".join(filter(None, path)),
        _DAEMON: given.get(_DAEMON, _WARM_DAEMON),
    }
