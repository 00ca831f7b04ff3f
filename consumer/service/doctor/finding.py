"""What a check finds, and what a check is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

NOTHING = "nothing to do"


class Severity(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    """It is as it should be."""
    INFO = "info"
    """Good to know."""
    WARNING = "warning"
    """It works, and may surprise or slow down."""
    ERROR = "error"
    """Something that icehaul needs is missing or wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One statement of a check about its subject, with what to do about it."""

    check: str
    subject: str
    severity: Severity
    message: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a check says; which check it was, and about what, is known to whoever runs it."""

    severity: Severity
    message: str
    remedy: str


def ok(message: str) -> Statement:
    """State that something is as it should be."""
    return Statement(severity=Severity.OK, message=message, remedy=NOTHING)


def info(message: str, remedy: str = NOTHING) -> Statement:
    """State what is good to know."""
    return Statement(severity=Severity.INFO, message=message, remedy=remedy)


def warning(message: str, remedy: str) -> Statement:
    """State what works and may surprise."""
    return Statement(severity=Severity.WARNING, message=message, remedy=remedy)


def error(message: str, remedy: str) -> Statement:
    """State what is missing or wrong."""
    return Statement(severity=Severity.ERROR, message=message, remedy=remedy)


class Check(Protocol):
    """Looks at one thing; an error that it raises is a finding too.

    Attributes:
        name: what kind of thing, such as ``clickhouse`` or ``topic``.
        subject: which one, such as a stream's name or an address.
    """

    @property
    def name(self) -> str:
        """What kind of thing is looked at."""
        ...

    @property
    def subject(self) -> str:
        """Which one."""
        ...

    def run(self) -> Iterable[Statement]:
        """Look, and say what there is to say."""
        ...
