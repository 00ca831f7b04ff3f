"""Plant every bug in a copy of the tree and look whether the tests notice: ``python -m tests.mutants``."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from consumer.embedded.stack import EmbeddedStack
from tests.mutants import report
from tests.mutants.bug import Bug
from tests.mutants.catalogue import BUGS
from tests.mutants.trial import Outcome, Trials
from tests.support.shared_stack import GIVEN

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "planted-bugs.md"
_AT_ONCE = 2


class UnsoundTreeError(Exception):
    """The tests fail without any bug, so that their failing with one would prove nothing."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the bugs; return 0 if every one is caught."""
    options = _options(arguments)
    console = Console(width=None if sys.stdout.isatty() else 180)
    chosen = [bug for bug in BUGS if not options.only or bug.name in options.only]
    out: Path = options.out
    outcomes = try_bugs(chosen, out, console)
    report.show(console, outcomes)
    report.write(out / "report.json", outcomes)
    if len(chosen) == len(BUGS):
        report.replace_table(PAGE, report.table(BUGS, {one.name: one for one in outcomes}))
    return 0 if all(one.caught for one in outcomes) else 1


def try_bugs(bugs: Sequence[Bug], scratch: Path, console: Console) -> list[Outcome]:
    """Run the bugs' tests on a sound copy, then on one copy for each bug, two at a time.

    Raises:
        UnsoundTreeError: if a test fails on the sound copy, or is not there.
        StaleBugError: if a bug can't be planted.
    """
    for bug in bugs:
        bug.changed(ROOT)
    tests = sorted({test for bug in bugs for test in bug.tests})
    with _servers(bugs, scratch) as environment:
        trials = Trials(ROOT, scratch / "trees", environment)
        console.print(f"the tests of {len(bugs)} bugs, without a bug")
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            shares = dict(enumerate(_shares(tests), 1))
            sound = list(pool.map(lambda number: trials.sound(f"sound-{number}", shares[number]), shares))
        for part in sound:
            if part.exit_code is None:
                raise UnsoundTreeError(f"the tests do not end on the tree as it is:\n{part.tail}")
            if part.exit_code != 0:
                raise UnsoundTreeError(f"the tests fail on the tree as it is:\n{part.tail}")
        ran, seconds = sum(part.ran for part in sound), max(part.seconds for part in sound)
        console.print(f"{ran} tests pass in {seconds:.1f} s; now with one bug at a time")

        def tried(bug: Bug) -> Outcome:
            outcome = trials.of(bug)
            console.print(f"{outcome.verdict:10} {bug.name}", markup=False, highlight=False)
            return outcome

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(tried, bugs))


def _shares(tests: Sequence[str]) -> list[Sequence[str]]:
    """Share tests out over the trials that run at once; neighbours stay together, and share what they need."""
    size = -(-len(tests) // _AT_ONCE)
    return [share for at in range(_AT_ONCE) if (share := tests[at * size : (at + 1) * size])]


@contextmanager
def _servers(bugs: Sequence[Bug], scratch: Path) -> Iterator[dict[str, str]]:
    """Run the components that the tests need, from the sound tree; yield how the trials find them."""
    needed = sorted({component for bug in bugs for component in bug.servers})
    if not needed:
        yield {}
        return
    directory = scratch / "stack"
    shutil.rmtree(directory, ignore_errors=True)
    with EmbeddedStack.start(directory, only=needed):
        yield {GIVEN: str(directory.resolve())}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[bug.name for bug in BUGS])
    parser.add_argument("--out", type=Path, default=ROOT / "var" / "mutants", help="where the report goes")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
