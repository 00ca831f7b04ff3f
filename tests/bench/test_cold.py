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
from tests.bench.cold.ingestion import Slowdown, added
from tests.bench.cold.report import AFTER, BEFORE, Report
from tests.bench.cold.session import cold_table
from tests.bench.cold.sizes import Files, files_now
from tests.support.platform import Platform

pytestmark = pytest.mark.timeout(600)

SHAPE = Shape(days=3, rows=1200, ticks=3)
ONCE = Patience(repeats=1, seconds=0)
ENGINES = ("ClickHouse", "ClickHouse, frugal", "PyIceberg", "DuckDB")


@dataclass(frozen=True)
class Run:
    """What was asked before and after maintenance, and what files there were."""

    engines: Sequence[str]
    asked: Sequence[Sequence[Asked]]
    files: Sequence[Files]

    def read(self, number: int) -> dict[str, dict[str, tuple[int, int]]]:
        """How many files each engine read for each query, and how many of them in vain."""
        found: dict[str, dict[str, tuple[int, int]]] = {}
        for one in self.asked[number]:
            found.setdefault(one.query, {})[one.engine] = (one.files, one.needless)
        return found

    def by_all(self, **files: int) -> dict[str, dict[str, tuple[int, int]]]:
        """What it should be: so many files for each query, none of them in vain."""
        return {query: dict.fromkeys(self.engines, (count, 0)) for query, count in files.items()}


# Spark's JVM takes longer than everything else together; test_file_skipping.py asks it for files, too.
@pytest.fixture(
    scope="module",
    params=[
        pytest.param(None, id="no-spark"),
        pytest.param(1, marks=[pytest.mark.thorough, pytest.mark.spark], id="spark"),
    ],
)
def run(stack: EmbeddedStack, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Run:
    """A benchmark of its own; it fails where an answer is not that of the source."""
    scratch = tmp_path_factory.mktemp("cold")
    platform = Platform(stack.endpoints, f"t_cold_{os.getpid()}_{request.param or 0}", scratch)
    asked, files = [], []
    with pytest.MonkeyPatch.context() as patched:
        for name, value in platform.environment().items():
            patched.setenv(name, value)
        create_source(platform)
        stream = add_stream(platform, {})
        with exporting(platform) as application:
            tick_by_tick(platform, application, stream, SHAPE, print)
            with cold_table(stack, platform, SHAPE, scratch, spark_cores=request.param) as table:
                for tasks in ([], list(TaskName)):
                    application.maintenance.maintain(application.streams[stream], tasks)
                    asked.append(table.ask(ONCE))
                    files.append(files_now(table.now(), SHAPE.rows, 2**20))
    platform.close()
    return Run(ENGINES if request.param is None else (*ENGINES, "Spark"), asked, files)


@pytest.mark.thorough
def test_every_engine_reads_the_files_of_the_answer_and_no_other_before_and_after_maintenance(run: Run) -> None:
    assert run.read(0) == run.by_all(day=3, range=6, point=1, aggregate=9)
    assert run.read(1) == run.by_all(day=1, range=2, point=1, aggregate=3)


@pytest.mark.thorough
def test_maintenance_leaves_no_file_that_could_be_fewer(run: Run) -> None:
    before, after = run.files
    assert (before.files, before.superfluous, before.small_ratio) == (9, 9, 1.0)
    assert (after.files, after.superfluous, after.small_ratio) == (3, 0, 0.0)


def asked(engine: str, query: str, *warm_ms: float) -> Asked:
    return Asked(engine=engine, query=query, first_ms=9, warm_ms=warm_ms, cpu_ms=1, files=1, needless=0, bytes=1)


def test_figures_are_held_against_their_limits_and_against_those_before_maintenance() -> None:
    report = Report(command="c", machine="m", rows=1, days=1, ticks=1)
    report.asked[BEFORE] = [asked("Spark", "day", 2000, 2000, 2000)]
    report.asked[AFTER] = [asked("Spark", "day", 500, 500, 1500), asked("DuckDB", "day", 9000, 9000)]
    report.files[AFTER] = Files(files=100, bytes=1, small=50, superfluous=5, manifests=1)
    report.slowdown = Slowdown(paced=0.02, back_to_back=0.2, pieces=1)
    assert {one.name: one.holds for one in report.targets()} == {
        "small files after maintenance": True,
        "one day through Spark, p99 ms": False,
        "ingestion slowed, paced": True,
        "ingestion slowed, back to back": False,
    }
    assert report.ratios()["Spark, day"] == {"to_before": 0.25}


def test_what_maintenance_adds_is_the_middle_of_the_pairs_whatever_the_machine_did_meanwhile() -> None:
    assert added([11, 220, 15], [10, 200, 10]) == pytest.approx(0.1)


def test_a_query_is_repeated_for_some_time_three_times_at_least_and_once_if_it_is_very_slow() -> None:
    patience = Patience(repeats=100, seconds=5)
    assert [patience.enough(done, 14) for done in (0, 2, 3)] == [False, False, True]
    assert (patience.enough(99, 4), patience.enough(100, 4)) == (False, True)
    assert (patience.enough(0, 60), patience.enough(1, 60)) == (False, True)
    assert asked("Spark", "aggregate", 7.0).percentile(99) == 7.0
