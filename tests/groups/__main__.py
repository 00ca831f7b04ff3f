"""Play consumer groups of real processes: ``python -m tests.groups``; fails if a row is lost or doubled."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import SystemRandom

from rich.console import Console

from consumer.embedded.stack import EmbeddedStack
from tests.groups.campaign import Outcome, Plan, play_group
from tests.groups.drain import measure_throughput
from tests.groups.report import Report
from tests.groups.stage import PROTOCOLS
from tests.matrix.stage import House
from tests.support.machine import describe_machine
from tests.support.nursery import Nursery
from tests.support.spark_connect_server import running_connect_server

DAYS, DELAY = 4, 0.25
"""Batches of each stream in a measured drain, and how long each answer of ClickHouse is held back for it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Play the groups that were asked for; 0 if everything is as it has to be."""
    options = _options(arguments)
    shutil.rmtree(options.out, ignore_errors=True)
    options.out.mkdir(parents=True)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    started = time.monotonic()
    machine = describe_machine()
    console.print(machine)
    outcomes: list[Outcome] = []
    with _house(options.out) as (house, broker_log):
        # First, while nothing else has left its traces on the servers.
        throughput = None if options.no_drain else measure_throughput(house, days=DAYS, delay=DELAY)
        if throughput is not None:
            console.print(
                f"one consumer drains the streams in {throughput.seconds(1):.1f} s, two in"
                f" {throughput.seconds(2):.1f} s: {throughput.ratio:.2f} times as fast"
            )
        for number, protocol in enumerate(one for one in PROTOCOLS if one.name in options.protocols):
            outcome = play_group(house, protocol, broker_log, Plan(kills=options.kills), options.seed + number)
            outcomes.append(outcome)
            verdict = f"FAILED: {'; '.join(outcome.problems)}" if outcome.problems else "ok"
            console.print(
                f"{outcome.protocol}: {verdict} ({outcome.rows} rows, {outcome.killed} killed, {outcome.ended} asked to"
                f" end, longest event {outcome.longest_event:.1f} s, {outcome.seconds:.0f} s, seed {outcome.seed})"
            )
    report = Report(outcomes=outcomes, throughput=throughput, machine=machine, seconds=time.monotonic() - started)
    report.write(options.out / "report.json")
    found = report.data()
    console.print(", ".join(f"{name}: {found[name]}" for name in ("groups", "lost", "doubled", "expelled")))
    console.print(f"report.json and logs: {os.path.relpath(options.out)}")
    return 0 if report.sound else 1


@contextmanager
def _house(out: Path) -> Iterator[tuple[House, Path]]:
    with (
        tempfile.TemporaryDirectory(prefix="icehaul-groups-") as scratch,
        EmbeddedStack.start(Path(scratch) / "stack") as stack,
        running_connect_server(Path(scratch) / "spark", cores=4) as spark,
        Nursery(out / "nursery.log") as nursery,
        House(
            endpoints=stack.endpoints,
            nursery=nursery,
            directory=out / "groups",
            spark={"remote": spark.url},
            name="group",
        ) as house,
    ):
        broker_log = Path(scratch) / "stack" / "logs" / "kafka.log"
        try:
            yield house, broker_log
        finally:
            shutil.copy(broker_log, out)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.groups", description=__doc__)
    names = [one.name for one in PROTOCOLS]
    parser.add_argument("--protocols", nargs="*", choices=names, default=names, help="the groups to play")
    parser.add_argument("--kills", type=int, default=5, help="kills of a group of four")
    parser.add_argument(
        "--seed", type=int, default=SystemRandom().randrange(10**6), help="plays the same moments again"
    )
    parser.add_argument("--no-drain", action="store_true", help="do not measure the throughput")
    parser.add_argument("--out", type=Path, default=Path("var/groups"), help="where report and logs go")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
