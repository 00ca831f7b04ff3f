"""Bugs of step 6: the fence, the one transaction, the evidence, and what an unknown commit means."""

from __future__ import annotations

from consumer.embedded.component import ComponentName
from tests.mutants.bug import Bug, Edit

_PUBLISH = "consumer/adapters/iceberg/publish.py"
_EVIDENCE = "consumer/adapters/iceberg/evidence.py"
_RECORD = "consumer/adapters/postgres/publishing.py"
_FENCE = "consumer/domain/fence.py"
_RUN = "consumer/service/batch_run.py"
_STATEMENTS = "consumer/adapters/postgres/sql/publish.sql"

_LEDGER_BATCHES = "tests/contract/test_ledger_batches.py"
_LEDGER_RECORDS = "tests/contract/test_ledger_records.py"
_CATALOG = "tests/contract/test_catalog.py"
_FAULTS = "tests/faults/test_publish_faults.py"
_OFFLOAD = "tests/unit/service/test_offload.py"
_REDELIVERY = "tests/unit/service/test_redelivery.py"

_COLD_TIER = (ComponentName.POSTGRES, ComponentName.STORE)

_TRANSACTION = """\
            with self._database.transaction() as connection:
                record = publishing.fence(connection, publication)
                self._rows.swap(connection, base.name, base=base.location, new=staged.location)
"""

BUGS = (
    Bug(
        name="no_fence",
        breaks="An owner whose lease was taken over goes on publishing beside its heir.",
        edits=(
            Edit(
                file=_FENCE,
                before="    if (epoch, owner) == (current_epoch, current_owner):\n        return\n",
                after="    if epoch <= current_epoch:\n        return\n",
            ),
        ),
        tests=(f"{_LEDGER_RECORDS}::test_an_old_epoch_can_do_nothing[memory]",),
    ),
    Bug(
        name="epoch_without_owner",
        breaks="After a ledger was restored, an old owner and a new one hold the same epoch, and both publish.",
        edits=(
            Edit(
                file=_FENCE,
                before="    if (epoch, owner) == (current_epoch, current_owner):\n",
                after="    if epoch == current_epoch:\n",
            ),
        ),
        tests=(
            f"{_LEDGER_RECORDS}::test_the_same_epoch_of_another_owner_is_fenced[memory]",
            f"{_LEDGER_RECORDS}::test_a_released_lease_fences_what_its_owner_still_tries[memory]",
        ),
    ),
    Bug(
        name="check_before_the_transaction",
        breaks="The lease is checked when staging begins, so one that is lost until the commit doubles rows.",
        edits=(
            Edit(
                file=_PUBLISH,
                before="        base = self._base(publication)\n        attempt = AttemptFiles(self._io)\n",
                after="        base = self._base(publication)\n"
                "        with self._database.transaction() as connection:\n"
                "            publishing.fence(connection, publication)\n"
                "        attempt = AttemptFiles(self._io)\n",
            ),
            Edit(
                file=_PUBLISH,
                before="                record = publishing.fence(connection, publication)\n",
                after="                record = publication.claim.record\n",
            ),
            Edit(
                file=_STATEMENTS,
                before="WHERE stream = %(stream)s AND epoch = %(epoch)s AND watermark = %(lower)s\n",
                after="WHERE stream = %(stream)s\n",
            ),
        ),
        tests=(
            f"{_FAULTS}::test_a_zombie_on_an_unchanged_table_is_fenced_too",
            f"{_FAULTS}::test_an_owner_that_loses_its_lease_between_staging_and_commit_is_fenced",
        ),
        servers=_COLD_TIER,
    ),
    Bug(
        name="watermark_predicate_dropped",
        breaks="A window that does not begin at the watermark is published: a gap, or rows twice.",
        edits=(
            Edit(
                file=_FENCE,
                before="    if position.watermark != batch.window.lower:\n",
                after="    if position.watermark > batch.window.upper:\n",
            ),
        ),
        tests=(f"{_LEDGER_BATCHES}::test_a_window_that_does_not_continue_the_watermark_is_refused",),
    ),
    Bug(
        name="published_batch_published_again",
        breaks="A batch whose commit has landed is taken for one that has not, and its rows are appended again.",
        edits=(
            Edit(
                file=_FENCE,
                before="    if position.status in _DONE and position.watermark >= batch.window.upper:\n        raise",
                after="    if position.status in _DONE and position.watermark >= batch.window.upper:\n"
                "        return\n        raise",
            ),
        ),
        tests=(
            f"{_LEDGER_BATCHES}::test_a_batch_is_published_once_and_whoever_repeats_it_is_sent_to_read_back[memory]",
            f"{_CATALOG}::test_a_batch_that_is_published_already_has_to_be_read_back[memory]",
        ),
    ),
    Bug(
        name="swap_without_the_base",
        breaks="A commit of another engine that came between staging and commit is overwritten.",
        edits=(
            Edit(
                file="consumer/adapters/iceberg/sql/swap.sql",
                before="\n  AND metadata_location = %(base)s\n",
                after="\n",
            ),
        ),
        tests=(f"{_FAULTS}::test_a_base_that_moved_is_never_rebased_on_blindly",),
        servers=_COLD_TIER,
    ),
    Bug(
        name="watermark_first",
        breaks="The watermark passes rows that are in no snapshot when the table's commit does not come.",
        edits=(
            Edit(
                file=_PUBLISH,
                before=_TRANSACTION,
                after="            with self._database.transaction() as connection:\n"
                "                record = publishing.fence(connection, publication)\n"
                "                publishing.record(connection, publication, snapshot_id)\n"
                "            with self._database.transaction() as connection:\n"
                "                self._rows.swap(connection, base.name, base=base.location, new=staged.location)\n",
            ),
            Edit(
                file=_PUBLISH,
                before="                publishing.record(connection, publication, snapshot_id)\n"
                "                self._failpoints.hit(before)\n",
                after="                self._failpoints.hit(before)\n",
            ),
        ),
        tests=(
            f"{_FAULTS}::test_a_base_that_moved_is_never_rebased_on_blindly",
            f"{_FAULTS}::test_a_killed_publisher_leaves_all_or_nothing",
        ),
        servers=_COLD_TIER,
    ),
    Bug(
        name="watermark_in_a_transaction_of_its_own",
        breaks="A snapshot is visible that the ledger does not know, and its window is written again.",
        edits=(
            Edit(
                file=_PUBLISH,
                before="                publishing.record(connection, publication, snapshot_id)\n"
                "                self._failpoints.hit(before)\n"
                "                certain = False\n",
                after="                self._failpoints.hit(before)\n"
                "                certain = False\n"
                "            with self._database.transaction() as connection:\n"
                "                publishing.record(connection, publication, snapshot_id)\n",
            ),
        ),
        tests=(f"{_FAULTS}::test_a_lost_reply_to_a_commit_that_landed_is_unknown_and_read_back",),
        servers=_COLD_TIER,
    ),
    Bug(
        name="outbox_outside_the_transaction",
        breaks="The events for dependants are lost if the process ends, or the reply, right after the commit.",
        edits=(
            Edit(file=_RECORD, before="    send(connection, landing.outbox)\n", after=""),
            Edit(
                file=_PUBLISH,
                before="        self._bases.keep(staged)\n        retired",
                after="        with self._database.transaction() as connection:\n"
                "            publishing.send(connection, publication.outbox)\n"
                "        self._bases.keep(staged)\n        retired",
            ),
        ),
        tests=(f"{_FAULTS}::test_a_lost_reply_loses_no_event_for_a_dependant",),
        servers=_COLD_TIER,
    ),
    Bug(
        name="evidence_not_checked",
        breaks="Rows are appended to a table that was rolled back, and what the rollback took is never missed.",
        edits=(
            Edit(
                file=_PUBLISH,
                before="                check_evidence(publication, record, evidence, ancestry.batch_ids)\n",
                after="",
            ),
        ),
        tests=(f"{_CATALOG}::test_a_table_rolled_back_by_hand_stops_the_next_publish[iceberg]",),
        servers=_COLD_TIER,
    ),
    Bug(
        name="evidence_of_any_snapshot",
        breaks="A snapshot that was rolled back still counts as proof that its rows are in the table.",
        edits=(
            Edit(
                file=_EVIDENCE,
                before="    for snapshot in ancestors(metadata, metadata.current_snapshot_id):\n",
                after="    for snapshot in reversed(metadata.snapshots):\n",
            ),
        ),
        tests=(f"{_CATALOG}::test_a_table_rolled_back_by_hand_stops_the_next_publish[iceberg]",),
        servers=_COLD_TIER,
    ),
    Bug(
        name="evidence_only_in_snapshots",
        breaks="Expiry under other engines' snapshots hides all evidence, and the stream halts for no reason.",
        edits=(
            Edit(
                file=_PUBLISH,
                before="                **properties_of(publication, snapshot_id),\n",
                after="",
            ),
        ),
        tests=(f"{_CATALOG}::test_properties_speak_where_expiry_has_hidden_the_evidence[iceberg]",),
        servers=_COLD_TIER,
    ),
    Bug(
        name="property_counts_after_a_rollback",
        breaks="A property, which survives a rollback, vouches for rows that the rollback has taken away.",
        edits=(
            Edit(
                file=_PUBLISH,
                before="        return repeated.evidence if alive is not repeated.removed else None\n",
                after="        return repeated.evidence\n",
            ),
        ),
        tests=(f"{_CATALOG}::test_properties_prove_nothing_after_a_rollback_that_expiry_has_hidden[iceberg]",),
        servers=_COLD_TIER,
    ),
    Bug(
        name="cleanup_on_an_unknown_commit",
        breaks="The metadata of a commit whose reply was lost is deleted, though it has landed: the table is gone.",
        edits=(
            Edit(
                file=_PUBLISH, before="            if certain:\n", after="            if certain or attempt.written:\n"
            ),
        ),
        tests=(f"{_FAULTS}::test_a_lost_reply_to_a_commit_that_landed_is_unknown_and_read_back",),
        servers=_COLD_TIER,
    ),
    Bug(
        name="unknown_commit_retried_blindly",
        breaks="Whether a commit has landed is not looked up before the batch is published again.",
        edits=(
            Edit(
                file=_RUN,
                before="            return self._read_back(context, publication.claim, publication.batch)\n",
                after="            return None\n",
            ),
        ),
        tests=(f"{_OFFLOAD}::test_an_unknown_commit_is_read_back_before_anything_else",),
    ),
    Bug(
        name="unknown_commit_taken_for_landed",
        breaks="The rows of a commit that got lost are in no snapshot, and their event is acknowledged.",
        edits=(
            Edit(
                file=_RUN,
                before="            return self._read_back(context, publication.claim, publication.batch)\n",
                after="            return 0\n",
            ),
        ),
        tests=(f"{_OFFLOAD}::test_an_unknown_commit_is_read_back_before_anything_else",),
    ),
    Bug(
        name="unknown_advance_taken_for_landed",
        breaks="An empty window that was not recorded counts as done: the stream plans on from an instant not reached.",
        edits=(
            Edit(
                file=_RUN,
                before="        landed = retrying(context.stream, context.abandoned, read)\n",
                after="        landed = retrying(context.stream, context.abandoned, read) or True\n",
            ),
        ),
        tests=(f"{_REDELIVERY}::test_an_advance_whose_commit_got_lost_is_done_again",),
    ),
    Bug(
        name="endless_restaging_counts_as_published",
        breaks="A table that keeps moving makes the stream go on without its rows.",
        edits=(
            Edit(
                file=_RUN,
                before="            self._metrics.conflict(context.stream.name)\n            return None\n",
                after="            self._metrics.conflict(context.stream.name)\n            return 0\n",
            ),
        ),
        tests=(f"{_REDELIVERY}::test_a_table_that_moves_while_a_batch_is_staged_is_staged_upon_again",),
    ),
    Bug(
        name="evaluator_shared_by_threads",
        breaks="A replacement, rewind or compaction now and then misses files that are there, and halts the stream.",
        edits=(
            Edit(
                file="consumer/adapters/iceberg/overwriting.py",
                before="        return evaluate\n",
                after="        return build(spec_id)\n",
            ),
        ),
        tests=("tests/unit/iceberg/test_overwriting.py",),
    ),
)
