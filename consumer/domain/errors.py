"""The error taxonomy: one root, and each class answers what happens next."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


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

    ``message`` names the field or thing and its value; ``remedy`` says what to do about it.
    """

    reaction: ClassVar[Reaction] = Reaction.STOP

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}. Remedy: {self.remedy}"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.remedy)


def _rebuild(cls: type[IcehaulError], message: str, remedy: str) -> IcehaulError:
    """Rebuild an error that crossed a process boundary (a Spark task, a worker)."""
    return cls(message, remedy=remedy)


class ConfigurationError(IcehaulError):
    """The configuration is wrong; the message names file, line, field, value and what is allowed."""

    reaction = Reaction.STOP


class EmbeddedStackError(IcehaulError):
    """A component of the embedded stack did not start, stop or answer."""

    reaction = Reaction.STOP


class InvalidReason(StrEnum):
    """Why an event is invalid: a bounded set, fit for a metric's label and a dead letter's header."""

    NULL_VALUE = "null-value"
    TOO_LARGE = "too-large"
    INVALID_UTF8 = "invalid-utf8"
    NOT_JSON = "not-json"
    TOO_DEEP = "too-deep"
    DUPLICATE_KEY = "duplicate-key"
    NOT_FINITE = "not-finite"
    WRONG_SCHEMA = "wrong-schema"
    UNKNOWN_VERSION = "unknown-version"
    UNKNOWN_TYPE = "unknown-type"
    INVALID_NAME = "invalid-name"
    INVALID_TIME = "invalid-time"
    WRONG_KEY = "wrong-key"
    WRONG_PARTITION = "wrong-partition"
    UNKNOWN_STREAM = "unknown-stream"
    OTHER = "other"


class InvalidEventError(IcehaulError):
    """An event that can never be handled: malformed, of an unknown type, or for an unknown stream."""

    reaction = Reaction.DEAD_LETTER

    def __init__(self, message: str, *, remedy: str, reason: InvalidReason = InvalidReason.OTHER) -> None:
        super().__init__(message, remedy=remedy)
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_invalid_event, (self.message, self.remedy, self.reason)


def _rebuild_invalid_event(message: str, remedy: str, reason: InvalidReason) -> InvalidEventError:
    return InvalidEventError(message, remedy=remedy, reason=reason)


class TransientError(IcehaulError):
    """Base of the errors whose cause may pass by itself."""

    reaction = Reaction.RETRY


class SourceUnavailableError(TransientError):
    """ClickHouse is unreachable, overloaded, or broke off in the middle of a result."""


class LedgerUnavailableError(TransientError):
    """Postgres is unreachable, restarting, or refused the transaction for now."""


class StoreUnavailableError(TransientError):
    """The object store is unreachable or answered with a passing error."""


class BrokerUnavailableError(TransientError):
    """Kafka is unreachable, or did not acknowledge in time."""


class EngineFailedError(TransientError):
    """A Spark job ended without a result."""


class CheckFailedError(TransientError):
    """What was written differs from what was read: the attempt is worthless, the batch is not."""


class StreamError(IcehaulError):
    """Base of the errors that halt one stream until an operator acts."""

    reaction = Reaction.HALT


class SourceMissingError(StreamError):
    """The source database, table or column does not exist, or the user may not read it."""


class SourceChangedError(StreamError):
    """The source is another table, or has other columns, than the one that the ledger recorded."""


class TargetMissingError(StreamError):
    """The target table does not exist where it has to."""


class TargetMismatchError(StreamError):
    """The target table has another schema or partition spec than the stream."""


class UnsupportedTypeError(StreamError):
    """A source column has a type that would lose values in Iceberg."""


class TimeColumnError(StreamError):
    """The configured time column is nullable, no time, or finer than a microsecond."""


class DivergenceError(StreamError):
    """The ledger and the target table tell different stories."""


class GapError(StreamError):
    """The source no longer holds rows that were never offloaded."""


class AccessDeniedError(StreamError):
    """Wrong credentials, or a missing grant; the message names which."""


class RetriesExhaustedError(StreamError):
    """A passing error did not pass within the stream's retry limit."""


class DefectError(StreamError):
    """An exception that nobody foresaw: a defect of icehaul."""


class FencedError(IcehaulError):
    """Another owner has taken the stream: the epoch in the ledger is newer than ours."""

    reaction = Reaction.ABANDON


class LeaseHeldError(IcehaulError):
    """Another owner holds the stream's lease at this moment."""

    reaction = Reaction.RETRY


class BaseMovedError(IcehaulError):
    """The table's metadata moved between staging and commit."""

    reaction = Reaction.RESTAGE


class UnknownCommitError(IcehaulError):
    """The connection broke during COMMIT: the publish may or may not have landed."""

    reaction = Reaction.READ_BACK
