"""Bugs of history: where a stream starts, what a backfill may publish, and whose turn it is."""

from __future__ import annotations

from tests.mutants.bug import Bug, Edit

_BACKFILL = "consumer/domain/backfill.py"
_BACKFILLER = "consumer/service/backfill/backfiller.py"
_PUBLISHING = "consumer/adapters/postgres/publishing.py"
_PLAN = "consumer/service/plan.py"
_VERIFY = "consumer/service/verify.py"
_SQL = "consumer/adapters/postgres/sql"
_PROOF = "consumer/service/adoption/proof.py"

_ADOPTION = "tests/unit/service/test_adoption.py"
_UNIT = "tests/unit/service/test_backfill.py"
_LEDGER_BACKFILLS = "tests/contract/test_ledger_backfills.py"

BUGS = (
    Bug(
        name="backfill_over_windows_that_are_done",
        breaks="A range that was backfilled before is published again, and its rows are there twice.",
        edits=(
            Edit(file=_BACKFILL, before="    elif place.overlapped:\n", after="    elif place.overlapped is None:\n"),
        ),
        tests=(
            f"{_LEDGER_BACKFILLS}::test_a_backfill_overlaps_no_window_that_is_done_and_reaches_not_beyond_the_start",
        ),
    ),
    Bug(
        name="backfilled_windows_not_seen_as_done",
        breaks="The ledger does not see that a backfilled window overlaps, and its late rows are never found.",
        edits=(
            Edit(
                file=f"{_SQL}/publish.sql",
                before="          AND kind IN ('window', 'backfill') AND status IN ('published', 'empty')\n",
                after="          AND kind = 'window' AND status IN ('published', 'empty')\n",
            ),
        ),
        tests=(
            f"{_LEDGER_BACKFILLS}::test_a_backfill_overlaps_no_window_that_is_done_and_reaches_not_beyond_the_start",
        ),
    ),
    Bug(
        name="backfill_beyond_the_start",
        breaks="A backfill reaches into what live windows bring, and rows are there twice.",
        edits=(
            Edit(
                file=_BACKFILL,
                before="    elif window.upper > place.start:\n",
                after="    elif window.lower > place.start:\n",
            ),
        ),
        tests=(
            f"{_LEDGER_BACKFILLS}::test_a_backfill_overlaps_no_window_that_is_done_and_reaches_not_beyond_the_start",
        ),
    ),
    Bug(
        name="cancelled_backfill_goes_on",
        breaks="A request that was cancelled while its batch was written is published all the same.",
        edits=(
            Edit(
                file=_BACKFILL,
                before="    if place.position is None or place.position > window.lower:\n",
                after="    if place.position is not None and place.position > window.lower:\n",
            ),
        ),
        tests=(
            f"{_LEDGER_BACKFILLS}::test_a_backfill_is_refused_to_an_old_epoch_and_once_its_request_is_cancelled[memory]",
            f"{_UNIT}::test_a_request_that_is_cancelled_while_its_batch_is_written_publishes_nothing",
        ),
    ),
    Bug(
        name="request_moved_outside_of_the_publish",
        breaks="A backfill is published, its request stays where it was, and never ends.",
        edits=(
            Edit(
                file=_PUBLISHING,
                before="    if batch.kind is BatchKind.BACKFILL:\n        move_backfill(",
                after="    if batch.kind is BatchKind.SUPPLEMENT and batch.request:\n        move_backfill(",
            ),
        ),
        tests=(
            f"{_LEDGER_BACKFILLS}::test_a_backfill_moves_its_request_in_the_publish_and_leaves_the_watermark[postgres]",
        ),
    ),
    Bug(
        name="old_hints_go_on",
        breaks="Each live event adds a hint for good, and the next live event waits for all of them.",
        edits=(
            Edit(
                file=_BACKFILLER,
                before="        if is_hint(event) and event.batch_id != _text(claim.record.last_backfill_id):\n",
                after="        if is_hint(event) and event.batch_id is None:\n",
            ),
        ),
        tests=(f"{_UNIT}::test_an_old_hint_does_nothing_so_that_hints_never_pile_up",),
    ),
    Bug(
        name="backfill_without_a_hint",
        breaks="A backfill does one batch with each tick, and takes months.",
        edits=(
            Edit(
                file=_BACKFILLER,
                before="dependants=[] if last else [batch.stream])",
                after="dependants=[])",
            ),
        ),
        tests=(f"{_UNIT}::test_a_range_of_history_arrives_batch_by_batch_and_both_tiers_are_equal",),
    ),
    Bug(
        name="all_of_a_backfill_in_one_event",
        breaks="A live event waits until all of history is done.",
        edits=(
            Edit(
                file=_BACKFILLER,
                before=(
                    "            done = stretch.lower if allowed is None else"
                    " self._run(context, claim, requests, allowed)\n"
                    "            if done is not None:\n"
                ),
                after=(
                    "            done = stretch.lower if allowed is None else"
                    " self._run(context, claim, requests, allowed)\n"
                    "            requests = list(self._backfills.open(context.stream.name))\n"
                    "            if done is not None and not requests:\n"
                ),
            ),
        ),
        tests=(f"{_UNIT}::test_live_rows_that_arrive_meanwhile_wait_for_one_batch_of_history_at_most",),
    ),
    Bug(
        name="rows_passed_over_that_have_just_arrived",
        breaks="A stretch that has got a row between two looks is recorded as one without rows.",
        edits=(
            Edit(
                file=_PLAN,
                before="            if first is not None and first < near.upper:\n",
                after="            if first is not None and first < near.lower:\n",
            ),
        ),
        tests=(f"{_UNIT}::test_a_row_that_arrives_between_two_looks_is_not_passed_over",),
    ),
    Bug(
        name="start_moved_by_the_configuration",
        breaks="A configured start that is moved later skips rows that were never read.",
        edits=(
            Edit(
                file=f"{_SQL}/ledger.sql",
                before="WHERE stream = %(stream)s AND epoch = 0 AND start <> %(start)s\n",
                after="WHERE stream = %(stream)s AND start <> %(start)s\n",
            ),
        ),
        tests=(f"{_LEDGER_BACKFILLS}::test_a_start_counts_until_the_stream_is_claimed[postgres]",),
    ),
    Bug(
        name="history_compared_that_nobody_asked_for",
        breaks="Rows below the start count as missing, and every verification fails.",
        edits=(
            Edit(
                file=_VERIFY,
                before="return covered(done, start=self.record.start, watermark=self.record.watermark)",
                after="return covered(done, start=BEGINNING, watermark=self.record.watermark)",
            ),
        ),
        tests=("tests/unit/service/test_audit.py::test_a_stream_that_starts_late_and_was_backfilled_in_part_is_clean",),
    ),
    Bug(
        name="doubled_rows_adopted",
        breaks="A table that holds rows twice is adopted, and holds them twice for good.",
        edits=(
            Edit(
                file=_PROOF,
                before="    if not proof.surplus and (leave_missing or not proof.missing):\n",
                after="    if leave_missing or not proof.missing:\n",
            ),
        ),
        tests=(f"{_ADOPTION}::test_missing_rows_may_be_left_to_the_next_event_surplus_ones_never",),
    ),
    Bug(
        name="watermark_at_the_last_row",
        breaks="The last row of an adopted table is offloaded once more.",
        edits=(
            Edit(
                file=_PROOF,
                before="Window(lower=last + MICROSECOND, upper=cutoff))\n",
                after="Window(lower=last, upper=cutoff))\n",
            ),
        ),
        tests=(f"{_ADOPTION}::test_the_watermark_is_that_of_the_first_row_that_the_table_lacks",),
    ),
    Bug(
        name="every_lost_row_taken_for_a_ttl",
        breaks="A table with rows that the source never held is adopted, because they are old.",
        edits=(
            Edit(
                file=_PROOF,
                before="        since = proven_from(found) if table.ttls else None\n",
                after="        since = proven_from(found)\n",
            ),
        ),
        tests=(f"{_ADOPTION}::test_without_a_ttl_rows_that_have_gone_are_a_difference",),
    ),
    Bug(
        name="adopted_beside_another_writer",
        breaks="Rows that the former writer adds during the proof are in the table, and in no window of the ledger.",
        edits=(
            Edit(
                file="consumer/testing/catalog.py",
                before="            if adoption is not None and adoption.snapshot_id != table.current:\n",
                after="            if adoption is not None and table.current is None:\n",
            ),
        ),
        tests=(f"{_ADOPTION}::test_a_table_to_which_somebody_commits_meanwhile_is_refused",),
    ),
)
