"""Bugs of rewinds: rows that go and should not, windows that come back twice or never, and what is forgotten."""

from __future__ import annotations

from consumer.embedded.component import ComponentName
from tests.mutants.bug import Bug, Edit

_REWIND = "consumer/domain/rewind.py"
_CUT = "consumer/domain/cut.py"
_REWINDS = "consumer/service/rewinding/rewinds.py"
_LOOK = "consumer/service/rewinding/look.py"
_FILES = "consumer/service/rewinding/files.py"
_DEPENDANTS = "consumer/service/rewinding/dependants.py"
_PUBLISH = "consumer/adapters/iceberg/publish.py"
_EVIDENCE = "consumer/adapters/iceberg/evidence.py"
_LEDGER_SQL = "consumer/adapters/postgres/sql/ledger.sql"
_REWIND_SQL = "consumer/adapters/postgres/sql/rewind.sql"

_UNIT = "tests/unit/service/test_rewinding.py"
_CUT_TEST = "test_a_cut_through_a_table_that_was_rewound_holds_the_rows_that_are_in_it_now"
_CONTRACT = "tests/contract/test_rewinds.py"

BUGS = (
    Bug(
        name="rewound_without_a_look_at_the_hot_tier",
        breaks="Rows that a TTL or a dropped partition took from the hot tier leave the cold tier too: lost.",
        edits=(
            Edit(
                file=_LOOK,
                before="        refused = final or (wish.reason is None and bool(doubts or objections))\n",
                after="        refused = final or (wish.reason is None and bool(objections))\n",
            ),
        ),
        tests=(f"{_UNIT}::test_rows_that_the_hot_tier_has_lost_stay_unless_somebody_insists_with_a_reason",),
    ),
    Bug(
        name="insisting_reaches_dropped_rows",
        breaks="Rows that only the cold tier has, because `icehaul drop-hot` has dropped them, are removed from it.",
        edits=(
            Edit(
                file=_LOOK, before="        refused = final or (", after="        refused = not doubts and final or ("
            ),
        ),
        tests=(f"{_UNIT}::test_rows_that_drop_hot_has_dropped_stay_whatever_somebody_insists_on",),
    ),
    Bug(
        name="ttl_forgotten_in_a_rewind",
        breaks="A TTL deletes rows in the moment in which only the hot tier has them.",
        edits=(
            Edit(
                file=_LOOK,
                before="        if not outlook.within(stream.retention.margin):\n",
                after="        if not outlook.within(stream.retention.margin * 0):\n",
            ),
        ),
        tests=(f"{_UNIT}::test_rows_that_a_ttl_is_about_to_delete_are_not_given_up_for_the_moment",),
    ),
    Bug(
        name="straddling_window_taken_out_whole",
        breaks="Rows below the instant leave the table with the file that they share, and are never written again.",
        edits=(
            Edit(
                file=_FILES,
                before="        cut = [share for share in going if share.outside.rows]\n",
                after="        cut = [share for share in going if not share.outside.rows]\n",
            ),
        ),
        tests=(f"{_UNIT}::test_what_lies_above_leaves_the_table_and_comes_back_with_the_next_event",),
    ),
    Bug(
        name="rows_of_other_windows_lost_in_a_rewind",
        breaks="After a compaction a rewind takes rows of windows below the instant out of the table.",
        edits=(
            Edit(
                file=_FILES,
                before="    if other.elsewhere is not None and other.outside != EMPTY:\n",
                after="    if other.elsewhere is not None and other.outside == EMPTY:\n",
            ),
        ),
        tests=(f"{_UNIT}::test_rows_of_other_windows_in_the_same_file_are_kept",),
    ),
    Bug(
        name="rewind_published_on_what_was_not_looked_at",
        breaks="What landed after the look at the hot tier goes, although nobody knows whether it can come back.",
        edits=(
            Edit(
                file=_REWIND,
                before="    elif _contents(place.windows) != _contents(rewind.windows):\n",
                after="    elif not place.windows:\n",
            ),
        ),
        tests=(
            f"{_CONTRACT}::test_a_rewind_that_was_planned_on_something_else_is_refused[memory-content]",
            f"{_UNIT}::test_what_landed_while_it_was_planned_is_looked_at_again",
        ),
    ),
    Bug(
        name="withdrawn_windows_stay_done",
        breaks="The ledger takes windows above the watermark for done, and the stream can't go on.",
        edits=(
            Edit(
                file=_REWIND_SQL,
                before="WHERE stream = %(stream)s AND status IN ('published', 'empty') AND lower >= %(since)s\n",
                after="WHERE stream = %(stream)s AND status IN ('empty') AND lower >= %(since)s\n",
            ),
        ),
        tests=(f"{_CONTRACT}::test_what_is_done_above_is_withdrawn_and_the_watermark_set_back[postgres]",),
    ),
    Bug(
        name="generation_kept_in_a_rewind",
        breaks="The windows that are written again have the ids of those that were withdrawn, and count as done.",
        edits=(
            Edit(
                file=_REWIND_SQL,
                before="    generation = generation + 1,\n",
                after="    generation = generation + 0,\n",
            ),
        ),
        tests=(f"{_CONTRACT}::test_what_is_done_above_is_withdrawn_and_the_watermark_set_back[postgres]",),
    ),
    Bug(
        name="files_stay_with_the_withdrawn_batch",
        breaks="Live files belong to no batch that is done: the audit takes them for a stranger's.",
        edits=(
            Edit(
                file=_REWIND_SQL,
                before="SET batch_id = %(remainder)s, kept = false, former = former || batch_id\n",
                after="SET batch_id = batch_id, kept = false\n",
            ),
        ),
        tests=("tests/faults/test_rewinding.py::test_rows_above_the_instant_leave_the_table_and_come_back",),
        servers=(ComponentName.POSTGRES, ComponentName.STORE, ComponentName.CLICKHOUSE),
    ),
    Bug(
        name="partitions_stay_read_after_a_rewind",
        breaks="Rows that vanish from the source before they are written again are missed by nobody.",
        edits=(
            Edit(
                file=_LOOK,
                before="            partitions=self._partitions,\n",
                after="            partitions=self._partitions[:0],\n",
            ),
        ),
        tests=(f"{_UNIT}::test_rows_that_vanish_before_they_are_written_again_are_a_gap",),
    ),
    Bug(
        name="uncompared_content_taken_for_known",
        breaks="A row that came late below the instant, and was not compared yet, never arrives.",
        edits=(
            Edit(
                file=_LOOK,
                before="        known = former.hot != former.cold and there != cold and self._compared\n",
                after="        known = there != cold\n",
            ),
        ),
        tests=(f"{_UNIT}::test_a_change_below_the_instant_that_was_not_compared_yet_is_still_found",),
    ),
    Bug(
        name="uncompared_partition_remembered_as_it_is",
        breaks="A late row below the instant is never looked for: its partition counts as compared.",
        edits=(
            Edit(
                file=_REWIND,
                before="            content = known.content\n",
                after="            content = contents[id_]\n",
            ),
        ),
        tests=(f"{_UNIT}::test_rows_that_came_late_and_were_not_compared_yet_still_come",),
    ),
    Bug(
        name="dependants_left_ahead",
        breaks="A stream stays ahead of its upstream, and a cut holds rows that are derived from nothing.",
        edits=(
            Edit(
                file=_DEPENDANTS,
                before="records[name].watermark > bound\n",
                after="records[name].watermark < bound\n",
            ),
        ),
        tests=(f"{_UNIT}::test_streams_that_are_derived_from_it_are_rewound_first",),
    ),
    Bug(
        name="dependants_go_on_during_a_rewind",
        breaks="A dependant publishes what it planned before, beyond the watermark that was set back.",
        edits=(
            Edit(
                file=_REWINDS,
                before="running.cancel) for name in dependants_of(stream, self._streams)\n",
                after="running.cancel) for name in dependants_of(stream, {})\n",
            ),
        ),
        tests=(f"{_UNIT}::test_nothing_is_rewound_while_somebody_works_on_what_is_derived_from_it",),
    ),
    Bug(
        name="rewind_lands_without_the_leases_on_its_dependants",
        breaks="A rewind that stood still past its leases lands after a dependant was planned by another owner.",
        edits=(
            Edit(
                file=_REWIND,
                before="    for stream, epoch in sorted(rewind.held.items()):\n",
                after="    for stream, epoch in sorted(dict[str, int]().items()):\n",
            ),
        ),
        tests=(f"{_CONTRACT}::test_a_rewind_needs_the_leases_on_its_dependants_when_it_lands[memory-publish]",),
    ),
    Bug(
        name="dependants_planned_over_a_rewind_that_may_have_landed",
        breaks="With a catalog elsewhere a dependant goes beyond a rewind whose commit is not recorded yet.",
        edits=(Edit(file=_LEDGER_SQL, before="    WHERE open.stream = known.stream\n", after="    WHERE false\n"),),
        tests=(
            f"{_CONTRACT}::test_what_is_derived_may_not_go_beyond_a_rewind_that_is_about_to_be_committed[postgres]",
        ),
        servers=(ComponentName.POSTGRES,),
    ),
    Bug(
        name="rewind_not_read_back",
        breaks="A rewind whose answer was lost is reported as nothing to do, and nobody learns its snapshot.",
        edits=(
            Edit(
                file=_REWINDS,
                before="        if found.verdict is Verdict.THERE and attempt.batch is not None:\n",
                after="        if found.verdict is Verdict.POSSIBLE and attempt.batch is not None:\n",
            ),
        ),
        tests=(f"{_UNIT}::test_a_rewind_that_fails_anywhere_is_done_once_after_the_next_run",),
    ),
    Bug(
        name="rewind_proved_by_rows_that_are_there",
        breaks="After an expiry the rewind is not recognised any more, and the stream is halted for nothing.",
        edits=(
            Edit(
                file=_PUBLISH,
                before="        return repeated.evidence if alive is not repeated.removed else None\n",
                after="        return repeated.evidence if alive else None\n",
            ),
        ),
        tests=(f"{_CONTRACT}::test_a_rewind_stays_proved_where_expiry_has_hidden_its_snapshot[iceberg]",),
        servers=(ComponentName.POSTGRES, ComponentName.STORE),
    ),
    Bug(
        name="table_proves_the_former_upper",
        breaks="Ledger and table tell different stories right after a rewind, and the stream is halted.",
        edits=(
            Edit(
                file=_EVIDENCE,
                before="        last_upper = batch.rewind.last_upper\n",
                after="        last_upper = batch.window.upper\n",
            ),
        ),
        tests=(f"{_CONTRACT}::test_a_rewind_removes_files_and_is_what_the_table_proves[iceberg]",),
        servers=(ComponentName.POSTGRES, ComponentName.STORE),
    ),
    Bug(
        name="rewound_windows_in_a_cut",
        breaks="A cut names a snapshot with rows that were taken out of the table since.",
        edits=(
            Edit(
                file=_CUT,
                before="            left = min(left, snapshot.rewound)\n",
                after="            left = max(left, snapshot.rewound)\n",
            ),
        ),
        tests=(f"tests/unit/domain/test_cut.py::{_CUT_TEST}",),
    ),
)
