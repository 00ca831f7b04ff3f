"""Durations, instants, sizes and lists of names as fields of the configuration."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, ByteSize, WithJsonSchema
from pydantic_settings import NoDecode

from consumer.domain.duration import parse_duration
from consumer.domain.window import BEGINNING, END_OF_TIME


def _not_negative(value: timedelta) -> timedelta:
    if value < timedelta(0):
        msg = "a duration must not be negative"
        raise ValueError(msg)
    return value


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        msg = "this duration must be longer than 0"
        raise ValueError(msg)
    return value


Duration = Annotated[
    timedelta,
    AfterValidator(_not_negative),
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": "string", "examples": ["90s", "5m", "1h30m", "1d"]}),
]
"""A span of time that is not negative, written with units: ``5m``, ``1h30m``."""

PositiveDuration = Annotated[Duration, AfterValidator(_positive)]
"""A span of time longer than nothing."""


_WEEK: Final = timedelta(days=7)


def _week_or_longer(value: timedelta) -> timedelta:
    if value < _WEEK:
        msg = "this duration must not be shorter than 7d: a week is what people need to find out what happened"
        raise ValueError(msg)
    return value


LongDuration = Annotated[PositiveDuration, AfterValidator(_week_or_longer)]
"""A span of time of a week at least."""


def _instant(value: Any) -> datetime:  # noqa: ANN401 - YAML makes a date or a datetime of what looks like one
    if isinstance(value, date) and not isinstance(value, datetime):
        value = value.isoformat()
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError, AttributeError):
        found = None
    if found is None or not BEGINNING <= found <= END_OF_TIME:
        msg = (
            f"an instant in ISO 8601 between {BEGINNING.date()} and {END_OF_TIME.date()} is expected, such as"
            " 2024-01-31T12:00:00Z (without an offset it is UTC)"
        )
        raise ValueError(msg)
    return found


Instant = Annotated[
    datetime,
    BeforeValidator(_instant),
    WithJsonSchema({"type": "string", "examples": ["2024-01-31", "2024-01-31T12:00:00Z"]}),
]
"""An instant in ISO 8601, in UTC where it has no offset."""

Size = Annotated[ByteSize, WithJsonSchema({"type": ["string", "integer"], "examples": ["512MiB", "2GiB"]})]
"""A number of bytes, written with or without a unit: ``512MiB``."""


def _split(value: Any) -> Any:  # noqa: ANN401 - whatever the file or the environment holds
    return [part for part in value.split(",") if part] if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""A list of names; in the environment separated by commas."""


_HOST: Final = re.compile(r"[A-Za-z0-9_.:\[\]%-]{1,255}")
_TOPIC: Final = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_ATTRIBUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,127}")
_FOLDERS: Final = re.compile(r"[A-Za-z0-9_.=@+,-]{1,255}(?:/[A-Za-z0-9_.=@+,-]{1,255})*/?")


def _host(value: str) -> str:
    if _HOST.fullmatch(value) is None:
        raise ValueError("a host name or an address is expected, without scheme, user, port and path")
    return value


def _topic(value: str) -> str:
    if _TOPIC.fullmatch(value) is None:
        raise ValueError("a topic's name has letters, digits, dots, _ and -, 249 characters at most")
    return value


def _bucket(value: str) -> str:
    if _BUCKET.fullmatch(value) is None:
        raise ValueError("a bucket's name has letters, digits, dots, _ and -, and begins with a letter or digit")
    return value


def _folders(value: str) -> str:
    if value and (_FOLDERS.fullmatch(value) is None or {".", ".."} & set(value.split("/"))):
        raise ValueError(
            "folders separated by / are expected, such as lake/warehouse: letters, digits and _.=@+,-, but no . or .."
        )
    return value


TRACE_ID: Final = "{trace_id}"
"""What stands in the place of a trace's id in an address."""
_OWN_ATTRIBUTES: Final = frozenset(
    {"service.name", "service.namespace", "service.version", "service.instance.id", "host.name", "process.pid"}
)


def _trace_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        known = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.username is None
    except ValueError:
        known = False
    rest = value.replace(TRACE_ID, "")
    if not known or rest == value or set("{}") & set(rest) or any(not one.isprintable() or one == " " for one in value):
        raise ValueError(
            "an http or https URL with {trace_id} in it is expected, without user, blanks and other braces, such as"
            " https://jaeger.example.net/trace/{trace_id}"
        )
    return value


def _resource(value: dict[str, str]) -> dict[str, str]:
    for name in value:
        if name in _OWN_ATTRIBUTES:
            raise ValueError(
                f"{name} is set by icehaul itself; leave it out (service.name follows telemetry.service_name)"
            )
        if _ATTRIBUTE.fullmatch(name) is None:
            raise ValueError(
                f"{name!r} is no name of an attribute: letters, digits, dots and _, beginning with a letter"
            )
    return value


Host = Annotated[str, AfterValidator(_host)]
"""A host name or address: nothing that would change the meaning of a URL around it."""

Topic = Annotated[str, AfterValidator(_topic)]
"""A topic's name, as brokers take it."""

Bucket = Annotated[str, AfterValidator(_bucket)]
"""A bucket's name."""

Folders = Annotated[str, AfterValidator(_folders)]
"""A path within a bucket that leads nowhere else."""

TraceUrl = Annotated[str, AfterValidator(_trace_url), WithJsonSchema({"type": "string", "format": "uri-template"})]
"""The address of a trace, with ``{trace_id}`` in the place of its id."""

ResourceAttributes = Annotated[dict[str, str], AfterValidator(_resource)]
"""Resource attributes besides those that icehaul sets itself."""
