"""Java and the jars, found or fetched once, at the first call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from consumer.embedded import jars
from consumer.embedded.java import find_java_home


class Toolchain:
    """What JVM components and Spark need; safe to ask from several threads."""

    def __init__(self, cache: Path, log_file: Path, announce: Callable[[str], None] = lambda _: None) -> None:
        self._cache = cache
        self._announce = announce
        self._log_file = log_file
        self._lock = threading.Lock()
        self._java_home: Path | None = None

    def java_home(self) -> Path:
        """A Java home for Spark and Kafka.

        Raises:
            JavaNotFoundError: if there is none.
        """
        with self._lock:
            if self._java_home is None:
                self._java_home = find_java_home(self._cache)
            return self._java_home

    def kafka_jars(self) -> tuple[Path, ...]:
        """The broker's class path.

        Raises:
            EmbeddedStackError: if it cannot be resolved.
        """
        return self._jars(jars.KAFKA)

    def kafka_tools_jars(self) -> tuple[Path, ...]:
        """The class path of Kafka's own command-line tools.

        Raises:
            EmbeddedStackError: if it cannot be resolved.
        """
        return (*self.kafka_jars(), *self._jars(jars.KAFKA_TOOLS))

    def spark_jars(self) -> tuple[Path, ...]:
        """What Spark needs to read and write Iceberg through Postgres or REST catalogs and S3.

        Raises:
            EmbeddedStackError: if it cannot be resolved.
        """
        return self._jars(jars.SPARK)

    def _jars(self, jar_set: jars.JarSet) -> tuple[Path, ...]:
        return jars.fetch(
            jar_set,
            java_home=self.java_home(),
            cache=self._cache,
            log_file=self._log_file,
            announce=self._announce,
        )
