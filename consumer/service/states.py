"""Streams stand still, and go on, on an operator's word."""

from __future__ import annotations

from dataclasses import dataclass

from consumer.domain.stream import Stream
from consumer.failpoints.acting import Failpoints
from consumer.ports import Ledger, StreamRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """What a resumption took up: parked events, and findings that the operator has accepted."""

    parked: int
    accepted: int


class StreamStates:
    """Pauses and resumes streams."""

    def __init__(self, *, ledger: Ledger, failpoints: Failpoints) -> None:
        self._ledger = ledger
        self._failpoints = failpoints

    def pause(self, stream: Stream, *, by: str, reason: str = "") -> tuple[bool, StreamRecord]:
        """Let a stream stand still; return whether it was active, and its record. One that is halted stays so.

        Args:
            stream: the stream.
            by: who asks for it.
            reason: why, for whoever looks at it later.

        Raises:
            TransientError: if the ledger can't be asked now.
        """
        why = f"paused by {by}" + (f": {reason}" if reason else "")
        self._ledger.register(stream.name, stream.begins)
        with self._failpoints.around("stream.pause"):
            paused = self._ledger.pause(stream.name, reason=why, remedy="find out whether the reason is gone")
        return paused, self._ledger.read([stream.name])[stream.name]

    def resume(self, stream: str, *, accept_findings: bool) -> Resumed:
        """Make a halted stream active again; its parked events are relayed to the topic.

        Raises:
            DivergenceError: if the ledger has no row for the stream.
            TransientError: if the ledger can't be asked now.
        """
        accepted = self._ledger.accept(stream) if accept_findings else 0
        parked = len(self._ledger.parked(stream))
        with self._failpoints.around("stream.resume"):
            self._ledger.resume(stream)
        return Resumed(parked=parked, accepted=accepted)
