"""The broker: a real Apache Kafka in KRaft mode, one node that is broker and controller."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from consumer.embedded.component import Component, ComponentName, NotReadyError
from consumer.embedded.ports import LOOPBACK
from consumer.embedded.process import Launch, run_tool
from consumer.embedded.toolchain import Toolchain

_FORMAT_DEADLINE_S = 60.0
_PROBE_TIMEOUT_S = 5.0
_PROBE_TOPIC = "__icehaul_probe"
_PROBE_RETENTION_MS = "60000"
_SILENT: dict[str, str | int] = {"log_level": 0, "socket.timeout.ms": 5000, "socket.connection.setup.timeout.ms": 2000}
# Short session timeouts: a dead consumer's partitions move within seconds, and a killed broker may register again
# 1.5 s after its death instead of 9 s.
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs=data
auto.create.topics.enable=false
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms=6000
group.consumer.min.heartbeat.interval.ms=500
group.consumer.heartbeat.interval.ms=1000
group.consumer.assignment.interval.ms=0
log.cleaner.dedupe.buffer.size=8388608
log.initial.task.delay.ms=1000
controlled.shutdown.enable=false
broker.heartbeat.interval.ms=300
broker.session.timeout.ms=1500
"""
_LOGGING = """\
rootLogger.level = INFO
rootLogger.appenderRef.out.ref = OUT
appender.out.type = Console
appender.out.name = OUT
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %m (%c{1})%n
logger.config.name = org.apache.kafka.common.config
logger.config.level = WARN
"""
_JVM_OPTIONS = (
    *("-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError"),
    *("-Djava.awt.headless=true", "-Dlog4j2.configurationFile=log4j2.properties"),
)


class Kafka(Component):
    """A Kafka broker on one loopback port; its KRaft controller listens on another."""

    name = ComponentName.KAFKA
    start_deadline_s: ClassVar[float] = 90.0
    stop_grace_s: ClassVar[float] = 8.0

    def __init__(
        self,
        home: Path,
        log_file: Path,
        *,
        port: int,
        controller_port: int,
        toolchain: Toolchain,
    ) -> None:
        super().__init__(home, log_file)
        self._port = port
        self._controller_port = controller_port
        self._toolchain = toolchain

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        return self._port

    @property
    def controller_port(self) -> int:
        """The port of the KRaft controller."""
        return self._controller_port

    def prepare(self) -> None:
        """Write the configuration for the current ports; format the storage on the first start."""
        (self.home / "server.properties").write_text(self.properties(), encoding="utf-8")
        (self.home / "log4j2.properties").write_text(_LOGGING, encoding="utf-8")
        if (self.home / "data" / "meta.properties").exists():
            return
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # One argument: an id that begins with a hyphen would be taken for another option.
        identity = f"--cluster-id={cluster_id}"
        arguments = (
            "format",
            identity,
            "--config",
            "server.properties",
            "--ignore-formatted",
            *self.format_arguments(),
        )
        launch = self._run("kafka.tools.StorageTool", *arguments)
        run_tool(launch, self.log_file, deadline_s=_FORMAT_DEADLINE_S, purpose="formatting Kafka's storage")

    def properties(self) -> str:
        """The broker's configuration."""
        return _PROPERTIES.format(host=LOOPBACK, port=self._port, controller_port=self._controller_port)

    def format_arguments(self) -> tuple[str, ...]:
        """What the storage is to hold from its first start on, as the formatting tool is told."""
        return ()

    def launch(self) -> Launch:
        """The broker in the foreground."""
        return self._run("kafka.Kafka", "server.properties")

    def probe(self) -> None:
        """Write a record, read it back, commit its offset: partition leader and group coordinator both work."""
        bootstrap: dict[str, str | int] = {"bootstrap.servers": f"{LOOPBACK}:{self._port}", **_SILENT}
        try:
            _create_probe_topic(bootstrap)
            _round_trip(bootstrap, uuid.uuid4().bytes)
        except KafkaException as error:
            raise NotReadyError(str(error)) from error

    def _run(self, main_class: str, *arguments: str) -> Launch:
        java = self._toolchain.java_home() / "bin" / "java"
        class_path = ":".join(str(jar) for jar in self._toolchain.kafka_jars())
        argv = (str(java), *_JVM_OPTIONS, "-cp", class_path, main_class, *arguments)
        return Launch(argv=argv, cwd=self.home)


def _create_probe_topic(bootstrap: Mapping[str, str | int]) -> None:
    admin = AdminClient({**bootstrap})
    topic = NewTopic(_PROBE_TOPIC, num_partitions=1, replication_factor=1, config={"retention.ms": _PROBE_RETENTION_MS})
    try:
        admin.create_topics([topic], operation_timeout=_PROBE_TIMEOUT_S)[_PROBE_TOPIC].result(_PROBE_TIMEOUT_S)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
    except TimeoutError as error:
        raise NotReadyError(f"no answer to the creation of topic {_PROBE_TOPIC}") from error


def _round_trip(bootstrap: Mapping[str, str | int], value: bytes) -> None:
    delivered: list[tuple[KafkaError | None, int | None]] = []
    producer = Producer({**bootstrap, "acks": "all", "message.timeout.ms": int(_PROBE_TIMEOUT_S * 1000)})
    producer.produce(
        _PROBE_TOPIC, value, partition=0, on_delivery=lambda error, sent: delivered.append((error, sent.offset()))
    )
    producer.flush(_PROBE_TIMEOUT_S)
    if not delivered or delivered[0][0] is not None or delivered[0][1] is None:
        raise NotReadyError(f"a record was not acknowledged: {delivered}")
    consumer = Consumer({**bootstrap, "group.id": _PROBE_TOPIC, "enable.auto.commit": False})
    try:
        consumer.assign([TopicPartition(_PROBE_TOPIC, 0, delivered[0][1])])
        record = consumer.poll(_PROBE_TIMEOUT_S)
        if record is None or record.error() is not None or record.value() != value:
            raise NotReadyError("a record was acknowledged but could not be read back")
        consumer.commit(message=record, asynchronous=False)
    finally:
        consumer.close()
