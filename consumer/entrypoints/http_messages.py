"""What comes in and goes out over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import NamedTuple, Protocol

_NO_HEADERS: Mapping[str, str] = {}


class Answer(NamedTuple):
    """What is sent back; ``headers`` are those besides content type, length and caching."""

    status: HTTPStatus
    body: bytes
    content_type: str
    headers: Mapping[str, str] = _NO_HEADERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a client asks for.

    Attributes:
        method: GET, POST and so on.
        path: percent-decoded, without the query.
        query: the last value of each parameter.
        headers: by name, in lower case.
        client: the address that the connection comes from.
        body: reads what was sent along, ``None`` if that is more than is taken.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    client: str = ""
    body: Callable[[], bytes | None] = lambda: b""

    @property
    def reads(self) -> bool:
        """Whether it asks for something and changes nothing."""
        return self.method in {"GET", "HEAD"}


class Site(Protocol):
    """A part of the paths."""

    def answer(self, request: Request) -> Answer | None:
        """Answer a request, or return ``None`` if there is nothing under its path."""
        ...


def json_answer(status: HTTPStatus, body: Mapping[str, object], headers: Mapping[str, str] = _NO_HEADERS) -> Answer:
    """Return an answer in JSON; instants are written by ISO 8601, UUIDs as text."""
    return Answer(status, json.dumps(body, default=_text).encode() + b"\n", "application/json", headers)


def wrong_method(allowed: str) -> Answer:
    """Return the answer to a method that a path does not have."""
    return json_answer(HTTPStatus.METHOD_NOT_ALLOWED, {"error": f"only {allowed} are allowed"}, {"Allow": allowed})


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
