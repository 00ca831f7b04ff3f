"""The fit of the cost model finds costs that are known, and its plans count what the planner would."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
