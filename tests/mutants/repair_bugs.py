"""Bugs of repairs, replays and pauses: what the table proves, what counts again, who is fenced, and what is found."""

from __future__ import annotations

from tests.mutants.bug import Bug, Edit

_REPAIR = "consumer/domain/repair.py"
_COUNTING = "consumer/service/repair/counting.py"
_EXAMINATION = "consumer/service/repair/examination.py"
_REPAIRER = "consumer/service/repair/repairer.py"
_FENCE = "consumer/domain/fence.py"
_PREPARE = "consumer/service/prepare.py"
_REPLAYS = "consumer/service/replay/replays.py"
_MEMORY = "consumer/testing/ledger.py"

_UNIT = "tests/unit/service/test_repair.py"
_COMPARISONS = "tests/contract/test_source_comparisons.py"

BUGS = (
    Bug(
        name="every_batch_is_taken_for_proved",
        breaks="A table that was rolled back keeps its watermark: what it lacks is never written again.",
        edits=(
            Edit(
                file=_REPAIR, before="            withdrawn.append(batch)\n", after="            kept.append(batch)\n"
            ),
        ),
        tests=(f"{_UNIT}::test_a_table_that_was_rolled_back_is_written_again",),
    ),
    Bug(
        name="late_rows_alone_do_not_count",
        breaks="Late rows of a window without rows are taken for a stranger's once the window is gone: no repair ends.",
        edits=(
            Edit(
                file=_REPAIR,
                before="for part in parts if part.window.lower >= start and part.fingerprint.rows]\n",
                after="for part in parts if _is_live(part, start) and part.fingerprint.rows]\n",
            ),
        ),
        tests=(f"{_UNIT}::test_late_rows_of_a_window_without_rows_of_its_own_are_counted_though_the_window_is_gone",),
    ),
    Bug(
        name="expired_snapshots_prove_nothing",
        breaks="After an expiry a repair withdraws what is in the table, and it is written once more.",
        edits=(
            Edit(
                file=_REPAIR,
                before=" or seen or (oldest is not None and batch.order <= oldest):\n",
                after=" or seen:\n",
            ),
        ),
        tests=(f"{_UNIT}::test_expired_snapshots_still_prove_their_batches",),
    ),
    Bug(
        name="overruled_batches_count_again",
        breaks="A batch whose window was counted anew counts beside it with the next repair.",
        edits=(
            Edit(
                file=_REPAIR,
                before="batch for batch in candidates if not _overruled(batch.withdrawn_by, successors, standing)]",
                after="batch for batch in candidates if not _overruled(None, successors, standing)]",
            ),
        ),
        tests=(f"{_UNIT}::test_what_was_counted_twice_counts_once",),
    ),
    Bug(
        name="holes_are_taken_for_empty",
        breaks="A batch that somebody deleted from the ledger is taken for a window without rows.",
        edits=(
            Edit(
                file=_COUNTING,
                before="for piece, rows in zip(pieces, held.tally(pieces), strict=True)]\n",
                after="for piece, rows in zip(pieces, [EMPTY] * len(pieces), strict=True)]\n",
            ),
        ),
        tests=(f"{_UNIT}::test_a_batch_that_was_deleted_from_the_ledger_is_counted_in_the_table",),
    ),
    Bug(
        name="files_read_together_are_taken_for_one",
        breaks="What several small files hold is recorded as the first one's, and the others are nobody's.",
        edits=(
            Edit(
                file="consumer/adapters/clickhouse/counting.py",
                before="if len(files) == 1 else FILE_PATH\n",
                after="if files else FILE_PATH\n",
            ),
        ),
        tests=(f"{_COMPARISONS}::test_files_are_counted_by_bounds_and_days_each_by_itself",),
    ),
    Bug(
        name="bounds_inside_of_a_day_do_not_part_its_rows",
        breaks="Rows of the second window of a day are recorded as the first one's.",
        edits=(
            Edit(
                file="consumer/adapters/clickhouse/sql/file_parts.sql",
                before="        roundDown(_icehaul_micros, $bounds),\n",
                after="        arrayElement($bounds, 1),\n",
            ),
        ),
        tests=(f"{_COMPARISONS}::test_files_are_counted_by_bounds_and_days_each_by_itself",),
    ),
    Bug(
        name="a_file_belongs_to_every_window_that_it_holds_rows_of",
        breaks="A file that was put together counts to two windows of a rebuilt ledger, with all of its bytes.",
        edits=(
            Edit(
                file=_REPAIRER,
                before="for path, fingerprint in held.items() if plain_path(path) not in owned}\n",
                after="for path, fingerprint in held.items()}\n",
            ),
        ),
        tests=(
            "tests/unit/service/test_rebuilding.py::test_a_file_that_holds_rows_of_several_windows_is_recorded_once_with_all_of_them",
        ),
    ),
    Bug(
        name="windows_that_were_not_counted_by_are_tallied",
        breaks="A window between two bounds is recorded with what lies from one bound to the other.",
        edits=(
            Edit(
                file="consumer/domain/held_rows.py",
                before="            if bound not in self._bounds and",
                after="            if not self._bounds and",
            ),
        ),
        tests=("tests/unit/domain/test_held_rows.py::test_a_window_that_was_not_counted_by_is_refused",),
    ),
    Bug(
        name="stray_rows_are_not_missed",
        breaks="Rows of somebody else above the watermark are in the table twice once they are offloaded.",
        edits=(
            Edit(
                file=_COUNTING,
                before="    if stray:\n",
                after="    if stray < 0:\n",
            ),
        ),
        tests=(f"{_UNIT}::test_rows_outside_of_every_window_stop_a_repair",),
    ),
    Bug(
        name="lost_rows_are_not_told",
        breaks="A window whose rows neither tier holds any more is written again as an empty one, without a word.",
        edits=(
            Edit(
                file=_EXAMINATION,
                before="                if hot.rows < published:\n",
                after="                if hot.rows < 0:\n",
            ),
        ),
        tests=(f"{_UNIT}::test_what_the_source_does_not_hold_any_more_is_told_and_stays_told",),
    ),
    Bug(
        name="generation_stays",
        breaks="A window that is written again has the id of the one that was withdrawn, and is taken for done.",
        edits=(
            Edit(
                file=_REPAIRER,
                before="0 if evidence is None else evidence.generation) + 1\n",
                after="0 if evidence is None else evidence.generation)\n",
            ),
        ),
        tests=(f"{_UNIT}::test_a_table_that_was_rolled_back_is_written_again",),
    ),
    Bug(
        name="windows_are_not_added_up",
        breaks="Somebody deletes a batch from the ledger, and the stream goes on as if its window had never been.",
        edits=(
            Edit(
                file=_FENCE,
                before="    if covered != watermark - start:\n",
                after="    if covered > watermark - start:\n",
            ),
        ),
        tests=(f"{_UNIT}::test_a_ledger_whose_batch_was_deleted_publishes_nothing_more",),
    ),
    Bug(
        name="nobody_looks_where_the_watermark_is",
        breaks="A watermark that somebody has set forward skips rows that are never read.",
        edits=(Edit(file=_PREPARE, before="        if not claim.continuous:\n", after="        if False:\n"),),
        tests=(f"{_UNIT}::test_a_watermark_that_was_set_forward_halts_the_stream",),
    ),
    Bug(
        name="a_pause_leaves_the_owner_alone",
        breaks="A batch that is under way is published after the stream was paused.",
        edits=(
            Edit(
                file=_MEMORY,
                before="self.put(replace(halted, epoch=known.epoch + 1, owner=None, lease_expires=None))",
                after="self.put(halted)",
            ),
        ),
        tests=("tests/contract/test_ledger_records.py::test_a_paused_stream_is_halted_and_its_owner_fenced",),
    ),
    Bug(
        name="a_replay_trusts_the_ledger",
        breaks="A replay calls windows recognised that the table does not hold.",
        edits=(
            Edit(
                file=_REPLAYS,
                before="        differing = [one for one in recorded if found[one.window] != one.cold]\n",
                after="        differing = [one for one in recorded if one.window not in found]\n",
            ),
        ),
        tests=("tests/unit/service/test_replay.py::test_a_table_that_lacks_rows_halts_the_stream",),
    ),
)
