"""A few cases of the crash matrix: a kill in every component, a lost answer, a zombie; and every point is real.

`make crash-matrix` plays all of them; `docs/reference/crash-matrix.md` has its results.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from consumer.failpoints.effect import Component, Point
from consumer.failpoints.effects import POINTS
from tests.matrix.cases import ELSEWHERE, Case, Story, matrix
from tests.matrix.judge import judge
from tests.matrix.play import Outcome, create_target, keep_few_metadata_files, mend, play_all, roll_back
from tests.matrix.stage import House, Stage
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]

CHOSEN = (
    "offset.before-commit=kill",
    "target.before-create=kill",
    "task.after-close=kill",
    "publish.before-commit=kill",
    "closes.after-send=kill",
    "outbox.after-send=kill",
    "publish.after-commit=apply-then-raise",
    "publish.before-commit=stop(6)",
    "watermark.after-rewind=kill",
    "stream.after-repair=kill",
    "letter.after-redrive=kill",
    "maintenance.after-note=kill",
    "files.after-remove=kill",
)
LANES = 4
COMMANDS = {Component.REWINDER, Component.STATE}
APART = {Component.LETTERS, Component.MAINTAINER, Component.REMOVER, *ELSEWHERE}
"""What the long run does not reach: an event of a stream that is not configured yet, a table that is maintained."""
OTHERS = {Component.EMITTER, *COMMANDS, *APART}
"""What a consumer does not do."""


@pytest.fixture(scope="module")
def outcomes(house: House) -> Mapping[str, Outcome]:
    """All chosen cases, played side by side: most of their time is waiting for leases and sessions to end."""
    return {outcome.case.name: outcome for outcome in play_all(house, list(chosen().values()), lanes=LANES)}


def chosen() -> Mapping[str, Case]:
    cases = {one.name: one for one in matrix() if isinstance(one, Case)}
    return {name: cases[name] for name in CHOSEN}


@pytest.mark.parametrize("name", CHOSEN)
def test_nothing_is_lost_or_doubled(name: str, outcomes: Mapping[str, Outcome]) -> None:
    outcome = outcomes[name]
    assert not outcome.problems
    assert outcome.verdict is not None
    assert outcome.verdict.found == outcome.verdict.expected > 0
    assert (outcome.verdict.lost, outcome.verdict.doubled) == (0, 0)


def test_every_component_has_a_case_here() -> None:
    assert {case.point.effect.component for case in chosen().values()} == set(Component) - ELSEWHERE.keys()


def test_every_point_of_the_catalogue_is_reached_by_real_processes(house: House) -> None:
    consumer = dict.fromkeys(
        (name for name, point in POINTS.items() if point.effect.component not in OTHERS), "delay(0)"
    )
    # What leads to the effects that happen only after something else has gone wrong, or has taken long.
    consumer |= {
        "target.before-create": "delay(3)",
        "batch.before-write": "delay(2.5)",
        "attempt.before-stage": "raise",
        "publish.before-commit": "raise",
    }
    command = dict.fromkeys((name for name, point in POINTS.items() if commands(point)), "delay(0)")
    emitter = dict.fromkeys((name for name, point in POINTS.items() if emits(point)), "delay(0)")
    assert house.spark_log is not None
    before = house.spark_log.stat().st_size
    with Stage(house, f"{house.name}_all", Story.TICKS) as stage:
        missing = stage.drop_source()
        stage.send_nonsense()
        working = stage.start("consumer", "run", failpoints=specification(consumer))
        sending = stage.start("emitter", "emit", failpoints=specification(emitter))
        mend(stage, missing)
        wait_for(lambda: "target.before-create" in working.text(), 120, "the consumer to create the target")
        create_target(stage)
        keep_few_metadata_files(stage)
        wait_for(stage.settled, 180, "the first rows to arrive")
        told = stage.run_until_it_succeeds("rewind", *stage.commands[Story.REWIND], failpoints=specification(command))
        roll_back(stage)
        for story in (Story.REPAIR, Story.PAUSE, Story.RESUME):
            arguments = stage.commands[story]
            told += stage.run_until_it_succeeds(arguments[0], *arguments, failpoints=specification(command))
        stage.insert_further()
        wait_for(stage.settled, 180, "all rows to arrive")
        stage.terminate("emitter")
        wait_for(lambda: not sending.running, 60, "the emitter to end")
        said = working.text() + sending.text() + told
        said += house.spark_log.read_bytes()[before:].decode("utf-8", "replace")
        wait_for(stage.settled, 60, "everything to settle")
        stage.end()
        verdict = judge(stage)
    reached = {name for name, point in POINTS.items() if point.effect.component not in APART}
    assert set(re.findall(r"failpoint ([a-z]+\.[a-z-]+)=", said)) == reached
    assert verdict.problems == ("1 dead letters",)
    assert verdict.found == verdict.expected > 0


def emits(point: Point) -> bool:
    return point.effect.component is Component.EMITTER


def commands(point: Point) -> bool:
    return point.effect.component in COMMANDS


def specification(actions: Mapping[str, str]) -> str:
    return ",".join(f"{point}={action}" for point, action in actions.items())
