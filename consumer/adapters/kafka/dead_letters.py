"""The sink of messages that can never be handled: the dead-letter topic."""

from __future__ import annotations

from datetime import UTC, datetime

from consumer.adapters.kafka.codec import RawMessage, raw_bytes, raw_headers
from consumer.adapters.kafka.delivery import Delivery, Record
from consumer.adapters.kafka.producer import TIMEOUT_S
from consumer.domain.errors import IcehaulError, InvalidEventError
from consumer.domain.invalid_reason import InvalidReason
from consumer.settings.connections import KafkaSettings

MAX_LETTER_BYTES = 900_000
"""Greatest size of key, value and headers that are kept: safely below Kafka's default limit of 1 MiB."""

_MAX_ERROR = 2_000
_HEADERS_SHARE = 100_000


class KafkaDeadLetters:
    """Keeps a message as it came (key, value and headers, byte for byte), with the reason and its place added.

    A message above :data:`MAX_LETTER_BYTES` is cut off, and a header says what it had; the whole one stays at
    its place until the topic's retention ends.
    """

    def __init__(self, settings: KafkaSettings, *, timeout_s: float = TIMEOUT_S) -> None:
        # A letter may come without a key: spread those.
        self._delivery = Delivery(
            settings, topic=settings.dead_letter_topic, partitioner="murmur2_random", timeout_s=timeout_s
        )

    def send(self, message: RawMessage, error: IcehaulError) -> None:
        """Send a message to the dead-letter topic and return once it is acknowledged.

        Raises:
            BrokerUnavailableError: if the broker does not acknowledge in time.
            AccessDeniedError: if the broker refuses this user.
        """
        self._delivery.send([dead_letter(message, error, now=datetime.now(UTC))])

    def close(self) -> None:
        """Free the client."""
        self._delivery.close()


def dead_letter(message: RawMessage, error: IcehaulError, *, now: datetime) -> Record:
    """Return the dead letter of a message."""
    key, value, headers = raw_bytes(message.key()), raw_bytes(message.value()), raw_headers(message)
    reason = error.reason if isinstance(error, InvalidEventError) else InvalidReason.OTHER
    added: list[tuple[str, bytes | None]] = [
        ("icehaul-reason", reason.encode()),
        ("icehaul-error", str(error)[:_MAX_ERROR].encode("utf-8", "replace")),
        ("icehaul-topic", (message.topic() or "").encode()),
        ("icehaul-partition", str(message.partition()).encode()),
        ("icehaul-offset", str(message.offset()).encode()),
        ("icehaul-time", now.isoformat().encode()),
    ]
    room = MAX_LETTER_BYTES
    if _size(key, value, headers) > room:
        added.append(("icehaul-cut-off", f"{_size(key, value, headers)} bytes".encode()))
        key = None if key is None else key[:_HEADERS_SHARE]
        headers = _fitting(headers, _HEADERS_SHARE)
        value = None if value is None else value[: room - _size(key, None, headers)]
    return Record(key=key, value=value, headers=[*headers, *added])


def _size(key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes | None]]) -> int:
    own = len(key or b"") + len(value or b"")
    return own + sum(len(name.encode()) + len(content or b"") for name, content in headers)


def _fitting(headers: list[tuple[str, bytes | None]], room: int) -> list[tuple[str, bytes | None]]:
    kept: list[tuple[str, bytes | None]] = []
    for header in headers:
        if _size(None, None, [*kept, header]) > room:
            break
        kept.append(header)
    return kept
