"""What a side effect is, and the points before and after it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from consumer.domain.errors import (
    BrokerUnavailableError,
    CatalogUnavailableError,
    EngineFailedError,
    IcehaulError,
    LedgerUnavailableError,
    SourceUnavailableError,
    StoreUnavailableError,
    UnknownCommitError,
)


class Component(StrEnum):
    """The part of icehaul that has an effect."""

    CONSUMER = "consumer"
    PREPARATION = "preparation"
    TASK = "task"
    PUBLISHER = "publisher"
    TWO_STEP = "two-step publisher"
    EMITTER = "emitter"
    RELAY = "relay"
    DROPPER = "dropper"
    HISTORY = "history"
    OPERATOR = "operator"
    REGISTER = "register"
    LETTERS = "letters"
    REWINDER = "rewinder"
    STATE = "state"
    RESTORER = "restorer"
    MAINTAINER = "maintainer"
    REMOVER = "remover"


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One side effect.

    Attributes:
        name: ``subject.verb``; its points are ``subject.before-verb`` and ``subject.after-verb``.
        before: what is true just before it.
        after: what is true just after it.
        fails: class of the error that a failure of it raises.
        lost: class of the error that the caller sees when it has happened and its answer was lost, as the adapter
            raises it; or, as a text, why there is no such case.
    """

    name: str
    component: Component
    before: str
    after: str
    fails: type[IcehaulError]
    lost: type[IcehaulError] | str

    @property
    def points(self) -> tuple[str, str]:
        """The names of the points before and after the effect."""
        subject, _, verb = self.name.partition(".")
        return f"{subject}.before-{verb}", f"{subject}.after-{verb}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One place where a process can be made to fail."""

    name: str
    effect: Effect
    applied: bool

    @property
    def description(self) -> str:
        """What is true when the point is reached."""
        return self.effect.after if self.applied else self.effect.before


Kind = tuple[type[IcehaulError], type[IcehaulError] | str]

# What fails, and what is seen when only the answer is lost. Most of the ledger's transactions may be repeated after
# an unknown outcome, so the adapter reports that as a failure like any other.
LEDGER: Kind = (LedgerUnavailableError, LedgerUnavailableError)
COMMIT: Kind = (LedgerUnavailableError, UnknownCommitError)
CATALOG: Kind = (CatalogUnavailableError, UnknownCommitError)
STORE: Kind = (StoreUnavailableError, StoreUnavailableError)
SOURCE: Kind = (SourceUnavailableError, SourceUnavailableError)
BROKER: Kind = (BrokerUnavailableError, BrokerUnavailableError)
ENGINE: Kind = (EngineFailedError, EngineFailedError)
NOTHING_TO_LOSE = "it waits for no answer of a server"


def effects(component: Component, *rows: tuple[str, Kind, str, str]) -> tuple[Effect, ...]:
    """Return the effects of a component: name, kind, and what is true before and after each."""
    return tuple(
        Effect(name=name, component=component, fails=fails, lost=lost, before=before, after=after)
        for name, (fails, lost), before, after in rows
    )
