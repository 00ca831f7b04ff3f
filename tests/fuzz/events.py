"""Messages that nobody should have sent, and what has to become of each: an event that is one, or a dead letter."""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from consumer.adapters.kafka.codec import MAX_BYTES, Headers, decode_message, encode
from consumer.adapters.kafka.dead_letters import MAX_LETTER_BYTES, dead_letter
from consumer.domain.errors import InvalidEventError, InvalidReason
from consumer.domain.event import Event
from consumer.domain.window import BEGINNING, END_OF_TIME
from tests.fuzz.hostile import VALUES, changed, deep, scratched

NOW = datetime(2026, 1, 1, tzinfo=UTC)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_VISIBLE = re.compile(r"[\x21-\x7e]{1,256}")
_LONGEST_ERROR = 4_000
_NO_SPAN = b"00-00000000000000000000000000000000-1111111111111111-01"
_NAMES = ("CE_ID", "ce_", "content-type", "x" * 300, "\u00e9")

_TIME = "2026-01-01T00:00:00Z"
_DATA: dict[str, dict[str, Any]] = {
    "icehaul.tick.v1": {"stream": "trades", "cutoff": _TIME},
    "icehaul.partition.closed.v1": {
        "stream": "trades",
        "cutoff": _TIME,
        "table": "market.trades",
        "partition_id": "20260101",
        "content_id": "0123456789abcdef0123456789abcdef",
        "rows": 5,
        "min_block": 1,
        "max_block": 9,
        "data_version": 0,
    },
    "icehaul.batch.committed.v1": {
        "stream": "bars",
        "cutoff": _TIME,
        "upstream": "trades",
        "batch_id": "01234567-89ab-5def-8123-456789abcdef",
    },
}


@dataclass(frozen=True, slots=True)
class Sent:
    """A message as the client hands it over."""

    raw_key: bytes | None
    raw_value: bytes | None
    raw_headers: tuple[tuple[str, bytes | None], ...]

    def topic(self) -> str:
        """Return the topic."""
        return "icehaul.events"

    def partition(self) -> int:
        """Return the partition."""
        return 3

    def offset(self) -> int:
        """Return the offset."""
        return 17

    def key(self) -> bytes | None:
        """Return the key."""
        return self.raw_key

    def value(self) -> bytes | None:
        """Return the value."""
        return self.raw_value

    def headers(self) -> Any:
        """Return the headers."""
        return list(self.raw_headers)


def message(chance: random.Random) -> Sent:
    """Return a message; one in ten or so is an event."""
    type_ = chance.choice(list(_DATA))
    envelope: dict[str, Any] = {
        "specversion": "1.0",
        "id": f"e{chance.randrange(1000)}",
        "source": "/strangers",
        "type": type_,
        "time": _TIME,
        "data": _DATA[type_],
    }
    if chance.random() < 0.7:
        envelope = changed(chance, envelope)
    structured = chance.random() < 0.6
    headers: list[tuple[str, bytes | None]] = []
    value: bytes | None
    if structured:
        value = _json(chance, envelope)
        headers.append(("content-type", b"application/cloudevents+json"))
    else:
        value = _json(chance, envelope.pop("data", None))
        headers += [(f"ce_{name}", str(said).encode("utf-8", "replace")) for name, said in envelope.items()]
        headers.append(("content-type", b"application/json"))
    key: bytes | None = str(_DATA[type_]["stream"]).encode()
    if chance.random() < 0.2:
        key = chance.choice((None, b"", b"\xff", b"other", b"x" * 400, b"trades\x00"))
    if chance.random() < 0.3:
        headers = _headers(chance, headers)
    if chance.random() < 0.3:
        value = _value(chance, value or b"")
    return Sent(key, value, tuple(headers))


def _json(chance: random.Random, document: object) -> bytes:
    text = json.dumps(document, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
    if chance.random() < 0.1 and text.startswith(b"{"):
        text = text[:-1] + b', "id": "twice", "stream": "twice"}'
    return text


def _value(chance: random.Random, value: bytes) -> bytes | None:
    match chance.randrange(8):
        case 0:
            return None
        case 1:
            return b""
        case 2:
            return deep(10_000).encode()
        case 3:
            return value + b" " * MAX_BYTES
        case _:
            return scratched(chance, value)


def _headers(chance: random.Random, headers: list[tuple[str, bytes | None]]) -> list[tuple[str, bytes | None]]:
    made = list(headers)
    for _ in range(chance.choice((1, 2))):
        at = chance.randrange(len(made)) if made else 0
        match chance.randrange(5):
            case 0 if made:
                del made[at]
            case 1 if made:
                made.insert(at, made[at])
            case 2 if made:
                said = str(chance.choice(VALUES)).encode("utf-8", "replace")
                made[at] = (made[at][0], chance.choice((None, b"", b"\xff\xff", said)))
            case 3:
                made.append(("traceparent", chance.choice((b"00-x", b"\xff", _NO_SPAN))))
            case _:
                made.append((chance.choice(_NAMES), b"y" * chance.choice((1, 5_000))))
    return made


def judge(sent: Sent) -> str:
    """Let the consumer's own code read a message, and return what it was: ``event``, or the reason of its letter.

    Raises:
        AssertionError: if it is neither, or something of it goes further than it may.
    """
    try:
        event = decode_message(sent)
    except InvalidEventError as error:
        _check_letter(sent, error)
        return error.reason
    _check_event(event)
    return "event"


def _check_letter(sent: Sent, error: InvalidEventError) -> None:
    assert error.reason in InvalidReason
    assert error.remedy
    assert len(str(error)) < _LONGEST_ERROR, f"an error of {len(str(error))} characters"
    assert str(error).isprintable(), f"an error that acts on a terminal: {str(error)!r}"
    letter = dead_letter(sent, error, now=NOW)
    own: Headers = list(letter.headers)[: len(sent.raw_headers)]
    assert (letter.key, letter.value, own) == (sent.raw_key, sent.raw_value, list(sent.raw_headers))
    assert len(letter.value or b"") <= MAX_LETTER_BYTES


def _check_event(event: Event) -> None:
    assert _NAME.fullmatch(event.stream), f"stream {event.stream!r}"
    assert event.upstream is None or _NAME.fullmatch(event.upstream), f"upstream {event.upstream!r}"
    assert _VISIBLE.fullmatch(event.id), f"id {event.id!r}"
    assert BEGINNING <= event.cutoff <= END_OF_TIME, f"cutoff {event.cutoff}"
    assert event.cutoff.utcoffset() is not None
    again = encode(event)
    assert again.key == event.stream.encode()
