"""The consumer group, seen and reset with Kafka's own admin interface."""

from __future__ import annotations

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

_TIMEOUT_SECONDS = 15.0


class Group:
    """A consumer group on one topic."""

    def __init__(self, *, bootstrap_servers: str, group: str, topic: str) -> None:
        self._group = group
        self._topic = topic
        self._admin = AdminClient({"bootstrap.servers": bootstrap_servers})
        self._observer = Consumer(
            {"bootstrap.servers": bootstrap_servers, "group.id": f"{group}-observer", "enable.auto.commit": False}
        )

    def close(self) -> None:
        """Close the connections."""
        self._observer.close()
        # It has no close of its own, and would complain of a broker that is stopped before it.
        del self._admin

    def events(self) -> int:
        """Return how many events the topic holds."""
        return sum(self._ends().values())

    def behind(self) -> int:
        """Return how many events the group has not acknowledged."""
        request = ConsumerGroupTopicPartitions(self._group, [TopicPartition(self._topic, n) for n in self._ends()])
        futures = self._admin.list_consumer_group_offsets([request], request_timeout=_TIMEOUT_SECONDS)
        committed = {one.partition: max(one.offset, 0) for one in futures[self._group].result().topic_partitions}
        return sum(end - committed.get(partition, 0) for partition, end in self._ends().items())

    def rewind(self) -> None:
        """Reset the group's offsets to the beginning of every partition; the group must have no members."""
        beginning = [TopicPartition(self._topic, partition, 0) for partition in self._ends()]
        request = ConsumerGroupTopicPartitions(self._group, beginning)
        futures = self._admin.alter_consumer_group_offsets([request], request_timeout=_TIMEOUT_SECONDS)
        for one in futures[self._group].result().topic_partitions:
            if one.error is not None:
                raise RuntimeError(f"{one.topic}/{one.partition}: {one.error}")

    def _ends(self) -> dict[int, int]:
        metadata = self._observer.list_topics(self._topic, timeout=_TIMEOUT_SECONDS)
        ends = {}
        for partition in metadata.topics[self._topic].partitions:
            _, end = self._observer.get_watermark_offsets(
                TopicPartition(self._topic, partition), timeout=_TIMEOUT_SECONDS
            )
            ends[partition] = end
        return ends
