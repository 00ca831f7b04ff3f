"""Taking over the watermark of a former writer: the adoption of its table, with the watermark given."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from consumer.domain.fingerprint import Fingerprint
from consumer.domain.stream import Stream
from consumer.ports import Ledger
from consumer.service.adoption.adoptions import Adoptions
from consumer.service.offload import check_active


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeover:
    """What was taken over: the watermark, and the rows below it that both tiers hold."""

    watermark: datetime
    rows: Fingerprint


class Takeovers:
    """Gives a new stream the watermark of its target's former writer."""

    def __init__(self, *, ledger: Ledger, adoptions: Adoptions) -> None:
        self._ledger = ledger
        self._adoptions = adoptions

    def take_over(self, stream: Stream, watermark: datetime) -> Takeover | None:
        """Adopt the target up to this watermark; ``None`` if it was taken over, or passed, before.

        Raises:
            ConfigurationError, DivergenceError, LeaseHeldError, StreamError, TransientError: as
                :meth:`Adoptions.adopt` raises them.
        """
        record = self._ledger.register(stream.name, stream.begins)
        check_active(record)
        if record.watermark >= watermark:
            return None
        adopted = self._adoptions.adopt(stream, claimed=watermark)
        return Takeover(watermark=watermark, rows=adopted.proof.rows)
