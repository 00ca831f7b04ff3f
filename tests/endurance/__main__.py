"""A thousand failing batches with Spark: ``python -m tests.endurance``; fails if anything grows, or a row is lost."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from consumer.adapters.spark.engine import SparkEngine
from consumer.adapters.telemetry.logs import configure_logging
from consumer.embedded.endpoints import Endpoints
from consumer.embedded.stack import EmbeddedStack
from consumer.settings.connections import TelemetrySettings
from tests.endurance.campaign import Campaign
from tests.endurance.gauges import Reading
from tests.endurance.report import show, verdicts, write
from tests.endurance.stage import staged
from tests.endurance.trouble import LONG
from tests.support.machine import describe_machine

_STREAMS = 4
_TASK = "task.after-read=kill"
"""What happens to every fifth job: a Python worker is ended, as the system does it for want of memory."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign; return 0 if nothing has grown, and both tiers are equal."""
    options = _options(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    machine = describe_machine()
    console.print(machine)
    readings: list[Reading] = []
    with tempfile.TemporaryDirectory(prefix="icehaul-endurance-") as scratch, ExitStack() as running:
        stack = running.enter_context(EmbeddedStack.start(Path(scratch) / "stack"))
        log = running.enter_context((options.out / "consumer.log").open("w", encoding="utf-8"))
        configure_logging(TelemetrySettings(log_format="json"), stream=log)
        for reading in running.enter_context(_playing(stack.endpoints, Path(scratch), options.batches)):
            readings.append(reading)
            console.print(f"{reading.failed:,} failed: {dict(reading.figures)}")
    found = verdicts(readings)
    show(console, found, readings[-1].failed)
    write(options.out / "report.json", machine, readings, found)
    return 0 if all(verdict.flat for verdict in found) else 1


@contextmanager
def _playing(endpoints: Endpoints, scratch: Path, failures: int) -> Iterator[Iterator[Reading]]:
    temporary = scratch / "tmp"
    temporary.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(temporary))
        patch.setattr(tempfile, "tempdir", str(temporary))
        with staged(endpoints, "endurance", scratch, patch, streams=_STREAMS, task=_TASK) as stage:
            application = stage.application
            settings = application.configuration
            engine = SparkEngine(settings.spark, settings.clickhouse, settings.store, application.failpoints)
            application.engine = engine
            try:
                engine.start()
                yield Campaign(stage=stage, troubles=LONG, driver_killed_every=10).run(failures)
            finally:
                engine.stop()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.endurance", description=__doc__)
    parser.add_argument("--batches", type=int, default=1_000, help="how many batches have to fail")
    parser.add_argument("--out", type=Path, default=Path("var/endurance"), help="where report.json and the log go")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
