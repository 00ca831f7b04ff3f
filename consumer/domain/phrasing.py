"""How counts and instants are put into words for people."""

from __future__ import annotations

from datetime import datetime


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: ``1 stream``, ``2,000 streams``; ``plural`` where an s won't do."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def instant_text(instant: datetime) -> str:
    """Write an instant, which is in UTC, without needless digits: ``2024-01-31 12:00:00``."""
    text = instant.isoformat(sep=" ", timespec="microseconds" if instant.microsecond else "seconds")
    return text.removesuffix("+00:00")
