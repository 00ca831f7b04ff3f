"""Bugs of late rows: what is compared with what, what a supplement rests on, and what a gap is."""

from __future__ import annotations

from tests.mutants.bug import Bug, Edit

_RECONCILE = "consumer/domain/reconcile.py"
_SERVICE = "consumer/service/reconcile.py"
_SETTLE = "consumer/service/settle.py"
_FENCE = "consumer/domain/fence.py"
_DIVERGENCE = "consumer/domain/divergence.py"
_BATCH = "consumer/domain/batch.py"

_LATE = "tests/unit/service/test_late_rows.py"
_QUIET = "tests/unit/service/test_quiet_streams.py"
_LEDGER_DIFFERENCES = "tests/contract/test_ledger_differences.py"

BUGS = (
    Bug(
        name="supplement_without_a_base",
        breaks="Two owners that computed the same difference both publish it, and the late rows are there twice.",
        edits=(
            Edit(
                file=_FENCE,
                before="    if (recorded.fingerprint, recorded.revision) != (batch.base, batch.base_revision):\n",
                after="    if batch.base is None:\n",
            ),
        ),
        tests=(f"{_LEDGER_DIFFERENCES}::test_a_supplement_that_was_computed_from_another_content_is_refused[memory]",),
    ),
    Bug(
        name="base_left_out_of_the_supplements_id",
        breaks="The second supplement of a window is taken for the first one, and its rows never come.",
        edits=(
            Edit(
                file=_BATCH,
                before="    if base is not None:\n        parts += [str(base.rows), base.hex]\n",
                after="",
            ),
        ),
        tests=(f"{_LATE}::test_rows_that_come_late_again_and_again_need_a_supplement_each",),
    ),
    Bug(
        name="contents_looked_at_after_the_comparison",
        breaks="What arrives between the comparison and the look counts as compared, and is never found.",
        edits=(
            Edit(
                file=_SERVICE,
                before="from dataclasses import dataclass, field\n",
                after="from dataclasses import dataclass, field, replace\n",
            ),
            Edit(
                file=_SERVICE,
                before="            compared = compared_partitions(claim, seen, suspects, spans, followed.waiting)\n",
                after=(
                    "            held, known = self._source.survey(stream).contents, seen.recorded\n"
                    "            seen = replace(seen, contents=held, recorded=known)\n"
                    "            compared = compared_partitions(claim, seen, suspects, spans, followed.waiting)\n"
                ),
            ),
        ),
        tests=(f"{_LATE}::test_what_arrives_while_the_tiers_are_compared_comes_with_the_next_event",),
    ),
    Bug(
        name="mutations_taken_for_late_rows",
        breaks="A row that an update changed is added beside its old version.",
        edits=(
            Edit(
                file=_SETTLE,
                before="            if difference.missing and (changed or (mutated and difference.surplus)):\n",
                after="            if difference.missing and changed:\n",
            ),
        ),
        tests=(f"{_LATE}::test_a_tick_finds_a_row_that_was_exchanged_for_another_by_a_mutation_and_reports_it",),
    ),
    Bug(
        name="counts_only_after_a_mutation",
        breaks="An update that leaves the number of rows as it was is never noticed.",
        edits=(
            Edit(
                file=_RECONCILE,
                before="exact = versions or mutated or id_ == closed or id_ in again",
                after="exact = id_ == closed or id_ in again",
            ),
        ),
        tests=(f"{_LATE}::test_a_tick_finds_a_row_that_was_exchanged_for_another_by_a_mutation_and_reports_it",),
    ),
    Bug(
        name="accepted_changes_forgotten",
        breaks="After an operator took note of changed rows, their new versions are added as late rows.",
        edits=(
            Edit(
                file=_SETTLE,
                before="            finding.kind is FindingKind.CHANGED and finding.window == window\n",
                after="            finding.kind is FindingKind.CHANGED and not finding.accepted\n",
            ),
        ),
        tests=(f"{_LATE}::test_after_rows_were_changed_a_late_row_of_that_window_is_reported_not_guessed",),
    ),
    Bug(
        name="gone_rows_compared_with_what_was_read",
        breaks="Every event reports the rows again that TTL has taken, or compares their window row by row.",
        edits=(
            Edit(
                file=_SETTLE,
                before="    if difference.surplus or difference.refused or recorded.hot != recorded.cold:\n",
                after="    if recorded.hot != recorded.cold:\n",
            ),
        ),
        tests=(f"{_LATE}::test_a_window_that_ttl_has_thinned_out_is_compared_row_by_row_once",),
    ),
    Bug(
        name="unread_rows_told_by_their_count",
        breaks="Who accepts a gap gives up the rows of other partitions that are still to be read.",
        edits=(
            Edit(
                file=_RECONCILE,
                before="each.content == contents[each.id] and each.span.last < watermark for each",
                after="each.content == contents[each.id] and not each.span.pending for each",
            ),
        ),
        tests=(f"{_QUIET}::test_who_accepts_a_gap_does_not_give_up_the_unread_rows_of_other_partitions",),
    ),
    Bug(
        name="gap_passed_over",
        breaks="Rows that TTL took before they were read are skipped as an empty window, and nobody is told.",
        edits=(
            Edit(
                file=_SERVICE,
                before="            if known.span.last >= watermark:\n",
                after="            if known.span.last < watermark:\n",
            ),
        ),
        tests=(f"{_LATE}::test_unread_rows_that_have_gone_halt_the_stream_with_bounds_and_the_last_inventory",),
    ),
    Bug(
        name="read_partition_taken_for_a_gap",
        breaks="Dropping a partition that was offloaded whole halts the stream.",
        edits=(
            Edit(
                file=_SERVICE,
                before="            if known.span.last >= watermark:\n",
                after="            if known.span.last >= known.span.first:\n",
            ),
            Edit(
                file=_RECONCILE,
                before="if known.span.pending and id_ not in contents)",
                after="if id_ not in contents)",
            ),
        ),
        tests=(f"{_LATE}::test_a_partition_that_was_read_whole_may_be_dropped",),
    ),
    Bug(
        name="evidence_without_the_last_batch",
        breaks="A supplement that somebody rolled back is not missed.",
        edits=(
            Edit(
                file=_DIVERGENCE,
                before=(
                    "        and (recorded.last_upper, recorded.last_batch_id) == (evidence.upper, evidence.batch_id)\n"
                ),
                after=("        and recorded.last_upper == evidence.upper\n"),
            ),
        ),
        tests=("tests/unit/domain/test_divergence.py",),
    ),
    Bug(
        name="late_rows_of_a_table_that_was_rolled_back_for_a_while",
        breaks="What a table that is rolled back does not hold is taken for late, and doubled once it is put back.",
        edits=(
            Edit(
                file="consumer/service/settle.py",
                before="        if not same and found.cold.rows <= recorded.cold.rows:\n",
                after="        if same and found.cold.rows > recorded.cold.rows:\n",
            ),
        ),
        tests=(
            (
                "tests/unit/service/test_late_rows.py"
                "::test_rows_of_a_table_that_is_rolled_back_while_it_is_looked_at_are_not_taken_for_late"
            ),
        ),
    ),
    Bug(
        name="windows_of_lost_partitions_forgotten",
        breaks="The audit cries wolf for every stream of which a TTL has taken a partition.",
        edits=(
            Edit(
                file="consumer/service/reconcile.py",
                before="                followed.settled += self._vacated(context, claim, seen)\n",
                after="                pass\n",
            ),
        ),
        tests=("tests/unit/service/test_audit.py",),
    ),
)
