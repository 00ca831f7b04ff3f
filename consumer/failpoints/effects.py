"""The catalogue: every side effect that icehaul has on the world outside, with the points before and after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from consumer.domain.errors import (
    BrokerUnavailableError,
    EngineFailedError,
    IcehaulError,
    LedgerUnavailableError,
    StoreUnavailableError,
    UnknownCommitError,
)


class Component(StrEnum):
    """The part of icehaul that has an effect."""

    CONSUMER = "consumer"
    PREPARATION = "preparation"
    TASK = "task"
    PUBLISHER = "publisher"
    EMITTER = "emitter"
    RELAY = "relay"


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


_Kind = tuple[type[IcehaulError], type[IcehaulError] | str]

# What fails, and what is seen when only the answer is lost. Most of the ledger's transactions may be repeated after
# an unknown outcome, so the adapter reports that as a failure like any other.
_LEDGER: _Kind = (LedgerUnavailableError, LedgerUnavailableError)
_COMMIT: _Kind = (LedgerUnavailableError, UnknownCommitError)
_STORE: _Kind = (StoreUnavailableError, StoreUnavailableError)
_BROKER: _Kind = (BrokerUnavailableError, BrokerUnavailableError)
_ENGINE: _Kind = (EngineFailedError, EngineFailedError)
_NOTHING_TO_LOSE = "it waits for no answer of a server"


def _effects(component: Component, *rows: tuple[str, _Kind, str, str]) -> tuple[Effect, ...]:
    return tuple(
        Effect(name=name, component=component, fails=fails, lost=lost, before=before, after=after)
        for name, (fails, lost), before, after in rows
    )


_CONSUMER = _effects(
    Component.CONSUMER,
    (
        "event.receive",
        (BrokerUnavailableError, _NOTHING_TO_LOSE),
        "messages were fetched, nobody has looked at them",
        "the messages are queued for the workers",
    ),
    (
        "event.handle",
        (EngineFailedError, _NOTHING_TO_LOSE),
        "a worker has taken the event up, nothing has been done",
        "everything of the event is published, its offset is not committed",
    ),
    ("stream.register", _LEDGER, "the stream may have no row in the ledger", "the stream has a row in the ledger"),
    ("lease.claim", _LEDGER, "the stream's lease is not held", "the stream's lease is held, nobody renews it yet"),
    ("lease.renew", _LEDGER, "a third of the lease has passed while work is running", "the lease is extended"),
    ("lease.release", _LEDGER, "the work is done, the lease is still held", "the lease is free"),
    (
        "batch.begin",
        _LEDGER,
        "the batch is planned, nothing of it is recorded",
        "the batch and its attempt are recorded, nothing is written",
    ),
    (
        "comparison.record",
        _LEDGER,
        "the hot tier was compared with the record, late rows are published, the comparison is not recorded",
        "how the hot tier's partitions were compared is recorded",
    ),
    (
        "attempt.open",
        _LEDGER,
        "the attempt's path is not recorded",
        "the attempt's path is recorded, nothing is written below it",
    ),
    (
        "batch.write",
        _ENGINE,
        "the Spark job has not been submitted",
        "the data files are on the store, nothing of them is recorded",
    ),
    (
        "attempt.stage",
        _LEDGER,
        "the data files are known to this process only",
        "the data files are recorded, nothing has been checked",
    ),
    (
        "batch.advance",
        _COMMIT,
        "a window without rows is planned, the watermark is at its lower bound",
        "the watermark is at the upper bound of a window without rows",
    ),
    (
        "batch.fail",
        _LEDGER,
        "the attempt has failed, the ledger says that it is under way",
        "the attempt is recorded as failed",
    ),
    (
        "stream.halt",
        _LEDGER,
        "something needs an operator, the stream is active",
        "the stream is halted, its event is not parked",
    ),
    (
        "event.park",
        _LEDGER,
        "the stream is halted, its event stands in Kafka only",
        "the event is parked in the ledger, its offset is not committed",
    ),
    (
        "letter.send",
        _BROKER,
        "a message can never be handled, no dead letter was sent",
        "the dead letter is acknowledged, the message's offset is not committed",
    ),
    ("offset.commit", _BROKER, "events are done, their offsets are not committed", "the offsets are committed"),
)

_PREPARATION = _effects(
    Component.PREPARATION,
    (
        "target.write",
        _STORE,
        "there is no target table, nothing of it is on the store",
        "the target's first metadata file is on the store, no catalog knows it",
    ),
    ("target.create", _COMMIT, "the catalog has no row for the target", "the catalog has a row for the target"),
    (
        "target.discard",
        _STORE,
        "somebody else has created the target, this process's metadata file is superfluous",
        "the superfluous metadata file is removed",
    ),
    (
        "stream.bind",
        _LEDGER,
        "source and target are known, the ledger does not name them",
        "the ledger names the UUIDs of source and target",
    ),
)

_TASK = _effects(
    Component.TASK,
    (
        "task.read",
        (EngineFailedError, "reading changes nothing on the server"),
        "the task runs, ClickHouse has not been asked",
        "the first record batch was read and written",
    ),
    ("task.close", _STORE, "every row was written, the file is not whole", "the file is whole and on the store"),
    (
        "task.answer",
        (EngineFailedError, _NOTHING_TO_LOSE),
        "the unit is written, its description is known to the task only",
        "the file's description is on its way to the consumer",
    ),
)

_PUBLISHER = _effects(
    Component.PUBLISHER,
    (
        "publish.stage",
        _STORE,
        "the files are checked, no Iceberg metadata is written",
        "the Iceberg metadata is on the store, no transaction has begun",
    ),
    (
        "publish.commit",
        _COMMIT,
        "the publish transaction is complete but for its COMMIT",
        "the publish has landed, the process has not noticed",
    ),
    (
        "publish.retire",
        _STORE,
        "the publish has landed, metadata files that it retired are on the store",
        "the retired metadata files are removed",
    ),
    (
        "publish.discard",
        _STORE,
        "the publish has certainly not landed, what it staged is on the store",
        "what the failed publish staged is removed",
    ),
)

_EMITTER = _effects(
    Component.EMITTER,
    ("emitter.claim", _LEDGER, "the emitter's lease is not held", "the emitter's lease is held, nothing was sent"),
    ("emitter.renew", _LEDGER, "the emitter's lease is about to be extended", "the emitter's lease is extended"),
    ("emitter.release", _LEDGER, "the emitter ends, its lease is held", "the emitter's lease is free"),
    (
        "ticks.send",
        _BROKER,
        "a tick is due, nothing was sent",
        "the ticks of all streams are acknowledged, the ledger does not know",
    ),
    (
        "ticks.record",
        _LEDGER,
        "the ticks are acknowledged, their boundary is not recorded",
        "the boundary of the ticks is recorded",
    ),
    (
        "closes.send",
        _BROKER,
        "partitions have closed, nothing was sent",
        "the partition closes are acknowledged, the ledger does not know",
    ),
    (
        "closes.record",
        _LEDGER,
        "the partition closes are acknowledged, they are not recorded",
        "the partition closes are recorded",
    ),
)

_RELAY = _effects(
    Component.RELAY,
    (
        "outbox.take",
        _LEDGER,
        "the outbox may hold messages, no relay has taken them",
        "the outbox's messages are kept from other relays, nothing was sent",
    ),
    (
        "outbox.send",
        _BROKER,
        "messages are taken from the outbox, none was sent",
        "the messages are acknowledged, they still stand in the outbox",
    ),
    (
        "outbox.remove",
        _LEDGER,
        "the messages are acknowledged, nothing was removed",
        "the messages are removed from the outbox",
    ),
)

EFFECTS: Mapping[str, Effect] = {
    effect.name: effect for effect in (*_CONSUMER, *_PREPARATION, *_TASK, *_PUBLISHER, *_EMITTER, *_RELAY)
}
"""Every side effect by its name, in the order of the protocol."""

POINTS: Mapping[str, Point] = {
    name: Point(name=name, effect=effect, applied=applied)
    for effect in EFFECTS.values()
    for name, applied in zip(effect.points, (False, True), strict=True)
}
"""Every point by its name, in the same order."""
