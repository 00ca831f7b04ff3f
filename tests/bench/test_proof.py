"""What the proof adds is told pair by pair."""

from __future__ import annotations

import pytest

from tests.bench.measure import Measurement
from tests.bench.proof import share_of


def batch(seconds: float, cpu: float) -> Measurement:
    return Measurement(seconds=seconds, rows=1, bytes_written=1, peak_rss_mib=1, cpu={"icehaul": cpu, "clickhouse": 1})


def test_the_share_is_the_middle_of_the_pairs_whatever_the_machine_did_meanwhile() -> None:
    found = share_of(
        {
            "always": [batch(11, 9), batch(220, 10), batch(12, 29)],
            "on_demand": [batch(10, 7), batch(200, 9), batch(10, 24)],
        }
    )
    assert found.seconds == pytest.approx(0.1)
    assert found.cpu == pytest.approx(0.2)
