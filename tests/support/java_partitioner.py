"""Where Java's own producer puts a key: its partitioner, called in a JVM."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyspark
from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway

from consumer.embedded.cache import cache_directory
from consumer.embedded.toolchain import Toolchain


@contextmanager
def java_partitioner(scratch: Path) -> Iterator[Any]:
    """Yield Kafka's ``BuiltInPartitioner``; the JVM ends with the block."""
    tools = Toolchain(cache_directory(), scratch / "jars.log")
    (py4j,) = (Path(pyspark.__file__).parent / "jars").glob("py4j-*.jar")
    port, process = launch_gateway(
        jarpath=str(py4j),
        classpath=":".join(map(str, tools.kafka_jars())),
        java_path=str(tools.java_home() / "bin" / "java"),
        die_on_exit=True,
        return_proc=True,
    )
    gateway = JavaGateway(gateway_parameters=GatewayParameters(port=port))
    try:
        yield gateway.jvm.org.apache.kafka.clients.producer.internals.BuiltInPartitioner
    finally:
        gateway.shutdown()
        process.stdin.close()
        process.wait(30)
