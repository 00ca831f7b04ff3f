"""Bugs of the modes: which rows are read, which windows are brought up to them, and which rows have to stay."""

from __future__ import annotations

from tests.mutants.bug import Bug, Edit

_SQL = "consumer/domain/clickhouse_sql.py"
_RECONCILE = "consumer/domain/reconcile.py"
_FOLLOWING = "consumer/domain/following.py"
_FOLLOWER = "consumer/service/replacing/follower.py"
_OBSERVATION = "consumer/service/observation.py"
_RULES = "consumer/domain/mode_rules.py"

_UNIT = "tests/unit/service/test_modes.py"
_SHAPES = "tests/unit/domain/test_mode_rules.py"

BUGS = (
    Bug(
        name="final_left_out",
        breaks="What a stream of versions reads depends on how far the merges of its table have come.",
        edits=(
            Edit(
                file=_SQL,
                before="{' FINAL' if stream.mode is Mode.LATEST_VERSION else ''}",
                after="{'' if stream.mode is Mode.LATEST_VERSION else ''}",
            ),
        ),
        tests=(f"{_SHAPES}::test_only_latest_version_is_read_with_final",),
    ),
    Bug(
        name="alias_in_the_place_of_a_column",
        breaks="Rows of a table with a column called sign are compared by a constant in its place.",
        edits=(
            Edit(
                file="consumer/domain/late_query.py",
                before="toInt64({sign}) AS _icehaul_sign",
                after="toInt64({sign}) AS sign",
            ),
        ),
        tests=("tests/unit/domain/test_late_query.py",),
    ),
    Bug(
        name="versions_compared_by_count",
        breaks="A later version of a row leaves the count as it is, and never reaches the cold tier.",
        edits=(
            Edit(
                file=_RECONCILE,
                before="exact = versions or mutated or id_ == closed or id_ in again",
                after="exact = mutated or id_ == closed or id_ in again",
            ),
        ),
        tests=(f"{_UNIT}::test_another_version_of_a_row_replaces_its_window",),
    ),
    Bug(
        name="lost_rows_taken_for_changed_ones",
        breaks="Rows that have gone from the hot tier go from the cold one, too, without being asked for.",
        edits=(
            Edit(
                file=_FOLLOWING,
                before="    if not difference.lost or removable:\n",
                after="    if not difference.lost or not removable or removable:\n",
            ),
            Edit(
                file=_FOLLOWER,
                before="            coming=difference.surplus if may_go else difference.surplus - difference.lost,\n",
                after="            coming=difference.surplus,\n",
            ),
        ),
        tests=(f"{_UNIT}::test_deleted_rows_stay_as_a_finding_unless_they_may_go",),
    ),
    Bug(
        name="filled_partition_taken_for_the_former_one",
        breaks="A partition is dropped from the hot tier, a row comes late, and all others go from the cold tier.",
        edits=(
            Edit(
                file=_RECONCILE,
                before="whole = known is not None and content.min_block <= known.content.min_block",
                after="whole = True",
            ),
        ),
        tests=(f"{_UNIT}::test_a_dropped_partition_never_goes_from_the_cold_tier_whatever_comes_into_it_later",),
    ),
    Bug(
        name="left_windows_taken_up_again",
        breaks="What a dropped partition took is removed with the event after the one that noticed it.",
        edits=(
            Edit(
                file=_FOLLOWING,
                before="differing.whole and told and not left",
                after="differing.whole and told",
            ),
        ),
        tests=(f"{_UNIT}::test_a_dropped_partition_never_goes_from_the_cold_tier_whatever_comes_into_it_later",),
    ),
    Bug(
        name="waiting_windows_forgotten",
        breaks="Windows beyond the bound of one event are recorded as compared, and never replaced.",
        edits=(
            Edit(
                file=_OBSERVATION,
                before="    return [one for one in found if not _waits(one, seen.recorded.get(one.id), waiting)]\n",
                after="    return [one for one in found if True or waiting or _waits]\n",
            ),
        ),
        tests=(f"{_UNIT}::test_one_event_replaces_no_more_windows_than_it_may_and_the_others_follow",),
    ),
    Bug(
        name="oldest_window_always_first",
        breaks="A window that changes all the time keeps all others waiting for ever.",
        edits=(
            Edit(
                file=_FOLLOWING,
                before="key=lambda one: (one.recorded.revision, one.recorded.window.lower)",
                after="key=lambda one: one.recorded.window.lower",
            ),
        ),
        tests=(f"{_UNIT}::test_a_window_that_always_changes_keeps_none_waiting",),
    ),
    Bug(
        name="versions_in_several_windows_allowed",
        breaks="Versions of a row lie in several windows, and FINAL of one shows what FINAL of all does not.",
        edits=(Edit(file=_RULES, before="    if time_column not in key:\n", after="    if not time_column:\n"),),
        tests=(f"{_SHAPES}::test_versions_that_may_lie_in_several_windows_are_refused",),
    ),
)
