"""Where Java's own producer puts a key: its partitioner, called in a JVM."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from consumer.embedded.toolchain import Toolchain
from consumer.settings.cache import cache_directory
from tests.support.jvm import running_jvm


@contextmanager
def java_partitioner(scratch: Path) -> Iterator[Any]:
    """Yield Kafka's ``BuiltInPartitioner``; the JVM ends with the block."""
    tools = Toolchain(cache_directory(), scratch / "jars.log")
    with running_jvm(tools.java_home(), tools.kafka_jars()) as gateway:
        yield gateway.jvm.org.apache.kafka.clients.producer.internals.BuiltInPartitioner
