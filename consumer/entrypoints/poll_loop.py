"""What the health endpoints ask of a consumer's poll loop."""

from __future__ import annotations

from typing import Protocol

from consumer.domain.errors import BrokerUnavailableError

SILENCE_SECONDS = 30.0
"""How long the poll loop may be silent before the process counts as stuck."""


class Turning(Protocol):
    """A poll loop."""

    @property
    def started(self) -> bool:
        """Whether the group has given this member an assignment once, or has none to give."""
        ...

    @property
    def silence(self) -> float:
        """Seconds since the loop turned last."""
        ...


def silence_of(loop: Turning) -> float:
    """Return the seconds since the loop turned last; 0 while it has not begun, which is for ``/startupz`` to tell."""
    return loop.silence if loop.started else 0.0


def check_poll_loop(loop: Turning) -> None:
    """Check that a loop has its assignment, and turns.

    Raises:
        BrokerUnavailableError: if the group has not answered yet, or the loop stands still.
    """
    if not loop.started:
        raise BrokerUnavailableError(
            "the group has not given an assignment yet", remedy="nothing to do at first; else see the consumer's log"
        )
    if loop.silence > SILENCE_SECONDS:
        raise BrokerUnavailableError(
            f"the poll loop turned last {loop.silence:.0f} s ago", remedy="restart the process if it stays so"
        )
