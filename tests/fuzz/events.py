"""What has to become of every message: an event that is one, or a dead letter."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from consumer.adapters.kafka.codec import Headers, decode_message, encode
from consumer.adapters.kafka.dead_letters import MAX_LETTER_BYTES, dead_letter
from consumer.domain.errors import InvalidEventError
from consumer.domain.event import Event
from consumer.domain.invalid_reason import InvalidReason
from consumer.domain.window import BEGINNING, END_OF_TIME
from tests.fuzz.messages import PARTITIONS, Sent

NOW = datetime(2026, 1, 1, tzinfo=UTC)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_VISIBLE = re.compile(r"[\x21-\x7e]{1,256}")
_TRACE = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_LONGEST_ERROR = 4_000
_ADDED_BYTES = 4_096
"""What a letter's own headers have at most besides the error's text."""


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
    return _placed(sent)


def _placed(sent: Sent) -> str:
    """Read an event once more where the number of partitions is known: murmur2 decides whether it is in its place."""
    reason = "event"
    try:
        decode_message(sent, partitions=PARTITIONS)
    except InvalidEventError as error:
        reason = error.reason
    assert reason in {"event", InvalidReason.WRONG_PARTITION}
    return reason


def _check_letter(sent: Sent, error: InvalidEventError) -> None:
    assert error.reason in InvalidReason
    assert error.remedy
    assert len(str(error)) < _LONGEST_ERROR, f"an error of {len(str(error))} characters"
    assert str(error).isprintable(), f"an error that acts on a terminal: {str(error)!r}"
    letter = dead_letter(sent, error, now=NOW)
    came: Headers = list(sent.raw_headers or ())
    names = [name for name, _ in letter.headers]
    first = len(names) - 1 - names[::-1].index("icehaul-reason")
    own = list(letter.headers)[:first]
    if "icehaul-cut-off" not in names[first:]:
        assert (letter.key, letter.value, own) == (sent.raw_key, sent.raw_value, came)
    else:
        assert (sent.raw_value or b"").startswith(letter.value or b"")
        assert own == list(came)[: len(own)]
    size = len(letter.key or b"") + len(letter.value or b"")
    size += sum(len(name.encode()) + len(content or b"") for name, content in own)
    assert size <= MAX_LETTER_BYTES, f"a letter of {size} bytes"
    added = sum(len(name) + len(content or b"") for name, content in list(letter.headers)[first:])
    assert added <= _ADDED_BYTES + _LONGEST_ERROR, f"{added} bytes were added to a letter"


def _check_event(event: Event) -> None:
    assert _NAME.fullmatch(event.stream), f"stream {event.stream!r}"
    assert event.upstream is None or _NAME.fullmatch(event.upstream), f"upstream {event.upstream!r}"
    assert _VISIBLE.fullmatch(event.id), f"id {event.id!r}"
    assert event.traceparent is None or _TRACE.fullmatch(event.traceparent), f"traceparent {event.traceparent!r}"
    assert BEGINNING <= event.cutoff <= END_OF_TIME, f"cutoff {event.cutoff}"
    assert event.cutoff.utcoffset() is not None
    again = encode(event)
    assert again.key == event.stream.encode()
