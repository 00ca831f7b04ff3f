"""Bugs of replacements: what takes the place of what, what has to stay, and what an operator has not asked for."""

from __future__ import annotations

from consumer.embedded.component import ComponentName
from tests.mutants.bug import Bug, Edit

_BATCH = "consumer/domain/batch.py"
_FENCE = "consumer/domain/fence.py"
_RECONCILE = "consumer/domain/reconcile.py"
_REPLACEMENT = "consumer/domain/replacement.py"
_REVIEW = "consumer/service/replacing/review.py"
_DOUBT = "consumer/service/replacing/doubt.py"
_BATCHES = "consumer/service/replacing/batches.py"
_PUBLISH = "consumer/adapters/iceberg/publish.py"
_PUBLISHING = "consumer/adapters/postgres/publishing.py"

_UNIT = "tests/unit/service/test_replacing.py"
_LEDGER_DIFFERENCES = "tests/contract/test_ledger_differences.py"
_CATALOG = "tests/contract/test_catalog.py"

BUGS = (
    Bug(
        name="revision_left_out_of_the_ids",
        breaks="A content comes back after a replacement, and the late rows of then are taken for published ones.",
        edits=(Edit(file=_BATCH, before="    if revision:\n        parts.append(str(revision))\n", after=""),),
        tests=(
            f"{_UNIT}::test_rows_that_come_late_after_a_replacement_arrive_although_they_came_late_before",
            f"{_UNIT}::test_a_row_that_changes_to_and_fro_is_replaced_each_time",
        ),
    ),
    Bug(
        name="revision_left_out_of_the_predicate",
        breaks="What was computed before a replacement is published after it, as if nothing had happened.",
        edits=(
            Edit(
                file=_FENCE,
                before="    if (recorded.fingerprint, recorded.revision) != (batch.base, batch.base_revision):\n",
                after="    if recorded.fingerprint != batch.base:\n",
            ),
        ),
        tests=(f"{_LEDGER_DIFFERENCES}::test_a_replacement_of_another_content_or_revision_is_refused[memory]",),
    ),
    Bug(
        name="replaced_rows_still_counted",
        breaks="The record of a window is the sum of its old and new rows, and nothing agrees with the table any more.",
        edits=(
            Edit(
                file=_RECONCILE,
                before="    valid = (part.fingerprint for part in inside if part.revision == revision)\n",
                after="    valid = (part.fingerprint for part in inside)\n",
            ),
        ),
        tests=(
            f"{_LEDGER_DIFFERENCES}::test_a_replacement_takes_the_place_of_what_is_recorded_and_supplements_after_it_count[memory]",
        ),
    ),
    Bug(
        name="replaced_files_stay_live",
        breaks="Old and new versions of the rows stand in the table side by side.",
        edits=(
            Edit(
                file=_PUBLISH,
                before="        removed = _still_live(table, batch, replacement.files)\n",
                after="        removed = _still_live(table, batch, replacement.files)[:0]\n",
            ),
        ),
        tests=(f"{_CATALOG}::test_a_replacement_removes_files_and_adds_others_in_one_snapshot",),
        servers=(ComponentName.POSTGRES, ComponentName.STORE),
    ),
    Bug(
        name="rows_of_other_windows_not_kept",
        breaks="After a compaction a replacement takes rows of other windows out of the table.",
        edits=(
            Edit(
                file=_BATCHES,
                before="            if share.elsewhere is not None:\n",
                after="            if share.elsewhere is not None and stream is None:\n",
            ),
        ),
        tests=(f"{_UNIT}::test_rows_of_other_windows_in_the_same_file_are_kept",),
    ),
    Bug(
        name="removal_without_being_asked",
        breaks="Rows that a TTL or a dropped partition took from the hot tier go from the cold tier, too: lost.",
        edits=(Edit(file=_DOUBT, before="    if going > exchange.coming:\n", after="    if exchange.going < 0:\n"),),
        tests=(f"{_UNIT}::test_deleted_rows_stay_unless_their_removal_is_asked_for",),
    ),
    Bug(
        name="ttl_taken_for_a_change",
        breaks="Rows that a TTL took are given up in exchange for late ones, because the numbers agree.",
        edits=(
            Edit(
                file=_DOUBT,
                before="    if not outlook.safe and (outlook.at is None or outlook.at <= now):\n",
                after="    if outlook.at is not None and outlook.at == now:\n",
            ),
        ),
        tests=(f"{_UNIT}::test_rows_that_a_ttl_may_have_deleted_are_not_taken_for_changed_ones",),
    ),
    Bug(
        name="dropped_rows_replaced_by_nothing",
        breaks="What `icehaul drop-hot` left to the cold tier alone is removed from it.",
        edits=(
            Edit(
                file=_REVIEW,
                before="(choice.remove_rows and not doubt.final) else doubt.reason\n",
                after="choice.remove_rows else doubt.reason\n",
            ),
        ),
        tests=(f"{_UNIT}::test_rows_that_drop_hot_has_dropped_are_never_removed",),
    ),
    Bug(
        name="other_rows_published_than_looked_at",
        breaks="The operator's decision was about other rows than those that were read afterwards.",
        edits=(Edit(file=_REPLACEMENT, before="    if content != planned:\n", after="    if not batch.units:\n"),),
        tests=(f"{_UNIT}::test_a_window_that_never_stands_still_is_given_up",),
    ),
    Bug(
        name="files_with_other_rows_than_recorded_removed",
        breaks="Rows that nobody knows of go with the files, without a trace.",
        edits=(Edit(file=_REPLACEMENT, before="    if found != recorded.cold:\n", after="    if found.rows < 0:\n"),),
        tests=(f"{_UNIT}::test_a_window_whose_files_hold_other_rows_than_recorded_is_not_replaced",),
    ),
    Bug(
        name="findings_survive_the_replacement",
        breaks="A window stays marked as changed, so that its late rows never come again.",
        edits=(
            Edit(
                file=_PUBLISHING,
                before="    if batch.kind is BatchKind.REPLACE:\n",
                after="    if batch.kind is BatchKind.SUPPLEMENT and batch.replacement is not None:\n",
            ),
        ),
        tests=(f"{_LEDGER_DIFFERENCES}::test_a_replacement_settles_what_was_found_in_its_window_and_nothing_else",),
        servers=(ComponentName.POSTGRES,),
    ),
)
