"""Seven simulated days of the ten tables: ``python -m tests.soak``; fails if a promise is broken."""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import SystemRandom

from rich.console import Console

from consumer.embedded.stack import EmbeddedStack
from tests.platform.trading import CYCLE
from tests.soak.chart import chart_of
from tests.soak.gauges import Reading
from tests.soak.play import Plan, play
from tests.soak.schedule import DAY_TICKS, draw
from tests.support.machine import describe_machine
from tests.support.platform import day

_FIRST = day("2024-03-04")
_RETENTION_TICKS = 2 * DAY_TICKS
_TOLD_EVERY = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Play a soak; return 0 if every promise holds."""
    options = _options(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    schedule = draw(options.ticks, options.seed)
    console.print(f"{describe_machine()}\nseed {options.seed}, {options.ticks} ticks of {options.rows:,} rows")
    for line in schedule.lines():
        console.print(line)
    plan = Plan(
        schedule=schedule,
        seed=options.seed,
        rows=options.rows,
        first=_FIRST,
        retention=CYCLE * min(_RETENTION_TICKS, options.ticks // 3),
        local=options.local,
        limit=60 * options.minutes,
    )

    def tell(reading: Reading) -> None:
        if reading.tick % _TOLD_EVERY == 0:
            console.print(
                f"tick {reading.tick}: {reading.memory_mib:,.0f} MiB, {reading.handles} handles, {reading.files} files,"
                f" {reading.snapshots} snapshots, ledger {reading.ledger_mib:.1f} MiB"
            )

    with (
        tempfile.TemporaryDirectory(prefix="icehaul-soak-") as scratch,
        EmbeddedStack.start(Path(scratch) / "stack") as stack,
    ):
        report = play(plan, stack, "soak", Path(tempfile.mkdtemp(dir=options.out, prefix="logs-")), tell)
    report.show(console)
    report.write(options.out / "report.json")
    (options.out / "report.svg").write_text(chart_of(report.document()), encoding="utf-8")
    console.print(f"report.json, report.svg and logs: {os.path.relpath(options.out)}")
    return 0 if report.sound else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--ticks", type=int, default=7 * DAY_TICKS, help="quarter hours, 8 at least")
    parser.add_argument("--rows", type=int, default=1_000, help="rows of a quarter hour, over the ten tables")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(2**31), help="plays a soak again")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no further quarter hour after so long")
    parser.add_argument("--local", action="store_true", help="run tasks in the consumer's process instead of on Spark")
    parser.add_argument("--out", type=Path, default=Path("var/soak"), help="where report, charts and logs go")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
