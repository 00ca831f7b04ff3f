from __future__ import annotations

import pickle

from consumer.domain.errors import InvalidEventError
from consumer.domain.invalid_reason import InvalidReason


def test_an_invalid_event_keeps_its_reason_across_a_process_boundary() -> None:
    error = InvalidEventError("key: 'a'", remedy="correct it", reason=InvalidReason.WRONG_KEY)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (copy.message, copy.remedy, copy.reason) == ("key: 'a'", "correct it", InvalidReason.WRONG_KEY)
