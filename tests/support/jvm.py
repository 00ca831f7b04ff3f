"""A JVM of a test's own, to call other people's Java in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyspark
from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway

PYSPARK_JARS = Path(pyspark.__file__).parent / "jars"
"""The libraries that Spark brings along."""


@contextmanager
def running_jvm(java_home: Path, jars: Sequence[Path]) -> Iterator[JavaGateway]:
    """Yield the way into a JVM with these libraries; it ends with the block."""
    (py4j,) = PYSPARK_JARS.glob("py4j-*.jar")
    port, process = launch_gateway(
        jarpath=str(py4j),
        classpath=":".join(map(str, jars)),
        java_path=str(java_home / "bin" / "java"),
        die_on_exit=True,
        return_proc=True,
    )
    gateway = JavaGateway(gateway_parameters=GatewayParameters(port=port))
    try:
        yield gateway
    finally:
        gateway.shutdown()
        process.stdin.close()
        process.wait(30)
