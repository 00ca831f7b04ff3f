"""What the runtime needs from Kafka and from telemetry, as protocols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

from consumer.domain.errors import IcehaulError
from consumer.domain.event import Event
from consumer.domain.offset_incident import OffsetIncident
from consumer.service.threads import Signal


class Partition(NamedTuple):
    """A partition of a topic."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.number}"


class Message(Protocol):
    """What the runtime itself reads of a Kafka message; a codec and a dead-letter sink may read more."""

    def topic(self) -> str | None:
        """Return the topic."""
        ...

    def partition(self) -> int | None:
        """Return the partition's number."""
        ...

    def offset(self) -> int | None:
        """Return the offset."""
        ...


M = TypeVar("M", bound=Message)
M_co = TypeVar("M_co", bound=Message, covariant=True)
M_contra = TypeVar("M_contra", bound=Message, contravariant=True)


class GroupListener(Protocol):
    """Told of changes of the assignment and of answers, from inside :meth:`EventSource.poll` or ``close``."""

    def assigned(self, partitions: Sequence[Partition], incidents: Sequence[OffsetIncident] = ()) -> None:
        """Take over partitions; fetching has begun (or begins again, after a jump) at their start position.

        ``incidents`` tells of those that are not simply read on from where the group left off.
        """
        ...

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Give partitions back; offsets can still be committed until this returns."""
        ...

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Forget partitions that may belong to another member already: nothing can be committed."""
        ...

    def committed(self, offsets: Mapping[Partition, int], refused: Mapping[Partition, str]) -> None:
        """Take the answer to :meth:`EventSource.commit`; ``refused`` names partitions with a reason each."""
        ...


class EventSource(Protocol[M_co]):
    """One member of a consumer group. All methods are called from one thread."""

    def start(self, listener: GroupListener) -> None:
        """Check that broker and topics can be used, then join the group.

        Raises:
            BrokerUnavailableError: if no broker answers in time.
            ConfigurationError: if a topic is missing, access is denied or the options are refused.
        """
        ...

    def poll(self, timeout: float, limit: int) -> Sequence[M_co]:
        """Wait up to ``timeout`` seconds for a message, and return at most ``limit`` that are there.

        Raises:
            ConfigurationError: if the client can't go on (a duplicate instance id, access denied).
        """
        ...

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Begin to commit the offsets to read next; each of them is answered to the listener."""
        ...

    def commit_now(self, offsets: Mapping[Partition, int]) -> Mapping[Partition, str]:
        """Commit the offsets to read next, and return the partitions refused, each with a reason."""
        ...

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Stop fetching from partitions, but stay in the group."""
        ...

    def resume(self, partitions: Sequence[Partition]) -> None:
        """Fetch from paused partitions again."""
        ...

    def ends(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """Return the last known end offset of each partition, without asking the broker."""
        ...

    def close(self) -> None:
        """Leave the group (the listener hears of the revocation) and free the client."""
        ...


class DeadLetters(Protocol[M_contra]):
    """The sink of events that can never be handled."""

    def send(self, message: M_contra, error: IcehaulError) -> None:
        """Send a message to the dead-letter topic and return once it is acknowledged.

        Raises:
            BrokerUnavailableError: if the broker does not acknowledge in time.
        """
        ...


class Handler(Protocol):
    """Handles one event: when it returns, the event counts as done."""

    def __call__(self, event: Event, abandon: Signal, /) -> None:
        """Handle an event; give up soon, by any error, once ``abandon`` is set.

        Raises:
            IcehaulError: if the event is not done; it is held and tried again, never acknowledged.
        """
        ...


class IdleWork(Protocol):
    """What the handling of a stream's events leaves for a consumer that has nothing else to do."""

    def leaves(self, stream: str) -> bool:
        """Tell whether the event of the stream that was handled last has left something."""
        ...

    def clear(self, stream: str, abandoned: Signal, /) -> bool:
        """Do a bounded piece of it; tell whether there may be more. Give up soon once ``abandoned`` is set."""
        ...


class RuntimeMetrics(Protocol):
    """What the runtime and the Kafka client count and measure."""

    def polled(self, topic: str, messages: int) -> None:
        """Count messages received."""
        ...

    def heartbeat(self) -> None:
        """Record that the poll loop has just turned."""
        ...

    def retry(self, stream: str, cause: str) -> None:
        """Count an attempt to handle an event that has to be repeated, by the class of its error."""
        ...

    def in_flight(self, events: int) -> None:
        """Record how many events are received and not done."""
        ...

    def assigned(self, partitions: int) -> None:
        """Record how many partitions this member owns."""
        ...

    def rebalance(self, kind: str) -> None:
        """Count a change of the assignment (assigned, revoked, lost)."""
        ...

    def consumer_lag(self, partition: Partition, messages: int | None) -> None:
        """Record how many messages are not acknowledged; ``None`` where the partition is no longer ours."""
        ...

    def commit_error(self, reason: str) -> None:
        """Count a partition whose offset commit was refused, by reason."""
        ...

    def broker_error(self, reason: str) -> None:
        """Count an error that the Kafka client reported, by its name."""
        ...

    def offset_incident(self, kind: str) -> None:
        """Count a partition that is not simply read on from where its group left off, by the kind of incident."""
        ...

    def dead_letter(self, reason: str) -> None:
        """Count a dead letter by reason."""
        ...
