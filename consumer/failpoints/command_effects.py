"""The part of the catalogue that operators' commands lead to: drops, history, rewinds, the register, letters."""

from __future__ import annotations

from consumer.failpoints.effect import BROKER, COMMIT, LEDGER, SOURCE, Component, effects

DROPPER = effects(
    Component.DROPPER,
    (
        "drop.record",
        LEDGER,
        "a hot partition is chosen, nothing is recorded",
        "the drop is recorded, nothing is moved",
    ),
    (
        "quarantine.create",
        SOURCE,
        "there is no quarantine table",
        "the quarantine table is there, without a TTL, and empty",
    ),
    (
        "partition.quarantine",
        SOURCE,
        "the partition stands in the source",
        "the partition stands in quarantine, nothing was compared",
    ),
    (
        "drop.verify",
        LEDGER,
        "the cold tier holds the quarantined rows, the ledger does not know",
        "the ledger knows the digest of the quarantined rows, they are still there",
    ),
    (
        "partition.drop",
        SOURCE,
        "the partition is about to be dropped from quarantine",
        "the partition is dropped, the ledger does not know",
    ),
    (
        "partition.return",
        SOURCE,
        "the cold tier lacks rows of the partition, which stands in quarantine",
        "the partition stands in the source again, the ledger does not know",
    ),
    ("drop.end", LEDGER, "the drop has ended, its record is open", "it is recorded how the drop ended"),
    ("quarantine.remove", SOURCE, "the quarantine table is empty", "the quarantine table is gone"),
)

HISTORY = effects(
    Component.HISTORY,
    (
        "backfill.advance",
        LEDGER,
        "a stretch of history without rows is planned, its request has not reached it",
        "the stretch is recorded as done, its request is at the end of it",
    ),
    (
        "backfill.skip",
        LEDGER,
        "the rest of a backfill was done before it was asked for, its request is open",
        "the request is done",
    ),
)

OPERATOR = effects(
    Component.OPERATOR,
    (
        "backfill.request",
        LEDGER,
        "an operator wants a range of history, the ledger does not know",
        "the request is recorded, its hint stands in the outbox",
    ),
    (
        "backfill.cancel",
        LEDGER,
        "a request for a range of history is open, nobody wants it any more",
        "the request is cancelled, a batch of it may be under way",
    ),
)

REGISTER = effects(
    Component.REGISTER,
    (
        "stream.rename",
        LEDGER,
        "a stream has its old name in ledger and table",
        "the stream has its new name in ledger and table, the configuration may have the old one",
    ),
    (
        "stream.remove",
        LEDGER,
        "an operator wants a stream away, the ledger has it",
        "the ledger has the stream no more, or its remains under another name",
    ),
    (
        "stream.move",
        LEDGER,
        "a stream's table has its old name in the catalog",
        "the table has its new name, the configuration may have the old one",
    ),
    (
        "table.register",
        COMMIT,
        "a table that the catalog has lost is found on the store, the catalog does not point to it",
        "the catalog points to the table again, an empty ledger does not follow it yet",
    ),
)

REWINDER = effects(
    Component.REWINDER,
    (
        "watermark.rewind",
        LEDGER,
        "a rewind is decided on, nothing of it is written",
        "the watermark is set back and the rows above it have left the table, the command does not know",
    ),
)

LETTERS = effects(
    Component.LETTERS,
    (
        "letter.redrive",
        BROKER,
        "dead letters are events now, none was sent",
        "the events are sent, nothing says so",
    ),
    (
        "letter.receipt",
        BROKER,
        "the events are sent, their letters look unsent",
        "receipts say that the letters were sent again",
    ),
)

STATE = effects(
    Component.STATE,
    (
        "stream.repair",
        LEDGER,
        "it is known what the table proves and holds, the ledger tells another story",
        "the ledger follows the table, the stream is active, and an event to go on with stands in the outbox",
    ),
    (
        "stream.pause",
        LEDGER,
        "an operator wants a stream to stand still, an owner may work on it",
        "the stream is halted, and whoever worked on it is fenced",
    ),
    (
        "stream.resume",
        LEDGER,
        "an operator wants a halted stream to go on",
        "the stream is active, its parked events stand in the outbox",
    ),
)
