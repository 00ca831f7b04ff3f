"""The benchmark of cold queries in small: every engine has the same answers, and reads no file in vain."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from consumer.domain.maintenance import TaskName
from consumer.embedded.stack import EmbeddedStack
from tests.bench.cold.asking import Asked, Patience
from tests.bench.cold.filling import Shape, add_stream, create_source, exporting, tick_by_tick
from tests.bench.cold.session import cold_table
from tests.bench.cold.sizes import Files, files_now
from tests.support.platform import Platform

pytestmark = [pytest.mark.spark, pytest.mark.timeout(300)]

SHAPE = Shape(days=3, rows=1200, ticks=4)
ONCE = Patience(repeats=1, seconds=0)
ENGINES = ("ClickHouse", "Spark", "PyIceberg", "DuckDB")


@dataclass(frozen=True)
class Run:
    """What was asked before and after maintenance, and what files there were."""

    asked: tuple[Sequence[Asked], Sequence[Asked]]
    files: tuple[Files, Files]


@pytest.fixture(scope="module")
def run(stack: EmbeddedStack, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A benchmark of its own; it fails where an answer is not that of the source."""
    scratch = tmp_path_factory.mktemp("cold")
    platform = Platform(stack.endpoints, f"t_cold_{os.getpid()}", scratch)
    with pytest.MonkeyPatch.context() as patched:
        for name, value in platform.environment().items():
            patched.setenv(name, value)
        create_source(platform)
        stream = add_stream(platform, {})
        with exporting(platform) as application:
            tick_by_tick(platform, application, stream, SHAPE, print)
            with cold_table(platform, SHAPE, scratch, cores=1) as table:
                asked, files = [], []
                for tasks in ((), list(TaskName)):
                    if tasks:
                        application.maintenance.maintain(application.streams[stream], tasks)
                    asked.append(table.ask(ONCE))
                    files.append(files_now(table.now(), SHAPE.rows, 2**20))
    platform.close()
    return Run((asked[0], asked[1]), (files[0], files[1]))


def read(asked: Sequence[Asked]) -> dict[str, dict[str, tuple[int, int]]]:
    """How many files each engine read for each query, and how many of them in vain."""
    return {
        query: {one.engine: (one.files, one.needless) for one in asked if one.query == query}
        for query in ("day", "range", "point", "aggregate")
    }


def by_all(files: int) -> dict[str, tuple[int, int]]:
    return dict.fromkeys(ENGINES, (files, 0))


def test_every_engine_reads_the_files_of_the_answer_and_no_other_before_and_after_maintenance(run: Run) -> None:
    before, after = run.asked
    assert read(before) == {"day": by_all(4), "range": by_all(8), "point": by_all(1), "aggregate": by_all(12)}
    assert read(after) == {"day": by_all(1), "range": by_all(2), "point": by_all(1), "aggregate": by_all(3)}


def test_maintenance_leaves_no_file_that_could_be_fewer(run: Run) -> None:
    before, after = run.files
    assert (before.files, before.superfluous, before.small_ratio) == (12, 12, 1.0)
    assert (after.files, after.superfluous, after.small_ratio) == (3, 0, 0.0)
