"""Play the service against the servers in memory: ``python -m tests.simulation --steps 1000000 --seed 1``."""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.simulation.campaign import Outcome, of_both_places, played
from tests.simulation.figures import broken_at, figures, unreached
from tests.simulation.scripts import REGRESSIONS, Script
from tests.simulation.truth import Violation


def main(arguments: Sequence[str] | None = None) -> int:
    """Play a campaign, or one script; return 1 if an invariant was violated."""
    options = _options(arguments)
    console = Console(width=None if sys.stdout.isatty() else 160)
    if options.replay is not None:
        return _replay(options.replay, console)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1_000_000)
    console.print(f"seed {seed}, {options.steps:,} steps, {options.workers} workers")
    found = Outcome()
    parts = list(of_both_places(options.steps, seed, shrink=not options.no_shrink))
    for found in played(parts, options.workers):
        rate = found.steps / found.seconds
        console.print(
            f"{found.steps:,} steps, {found.runs:,} runs, {rate:,.0f} steps/s, {len(found.failing)} violations"
        )
        if found.failing and options.first:
            break
    _show(found, console)
    for script in found.failing:
        console.print(f"violated: {script.violation}", soft_wrap=True)
        if script.rules and not options.no_shrink:
            kept = script.save(options.keep)
            console.print(f"the smallest run that shows it: {os.path.relpath(kept)}; play it with --replay")
    _write(found, seed, options)
    console.print(f"report: {os.path.relpath(options.out)}/report.json")
    return 1 if found.failing else 0


def _replay(path: Path, console: Console) -> int:
    script, story = Script.load(path), list[str]()
    violation = None
    try:
        script.play(story)
    except Violation as error:
        violation = error
    console.print("\n".join(story), markup=False, highlight=False)
    console.print(f"violated: {violation}" if violation else "nothing is violated", markup=False)
    return 1 if violation else 0


def _show(found: Outcome, console: Console) -> None:
    table = Table("reached", "times")
    for name, count in figures(found.counts).items():
        table.add_row(name, f"{count:,}")
    console.print(table)
    rules = {name.removeprefix("rule "): count for name, count in found.counts.items() if name.startswith("rule ")}
    console.print("rules: " + ", ".join(f"{name} {count:,}" for name, count in sorted(rules.items())))
    console.print(f"points passed: {found.points:,}; failed at: {len(broken_at(found.counts))} different points")
    if missed := unreached(found.counts):
        console.print(f"failpoints never reached: {', '.join(missed)}")


def _write(found: Outcome, seed: int, options: argparse.Namespace) -> None:
    options.out.mkdir(parents=True, exist_ok=True)
    document = {
        "steps": found.steps,
        "violations": len(found.failing),
        "steps_per_second": round(found.steps / found.seconds) if found.seconds else 0,
        "seconds": round(found.seconds, 1),
        "seed": seed,
        "workers": options.workers,
        "runs": found.runs,
        "points": found.points,
        "reached": figures(found.counts),
        "violated": [script.violation for script in found.failing],
    }
    (options.out / "report.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--steps", type=int, default=1_000_000, help="rules to play, at least")
    parser.add_argument("--seed", type=int, help="what all choices derive from; by chance if not given")
    parser.add_argument("--workers", type=int, default=1, help="processes that play at the same time")
    parser.add_argument("--first", action="store_true", help="end with the first violation")
    parser.add_argument("--no-shrink", action="store_true", help="don't make a failing run smaller, and don't keep it")
    parser.add_argument("--keep", type=Path, default=REGRESSIONS, help="where failing runs are kept")
    parser.add_argument("--replay", type=Path, help="play one kept run instead, and tell what happens in it")
    parser.add_argument("--out", type=Path, default=Path("var/simulate"), help="where the report goes")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
