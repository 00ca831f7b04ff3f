"""After any history, whatever is needed stays, and whatever is needed no more goes once its time has come."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from consumer.domain.batch import BatchStatus
from consumer.domain.errors import DivergenceError
from consumer.domain.removal_policy import RemovalPolicy
from tests.support.removal_history import DAY, GRACE, KEPT_METADATA, History, history

Step = tuple[str, int]

ACTIONS: dict[str, Callable[[History, int], object]] = {
    "publish": lambda one, number: one.publish(1 + number % 3),
    "replace": lambda one, number: one.replace(number),
    "foreign": lambda one, _: one.add_foreign(),
    "failed": lambda one, _: one.leave(BatchStatus.FAILED),
    "writing": lambda one, _: one.leave(BatchStatus.WRITING),
    "stage": lambda one, _: one.stage(),
    "manifests": lambda one, _: one.stage_manifests(),
    "tag": lambda one, number: one.tag(number),
    "roll-back": lambda one, number: one.roll_back(number),
    "drop-in": lambda one, _: one.drop_in(),
    "wait": lambda one, number: one.wait(number % 3),
    "clean": lambda one, _: one.clean(),
    "land": lambda one, _: one.land(),
}

STEPS = st.lists(
    st.tuples(st.sampled_from([*sorted(ACTIONS), "publish", "replace", "wait", "clean"]), st.integers(0, 100)),
    max_size=25,
)


def play(one: History, steps: list[Step]) -> None:
    """Do the steps; after each, everything is there that is needed."""
    for what, number in steps:
        ACTIONS[what](one, number)
        check(one)


def check(one: History) -> None:
    """Nothing that may be needed has gone, and nothing went before its time."""
    there = one.there()
    assert not one.reach(one.table.metadata) - there
    assert one.open_files() <= there
    assert one.foreign <= there
    assert not one.removed.keys() & one.wanted()
    early = {path for path, when in one.removed.items() if when - one.needed.get(path, -GRACE) < GRACE}
    assert early == set()


def settle(one: History) -> None:
    """Look, wait for the grace period, and look again."""
    one.clean()
    one.wait(GRACE.days)
    one.clean()


@settings(max_examples=15)
@given(STEPS, st.integers(1, 4))
@example([("publish", 1)] * 6 + [("clean", 0)] + [("wait", 2)] * 2 + [("clean", 0)], 1)
@example([("stage", 0), ("publish", 0), ("stage", 0), ("clean", 0), ("wait", 2), ("wait", 2), ("clean", 0)], 2)
@example([("writing", 0), ("clean", 0), ("wait", 2), ("wait", 2), ("clean", 0)], 1)
@example([("stage", 0), ("land", 0), ("foreign", 0), ("replace", 0)], 1)
@example([("tag", 0)] + [("replace", 0)] * 8 + [("clean", 0), ("wait", 2), ("wait", 2), ("clean", 0)], 1)
def test_after_any_history_what_is_needed_stays_and_all_else_goes(steps: list[Step], retain: int) -> None:
    with history(retain) as one:
        play(one, steps)
        settle(one)
        check(one)
        assert one.there() == (one.there() & one.wanted()) | one.open_files() | one.foreign


def test_a_commit_that_stood_still_may_be_made_after_the_removal() -> None:
    with history(2) as one:
        one.publish()
        one.stage()
        settle(one)
        assert one.land()
        check(one)


def test_a_commit_whose_outcome_nobody_knows_is_kept_from_landing_before_its_files_are_looked_at() -> None:
    with history(2) as one:
        one.publish()
        one.intend()
        settle(one)
        assert not one.arrive()
        check(one)


def test_what_is_committed_during_a_look_is_not_taken_for_superfluous() -> None:
    with history(2) as one:
        one.publish()
        one.after_census = one.publish
        one.clean()
        assert not one.noted.keys() & one.reach(one.table.metadata)


def test_what_a_lost_commit_had_staged_goes_once_the_table_has_passed_its_base() -> None:
    with history(2) as one:
        one.stage()
        commit, _ = one.staged[-1]
        staged = one.reach(commit.metadata) | {commit.location}
        for _ in range(KEPT_METADATA + 1):
            one.publish()
        own = staged - one.wanted()
        assert len(own) > 2
        settle(one)
        assert not own & one.there()


def test_the_grace_period_begins_when_a_file_is_found_superfluous_and_not_when_it_was_written() -> None:
    with history(1) as one:
        first = next(iter(one.table.live))
        one.wait(100)
        one.replace(0)
        for _ in range(KEPT_METADATA + 1):
            one.publish()
        one.clean()
        one.wait(2)
        one.clean()
        assert first in one.there()
        one.wait(1)
        one.clean()
        assert first not in one.there()


def test_what_is_referred_to_again_begins_its_grace_period_anew() -> None:
    with history(1) as one:
        left = one.leave(BatchStatus.FAILED)
        one.clean()
        prefix = left.rpartition("/")[0]
        one.wait(2)
        one.attempts[prefix] = BatchStatus.WRITING
        one.clean()
        one.attempts[prefix] = BatchStatus.FAILED
        one.wait(2)
        one.clean()
        assert left in one.there()
        one.wait(3)
        one.clean()
        assert left not in one.there()


def test_files_of_other_hands_go_only_where_a_policy_says_so_and_after_its_time() -> None:
    with history(1) as one:
        one.drop_in()
        (note,) = one.foreign
        one.policy = RemovalPolicy(grace=GRACE, unknown_after=10 * DAY)
        one.clean()
        one.wait(9)
        one.clean()
        assert note in one.there()
        one.wait(1)
        assert one.clean().parts
        assert note not in one.there()


def test_tagged_snapshots_keep_their_files_whatever_expires() -> None:
    with history(1) as one:
        one.tag(1)
        before = one.reach(one.table.metadata)
        for number in range(8):
            one.replace(number)
        settle(one)
        assert before <= one.there()


def test_nothing_is_removed_from_a_table_that_lacks_a_file() -> None:
    with history(1) as one:
        left = one.leave(BatchStatus.FAILED)
        one.clean()
        one.wait(GRACE.days)
        (live,) = one.table.live
        gone = Path(live.removeprefix("file://"))
        content = gone.read_bytes()
        gone.unlink()
        with pytest.raises(DivergenceError, match="the store does not list"):
            one.clean()
        assert left in one.there()
        gone.write_bytes(content)
        one.clean()
        assert left not in one.there()
