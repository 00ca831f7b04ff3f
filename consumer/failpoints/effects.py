"""The catalogue: every side effect that icehaul has on the world outside, with the points before and after it."""

from __future__ import annotations

from collections.abc import Mapping

from consumer.domain.errors import BrokerUnavailableError, EngineFailedError
from consumer.failpoints.command_effects import DROPPER, HISTORY, LETTERS, OPERATOR, REGISTER, REWINDER, STATE
from consumer.failpoints.effect import (
    BROKER,
    COMMIT,
    ENGINE,
    LEDGER,
    NOTHING_TO_LOSE,
    STORE,
    Component,
    Effect,
    Point,
    effects,
)
from consumer.failpoints.maintenance_effects import MAINTAINER
from consumer.failpoints.removal_effects import REMOVER
from consumer.failpoints.restore_effects import RESTORER
from consumer.failpoints.two_step_effects import TWO_STEP

_CONSUMER = effects(
    Component.CONSUMER,
    (
        "event.receive",
        (BrokerUnavailableError, NOTHING_TO_LOSE),
        "messages were fetched, nobody has looked at them",
        "the messages are queued for the workers",
    ),
    (
        "event.handle",
        (EngineFailedError, NOTHING_TO_LOSE),
        "a worker has taken the event up, nothing has been done",
        "everything of the event is published, its offset is not committed",
    ),
    ("stream.register", LEDGER, "the stream may have no row in the ledger", "the stream has a row in the ledger"),
    ("lease.claim", LEDGER, "the stream's lease is not held", "the stream's lease is held, nobody renews it yet"),
    ("lease.renew", LEDGER, "a third of the lease has passed while work is running", "the lease is extended"),
    ("lease.release", LEDGER, "the work is done, the lease is still held", "the lease is free"),
    (
        "batch.begin",
        LEDGER,
        "the batch is planned, nothing of it is recorded",
        "the batch, its attempt and its path are recorded, nothing is written",
    ),
    (
        "comparison.record",
        LEDGER,
        "the hot tier was compared with the record, late rows are published, the comparison is not recorded",
        "how the hot tier's partitions were compared is recorded",
    ),
    (
        "batch.write",
        ENGINE,
        "the Spark job has not been submitted",
        "the data files are on the store, nothing of them is recorded",
    ),
    (
        "attempt.stage",
        LEDGER,
        "the data files are known to this process only",
        "the data files are recorded, nothing has been checked",
    ),
    (
        "batch.advance",
        COMMIT,
        "a window without rows is planned, the watermark is at its lower bound",
        "the watermark is at the upper bound of a window without rows",
    ),
    (
        "batch.fail",
        LEDGER,
        "the attempt has failed, the ledger says that it is under way",
        "the attempt is recorded as failed",
    ),
    (
        "stream.halt",
        LEDGER,
        "something needs an operator, the stream is active",
        "the stream is halted, its event is not parked",
    ),
    (
        "event.park",
        LEDGER,
        "the stream is halted, its event stands in Kafka only",
        "the event is parked in the ledger, its offset is not committed",
    ),
    (
        "letter.send",
        BROKER,
        "a message can never be handled, no dead letter was sent",
        "the dead letter is acknowledged, the message's offset is not committed",
    ),
    ("offset.commit", BROKER, "events are done, their offsets are not committed", "the offsets are committed"),
)

_PREPARATION = effects(
    Component.PREPARATION,
    (
        "target.write",
        STORE,
        "there is no target table, nothing of it is on the store",
        "the target's first metadata file is on the store, no catalog knows it",
    ),
    ("target.create", COMMIT, "the catalog has no row for the target", "the catalog has a row for the target"),
    (
        "target.discard",
        STORE,
        "somebody else has created the target, this process's metadata file is superfluous",
        "the superfluous metadata file is removed",
    ),
    (
        "stream.bind",
        LEDGER,
        "source and target are known, the ledger does not name them",
        "the ledger names the UUIDs of source and target",
    ),
)

_TASK = effects(
    Component.TASK,
    (
        "task.read",
        (EngineFailedError, "reading changes nothing on the server"),
        "the task runs, ClickHouse has not been asked",
        "the first record batch was read and written",
    ),
    ("task.close", STORE, "every row was written, the file is not whole", "the file is whole and on the store"),
    (
        "task.answer",
        (EngineFailedError, NOTHING_TO_LOSE),
        "the unit is written, its description is known to the task only",
        "the file's description is on its way to the consumer",
    ),
)

_PUBLISHER = effects(
    Component.PUBLISHER,
    (
        "publish.stage",
        STORE,
        "the files are checked, no Iceberg metadata is written",
        "the Iceberg metadata is on the store, no transaction has begun",
    ),
    (
        "publish.commit",
        COMMIT,
        "the publish transaction is complete but for its COMMIT",
        "the publish has landed, the process has not noticed",
    ),
    (
        "publish.retire",
        STORE,
        "the publish has landed, metadata files that it retired are on the store",
        "the retired metadata files are removed",
    ),
    (
        "publish.discard",
        STORE,
        "the publish has certainly not landed, what it staged is on the store",
        "what the failed publish staged is removed",
    ),
)

_EMITTER = effects(
    Component.EMITTER,
    ("emitter.claim", LEDGER, "the emitter's lease is not held", "the emitter's lease is held, nothing was sent"),
    ("emitter.renew", LEDGER, "the emitter's lease is about to be extended", "the emitter's lease is extended"),
    ("emitter.release", LEDGER, "the emitter ends, its lease is held", "the emitter's lease is free"),
    (
        "ticks.send",
        BROKER,
        "a tick is due, nothing was sent",
        "the ticks of all streams are acknowledged, the ledger does not know",
    ),
    (
        "ticks.record",
        LEDGER,
        "the ticks are acknowledged, their boundary is not recorded",
        "the boundary of the ticks is recorded",
    ),
    (
        "closes.send",
        BROKER,
        "partitions have closed, nothing was sent",
        "the partition closes are acknowledged, the ledger does not know",
    ),
    (
        "closes.record",
        LEDGER,
        "the partition closes are acknowledged, they are not recorded",
        "the partition closes are recorded",
    ),
)

_RELAY = effects(
    Component.RELAY,
    (
        "outbox.take",
        LEDGER,
        "the outbox may hold messages, no relay has taken them",
        "the outbox's messages are kept from other relays, nothing was sent",
    ),
    (
        "outbox.send",
        BROKER,
        "messages are taken from the outbox, none was sent",
        "the messages are acknowledged, they still stand in the outbox",
    ),
    (
        "outbox.remove",
        LEDGER,
        "the messages are acknowledged, nothing was removed",
        "the messages are removed from the outbox",
    ),
)

EFFECTS: Mapping[str, Effect] = {
    effect.name: effect
    for effect in (
        *_CONSUMER,
        *_PREPARATION,
        *_TASK,
        *_PUBLISHER,
        *TWO_STEP,
        *_EMITTER,
        *_RELAY,
        *DROPPER,
        *HISTORY,
        *OPERATOR,
        *REGISTER,
        *LETTERS,
        *REWINDER,
        *STATE,
        *RESTORER,
        *MAINTAINER,
        *REMOVER,
    )
}
"""Every side effect by its name, in the order of the protocol."""

POINTS: Mapping[str, Point] = {
    name: Point(name=name, effect=effect, applied=applied)
    for effect in EFFECTS.values()
    for name, applied in zip(effect.points, (False, True), strict=True)
}
"""Every point by its name, in the same order."""
