"""Give the readers of events and configurations what strangers might: ``python -m tests.fuzz --events 1000000``."""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from tests.fuzz.campaign import Kind, Outcome, campaign


def main(arguments: Sequence[str] | None = None) -> int:
    """Play a campaign; return 1 if some input was answered wrongly."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="messages to be read")
    parser.add_argument("--configurations", type=int, default=20_000, help="configuration files to be loaded")
    parser.add_argument("--surroundings", type=int, default=10_000, help="environments and secrets directories")
    parser.add_argument("--seed", type=int, help="what all inputs derive from; by chance if not given")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("var/fuzz"), help="where the report goes")
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1_000_000)
    say = partial(Console(width=10_000).print, markup=False, highlight=False)
    totals = {
        Kind.EVENTS: options.events,
        Kind.CONFIGURATIONS: options.configurations,
        Kind.SURROUNDINGS: options.surroundings,
    }
    say(f"seed {seed}: " + ", ".join(f"{total:,} {kind}" for kind, total in totals.items()))
    started, found = time.perf_counter(), Outcome()
    for found in campaign(totals, seed, workers=options.workers):
        if found.inputs % 100_000 == 0:
            say(f"{found.inputs:,} inputs, {len(found.failures)} failures")
    seconds = time.perf_counter() - started
    for outcome, times in found.outcomes.most_common():
        say(f"{times:>10,}  {outcome}")
    for failure in found.failures:
        say(f"failure: {failure}")
    say(
        f"{found.inputs:,} inputs in {seconds:,.0f} s, {len(found.failures)} failures; the slowest took"
        f" {found.longest_seconds * 1000:,.0f} ms"
    )
    _write(options.out, seed, seconds, found)
    return 1 if found.failures else 0


def _write(folder: Path, seed: int, seconds: float, found: Outcome) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    report = {
        "inputs": found.inputs,
        "failures": found.failures,
        "seconds": round(seconds, 1),
        "inputs_per_second": round(found.inputs / seconds) if seconds else None,
        "longest_ms": round(found.longest_seconds * 1000, 1),
        "outcomes": dict(found.outcomes.most_common()),
        "seed": seed,
    }
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
