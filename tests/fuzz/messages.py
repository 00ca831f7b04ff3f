"""Messages as strangers put them on the topic: keys, headers and bodies that nobody should have sent."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from consumer.adapters.kafka.codec import MAX_BYTES
from tests.fuzz.hostile import VALUES, changed, deep, scratched

TIME = "2026-01-01T00:00:00Z"
STREAM = "trades"
PARTITIONS = 12

DATA: dict[str, dict[str, Any]] = {
    "icehaul.tick.v1": {"stream": STREAM, "cutoff": TIME},
    "icehaul.partition.closed.v1": {
        "stream": STREAM,
        "cutoff": TIME,
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
        "cutoff": TIME,
        "upstream": STREAM,
        "batch_id": "01234567-89ab-5def-8123-456789abcdef",
    },
}
"""The ``data`` of an event of each type."""

_KEYS = (
    None,
    b"",
    b"\xff",
    b"other",
    b"trades\x00",
    b" trades",
    b"TRADES",
    "tra\u0434es".encode(),
    "trades".encode("utf-16"),
    b"trades`; DROP TABLE trades",
    b"../trades",
    b"x" * 400,
)
_NAMES = (
    "CE_ID",
    "ce_",
    "ce_\x00",
    "content-type",
    "Content-Type",
    "traceparent",
    "x" * 300,
    "\u00e9",
    "icehaul-topic",
)
_CONTENT_TYPES = (
    b"application/cloudevents+json; charset=utf-16",
    b"application/cloudevents-batch+json",
    b"application/cloudevents+protobuf",
    b"APPLICATION/CLOUDEVENTS+JSON",
    b"application/json; charset=latin-1",
    b"text/html",
    b"application/json\x00",
)
_ATTRIBUTES = ("ce_specversion", "ce_id", "ce_type", "ce_data", "ce_datacontenttype", "ce_dataschema", "ce_host")
_NO_SPAN = b"00-00000000000000000000000000000000-1111111111111111-01"
_TRACES = (b"00-x", b"\xff", b"", None, _NO_SPAN, b"00-" + b"f" * 5_000, "00-\u0661".encode())
_SLOW = (
    b'{"data": ' + b"1" * 200_000 + b"}",
    b'{"data": 0.' + b"1" * 200_000 + b"e9}",
    b'{"data": "' + b'\\"' * 100_000 + b'"}',
    b'"' * 200_000,
    b"[" + b"0," * 100_000 + b"0]",
    b"{" + b",".join(b'"%x":1' % min(number, 19_998) for number in range(20_000)) + b"}",
)
"""Bodies just below the greatest size, on which a careless reader spends minutes; the last one has a name twice."""

Header = tuple[str, bytes | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A message as the client hands it over."""

    raw_key: bytes | None
    raw_value: bytes | None
    raw_headers: tuple[Header, ...] | None
    place: tuple[str, int, int] = ("icehaul.events", 3, 17)

    def topic(self) -> str:
        """Return the topic."""
        return self.place[0]

    def partition(self) -> int:
        """Return the partition."""
        return self.place[1]

    def offset(self) -> int:
        """Return the offset."""
        return self.place[2]

    def key(self) -> bytes | None:
        """Return the key."""
        return self.raw_key

    def value(self) -> bytes | None:
        """Return the value."""
        return self.raw_value

    def headers(self) -> Any:
        """Return the headers; a message without any has ``None``."""
        return None if self.raw_headers is None else list(self.raw_headers)


def message(
    chance: random.Random, data: Mapping[str, Mapping[str, Any]] = DATA, values: Sequence[Any] = VALUES
) -> Sent:
    """Return a message; one in ten or so is an event. ``data`` is what each type holds; ``values`` mean harm."""
    type_ = chance.choice(list(data))
    envelope: dict[str, Any] = {
        "specversion": "1.0",
        "id": f"e{chance.randrange(1000)}",
        "source": "/strangers",
        "type": type_,
        "time": TIME,
        "data": data[type_],
    }
    if chance.random() < 0.7:
        envelope = changed(chance, envelope, values)
    headers: list[Header] = []
    value: bytes | None
    if chance.random() < 0.6:
        value = _json(chance, envelope)
        headers.append(("content-type", b"application/cloudevents+json"))
    else:
        value = _json(chance, envelope.pop("data", None))
        headers += [(f"ce_{name}", str(said).encode("utf-8", "replace")) for name, said in envelope.items()]
        headers.append(("content-type", b"application/json"))
    key: bytes | None = str(data[type_]["stream"]).encode()
    if chance.random() < 0.2:
        key = chance.choice(_KEYS)
    if chance.random() < 0.3:
        headers = _headers(chance, headers, values)
    if chance.random() < 0.3:
        value = _value(chance, value or b"")
    place = ("icehaul.events", chance.randrange(PARTITIONS), chance.choice((0, 17, 2**62)))
    return Sent(raw_key=key, raw_value=value, raw_headers=tuple(headers) or None, place=place)


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
            return _large(chance, value)
        case _:
            return scratched(chance, value)


def _large(chance: random.Random, value: bytes) -> bytes:
    """Return a body at the edges of what is read, or one whose structure takes time."""
    return chance.choice(_SLOW) if chance.random() < 0.1 else value + b" " * chance.choice((MAX_BYTES, 2_000_000))


def _headers(chance: random.Random, headers: list[Header], values: Sequence[Any]) -> list[Header]:
    made = list(headers)
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(len(made)) if made else 0
        match chance.randrange(9):
            case 0 if made:
                del made[at]
            case 1 if made:
                made.insert(at, made[at])
            case 2 if made:
                # The same name once more, with another value or in other letters.
                name = made[at][0]
                made.append((chance.choice((name, name.upper(), name.title())), chance.choice((None, b"", b"other"))))
            case 3 if made:
                said = str(chance.choice(values)).encode("utf-8", "replace")
                made[at] = (made[at][0], chance.choice((None, b"", b"\xff\xff", said)))
            case 4:
                made.append(("traceparent", chance.choice(_TRACES)))
            case 5:
                made.append(("content-type", chance.choice(_CONTENT_TYPES)))
            case 6:
                said = str(chance.choice(values)).encode("utf-8", "replace")
                made.append((chance.choice(_ATTRIBUTES), said))
            case 7:
                made += _many(chance)
            case _:
                made.append((chance.choice(_NAMES), chance.choice((None, b"", b"y", b"y" * 5_000))))
    return made


def _many(chance: random.Random) -> list[Header]:
    """Return headers that are large by their size, their number or their names."""
    match chance.randrange(20):
        case 0:
            return [("huge", b"z" * 300_000)]
        case 1:
            return [(f"ce_x{number}", b"z") for number in range(1_000)]
        case 2:
            return [("n" * 300_000, None)]
        case _:
            return [("large", b"z" * 9_000)]
