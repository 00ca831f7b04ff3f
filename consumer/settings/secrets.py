"""The secrets of a configuration: what must be known to be kept out of all that is written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, SecretStr

from consumer.settings.effective import is_secret_key
from consumer.settings.model import Configuration

_IN_PAIRS = re.compile(r"(?:^|[\s?&;])(?:password|sslpassword|token)\s*=\s*('(?:[^'\\]|\\.)*'|[^\s&;]+)", re.IGNORECASE)


def secrets_of(configuration: Configuration) -> frozenset[str]:
    """Return every secret value, and those that stand inside of one: the password of a DSN, the token of an address."""
    found: set[str] = set()
    for value in _values(configuration):
        found |= {value, *_parts(value)}
    return frozenset(found - {""})


def _values(model: BaseModel) -> Iterator[str]:
    for name in type(model).model_fields:
        yield from _held(getattr(model, name))


def _held(value: object) -> Iterator[str]:
    match value:
        case SecretStr():
            yield value.get_secret_value()
        case BaseModel():
            yield from _values(value)
        case dict():
            for key, member in value.items():
                # Options of librdkafka, Spark or ClickHouse that are secrets under names of their own.
                if isinstance(member, str) and is_secret_key(str(key)):
                    yield member
                yield from _held(member)
        case tuple():
            for member in value:
                yield from _held(member)


def _parts(value: str) -> Iterator[str]:
    try:
        password = urlsplit(value).password
    except ValueError:
        password = None
    if password:
        yield password
        yield unquote(password)
    for match in _IN_PAIRS.finditer(value):
        yield unquote(match[1].strip("'"))
