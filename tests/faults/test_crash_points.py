"""A consumer killed with SIGKILL at any point of the protocol: its heir loses no row and doubles none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from consumer.adapters.spark.engine import SparkEngine
from consumer.bootstrap import Application
from consumer.domain.batch import BatchStatus
from consumer.domain.errors import LeaseHeldError
from consumer.domain.event_factory import tick
from consumer.domain.window import BEGINNING
from consumer.embedded.stack import EmbeddedStack
from tests.support.platform import Platform, day
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.spark, pytest.mark.timeout(300)]

ROWS = 900
CUTOFF = day("2024-01-04")


@pytest.fixture
def platform(
    stack: EmbeddedStack, unique_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Platform]:
    made = Platform(stack.endpoints, unique_name, tmp_path)
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    # Two batches: the second one is where most of the doomed die.
    made.add_stream(batch={"rows": 600})
    for number in range(3):
        made.insert(300, first=number * 300, day=f"2024-01-0{number + 1}")
    yield made
    made.close()


@pytest.fixture
def heir(platform: Platform, spark_engine: SparkEngine) -> Iterator[Application]:
    """The surviving consumer, in this process, with the warm session."""
    with Application(platform.configuration(), environment={}) as application:
        application.engine = spark_engine
        application.migrate()
        yield application


def die_at(point: str, occurrence: int, platform: Platform, stream: str) -> None:
    """Run a process that handles the tick and is killed at the point."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.doomed", str(platform.write()), stream, CUTOFF.isoformat()],
        env={**os.environ, "ICEHAUL_FAILPOINTS": f"{point}=kill@{occurrence}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def take_over(heir: Application, stream: str) -> None:
    """Handle the redelivered event, as soon as the dead owner's lease has expired."""

    def handled() -> bool:
        try:
            heir.offload.handle(tick(stream=stream, boundary=CUTOFF), threading.Event())
        except LeaseHeldError:
            return False
        return True

    wait_until(handled, seconds=30, what="the lease to expire")


# At the second batch for the points inside a batch, so that one is published before and one is lost.
CASES = [
    ("event.before-handle", 1),
    ("lease.after-claim", 1),
    ("batch.before-begin", 2),
    ("batch.after-begin", 2),
    ("batch.after-write", 2),
    ("attempt.after-stage", 2),
    ("publish.before-stage", 2),
    ("publish.after-stage", 2),
    ("publish.before-commit", 2),
    ("publish.after-commit", 2),
    ("lease.before-release", 1),
    ("event.after-handle", 1),
]


@pytest.mark.parametrize(("point", "occurrence"), CASES)
def test_a_kill_at_any_point_loses_and_doubles_nothing(
    point: str, occurrence: int, platform: Platform, heir: Application
) -> None:
    (stream,) = heir.streams
    die_at(point, occurrence, platform, stream)

    take_over(heir, stream)

    found = heir.verifier.verify(heir.streams[stream])
    assert found.equal, found
    assert found.cold.rows == ROWS
    published = [one for one in heir.ledger.batches(stream, 100) if one.status is BatchStatus.PUBLISHED]
    windows = sorted(one.window for one in published)
    assert windows[0].lower == BEGINNING
    assert all(one.upper == other.lower for one, other in pairwise(windows))
    assert windows[-1].upper == CUTOFF == found.watermark
    assert sum(one.rows for one in published) == ROWS
    assert heir.catalog.snapshots(heir.streams[stream].target) == len(published)
