"""The effective configuration: every field with its value, as it would be written, and where it came from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any

from pydantic import BaseModel, ByteSize, SecretStr

from consumer.domain.duration import format_duration
from consumer.settings.model import Configuration
from consumer.settings.origin import Origins
from consumer.settings.yaml_file import Location

REDACTED = "**********"
"""Stands for a secret that is set; one that is not set is shown as it is: empty."""

_SECRET_KEY = re.compile(r"pass|secret|token|credential|private|[._-]key\b|sasl\.jaas", re.IGNORECASE)
_USER_INFO = re.compile(r"(?<=://)[^/@\s]*@")


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveField:
    """One field; ``value`` is plain data without secrets, ``origin`` is ``None`` for a default."""

    location: Location
    value: Any
    origin: str | None


def is_secret_key(name: str) -> bool:
    """Tell whether an option of this name holds a secret, though its field is none of ours."""
    return _SECRET_KEY.search(name) is not None


def effective(configuration: Configuration, origins: Origins) -> Iterator[EffectiveField]:
    """Yield every field of the configuration in the order of the models."""
    yield from _fields(configuration, (), origins)


def _fields(model: BaseModel, location: Location, origins: Origins) -> Iterator[EffectiveField]:
    for name in type(model).model_fields:
        value, place = getattr(model, name), (*location, name)
        members = value if isinstance(value, tuple) else ()
        if isinstance(value, BaseModel):
            yield from _fields(value, place, origins)
        elif any(isinstance(member, BaseModel) for member in members):
            for position, member in enumerate(members):
                yield from _fields(member, (*place, position), origins)
        else:
            yield EffectiveField(location=place, value=_plain(value, str(name)), origin=origins.given(place))


def _plain(value: Any, name: str) -> Any:  # noqa: ANN401 - whatever a field holds
    if isinstance(value, dict):
        return {key: _plain(member, str(key)) for key, member in value.items()}
    if isinstance(value, tuple):
        return [_plain(member, name) for member in value]
    return _scalar(value, name)


def _scalar(value: Any, name: str) -> Any:  # noqa: ANN401 - the same
    match value:
        case SecretStr():
            return REDACTED if value.get_secret_value() else ""
        case timedelta():
            return format_duration(value)
        case Enum():
            return value.value
        case str():
            # Options for librdkafka, Spark and the like may hold secrets under names of their own; so may URLs.
            return REDACTED if value and is_secret_key(name) else _USER_INFO.sub(f"{REDACTED}@", value)
        case ByteSize():
            return int(value)
        case _:
            return value
