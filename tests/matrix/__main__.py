"""Play the crash matrix: ``python -m tests.matrix``."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from consumer.domain.writer import Writer
from consumer.embedded.stack import EmbeddedStack
from tests.matrix.cases import Case, LeftOut, matrix
from tests.matrix.play import Outcome, play_all
from tests.matrix.report import Report
from tests.matrix.stage import House
from tests.support.machine import describe_machine
from tests.support.nursery import Nursery
from tests.support.spark_connect_server import running_connect_server

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "crash-matrix.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Play the cases that were asked for; 0 if every one is as it has to be."""
    options = _options(arguments)
    shutil.rmtree(options.out / "cases", ignore_errors=True)
    options.out.mkdir(parents=True, exist_ok=True)
    chosen = [one for one in matrix() if re.search(options.only, one.name)]
    cases = [one for one in chosen if isinstance(one, Case)]
    console = Console(highlight=False, markup=False, soft_wrap=True)
    started = time.monotonic()
    with _house(options.out, options.writer) as house:
        outcomes: list[Outcome] = []
        for outcome in play_all(house, cases, lanes=options.lanes):
            outcomes.append(outcome)
            console.print(f"{len(outcomes):3}/{len(cases)} {_line(outcome)}")
    outcomes.sort(key=lambda outcome: cases.index(outcome.case))
    report = Report(
        outcomes=outcomes,
        left_out=[one for one in chosen if isinstance(one, LeftOut)],
        command=_command(options),
        machine=describe_machine(),
        seconds=time.monotonic() - started,
    )
    report.write(options.out / "report.json")
    if _whole(options):
        report.write_page(PAGE)
    found = report.data()
    console.print(", ".join(f"{name}: {found[name]}" for name in ("cases", "lost", "doubled", "failed", "recovery")))
    return 0 if report.sound else 1


def _whole(options: argparse.Namespace) -> bool:
    return not options.only and options.writer is Writer.STREAM


def _command(options: argparse.Namespace) -> str:
    if _whole(options):
        return "make crash-matrix"
    return f"python -m tests.matrix --only {options.only!r} --writer {options.writer}"


def _line(outcome: Outcome) -> str:
    recovery = "" if outcome.recovery is None else f", survivor published after {outcome.recovery:.1f} s"
    verdict = f"FAILED: {'; '.join(outcome.problems)}" if outcome.problems else "ok"
    return f"{outcome.case.name}: {verdict} ({outcome.seconds:.1f} s{recovery})"


@contextmanager
def _house(out: Path, writer: Writer) -> Iterator[House]:
    with (
        tempfile.TemporaryDirectory(prefix="icehaul-matrix-") as scratch,
        EmbeddedStack.start(Path(scratch) / "stack") as stack,
        running_connect_server(Path(scratch) / "spark", cores=4) as spark,
        Nursery(out / "nursery.log") as nursery,
        House(
            endpoints=stack.endpoints,
            nursery=nursery,
            directory=out / "cases",
            spark={"remote": spark.url, "writer": writer.value},
            spark_log=spark.log,
        ) as house,
    ):
        yield house


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument(
        "--only",
        default="",
        help="cases POINT=MODE that match this; the documentation is left as it is",
    )
    parser.add_argument(
        "--writer",
        type=Writer,
        choices=list(Writer),
        default=Writer.STREAM,
        help="who writes the files; with export the documentation is left as it is",
    )
    parser.add_argument("--lanes", type=int, default=3, help="cases that are played at the same time")
    parser.add_argument("--out", type=Path, default=Path("var/crash-matrix"), help="where report and logs go")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
