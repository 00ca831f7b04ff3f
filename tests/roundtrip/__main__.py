"""Offload random tables of every type by both writers: ``python -m tests.roundtrip --schemas 500 --rows 50000000``."""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from uuid import uuid4

import structlog
from rich.console import Console

from consumer.embedded.stack import EmbeddedStack
from tests.roundtrip.campaign import Failure, Outcome, Stage, play, seconds_since
from tests.roundtrip.schemas import Expected, TableCase, cases
from tests.support.local_platform import ledger_database
from tests.support.machine import describe_machine
from tests.support.spark_connect_server import running_connect_server

_ROUND = 20
"""Tables that stand in ClickHouse and on the store at once."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Play a campaign; return 1 if a table did not come through as it has to."""
    options = _options(arguments)
    shutil.rmtree(options.out, ignore_errors=True)
    options.out.mkdir(parents=True)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1_000_000)
    say = partial(Console(width=10_000).print, markup=False, highlight=False)
    say(describe_machine())
    planned = (
        [TableCase.read(options.replay)] if options.replay else list(cases(seed, options.schemas))[options.first :]
    )
    exact = sum(case.expected is Expected.EXACT for case in planned) or 1
    each = -(-options.rows // exact)
    say(f"seed {seed}: {len(planned)} tables of {each:,} rows, {exact} of them exact")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    started, total = time.monotonic(), Outcome()
    with _stage() as stage:
        remaining = iter(planned)
        while part := list(islice(remaining, _ROUND)):
            _add(total, play(stage, part, each, sample=options.sample))
            _write(options.out, seed, started, total)
            say(
                f"{total.schemas} tables, {total.rows:,} rows by each writer, {total.refused} refused,"
                f" {total.unequal} unequal, {len(total.failures)} failures, {seconds_since(started):,.0f} s"
            )
            if options.minutes and seconds_since(started) > options.minutes * 60:
                say("the time is up")
                break
    for failure in total.failures:
        _explain(failure, options.out, each, say)
    say(f"report.json: {os.path.relpath(options.out)}")
    return 1 if total.failures else 0


@contextmanager
def _stage() -> Iterator[Stage]:
    """Servers, a Spark Connect server, and two consumers' configurations."""
    with (
        tempfile.TemporaryDirectory(prefix="icehaul-roundtrip-") as scratch,
        EmbeddedStack.start(Path(scratch) / "stack") as stack,
        running_connect_server(Path(scratch) / "spark", memory="1g") as server,
        ledger_database(stack.endpoints, f"roundtrip_{uuid4().hex[:8]}") as dsn,
    ):
        stage = Stage(stack.endpoints, "roundtrip", dsn, Path(scratch), server.url)
        os.environ.update(next(iter(stage.platforms.values())).environment())
        yield stage


def _add(total: Outcome, part: Outcome) -> None:
    total.schemas += part.schemas
    total.rows += part.rows
    total.columns += part.columns
    total.refused += part.refused
    total.unequal += part.unequal
    total.values_read += part.values_read
    total.families.update(part.families)
    total.failures += part.failures


def _explain(failure: Failure, folder: Path, rows: int, say: partial[None]) -> None:
    """Print a table that failed, and keep it as a file that plays it again."""
    path = folder / f"{failure.case.name}.json"
    path.write_text(failure.case.text(), encoding="utf-8")
    say(f"failure of {failure.case.name}, {failure.writer}: {failure.problem}")
    say(f"  {failure.case.create(failure.case.name)}; columns: {failure.case.chosen}")
    say(f"  again: python -m tests.roundtrip --replay {os.path.relpath(path)} --rows {rows}")


def _write(folder: Path, seed: int, started: float, total: Outcome) -> None:
    report = {
        "machine": describe_machine(),
        "seed": seed,
        "seconds": seconds_since(started),
        "schemas": total.schemas,
        "columns": total.columns,
        "rows": total.rows,
        "unequal": total.unequal,
        "refused": total.refused,
        "failures": [f"{one.case.name}, {one.writer}: {one.problem}" for one in total.failures],
        "read_by_arrow": total.values_read,
        "families": dict(sorted(total.families.items())),
    }
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.roundtrip", description=__doc__)
    parser.add_argument("--schemas", type=int, default=500, help="tables to generate")
    parser.add_argument("--rows", type=int, default=50_000_000, help="rows of all tables together, by each writer")
    parser.add_argument("--sample", type=int, default=20, help="every such table is also read by PyIceberg and Arrow")
    parser.add_argument("--minutes", type=float, help="after which no further round begins")
    parser.add_argument("--seed", type=int, help="what all tables derive from; by chance if not given")
    parser.add_argument("--first", type=int, default=0, help="number of the first table, to go on with a campaign")
    parser.add_argument("--replay", type=Path, help="a table that failed, to be played again instead")
    parser.add_argument("--out", type=Path, default=Path("var/types"), help="where the report goes")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
