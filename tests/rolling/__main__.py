"""Play a rolling upgrade from an earlier revision, and back: ``make rolling-upgrade FROM=REVISION``.

Old and new consumers work in one group on one ledger, with traffic, a migration in its midst, and kills. Fails if a row
is lost or doubled, if a consumer stops or a stream halts, or if a step is not done in time.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest
import structlog
from rich.console import Console

from consumer.embedded.stack import EmbeddedStack
from tests.rolling.revision import ROOT, before_the_newest_migration, revision_of
from tests.rolling.stage import staged
from tests.rolling.upgrade import Outcome, Upgrade
from tests.support.machine import describe_machine

_NEWEST = len(list((ROOT / "schemas" / "postgres").glob("*.sql")))


def main(arguments: Sequence[str] | None = None) -> int:
    """Play the upgrades that were asked for; 0 if everything is as it has to be."""
    options = _options(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(describe_machine())
    shutil.rmtree(options.out, ignore_errors=True)
    options.out.mkdir(parents=True)
    out = options.out.resolve()
    names = options.revisions or [before_the_newest_migration().commit]
    outcomes: dict[str, Outcome] = {}
    with (
        tempfile.TemporaryDirectory(prefix="icehaul-rolling-") as scratch,
        EmbeddedStack.start(Path(scratch) / "stack") as stack,
    ):
        for number, name in enumerate(names):
            revision = revision_of(name)
            console.print(f"from {name} ({revision.commit[:12]}), which knows migration {revision.migration:04}:")
            logs = out / revision.commit[:12]
            logs.mkdir()
            tree = revision.unpack(Path(scratch) / "trees")
            with (
                pytest.MonkeyPatch.context() as patch,
                staged(stack.endpoints, f"rolling{number}", logs, tree, options.streams, patch) as stage,
            ):
                upgrade = Upgrade(stage, pending=revision.migration < _NEWEST, say=console.print)
                outcomes[name] = outcome = upgrade.play(rounds=options.rounds)
            console.print(f"{'; '.join(outcome.problems) or 'ok'} ({outcome.rows} rows)")
    report = {name: asdict(outcome) for name, outcome in outcomes.items()}
    (out / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 1 if any(outcome.problems for outcome in outcomes.values()) else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.rolling", description=__doc__)
    parser.add_argument(
        "revisions", nargs="*", help="what to upgrade from; the newest that knows fewer migrations if none is named"
    )
    parser.add_argument("--rounds", type=int, default=1, help="how often to go there and back")
    parser.add_argument("--streams", type=int, default=4, help="how many streams there are")
    parser.add_argument("--out", type=Path, default=Path("var/rolling"), help="where report and logs go")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
