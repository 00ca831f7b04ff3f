"""A dead-letter topic in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from consumer.domain.dead_letter import DeadLetter, Place
from consumer.domain.errors import BrokerUnavailableError


class MemoryLetterBox:
    """What :class:`~consumer.adapters.kafka.letter_box.KafkaLetterBox` is, without a broker.

    ``kept`` are the letters, ``sent`` is what was sent again. ``down`` makes an unreachable broker.
    """

    def __init__(self, kept: Sequence[DeadLetter] = ()) -> None:
        self.kept = list(kept)
        self.sent: list[DeadLetter] = []
        self.down = False
        self._receipts: dict[Place, datetime] = {}

    def letters(self) -> Sequence[DeadLetter]:
        """Return all letters, by place."""
        self._check_up()
        letters = [
            replace(letter, redriven=self._receipts[letter.place]) if letter.place in self._receipts else letter
            for letter in self.kept
        ]
        return sorted(letters, key=lambda letter: letter.place)

    def send(self, letters: Sequence[DeadLetter]) -> None:
        """Send messages again."""
        self._check_up()
        self.sent += letters

    def receipt(self, letters: Sequence[DeadLetter]) -> None:
        """Note that letters were sent again."""
        self._check_up()
        self._receipts |= {letter.place: datetime.now(UTC) for letter in letters}

    def _check_up(self) -> None:
        if self.down:
            raise BrokerUnavailableError("no broker answers", remedy="start it")
