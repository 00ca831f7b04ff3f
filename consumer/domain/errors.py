"""The error taxonomy: one root, and each class answers what happens next."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from consumer.domain.invalid_reason import InvalidReason
from consumer.domain.secrets import hide

REFERENCE = "docs/reference/errors.md"
"""The page that lists every class of this module."""


class Reaction(StrEnum):
    """What the service does when an error of a class reaches it."""

    RETRY = "retry"
    """The cause may pass by itself: try again, with backoff, up to the stream's limit."""
    HALT = "halt"
    """An operator has to act: halt the stream, park its events, leave other streams alone."""
    DEAD_LETTER = "dead-letter"
    """The event can never be handled: move it to the dead-letter topic."""
    ABANDON = "abandon"
    """Somebody else owns the work now: drop it without acknowledging anything."""
    RESTAGE = "restage"
    """The table moved between staging and commit: stage the same batch again on the new base."""
    READ_BACK = "read-back"
    """Nobody knows whether the commit landed: read the ledger before anything else."""
    STOP = "stop"
    """The process cannot work as configured: end it with a clear message."""


class IcehaulError(Exception):
    """Root of every error that icehaul raises on purpose.

    ``message`` names the field or thing and its value; ``remedy`` says what to do about it. The docstring of every
    class says what it means, and in its second paragraph what to do: ``docs/reference/errors.md`` is made of them.

    Neither quotes a secret: errors go into logs, ledger, dead letters, spans and onto consoles, so that what a server
    or a library has quoted is taken out here, where nobody can forget it.
    """

    reaction: ClassVar[Reaction] = Reaction.STOP

    def __init__(self, message: str, *, remedy: str) -> None:
        self.message = hide(message)
        self.remedy = hide(remedy)
        super().__init__(self.message)

    @property
    def anchor(self) -> str:
        """Where the error reference tells of this class, or of the nearest one of this module that it derives from."""
        name = next(cls.__name__ for cls in type(self).__mro__ if cls.__module__ == __name__)
        return f"{REFERENCE}#{name.lower()}"

    def __str__(self) -> str:
        return f"{self.message}. Remedy: {self.remedy}"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.remedy)


def _rebuild(cls: type[IcehaulError], message: str, remedy: str) -> IcehaulError:
    """Rebuild an error that crossed a process boundary (a Spark task, a worker)."""
    return cls(message, remedy=remedy)


class ConfigurationError(IcehaulError):
    """The configuration is wrong; the message names file, line, field, value and what is allowed.

    What to do: Correct the field that the message names; `icehaul config show` prints every value with its origin.
    """

    reaction = Reaction.STOP


class EmbeddedStackError(IcehaulError):
    """A component of the embedded stack did not start, stop or answer.

    What to do: Look at the log that the message names, under the stack's directory; then start the stack again.
    """

    reaction = Reaction.STOP


class InvalidEventError(IcehaulError):
    """An event that can never be handled: malformed, of an unknown type, or for an unknown stream.

    What to do: Correct the producer by the event's JSON Schema in `schemas/events`; the message itself stands in the
    dead-letter topic, with the reason in its headers.
    """

    reaction = Reaction.DEAD_LETTER

    def __init__(self, message: str, *, remedy: str, reason: InvalidReason = InvalidReason.OTHER) -> None:
        super().__init__(message, remedy=remedy)
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_invalid_event, (self.message, self.remedy, self.reason)


def _rebuild_invalid_event(message: str, remedy: str, reason: InvalidReason) -> InvalidEventError:
    return InvalidEventError(message, remedy=remedy, reason=reason)


class TransientError(IcehaulError):
    """Base of the errors whose cause may pass by itself.

    What to do: Nothing at first: it is tried again. If it lasts, mend the server that the message names.
    """

    reaction = Reaction.RETRY


class SourceUnavailableError(TransientError):
    """ClickHouse is unreachable, overloaded, or broke off in the middle of a result.

    What to do: See that ClickHouse runs at the address in the message, and is not overloaded.
    """


class LedgerUnavailableError(TransientError):
    """Postgres is unreachable, restarting, or refused the transaction for now.

    What to do: See that Postgres runs at the address in the message, takes connections, and has no long lock.
    """


class StoreUnavailableError(TransientError):
    """The object store is unreachable or answered with a passing error.

    What to do: See that the object store answers at the endpoint in the message, and that the bucket exists.
    """


class CatalogUnavailableError(TransientError):
    """The Iceberg catalog outside of the ledger's database is unreachable, or refused a request for now.

    What to do: See that the server at the address in the message runs, and takes requests.
    """


class BrokerUnavailableError(TransientError):
    """Kafka is unreachable, or did not acknowledge in time.

    What to do: See that the brokers in the message run, and are reached under the names that they advertise.
    """


class EngineFailedError(TransientError):
    """A Spark job ended without a result.

    What to do: Read the consumer's log for the cause: memory and disk of the Spark workers are the usual ones.
    """


class CheckFailedError(TransientError):
    """What was written differs from what was read: the attempt is worthless, the batch is not.

    What to do: Nothing once: the batch is written again. If it repeats, look for rows that change in the source, and at
    store and network.
    """


class StaleDifferenceError(TransientError):
    """A window got another content while its late rows were being computed and written.

    What to do: Nothing: the difference is computed again.
    """


class BackfillChangedError(TransientError):
    """A backfill's request was cancelled, or somebody else has gone on with it, while a batch was written for it.

    What to do: Nothing: the backfill goes on with what is asked for now.
    """


class StreamError(IcehaulError):
    """Base of the errors that halt one stream until an operator acts.

    What to do: Do what the message's remedy says, then run `icehaul resume STREAM`: its events were kept.
    """

    reaction = Reaction.HALT


class SourceMissingError(StreamError):
    """The source database, table or column does not exist, or the user may not read it.

    What to do: Create the table or column, grant SELECT on it, or correct the stream's `source`; then resume.
    """


class SourceChangedError(StreamError):
    """The source is another table, or has other columns, than the one that the ledger recorded.

    What to do: Put the recorded table back, or give the new one a stream and a target of its own.
    """


class SchemaChangeError(StreamError):
    """The source's columns were changed in a way that the target can't follow exactly, or not without being told how.

    What to do: The message names each column, what it was, what it is, what would be lost, and the choices; see
    `docs/how-to/change-a-schema.md`. Then resume.
    """


class TargetMissingError(StreamError):
    """The target table does not exist where it has to.

    What to do: Restore the table in the catalog, or let it be created by `create_target: true`; then resume.
    """


class TargetMismatchError(StreamError):
    """The target table has another schema or partition spec than the stream.

    What to do: Change the stream to what the table is, or give it another target; then resume.
    """


class UnsupportedTypeError(StreamError):
    """A source column has a type that would lose values in Iceberg.

    What to do: Offload a view that casts the column to a type that fits; the message names the choices.
    """


class ModeRefusedError(StreamError):
    """The source does not allow the stream's `mode`: versions of a row may lie apart, or merges decide about values.

    What to do: Set the `mode` that the message names, or change the source's keys; then resume.
    """


class TimeColumnError(StreamError):
    """The configured time column is nullable, no time, or finer than a microsecond.

    What to do: Name another `timestamp_column`, or offload a view that casts it.
    """


class DivergenceError(StreamError):
    """The ledger and the target table tell different stories.

    What to do: Undo the change and resume, or run `icehaul repair STREAM`: it shows what differs, and with --yes makes
    the ledger follow the table.
    """


class GapError(StreamError):
    """The source no longer holds rows that were never offloaded.

    What to do: Restore the rows in the source, or decide that they are lost; then resume.
    """


class RetentionError(StreamError):
    """The source's TTL would delete rows while the stream waits for its upstreams, and `on_danger` is `halt`.

    What to do: Lengthen the source's TTL, or let the upstreams go on; or set `retention.on_danger` to `proceed`. Then
    resume, before the moment that the message names.
    """


class DropRefusedError(StreamError):
    """What was to be dropped from the hot tier was not offloaded, or can't be dropped by partitions.

    What to do: Choose partitions below the stream's watermark; `icehaul status` shows it. No stream is halted by this.
    """


class AccessDeniedError(StreamError):
    """Wrong credentials, or a missing grant; the message names which.

    What to do: Correct user and password, or give the grant that the message names; `icehaul doctor` checks all of
    them.
    """


class UntrustedServerError(StreamError):
    """A server is not the one that the configuration trusts: wrong authority, wrong host name, or no TLS at all.

    What to do: Give the authority's certificate in the field that the message's remedy names, or correct the host; then
    resume. If neither has changed on purpose, find out who answers at that address before you change anything.
    """


class RetriesExhaustedError(StreamError):
    """A passing error did not pass within the stream's retry limit.

    What to do: Mend the cause that the message quotes, then resume; `on_failure` sets the limit.
    """


class DefectError(StreamError):
    """An exception that nobody foresaw: a defect of icehaul.

    What to do: Report it with the traceback from the consumer's log; after an update resume.
    """


class FencedError(IcehaulError):
    """Another owner has taken the stream: the epoch in the ledger is newer than ours.

    What to do: Nothing: the new owner goes on from the watermark. If it happens often, raise `consumer.lease_seconds`.
    """

    reaction = Reaction.ABANDON


class TurnOverError(IcehaulError):
    """A stream has worked on its backlog for a turn, and others wait for the worker; no failure.

    What to do: Nothing: the event is taken up again in its turn, from the watermark. If it takes the others too long to
    get theirs, lower `consumer.turn_seconds`, or raise `consumer.workers`.
    """

    reaction = Reaction.RETRY


class SchemaMovedError(IcehaulError):
    """The columns of the source, or of the target, were changed while a batch was planned, written or published.

    What to do: Nothing: what was written is left aside, and the event is planned again with the columns of now.
    """

    reaction = Reaction.RETRY


class LeaseHeldError(IcehaulError):
    """Another owner holds the stream's lease at this moment.

    What to do: Nothing: the event is held until the lease is free. After a crash that takes `consumer.lease_seconds`.
    """

    reaction = Reaction.RETRY


class BaseMovedError(IcehaulError):
    """The table's metadata moved between staging and commit.

    What to do: Nothing: the batch is staged again. If it happens often, find out who else commits to the table.
    """

    reaction = Reaction.RESTAGE


class UnknownCommitError(IcehaulError):
    """The connection to Postgres or to the catalog broke during a commit: the publish may or may not have landed.

    What to do: Nothing: ledger and table are read before anything else is done. Mend the connection if it repeats.
    """

    reaction = Reaction.READ_BACK
