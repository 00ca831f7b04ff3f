"""Events as they stand in the parked table and the outbox: whole, so that they can be rebuilt."""

from __future__ import annotations

import re
from typing import Any

from psycopg.types.json import Jsonb
from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError

from consumer.domain.errors import InvalidEventError
from consumer.domain.event import Event

_EVENT = TypeAdapter(Event)
# An escaped NUL, not an escaped backslash before "u0000".
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def event_to_row(event: Event) -> dict[str, Any]:
    """Return the columns of an event.

    Raises:
        InvalidEventError: if a text holds a NUL or half a surrogate pair, which no Postgres text can hold.
    """
    try:
        text = _EVENT.dump_json(event)
    except PydanticSerializationError as error:
        raise _unstorable(event) from error
    if _NUL.search(text):
        raise _unstorable(event)
    return {"stream": event.stream, "event_id": event.id, "event": Jsonb(_EVENT.dump_python(event, mode="json"))}


def event_from_json(fields: object) -> Event:
    """Rebuild an event."""
    return _EVENT.validate_python(fields, strict=False)


def _unstorable(event: Event) -> InvalidEventError:
    return InvalidEventError(
        f"event {event.id!r} holds a character that Postgres can't store", remedy="correct the producer of the event"
    )
