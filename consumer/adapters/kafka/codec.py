"""Events as Kafka messages: the CloudEvents 1.0 Kafka binding.

Binary mode is written; binary and structured mode are read, the latter without any header too, because not every
producer can set headers. Writing is left to the CloudEvents SDK; reading is not, because its reader is lenient
where this one must tell a producer what is wrong (see :mod:`consumer.adapters.kafka.strict_json`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn, Protocol

from cloudevents.core.bindings.kafka import to_binary_event
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka import murmur2
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from consumer.adapters.kafka.event_models import INSTANT_ERROR, MODELS, AnyEvent, to_event, to_model
from consumer.adapters.kafka.strict_json import parse_object, shown
from consumer.domain.errors import InvalidEventError
from consumer.domain.event import Coordinates, Event, EventType
from consumer.domain.invalid_reason import InvalidReason

Headers = Sequence[tuple[str, bytes | None]]
AnyHeaders = dict[str, str | bytes | None] | list[tuple[str, str | bytes | None]]
"""Headers by the client's types; what it hands over is a list with bytes."""

MAX_BYTES = 256 * 1024
"""Greatest size of an event, headers included; one has less than 2 KiB."""

TRACEPARENT = "traceparent"

_PREFIX = "ce_"
_CONTENT_TYPE = "content-type"
_STRUCTURED = "application/cloudevents"
_STRUCTURED_JSON = re.compile(r"application/cloudevents\+json *(;.*)?", re.IGNORECASE)
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_SCHEMAS = "correct the producer; the event's JSON Schema is in schemas/events"
_NAMES = frozenset({"string_pattern_mismatch"})
_TIMES = frozenset({INSTANT_ERROR, "timezone_aware"})


class RawMessage(Protocol):
    """A Kafka message as the client hands it over (``confluent_kafka.Message`` is one)."""

    def topic(self) -> str | None:
        """Return the topic."""
        ...

    def partition(self) -> int | None:
        """Return the partition's number."""
        ...

    def offset(self) -> int | None:
        """Return the offset."""
        ...

    def key(self) -> bytes | str | None:
        """Return the key."""
        ...

    def value(self) -> bytes | str | None:
        """Return the value."""
        ...

    def headers(self) -> AnyHeaders | None:
        """Return the headers."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedEvent:
    """Key, value and headers of an event's message."""

    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


def encode(event: Event, *, traceparent: str | None = None) -> EncodedEvent:
    """Return an event's message in binary mode, keyed by its stream; ``traceparent`` overrides the event's own.

    Raises:
        InvalidEventError: if no reader would accept it, which is a defect of the event's maker.
    """
    try:
        attributes = to_model(event).model_dump(mode="json", exclude_none=True)
    except ValidationError as error:
        _refuse(error.errors(include_url=False, include_context=False))
    data = json.dumps(attributes.pop("data"), separators=(",", ":")).encode()
    message = to_binary_event(CloudEvent({**attributes, "time": event.time}, data))
    headers = sorted(message.headers.items())
    traceparent = traceparent or event.traceparent
    if traceparent is not None:
        headers.append((TRACEPARENT, traceparent.encode("ascii")))
    return EncodedEvent(key=event.stream.encode("ascii"), value=message.value, headers=tuple(headers))


def decode_message(message: RawMessage, *, partitions: int | None = None) -> Event:
    """Return the event of a message from Kafka; see :func:`decode`."""
    return decode(
        key=raw_bytes(message.key()),
        value=raw_bytes(message.value()),
        headers=raw_headers(message),
        coordinates=Coordinates(
            topic=message.topic() or "", partition=message.partition() or 0, offset=message.offset() or 0
        ),
        partitions=partitions,
    )


def raw_bytes(part: bytes | str | None) -> bytes | None:
    """Return a part of a message as bytes."""
    return part.encode() if isinstance(part, str) else part


def raw_headers(message: RawMessage) -> list[tuple[str, bytes | None]]:
    """Return a message's headers, in their order, repeated ones included."""
    headers = message.headers() or []
    pairs = headers.items() if isinstance(headers, dict) else headers
    return [(name, raw_bytes(content)) for name, content in pairs]


def decode(
    *,
    key: bytes | None,
    value: bytes | None,
    headers: Headers,
    coordinates: Coordinates | None,
    partitions: int | None = None,
) -> Event:
    """Return the event of a message.

    With ``partitions``, the topic's number of partitions, a message that another partitioner than murmur2 put
    elsewhere is refused.

    Raises:
        InvalidEventError: for anything that is no event; it names field, value and remedy, and has a reason.
    """
    if value is None:
        raise InvalidEventError(
            "value is null", remedy="send the event's JSON as the value", reason=InvalidReason.NULL_VALUE
        )
    size = len(value) + len(key or b"") + sum(len(name) + len(content or b"") for name, content in headers)
    if size > MAX_BYTES:
        raise InvalidEventError(
            f"event has {size} bytes, more than {MAX_BYTES}: {shown(value[:64])}",
            remedy="send the hint only: an event carries no rows",
            reason=InvalidReason.TOO_LARGE,
        )
    attributes = _attributes(headers)
    document = _document(attributes, value)
    model = _validate(document)
    _check_key(key, model.data.stream, coordinates, partitions)
    traceparent = attributes.get(TRACEPARENT) or document.get(TRACEPARENT)
    return to_event(model, traceparent=_trace(traceparent), coordinates=coordinates)


def _attributes(headers: Headers) -> dict[str, str]:
    """Return the headers that mean something here, by their names in lower case."""
    found: dict[str, str] = {}
    for name, content in headers:
        known = name.lower()
        if not known.startswith(_PREFIX) and known not in {_CONTENT_TYPE, TRACEPARENT}:
            continue
        if known in found:
            raise InvalidEventError(
                f"header {shown(name)} is there twice",
                remedy="send each header once: which of two values counts is anybody's guess",
                reason=InvalidReason.DUPLICATE_KEY,
            )
        try:
            found[known] = (content or b"").decode("utf-8")
        except UnicodeDecodeError:
            raise InvalidEventError(
                f"header {shown(name)} is not UTF-8: {shown(content)}",
                remedy="encode the header as UTF-8",
                reason=InvalidReason.INVALID_UTF8,
            ) from None
    return found


def _document(attributes: dict[str, str], value: bytes) -> dict[str, object]:
    """Return the event in the shape of structured mode."""
    content_type = attributes.get(_CONTENT_TYPE, "")
    envelope = {name.removeprefix(_PREFIX): text for name, text in attributes.items() if name.startswith(_PREFIX)}
    if content_type.lower().startswith(_STRUCTURED):
        if _STRUCTURED_JSON.fullmatch(content_type) is None:
            raise InvalidEventError(
                f"header content-type: {shown(content_type)} is no form that is read here",
                remedy="send one event in a message, as application/cloudevents+json or in binary mode",
                reason=InvalidReason.WRONG_SCHEMA,
            )
    elif envelope:
        if content_type:
            envelope["datacontenttype"] = content_type
        return {**envelope, "data": parse_object("data", value)}
    return parse_object("value", value)


def _validate(document: dict[str, object]) -> AnyEvent:
    version, type_ = document.get("specversion"), document.get("type")
    if version is not None and version != "1.0":
        raise InvalidEventError(
            f"specversion: {shown(version)} is not supported",
            remedy="send CloudEvents of version 1.0",
            reason=InvalidReason.UNKNOWN_VERSION,
        )
    if type_ is not None and (not isinstance(type_, str) or type_ not in MODELS):
        raise InvalidEventError(
            f"type: {shown(type_)} is unknown",
            remedy=f"send one of {', '.join(MODELS)}, or keep foreign events out of this topic",
            reason=InvalidReason.UNKNOWN_TYPE,
        )
    # Without a type, any model says that it is missing.
    model = MODELS[EventType.TICK if type_ is None else EventType(type_)]
    try:
        return model.model_validate_json(json.dumps(document))
    except ValidationError as error:
        _refuse(error.errors(include_url=False, include_context=False))


def _refuse(errors: Sequence[ErrorDetails]) -> NoReturn:
    first = errors[0]
    field = ".".join(str(part) for part in first["loc"]) or "value"
    if first["type"] in _TIMES:
        reason, remedy = InvalidReason.INVALID_TIME, "send an RFC 3339 time with its offset, in the years 1900 to 2299"
    elif first["type"] in _NAMES:
        reason, remedy = InvalidReason.INVALID_NAME, f"send what the pattern of {field} allows; see schemas/events"
    elif first["type"] == "json_invalid":
        reason, remedy = InvalidReason.NOT_JSON, _SCHEMAS
    else:
        reason, remedy = InvalidReason.WRONG_SCHEMA, _SCHEMAS
    held = "" if first["type"] in {"missing", "json_invalid"} else f": {shown(first['input'])}"
    raise InvalidEventError(f"{field}{held}: {first['msg']}", remedy=remedy, reason=reason)


def _check_key(key: bytes | None, stream: str, coordinates: Coordinates | None, partitions: int | None) -> None:
    if key != stream.encode("ascii"):
        raise InvalidEventError(
            f"key: {shown(key)} is not data.stream, which is {stream!r}",
            remedy="key each event by its stream's name, so that one consumer gets all events of a stream",
            reason=InvalidReason.WRONG_KEY,
        )
    if partitions is not None and coordinates is not None:
        expected = murmur2(key, partitions)
        if coordinates.partition != expected:
            raise InvalidEventError(
                f"partition: {coordinates.partition} of {partitions} is not where murmur2 puts the key {stream!r}"
                f" ({expected})",
                remedy="set partitioner=murmur2_random in librdkafka producers; it is the default of Java producers",
                reason=InvalidReason.WRONG_PARTITION,
            )


def _trace(traceparent: object) -> str | None:
    """Return a trace context, or ``None``: an invalid one is as good as none (W3C Trace Context, 3.2)."""
    return traceparent if isinstance(traceparent, str) and _TRACEPARENT.fullmatch(traceparent) else None
