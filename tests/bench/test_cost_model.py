"""The fit of the cost model finds costs that are known, and its plans count what the planner would."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.embedded.component import ComponentName
from tests.bench.cost_model import CostModel, Plan, Sample, Work, cores, fit

WORKS = [
    Work(rows=0, units=0, batches=0, commits=20),
    Work(rows=20_000, units=20, batches=20, commits=20),
    Work(rows=300_000, units=12, batches=1, commits=1),
    Work(rows=300_000, units=10, batches=10, commits=1),
    Work(rows=900_000, units=3, batches=1, commits=1),
]
COST = st.floats(min_value=0.001, max_value=1)


def samples(costs: tuple[float, ...]) -> list[Sample]:
    truth = CostModel({"wall": costs})
    return [Sample(name="", work=work, seconds={"wall": truth.predict("wall", work)}) for work in WORKS]


@given(row=st.floats(min_value=1e-7, max_value=1e-5), unit=COST, batch=COST, commit=COST)
def test_costs_that_are_known_are_found(row: float, unit: float, batch: float, commit: float) -> None:
    found = fit(samples((row, unit, batch, commit))).costs["wall"]

    assert found == pytest.approx((row, unit, batch, commit), rel=1e-6)


def test_what_costs_nothing_gets_no_negative_cost() -> None:
    noisy = samples((1e-6, 0.0, 0.1, 0.01))
    noisy[2] = Sample(name="", work=noisy[2].work, seconds={"wall": noisy[2].seconds["wall"] * 0.9})

    found = fit(noisy).costs["wall"]

    assert min(found) >= 0
    assert found[2] == pytest.approx(0.1, rel=0.3)


def test_a_day_is_cut_as_the_planner_cuts_it() -> None:
    small = Plan(rows=960_000, streams=10, events=96)
    large = Plan(rows=1_000_000_000, streams=1, events=24)

    assert small.work() == Work(rows=960_000, units=960, batches=960, commits=960)
    # 41.7 million rows with each event: nine batches of 4.6 million, three units in each.
    assert large.work() == Work(rows=1_000_000_000, units=24 * 27, batches=24 * 9, commits=24)


def test_a_core_that_is_busy_all_day_is_one_core() -> None:
    assert (
        cores(CostModel({"cpu": (86_400 / 1000, 0, 0, 0)}), "cpu", Work(rows=1000, units=0, batches=0, commits=0)) == 1
    )


PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "scaling.md"


def table(heading: str) -> list[list[str]]:
    """The rows of the page's table below a heading, without the one of the columns' names."""
    section = PAGE.read_text(encoding="utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line.strip("| ") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")] for line in lines[2:]]


def test_the_day_that_the_page_predicts_follows_from_the_costs_that_it_shows() -> None:
    found = {of: (float(row) / 1e6, *(float(cost) / 1e3 for cost in others)) for of, row, *others in table("Costs")}
    model = CostModel(found)
    kinds = ["all", "ClickHouse", "icehaul", "Kafka", "Postgres", "the store"]

    day = table("A day of 1,000,000,000 rows")
    assert len(day) == 4
    for streams, events, batches, units, *shown in day:
        plan = Plan(rows=10**9, streams=int(streams.replace(",", "")), events=int(events))
        work = plan.work()
        assert (f"{work.batches:,}", f"{work.units:,}") == (batches, units)
        for kind, cell in zip(kinds, shown, strict=True):
            assert float(cell) == pytest.approx(cores(model, kind, work), abs=0.011)


def test_the_page_names_the_command_that_measures_it() -> None:
    assert "```bash\npython -m tests.bench.costs\n```" in PAGE.read_text(encoding="utf-8")


@pytest.mark.thorough
def test_the_command_measures_each_part_and_predicts_a_run_that_it_did_not_use(tmp_path: Path) -> None:
    options = ("--rows", "30000", "--rounds", "1", "--ticks", "3", "--out", str(tmp_path))
    subprocess.run([sys.executable, "-m", "tests.bench.costs", *options], check=True, capture_output=True)

    report = json.loads((tmp_path / "costs.json").read_text(encoding="utf-8"))
    assert report["costs"].keys() == {"wall", "all CPU", *ComponentName, "icehaul"}
    work = {sample["name"]: sample["work"] for sample in report["samples"]}
    assert "check" in work
    assert work["idle"] == {"rows": 0, "units": 0, "batches": 0, "commits": 3}
    assert work["many batches"]["batches"] > work["one unit"]["batches"] == 1
    assert work["many units"]["units"] > work["one unit"]["units"] == 1
