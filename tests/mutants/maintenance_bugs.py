"""Bugs of maintenance: rows that a rewrite loses or brings back, evidence that it hides, and who starves whom."""

from __future__ import annotations

from consumer.embedded.component import ComponentName
from tests.mutants.bug import Bug, Edit

_COMPACTION = "consumer/domain/compaction.py"
_CHECK = "consumer/service/rewrite_check.py"
_IDLE = "tests/unit/runtime/test_idle_work.py"
_BACKGROUND = "consumer/service/maintaining/background.py"
_EVIDENCE = "consumer/adapters/iceberg/evidence.py"
_REWRITING = "consumer/adapters/iceberg/rewriting.py"
_COMPACTABLE = "consumer/adapters/iceberg/compactable.py"
_PUBLISHING = "consumer/adapters/postgres/publishing.py"
_SQL = "consumer/adapters/postgres/sql/maintenance.sql"
_TASK = "spark/unit_rewrite.py"

_DOMAIN = "tests/unit/domain/test_compaction.py"
_UNIT = "tests/unit/service/test_maintenance.py"
_TASKS = "tests/unit/spark/test_unit_rewrite.py"
_CONTRACT = "tests/contract/test_maintenance.py"
_ENTRIES = "tests/unit/iceberg/test_compactable.py"
_STORE = (ComponentName.POSTGRES, ComponentName.STORE)

BUGS = (
    Bug(
        name="rewritten_over_newer_deletes",
        breaks="Rows that another engine deleted while files were rewritten come back.",
        edits=(
            Edit(
                file=_COMPACTION,
                before="        if found != file.deletes:\n",
                after="        if found is None:\n",
            ),
        ),
        tests=(f"{_DOMAIN}::test_a_rewrite_is_published_only_while_all_its_files_are_live_as_they_were",),
    ),
    Bug(
        name="rewritten_files_that_are_gone",
        breaks="Rows that were replaced or rewound while their files were rewritten come back.",
        edits=(
            Edit(
                file=_COMPACTION,
                before="        if found != file.deletes:\n",
                after="        if found is not None and found != file.deletes:\n",
            ),
        ),
        tests=(f"{_DOMAIN}::test_a_rewrite_is_published_only_while_all_its_files_are_live_as_they_were",),
    ),
    Bug(
        name="rewritten_across_generations",
        breaks="A rewrite that was computed before a rewind or a repair is published after it.",
        edits=(
            Edit(
                file=_COMPACTION,
                before="    if generation != batch.generation:\n",
                after="    if generation < batch.generation:\n",
            ),
        ),
        tests=(f"{_DOMAIN}::test_a_rewrite_is_published_only_while_all_its_files_are_live_as_they_were",),
    ),
    Bug(
        name="open_partitions_compacted",
        breaks="Files of the partition that windows still write into are rewritten again and again.",
        edits=(
            Edit(
                file=_COMPACTION,
                before="file.partition.upper <= watermark and ",
                after="file.partition.lower <= watermark and ",
            ),
        ),
        tests=(f"{_DOMAIN}::test_no_file_is_rewritten_twice_or_before_its_partition_is_closed",),
    ),
    Bug(
        name="columns_of_two_eras_in_one_file",
        breaks="Files of different columns become one: what one of them lacks is read as a value of another era.",
        edits=(
            Edit(
                file=_COMPACTION,
                before="groups.setdefault((file.partition, layout), [])",
                after="groups.setdefault((file.partition, next(iter(layouts.values()))), [])",
            ),
        ),
        tests=(f"{_DOMAIN}::test_files_of_a_bin_lie_in_one_partition_and_have_room_in_one_file",),
    ),
    Bug(
        name="rewrites_not_compared",
        breaks="A file that a task wrote wrongly takes the place of those that were right.",
        edits=(
            Edit(
                file=_CHECK,
                before="old.rows != rewriting.rows or old != new + deleted or (",
                after="old.rows != rewriting.rows or (",
            ),
        ),
        tests=(f"{_UNIT}::test_files_that_hold_other_rows_than_they_stand_for_are_not_published",),
    ),
    Bug(
        name="deletes_not_applied",
        breaks="Rows that another engine has deleted come back with the file that is rewritten.",
        edits=(
            Edit(
                file=_TASK,
                before="        mask[inside - first] = True\n",
                after="        mask[inside - first] = False\n",
            ),
        ),
        tests=(f"{_TASKS}::test_rows_that_were_deleted_stand_in_a_file_of_their_own",),
    ),
    Bug(
        name="marked_as_sorted_without_being_so",
        breaks="Engines that rely on the order of rows in files skip rows that match.",
        edits=(
            Edit(
                file=_TASK,
                before="    sort_order = order.sort_id if rows.sorted else None\n",
                after="    sort_order = order.sort_id\n",
            ),
        ),
        tests=(f"{_TASKS}::test_more_rows_than_memory_may_hold_keep_their_order_and_are_not_said_to_be_sorted",),
    ),
    Bug(
        name="evidence_hidden_by_a_rewrite",
        breaks="After a compaction and an expiry the table proves nothing any more, and the stream is halted.",
        edits=(
            Edit(
                file=_EVIDENCE,
                before="MAINTENANCE_ID: own[_BATCH_ID], **_carried(evidence)}\n",
                after="MAINTENANCE_ID: own[_BATCH_ID], **_carried(None)}\n",
            ),
        ),
        tests=(f"{_CONTRACT}::test_evidence_is_carried_on_where_everything_below_has_expired[iceberg]",),
        servers=_STORE,
    ),
    Bug(
        name="rewritten_rows_as_new_as_the_rewrite",
        breaks="Deletes that were committed while files were rewritten no longer apply to their rows.",
        edits=(
            Edit(
                file=_REWRITING,
                before="                        sequence_number=self.sequence,\n",
                after="                        sequence_number=None,\n",
            ),
        ),
        tests=(f"{_CONTRACT}::test_the_snapshot_says_that_it_has_moved_rows_only_and_keeps_their_sequence[iceberg]",),
        servers=_STORE,
    ),
    Bug(
        name="progress_of_a_rewrite",
        breaks="A rollback over a compaction, which changes no row, halts the stream.",
        edits=(
            Edit(
                file=_PUBLISHING,
                before='        BatchKind.REWIND: ("publish", "note_batch"),\n',
                after='        BatchKind.REWIND: ("publish", "note_batch"),\n'
                '        BatchKind.MAINTENANCE: ("publish", "note_batch"),\n',
            ),
        ),
        tests=(f"{_CONTRACT}::test_a_rewrite_is_recorded_and_moves_nothing[postgres]",),
        servers=(ComponentName.POSTGRES,),
    ),
    Bug(
        name="rewrites_of_dead_owners_under_way_for_ever",
        breaks="What a killed consumer has begun to rewrite counts as under way, and its files are spared for ever.",
        edits=(
            Edit(
                file=_SQL,
                before="status = 'writing' AND epoch < %(epoch)s",
                after="status = 'writing' AND epoch > %(epoch)s",
            ),
        ),
        tests=(f"{_CONTRACT}::test_what_former_owners_have_begun_is_ended_and_nothing_else[postgres]",),
        servers=(ComponentName.POSTGRES,),
    ),
    Bug(
        name="deletes_dropped_that_still_apply",
        breaks="Delete files go that apply to files which were not rewritten: their deleted rows come back.",
        edits=(
            Edit(
                file=_COMPACTABLE,
                before="for entry in self.data if entry.data_file.file_path not in going for path",
                after="for entry in self.data[:1] if entry.data_file.file_path not in going for path",
            ),
        ),
        tests=(f"{_ENTRIES}::test_deletes_go_once_no_file_is_left_to_which_they_apply",),
    ),
    Bug(
        name="maintenance_before_waiting_events",
        breaks="A consumer rewrites files for an event, while others wait for a worker.",
        edits=(
            Edit(
                file=_BACKGROUND,
                before="(urgency is Urgency.DUE and not self._idles())",
                after="urgency is Urgency.DUE",
            ),
        ),
        tests=(f"{_UNIT}::test_it_gives_way_to_events_but_not_for_ever",),
    ),
    Bug(
        name="leftovers_beside_events",
        breaks="A consumer rewrites files while events run: every one of them takes twice as long.",
        edits=(
            Edit(
                file="consumer/service/runtime/dispatcher.py",
                before="if taken is None and not self._active and not self._returning:",
                after="if taken is None and not self._returning:",
            ),
        ),
        tests=(f"{_IDLE}::test_leftovers_wait_while_an_event_runs",),
    ),
    Bug(
        name="leftovers_in_every_pause",
        breaks="Where events follow each other, files are rewritten between any two of them.",
        edits=(
            Edit(
                file="consumer/service/runtime/leftovers.py",
                before="self._rested_at = now + (now - began) * (1 / SHARE - 1)",
                after="self._rested_at = now",
            ),
        ),
        tests=("tests/unit/runtime/test_leftovers.py",),
    ),
    Bug(
        name="leftovers_outside_of_their_lane",
        breaks="A stream's event is handled while its files are rewritten: two owners in one process, one is fenced.",
        edits=(
            Edit(
                file="consumer/service/runtime/dispatcher.py",
                before="        lane = self._lanes[task.lane] = _Lane(running=(task,))",
                after="        lane = _Lane(running=(task,))",
            ),
        ),
        tests=(f"{_IDLE}::test_an_event_of_the_same_stream_waits_for_the_piece_and_others_do_not",),
    ),
    Bug(
        name="maintenance_starved",
        breaks="Under steady load tables are never maintained.",
        edits=(
            Edit(
                file=_BACKGROUND,
                before="if urgency is Urgency.OVERDUE or (",
                after="if (",
            ),
        ),
        tests=(f"{_UNIT}::test_it_gives_way_to_events_but_not_for_ever",),
    ),
    Bug(
        name="events_fail_with_maintenance",
        breaks="A table that can't be maintained keeps the events of its stream from being done.",
        edits=(
            Edit(
                file=_BACKGROUND,
                before="            self._failed(context, claim, task.name, error)\n            return False\n",
                after="            raise\n",
            ),
        ),
        tests=(f"{_UNIT}::test_what_fails_is_told_and_does_not_fail_the_event",),
    ),
)
