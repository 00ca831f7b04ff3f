"""What commands say when somebody else works on their stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from consumer.domain.errors import LeaseHeldError

_WAIT = "wait until the consumer has finished its batch, and run the command again"


@contextmanager
def told_when_held(remedy: str = _WAIT) -> Iterator[None]:
    """Give the error of a lease that is held the remedy of a command; the ledger's own is a consumer's.

    Raises:
        LeaseHeldError: with that remedy.
    """
    try:
        yield
    except LeaseHeldError as error:
        raise LeaseHeldError(error.message, remedy=remedy) from error
