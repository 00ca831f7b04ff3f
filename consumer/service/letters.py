"""Dead letters: looking at them, and sending those again that have become events."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from consumer.domain.dead_letter import DeadLetter, Place, Verdict
from consumer.domain.errors import ConfigurationError, InvalidEventError
from consumer.domain.event import Event
from consumer.failpoints.acting import Failpoints

_AT_ONCE = 100
"""Letters that are sent before their receipts are: as many may be sent twice if the command dies in between."""


class LetterBox(Protocol):
    """The dead-letter topic.

    Raises:
        BrokerUnavailableError, AccessDeniedError, ConfigurationError: of every call.
    """

    def letters(self) -> Sequence[DeadLetter]:
        """Return all letters that the topic still has, by place, each with what its receipt says."""
        ...

    def send(self, letters: Sequence[DeadLetter]) -> None:
        """Send messages to the event topic as they came, and return once all are acknowledged."""
        ...

    def receipt(self, letters: Sequence[DeadLetter]) -> None:
        """Note in the dead-letter topic that letters were sent again."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A letter, what becomes of it, and what is still wrong with it."""

    letter: DeadLetter
    verdict: Verdict
    problem: str = ""
    event: Event | None = None


class Letters:
    """Judges dead letters by what is configured now, and sends them again."""

    def __init__(
        self,
        *,
        box: LetterBox,
        decode: Callable[[DeadLetter], Event],
        streams: Collection[str],
        failpoints: Failpoints,
    ) -> None:
        self._box = box
        self._decode = decode
        self._streams = streams
        self._failpoints = failpoints

    def list(self, *, reason: str | None = None, redriven: bool = False) -> Sequence[DeadLetter]:
        """Return the letters of a reason (of all); with ``redriven`` those that were sent again, too."""
        return [
            letter
            for letter in self._box.letters()
            if (reason is None or letter.reason == reason) and (redriven or letter.redriven is None)
        ]

    def find(self, places: Collection[Place]) -> Sequence[DeadLetter]:
        """Return the letters at some places.

        Raises:
            ConfigurationError: naming a place where there is none.
        """
        found = {letter.place: letter for letter in self._box.letters() if letter.place in places}
        for place in places:
            if place not in found:
                raise ConfigurationError(
                    f"LETTER: there is no dead letter at {place}",
                    remedy="see `icehaul dlq list --all` for those that the topic still has",
                )
        return [found[place] for place in sorted(places)]

    def judge(self, letters: Sequence[DeadLetter]) -> Sequence[Judged]:
        """Tell what a redrive would do with letters; changes nothing."""
        return [self._judged(letter) for letter in letters]

    def redrive(self, letters: Sequence[DeadLetter]) -> Sequence[Judged]:
        """Send those letters again that are events now, and leave a receipt for each; return what became of all.

        Safe to repeat after any failure: an event that comes twice is done once.
        """
        judged = list(self.judge(letters))
        ready = [number for number, one in enumerate(judged) if one.verdict is Verdict.VALID]
        for start in range(0, len(ready), _AT_ONCE):
            chosen = ready[start : start + _AT_ONCE]
            sent = [judged[number].letter for number in chosen]
            with self._failpoints.around("letter.redrive"):
                self._box.send(sent)
            with self._failpoints.around("letter.receipt"):
                self._box.receipt(sent)
            for number in chosen:
                judged[number] = replace(judged[number], verdict=Verdict.REDRIVEN)
        return judged

    def _judged(self, letter: DeadLetter) -> Judged:
        if letter.redriven is not None:
            return Judged(letter=letter, verdict=Verdict.DONE)
        if letter.cut_off:
            return Judged(letter=letter, verdict=Verdict.INVALID, problem="the message was larger than a letter may be")
        try:
            event = self._decode(letter)
        except InvalidEventError as error:
            return Judged(letter=letter, verdict=Verdict.INVALID, problem=str(error))
        if event.stream not in self._streams:
            return Judged(
                letter=letter,
                verdict=Verdict.INVALID,
                problem=f"stream {event.stream!r} is not configured; configured: {', '.join(sorted(self._streams))}",
            )
        return Judged(letter=letter, verdict=Verdict.VALID, event=event)
