"""Events as they stand in the parked table and the outbox: whole, so that they can be rebuilt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from consumer.domain.errors import InvalidEventError
from consumer.domain.event import Coordinates, Event, EventType

_INSTANTS = ("cutoff", "time")


def event_to_row(event: Event) -> dict[str, Any]:
    """Return the columns of an event.

    Raises:
        InvalidEventError: if a text holds a NUL or half a surrogate pair, which no Postgres text can hold.
    """
    fields = asdict(event)
    for name, value in fields.items():
        if isinstance(value, str) and ("\0" in value or _has_surrogate(value)):
            raise InvalidEventError(
                f"event field {name}: {value!r} holds a character that Postgres can't store",
                remedy="correct the producer of the event",
            )
    for name in _INSTANTS:
        fields[name] = fields[name].isoformat()
    return {"stream": event.stream, "event_id": event.id, "event": Jsonb(fields)}


def event_from_json(fields: Mapping[str, Any]) -> Event:
    """Rebuild an event."""
    coordinates = fields["coordinates"]
    return Event(
        **{
            **fields,
            "type": EventType(fields["type"]),
            **{name: datetime.fromisoformat(fields[name]) for name in _INSTANTS},
            "coordinates": None if coordinates is None else Coordinates(**coordinates),
        }
    )


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)
