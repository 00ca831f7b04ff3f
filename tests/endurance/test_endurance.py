"""Sixty failing batches, without Spark, on each run of the suite; ``make endurance`` plays a thousand with it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from consumer.embedded.stack import EmbeddedStack
from tests.endurance.campaign import Campaign
from tests.endurance.gauges import GAUGES, Reading
from tests.endurance.report import verdicts
from tests.endurance.stage import staged
from tests.endurance.trouble import BRIEF

FAILURES = 60


def test_nothing_grows_over_failing_batches_and_every_stream_recovers(
    stack: EmbeddedStack, unique_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with staged(stack.endpoints, unique_name, tmp_path, monkeypatch, streams=3, task="task.after-read=raise") as stage:
        readings = list(Campaign(stage=stage, troubles=BRIEF).run(FAILURES))

    assert readings[-1].failed >= FAILURES
    assert [verdict for verdict in verdicts(readings) if not verdict.flat] == []


@pytest.mark.parametrize("gauge", GAUGES)
def test_what_grows_is_found(gauge: str) -> None:
    steps = [0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    readings = [
        Reading(
            failed=number, figures={name: (GAUGES[gauge].slack + 1) * step if name == gauge else 7.0 for name in GAUGES}
        )
        for number, step in enumerate(steps)
    ]

    assert [verdict.gauge for verdict in verdicts(readings) if not verdict.flat] == [gauge]
