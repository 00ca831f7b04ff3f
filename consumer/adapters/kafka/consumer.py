"""One member of the consumer group: confluent-kafka behind the runtime's port."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from consumer.adapters.kafka.client import consumer_config, error_of, explain_fatal, unreachable
from consumer.domain.errors import ConfigurationError, IcehaulError
from consumer.service.runtime.deadline import Deadline
from consumer.service.runtime.ports import GroupListener, Partition, RuntimeMetrics
from consumer.settings.connections import ConsumerSettings, KafkaSettings

START_SECONDS = 15.0
"""How long the start waits for a broker."""
_METADATA_SECONDS = 3.0
_COMMITTED_SECONDS = 10.0
_CLOSE_SECONDS = 5.0
_QUIET_SECONDS = 30.0
"""How long an error of the client that repeats is counted, but not logged again."""
_NO_POSITION = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION})  # noqa: SLF001
_MISSING = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC})  # noqa: SLF001

KafkaMessage: TypeAlias = "Message[bytes, bytes]"

_log = structlog.get_logger(__name__)


class KafkaEventSource:
    """Polls the event topic as a member of the group, and commits its offsets.

    Both group protocols and eager as well as cooperative assignment are served. A partition without a
    committed offset starts at its beginning. A committed offset that the broker no longer has is an
    incident: logged, counted, and answered by starting at the beginning of what is left, since events are
    hints and repeating them is safe.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        consumer: ConsumerSettings,
        metrics: RuntimeMetrics,
        *,
        start_seconds: float = START_SECONDS,
    ) -> None:
        self._kafka = kafka
        self._metrics = metrics
        self._start_seconds = start_seconds
        self._fatal: IcehaulError | None = None
        self._last_error: KafkaError | None = None
        self._starting = True
        self._paused: set[Partition] = set()
        self._starts: dict[Partition, int] = {}
        self._silent_until: dict[str, Deadline] = {}
        self._listener: GroupListener | None = None
        self._incremental = kafka.group_protocol == "consumer" or kafka.assignment_strategy == "cooperative-sticky"
        try:
            self._client = Consumer(
                consumer_config(kafka, consumer, on_error=self._on_error, on_commit=self._on_commit)
            )
        except KafkaException as error:
            raise ConfigurationError(
                f"kafka.options: the Kafka client refuses its configuration: {error_of(error).str()}",
                remedy="correct the option that the message names",
            ) from error

    # ------------------------------------------------------------------------------------- start

    def start(self, listener: GroupListener) -> None:
        """Check broker and topics, then join the group."""
        self._listener = listener
        deadline = Deadline.after(self._start_seconds)
        for topic in (self._kafka.topic, self._kafka.dead_letter_topic):
            self._check_topic(topic, deadline)
        self._starting = False
        self._client.subscribe(
            [self._kafka.topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def _check_topic(self, topic: str, deadline: Deadline) -> None:
        while True:
            try:
                metadata = self._client.list_topics(topic, timeout=min(_METADATA_SECONDS, deadline.remaining + 0.1))
            except KafkaException as error:
                self._client.poll(0)  # serves the error callback, which may know more
                self._raise_fatal()
                if fatal := explain_fatal(error_of(error), self._kafka, starting=True):
                    raise fatal from error
                if deadline.expired:
                    cause = self._last_error or error_of(error)
                    raise unreachable(self._kafka, cause.str()) from error
                continue
            found = metadata.topics[topic].error
            if found is None:
                return
            if fatal := explain_fatal(found, self._kafka, starting=True):
                raise fatal
            if found.code() in _MISSING:
                raise ConfigurationError(
                    f"the topic {topic!r} does not exist on {self._kafka.bootstrap_servers}",
                    remedy="create the topics: icehaul topics",
                )
            if deadline.expired:
                raise unreachable(self._kafka, found.str())
            time.sleep(0.1)  # the topic's leader is being elected

    # ----------------------------------------------------------------------------------- polling

    def poll(self, timeout: float, limit: int) -> Sequence[KafkaMessage]:
        """Wait for a message, and return those that are there."""
        received: list[KafkaMessage] = []
        message = self._client.poll(timeout)
        while message is not None:
            error = message.error()
            if error is None:
                received.append(message)
            else:
                self._on_partition_error(message, error)
            if len(received) >= limit:
                break
            message = self._client.poll(0)
        self._raise_fatal()
        return received

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Begin to commit; a poll tells the listener the answer.

        A blocking commit would stop the poll loop for as long as the session time-out while the broker is away.
        """
        try:
            self._client.commit(offsets=_places(offsets), asynchronous=True)
        except KafkaException as error:
            self._answer(offsets, dict.fromkeys(offsets, error_of(error).name()))

    def commit_now(self, offsets: Mapping[Partition, int]) -> Mapping[Partition, str]:
        """Commit and wait for the answer; return the partitions refused, each with the error's name."""
        try:
            results = self._client.commit(offsets=_places(offsets), asynchronous=False) or []
        except KafkaException as error:
            return dict.fromkeys(offsets, error_of(error).name())
        answered = {_at(result): result.error for result in results}
        refused = {partition: error.name() for partition, error in answered.items() if error is not None}
        return refused | {partition: "NO_ANSWER" for partition in offsets if partition not in answered}

    def _on_commit(self, error: KafkaError | None, results: list[TopicPartition]) -> None:
        """Take the answer; an error of the whole request counts for each partition without one of its own."""
        refused: dict[Partition, str] = {}
        for result in results:
            found = result.error or error
            if found is not None:
                refused[_at(result)] = found.name()
        self._answer({_at(result): result.offset for result in results}, refused)

    def _answer(self, offsets: Mapping[Partition, int], refused: Mapping[Partition, str]) -> None:
        if self._listener is not None:
            self._listener.committed(offsets, refused)

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Stop fetching, stay in the group."""
        self._paused.update(partitions)
        self._client.pause([TopicPartition(*partition) for partition in partitions])

    def resume(self, partitions: Sequence[Partition]) -> None:
        """Fetch again."""
        self._paused.difference_update(partitions)
        self._client.resume([TopicPartition(*partition) for partition in partitions])

    def ends(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """Return the end offsets that came with the latest fetches."""
        ends: dict[Partition, int] = {}
        for partition in partitions:
            bounds = self._client.get_watermark_offsets(TopicPartition(*partition), cached=True)
            if bounds is not None and bounds[1] >= 0:
                ends[partition] = bounds[1]
        return ends

    def close(self) -> None:
        """Leave the group and free the client, unless the broker is away: then the group notices by itself.

        The client would wait for the answer to a commit for as long as the session time-out.
        """
        closing = threading.Thread(target=self._client.close, name="icehaul-close", daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)
        if closing.is_alive():
            self._listener = None  # whatever is still called back comes too late
            _log.warning("consumer.left_without_a_word", waited=_CLOSE_SECONDS)

    # -------------------------------------------------------------------------------- rebalances

    def _on_assign(self, client: Consumer, partitions: list[TopicPartition]) -> None:
        starting = self._start_positions(partitions)
        self._starts.update({_at(found): found.offset for found in starting})
        if self._incremental:
            client.incremental_assign(starting)
        else:
            client.assign(starting)
        self._tell(lambda listener, found: listener.assigned(found), partitions)

    def _on_revoke(self, _client: Consumer, partitions: list[TopicPartition]) -> None:
        self._tell(lambda listener, found: listener.revoked(found), partitions)

    def _on_lost(self, _client: Consumer, partitions: list[TopicPartition]) -> None:
        self._tell(lambda listener, found: listener.lost(found), partitions)

    def _tell(
        self, call: Callable[[GroupListener, Sequence[Partition]], None], partitions: list[TopicPartition]
    ) -> None:
        told = [_at(found) for found in partitions]
        self._paused.difference_update(told)
        if self._listener is not None:
            call(self._listener, told)

    def _start_positions(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """Return the partitions with the beginning as position where the group has committed nothing."""
        try:
            committed = self._client.committed(partitions, timeout=_COMMITTED_SECONDS)
        except KafkaException as error:
            # The client asks again by itself; a partition without an offset then comes up as an error.
            _log.warning("consumer.committed_unknown", error=error_of(error).str())
            return partitions
        for found in committed:
            if found.error is None and found.offset < 0:
                found.offset = OFFSET_BEGINNING
                _log.info("consumer.starts_at_beginning", partition=str(_at(found)))
        return committed

    # ------------------------------------------------------------------------------------ errors

    def _on_partition_error(self, message: KafkaMessage, error: KafkaError) -> None:
        topic, number = message.topic(), message.partition()
        if error.code() in _NO_POSITION and topic is not None and number is not None and number >= 0:
            self._start_over(Partition(topic, number), error)
        else:
            self._on_error(error)

    def _start_over(self, partition: Partition, error: KafkaError) -> None:
        """Begin a partition anew at what the broker still has; its listener forgets what was in flight."""
        at_beginning = TopicPartition(partition.topic, partition.number, OFFSET_BEGINNING)
        committed = self._committed(partition)
        if committed is None:
            _log.info("consumer.starts_at_beginning", partition=str(partition))
        else:
            truncated = error.code() == KafkaError._LOG_TRUNCATION  # noqa: SLF001
            self._metrics.offset_incident("truncated" if truncated else "out_of_range")
            _log.error(
                "consumer.offset_incident",
                partition=str(partition),
                committed=committed,
                error=error.str(),
                consequence="events before the new beginning are gone; the next tick of each stream covers them",
            )
        self._jump(at_beginning)
        self._tell(lambda listener, found: listener.assigned(found), [at_beginning])

    def _jump(self, place: TopicPartition) -> None:
        """Fetch a partition from another position; a seek has no effect once its fetching has failed."""
        self._starts[_at(place)] = place.offset
        if self._incremental:
            self._client.incremental_unassign([place])
            self._client.incremental_assign([place])
            return
        others = [found for found in self._client.position(self._client.assignment()) if _at(found) != _at(place)]
        for found in others:
            if found.offset < 0:  # nothing was consumed since it was assigned
                found.offset = self._starts.get(_at(found), found.offset)
        self._client.assign([*others, place])
        still_paused = [found for found in others if _at(found) in self._paused]
        if still_paused:
            self._client.pause(still_paused)

    def _committed(self, partition: Partition) -> int | None:
        try:
            found = self._client.committed([TopicPartition(*partition)], timeout=_COMMITTED_SECONDS)[0]
        except KafkaException:
            return -1  # unknown: treated as an incident
        return found.offset if found.offset >= 0 else None

    def _on_error(self, error: KafkaError) -> None:
        self._last_error = error
        self._fatal = self._fatal or explain_fatal(error, self._kafka, starting=self._starting)
        name = error.name()
        self._metrics.broker_error(name)
        silent = self._silent_until.get(name)
        if silent is None or silent.expired:
            self._silent_until[name] = Deadline.after(_QUIET_SECONDS)
            _log.warning("kafka.client_error", name=name, error=error.str())

    def _raise_fatal(self) -> None:
        if self._fatal is not None:
            raise self._fatal


def _at(place: TopicPartition) -> Partition:
    return Partition(place.topic, place.partition)


def _places(offsets: Mapping[Partition, int]) -> list[TopicPartition]:
    return [TopicPartition(partition.topic, partition.number, offset) for partition, offset in offsets.items()]
