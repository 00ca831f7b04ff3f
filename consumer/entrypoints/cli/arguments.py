"""Reading what stands on the command line as text: instants, durations, table names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from consumer.domain.duration import parse_duration
from consumer.domain.errors import ConfigurationError
from consumer.domain.window import BEGINNING, END_OF_TIME

NOW = "now"


def parse_instant(option: str, text: str) -> datetime | None:
    """Read an ISO 8601 instant; without an offset it is UTC. ``None`` for the word ``now``.

    Raises:
        ConfigurationError: naming the option, if it is neither, or outside of what ClickHouse's DateTime64 holds.
    """
    if text == NOW:
        return None
    try:
        instant = datetime.fromisoformat(text)
        instant = instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, OverflowError):
        instant = None
    if instant is None or not BEGINNING <= instant <= END_OF_TIME:
        raise ConfigurationError(
            f"{option}: {text!r} is no instant between {BEGINNING.date()} and {END_OF_TIME.date()}",
            remedy="write it in ISO 8601, such as 2024-01-31T12:00:00Z (without an offset it is UTC), or: now",
        )
    return instant


def parse_span(option: str, text: str) -> timedelta:
    """Read a span of time with its unit, such as ``10m``.

    Raises:
        ConfigurationError: naming the option, if it is none.
    """
    try:
        span: timedelta = parse_duration(text)
    except ValueError as error:
        raise ConfigurationError(f"{option}: {text!r}: {error}", remedy="write it as in: 90s, 10m, 1h30m") from None
    return span
