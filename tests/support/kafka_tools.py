"""Kafka's own command-line tools: the classes that its shell scripts start, called in one JVM."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from py4j.java_gateway import JavaGateway

from consumer.embedded.toolchain import Toolchain
from consumer.settings.cache import cache_directory
from tests.support.jvm import running_jvm


class KafkaTools:
    """The tools of Kafka's distribution, by the names of their scripts."""

    def __init__(self, gateway: JavaGateway) -> None:
        self._gateway = gateway

    def consumer_groups(self, arguments: Sequence[str]) -> str:
        """Run ``kafka-consumer-groups.sh ARGUMENTS`` and return what it prints."""
        jvm = self._gateway.jvm
        return self._run(jvm.org.apache.kafka.tools.consumer.group.ConsumerGroupCommand, arguments)

    def topics(self, arguments: Sequence[str]) -> str:
        """Run ``kafka-topics.sh ARGUMENTS`` and return what it prints."""
        return self._run(self._gateway.jvm.org.apache.kafka.tools.TopicCommand, arguments)

    def _run(self, tool: object, arguments: Sequence[str]) -> str:
        jvm = self._gateway.jvm
        words = self._gateway.new_array(jvm.java.lang.String, len(arguments))
        for number, argument in enumerate(arguments):
            words[number] = argument
        printed, before = jvm.java.io.ByteArrayOutputStream(), jvm.java.lang.System.out
        jvm.java.lang.System.setOut(jvm.java.io.PrintStream(printed))
        try:
            tool.main(words)  # type: ignore[attr-defined]
        finally:
            jvm.java.lang.System.out.flush()
            jvm.java.lang.System.setOut(before)
        return str(printed.toString())


@contextmanager
def kafka_tools(scratch: Path) -> Iterator[KafkaTools]:
    """Yield the tools; their JVM ends with the block."""
    tools = Toolchain(cache_directory(), scratch / "jars.log")
    with running_jvm(tools.java_home(), tools.kafka_tools_jars()) as gateway:
        yield KafkaTools(gateway)
