"""Every point in every mode is a case that can be armed, or is left out for a reason."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from consumer.failpoints.acting import Failpoints, Mode
from consumer.failpoints.effects import EFFECTS, POINTS
from tests.matrix.cases import ELSEWHERE, PLOTS, REWRITES, Case, LeftOut, matrix

ALL = list(matrix())
IN_REWRITES = [one for one in ALL if isinstance(one, Case) and one.rewrite]
ROOT = Path(__file__).resolve().parents[3]


def test_every_point_in_every_mode_is_there_once() -> None:
    counted = Counter((one.point.name, one.mode) for one in ALL if one not in IN_REWRITES)
    assert counted == Counter((point, mode) for point in POINTS for mode in Mode)
    assert len({one.name for one in ALL}) == len(ALL)


def test_what_a_rewrite_has_in_common_with_other_batches_is_played_in_a_rewrite_too() -> None:
    assert {one.point.effect.name for one in IN_REWRITES} == set(REWRITES)
    played = {(one.point, one.mode) for one in ALL if isinstance(one, Case) and one.point.effect.name in REWRITES}
    assert {(one.point, one.mode) for one in IN_REWRITES} == played


def test_every_effect_has_a_plot_that_leads_to_it() -> None:
    assert set(PLOTS) == {name for name, effect in EFFECTS.items() if effect.component not in ELSEWHERE}


def test_every_case_can_be_armed_and_logs_what_it_is_looked_for_by() -> None:
    for one in ALL:
        if isinstance(one, Case):
            Failpoints(one.specification)
            assert one.specification.endswith(f"{one.action}@{one.plot.at}")


def test_what_only_an_operators_command_reaches_has_a_test_of_its_own() -> None:
    for component in ELSEWHERE:
        points = [one for one in ALL if one.point.effect.component is component]
        assert points
        assert all(isinstance(one, LeftOut) for one in points)
        named = {found for one in points for found in re.findall(r"tests/\S+\.py", getattr(one, "reason", ""))}
        assert named
        assert all((ROOT / file).is_file() for file in named)


def test_only_answers_that_look_like_failures_or_do_not_exist_are_left_out() -> None:
    left_out = [one for one in ALL if isinstance(one, LeftOut) and one.point.effect.component not in ELSEWHERE]
    assert all(one.reason for one in left_out)
    assert {one.mode for one in left_out} == {Mode.APPLY_THEN_RAISE}
    played = {one.point.name for one in ALL if isinstance(one, Case) and one.mode is Mode.APPLY_THEN_RAISE}
    assert played == {"batch.after-advance", "target.after-create", "publish.after-commit"}
