"""Dead letters: messages that could not be handled, as their topic keeps them, and what may become of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from consumer.domain.errors import ConfigurationError
from consumer.domain.event import Coordinates

Headers = Sequence[tuple[str, bytes | None]]

_PLACE = re.compile(r"(\d{1,9})@(\d{1,18})")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Place:
    """Where a letter stands in the dead-letter topic: partition and offset."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}@{self.offset}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A dead letter.

    Attributes:
        place: where it stands.
        origin: where the message stood; ``None`` where nothing says so: somebody else has put it here.
        time: when it became a letter.
        reason: the class of what was wrong, as the consumer named it.
        error: what was wrong, in words.
        key, value, headers: the message as it came, byte for byte.
        cut_off: whether it was too large to be kept whole: far larger than any event.
        redriven: when it was sent to the event topic again; ``None`` if it never was.
    """

    place: Place
    origin: Coordinates | None
    time: datetime | None
    reason: str
    error: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    cut_off: bool
    redriven: datetime | None = None


class Verdict(StrEnum):
    """What becomes of a letter."""

    VALID = "valid"
    """It is an event now (the configuration or icehaul itself has changed): it may be sent again."""
    INVALID = "still invalid"
    DONE = "redriven before"
    REDRIVEN = "redriven"


def parse_place(text: str) -> Place:
    """Read ``PARTITION@OFFSET``.

    Raises:
        ConfigurationError: if it is none.
    """
    match = _PLACE.fullmatch(text)
    if match is None:
        raise ConfigurationError(
            f"LETTER: {text!r} is no place of a dead letter",
            remedy="write PARTITION@OFFSET, as `icehaul dlq list` shows it: 3@17",
        )
    return Place(partition=int(match[1]), offset=int(match[2]))
