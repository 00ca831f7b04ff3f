"""One member of the consumer group: confluent-kafka behind the runtime's port."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from consumer.adapters.kafka.arrival import check_topic
from consumer.adapters.kafka.client import consumer_config, error_of, explain_fatal, is_unreleased, open_consumer
from consumer.adapters.kafka.positions import Memory, Place, Positions, partition_at, remember_nothing
from consumer.adapters.kafka.topic_facts import TopicObserver
from consumer.domain.errors import IcehaulError
from consumer.service.runtime.deadline import Deadline
from consumer.service.runtime.ports import GroupListener, Partition, RuntimeMetrics
from consumer.settings.connections import ConsumerSettings, KafkaSettings

START_SECONDS = 15.0
"""How long the start waits for a broker."""
IDENTITY_SECONDS = 60.0
"""How long a static member waits for its identity: longer than a broker's session time-out for a killed process."""
_AGAIN_SECONDS = 1.0
_CLOSE_SECONDS = 5.0
_QUIET_SECONDS = 30.0
"""How long an error of the client that repeats is counted, but not logged again."""
_NO_POSITION = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION})  # noqa: SLF001

KafkaMessage: TypeAlias = "Message[bytes, bytes]"

_log = structlog.get_logger(__name__)


class KafkaEventSource:
    """Polls the event topic as a member of the group, and commits its offsets.

    Both group protocols and eager as well as cooperative assignment are served. A partition without a
    committed offset starts at its beginning. A committed offset that does not say where to go on (it is out of
    range, of a topic that was deleted, gone with its group, set by another tool) is an incident that the listener
    is told of; reading goes on at the beginning of what is left, since events are hints and repeating them is safe.
    ``memory`` tells what the ledger knows of a partition's offsets.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        consumer: ConsumerSettings,
        metrics: RuntimeMetrics,
        *,
        memory: Memory = remember_nothing,
        start_seconds: float = START_SECONDS,
        identity_seconds: float = IDENTITY_SECONDS,
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
        self._settings = consumer
        self._memory = memory
        self._identity_until = Deadline.after(identity_seconds)
        self._unreleased = False
        self._again: Deadline | None = None
        self._open()

    def _open(self) -> None:
        config = consumer_config(self._kafka, self._settings, on_error=self._on_error, on_commit=self._on_commit)
        self._client = open_consumer(config)
        self._positions = Positions(self._client, TopicObserver(self._kafka, self._kafka.topic), self._memory)

    # ------------------------------------------------------------------------------------- start

    def start(self, listener: GroupListener) -> None:
        """Check broker and topics, then join the group."""
        self._listener = listener
        deadline = Deadline.after(self._start_seconds)
        for topic in (self._kafka.topic, self._kafka.dead_letter_topic):
            check_topic(self._client, self._kafka, topic, deadline, self._complaint)
        self._starting = False
        self._subscribe()

    def _subscribe(self) -> None:
        self._client.subscribe(
            [self._kafka.topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    # ----------------------------------------------------------------------------------- polling

    def poll(self, timeout: float, limit: int) -> Sequence[KafkaMessage]:
        """Wait for a message, and return those that are there."""
        if self._again is not None and not self._joins_again(timeout):
            return []
        received: list[KafkaMessage] = []
        message = self._client.poll(timeout)
        while message is not None:
            error = message.error()
            if error is None:
                received.append(message)
            elif (begun := self._on_partition_error(message, error)) is not None:
                # What came before the jump belongs to an assignment that is over.
                received = [one for one in received if (one.topic(), one.partition()) != begun]
            if len(received) >= limit:
                break
            message = self._client.poll(0)
        if self._unreleased:
            self._leave_for_now()
            return []
        self._raise_fatal()
        if anew := self._positions.recreated(list(self._starts)):
            self._start_over(anew)
            return []  # what came may be of the topic that is gone, or begin in the middle of the new one
        return received

    def _leave_for_now(self) -> None:
        """Give up a client that the group does not take in, because it takes the former process for alive."""
        _log.warning(
            "consumer.identity_in_use",
            group_instance_id=self._kafka.group_instance_id,
            remedy="nothing to do if its former process was killed: its session ends soon",
        )
        self._client.close()
        self._unreleased = False
        self._again = Deadline.after(_AGAIN_SECONDS)

    def _joins_again(self, timeout: float) -> bool:
        """Join with a new client once it is time; until then, wait for as long as a poll may."""
        if self._again is None or not self._again.expired:
            time.sleep(min(timeout, _AGAIN_SECONDS))
            return False
        self._again = None
        self._open()
        self._subscribe()
        return True

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Begin to commit; a poll tells the listener the answer.

        A blocking commit would stop the poll loop for as long as the session time-out while the broker is away.
        """
        try:
            self._client.commit(offsets=self._places(offsets), asynchronous=True)
        except KafkaException as error:
            self._answer(offsets, dict.fromkeys(offsets, error_of(error).name()))

    def commit_now(self, offsets: Mapping[Partition, int]) -> Mapping[Partition, str]:
        """Commit and wait for the answer; return the partitions refused, each with the error's name."""
        try:
            results = self._client.commit(offsets=self._places(offsets), asynchronous=False) or []
        except KafkaException as error:
            return dict.fromkeys(offsets, error_of(error).name())
        answered = {partition_at(result): result.error for result in results}
        refused = {partition: error.name() for partition, error in answered.items() if error is not None}
        return refused | {partition: "NO_ANSWER" for partition in offsets if partition not in answered}

    def _places(self, offsets: Mapping[Partition, int]) -> list[TopicPartition]:
        return [TopicPartition(at.topic, at.number, offset, self._positions.mark(at)) for at, offset in offsets.items()]

    def _on_commit(self, error: KafkaError | None, results: list[TopicPartition]) -> None:
        """Take the answer; an error of the whole request counts for each partition without one of its own."""
        refused: dict[Partition, str] = {}
        for result in results:
            found = result.error or error
            if found is not None:
                refused[partition_at(result)] = found.name()
        self._answer({partition_at(result): result.offset for result in results}, refused)

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
        if self._again is not None:
            return  # there is no client at the moment
        closing = threading.Thread(target=self._client.close, name="icehaul-close", daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)
        if closing.is_alive():
            self._listener = None  # whatever is still called back comes too late
            _log.warning("consumer.left_without_a_word", waited=_CLOSE_SECONDS)

    # -------------------------------------------------------------------------------- rebalances

    def _on_assign(self, client: Consumer, partitions: list[TopicPartition]) -> None:
        places = self._positions.find(partitions)
        starting = [place for place, _ in places]
        self._starts.update({partition_at(found): found.offset for found in starting})
        if self._incremental:
            client.incremental_assign(starting)
        else:
            client.assign(starting)
        self._assigned(places)

    def _unpause(self, ending: Sequence[Partition]) -> None:
        """Take back the pause of partitions whose assignment ends: the client would keep it for the next one.

        Before that end, never after the next beginning: the client would drop the answer that tells it where to begin.
        """
        paused = self._paused.intersection(ending)
        if paused:
            self._client.resume([TopicPartition(*partition) for partition in paused])
        self._paused -= paused

    def _on_revoke(self, _client: Consumer, partitions: list[TopicPartition]) -> None:
        self._tell(lambda listener, found: listener.revoked(found), partitions)

    def _on_lost(self, _client: Consumer, partitions: list[TopicPartition]) -> None:
        self._tell(lambda listener, found: listener.lost(found), partitions)

    def _tell(
        self, call: Callable[[GroupListener, Sequence[Partition]], None], partitions: list[TopicPartition]
    ) -> None:
        told = [partition_at(found) for found in partitions]
        for partition in told:
            self._starts.pop(partition, None)
        if self._listener is not None:
            call(self._listener, told)
        self._unpause(told)

    def _assigned(self, places: Sequence[Place]) -> None:
        told = [partition_at(place) for place, _ in places]
        self._paused.difference_update(told)
        if self._listener is not None:
            self._listener.assigned(told, [incident for _, incident in places if incident is not None])

    # ------------------------------------------------------------------------------------ errors

    def _on_partition_error(self, message: KafkaMessage, error: KafkaError) -> Partition | None:
        """Take an error; return the partition that begins anew because of it."""
        topic, number, offset = message.topic(), message.partition(), message.offset()
        if error.code() not in _NO_POSITION or topic is None or number is None or number < 0:
            self._on_error(error)
            return None
        place = TopicPartition(topic, number) if offset is None else TopicPartition(topic, number, offset)
        self._start_over([self._positions.find_again(place, error)])
        return partition_at(place)

    def _start_over(self, places: Sequence[Place]) -> None:
        """Begin partitions anew; their listener forgets what was in flight."""
        for place, _ in places:
            self._jump(place)
        self._assigned(places)

    def _jump(self, place: TopicPartition) -> None:
        """Fetch a partition from another position; a seek has no effect once its fetching has failed."""
        self._starts[partition_at(place)] = place.offset
        self._unpause([partition_at(place)])
        if self._incremental:
            self._client.incremental_unassign([place])
            self._client.incremental_assign([place])
            return
        others = [
            found
            for found in self._client.position(self._client.assignment())
            if partition_at(found) != partition_at(place)
        ]
        for found in others:
            if found.offset < 0:  # nothing was consumed since it was assigned
                found.offset = self._starts.get(partition_at(found), found.offset)
        self._client.assign([*others, place])
        still_paused = [found for found in others if partition_at(found) in self._paused]
        if still_paused:
            self._client.pause(still_paused)

    def _on_error(self, error: KafkaError) -> None:
        self._last_error = error
        if is_unreleased(error) and not self._identity_until.expired:
            self._unreleased = True
        else:
            self._fatal = self._fatal or explain_fatal(error, self._kafka, starting=self._starting)
        name = error.name()
        self._metrics.broker_error(name)
        silent = self._silent_until.get(name)
        if silent is None or silent.expired:
            self._silent_until[name] = Deadline.after(_QUIET_SECONDS)
            _log.warning("kafka.client_error", name=name, error=error.str())

    def _complaint(self) -> KafkaError | None:
        self._raise_fatal()
        return self._last_error

    def _raise_fatal(self) -> None:
        if self._fatal is not None:
            raise self._fatal
