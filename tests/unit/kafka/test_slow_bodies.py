"""No body takes long to read, or one message would hold the poll loop, and with it every partition."""

from __future__ import annotations

import time

import pytest

from consumer.adapters.kafka.codec import MAX_BYTES, decode
from consumer.domain.errors import InvalidEventError
from consumer.domain.invalid_reason import InvalidReason

_PROCESSOR_SECONDS = 2.0


def names(count: int, *, twice: int) -> bytes:
    return b"{" + b",".join(b'"%x":1' % number for number in (*range(count), twice)) + b"}"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(names(25_000, twice=24_999), InvalidReason.DUPLICATE_KEY, id="the last of many names is twice"),
        pytest.param(names(25_000, twice=0), InvalidReason.DUPLICATE_KEY, id="the first of many names is twice"),
        pytest.param(b"[" + b"0," * 120_000 + b"0]", InvalidReason.WRONG_SCHEMA, id="many numbers"),
        pytest.param(b'{"a": "' + b'\\"' * 120_000 + b'"}', InvalidReason.WRONG_SCHEMA, id="many escaped quotes"),
        pytest.param(b'"' * 250_000, InvalidReason.NOT_JSON, id="many quotes"),
        pytest.param(b'{"a": ' + b"1" * 250_000 + b"}", InvalidReason.NOT_JSON, id="a number of many digits"),
    ],
)
def test_a_body_below_the_greatest_size_is_refused_at_once(body: bytes, reason: InvalidReason) -> None:
    assert len(body) < MAX_BYTES
    started = time.process_time()
    with pytest.raises(InvalidEventError) as refused:
        decode(key=b"trades", value=body, headers=[], coordinates=None)
    assert time.process_time() - started < _PROCESSOR_SECONDS
    assert refused.value.reason is reason
