"""Whether producers agree on the partition of a stream's events."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from consumer.adapters.kafka.codec import RawMessage, decode_message
from consumer.domain.errors import IcehaulError, InvalidEventError
from consumer.domain.event import Event
from consumer.domain.invalid_reason import InvalidReason
from consumer.service.runtime.deadline import Deadline

_RECOUNT_SECONDS = 60.0
"""How long a number of partitions is believed once an event contradicts it, and how long a failure to count."""

_log = structlog.get_logger(__name__)


class PlacedEvents:
    """Decodes messages, and tells once of each stream that some producer puts on another partition than the others do.

    Such an event is handled like any other: nothing is lost by it, and a topic whose partitions were increased has
    many. But two consumers then wait for each other over one stream, and nobody would know why.

    Args:
        count: returns the event topic's number of partitions; asked seldom, for it asks the broker.
    """

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._partitions: int | None = None
        self._believed = Deadline.after(0)
        self._told: set[str] = set()

    def decode(self, message: RawMessage) -> Event:
        """Return the event of a message.

        Raises:
            InvalidEventError: for anything that is no event.
        """
        if self._partitions is None:
            self._recount()
        try:
            return decode_message(message, partitions=self._partitions)
        except InvalidEventError as error:
            if error.reason is not InvalidReason.WRONG_PARTITION:
                raise
        event = decode_message(message)
        if event.stream not in self._told:
            self._recount()
            self._tell(message, event)
        return event

    def _tell(self, message: RawMessage, event: Event) -> None:
        try:
            decode_message(message, partitions=self._partitions)
        except InvalidEventError as error:
            self._told.add(event.stream)
            _log.error(
                "event.on_wrong_partition",
                stream=event.stream,
                producer=event.source,
                event_at=str(event.coordinates),
                error=error.message,
                remedy=error.remedy,
            )

    def _recount(self) -> None:
        if self._believed.expired:
            self._believed = Deadline.after(_RECOUNT_SECONDS)
            try:
                self._partitions = self._count()
            except IcehaulError as error:
                _log.info("event.partitions_unknown", error=error.message)
