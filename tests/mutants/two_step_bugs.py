"""Bugs of publishes in two steps: intents, the exact base, what is read back, and what could land late."""

from __future__ import annotations

from consumer.embedded.component import ComponentName
from tests.mutants.bug import Bug, Edit

_TWO_STEP = "consumer/adapters/iceberg/two_step.py"
_HEALING = "consumer/adapters/iceberg/healing.py"
_REST = "consumer/adapters/iceberg/rest.py"
_FAILURES = "consumer/adapters/iceberg/rest_failures.py"

_CATALOG = "tests/contract/test_catalog.py"
_CRASHES = "tests/faults/test_two_step_crashes.py"
_FAULTS = "tests/faults/test_rest_faults.py"
_ANSWERS = "tests/unit/iceberg/test_rest_failures.py"

_COLD_TIER = (ComponentName.POSTGRES, ComponentName.STORE)

BUGS = (
    Bug(
        name="rest_commit_without_its_base",
        breaks="A commit that arrives late lands on top of its heir's, and its rows are in the table twice.",
        edits=(
            Edit(
                file=_REST,
                before="        AssertRefSnapshotId(ref=MAIN_BRANCH, snapshot_id=metadata.current_snapshot_id),\n",
                after="",
            ),
        ),
        tests=(f"{_CRASHES}::test_of_two_commits_of_one_batch_on_one_base_a_single_one_lands[rest]",),
        servers=_COLD_TIER,
    ),
    Bug(
        name="landed_commit_not_looked_for",
        breaks="A commit whose owner died before it was recorded counts as lost, and its window is written again.",
        edits=(
            Edit(
                file=_HEALING,
                before="        landed = landed_in(base.metadata, evidence, intents)\n        current",
                after="        landed: dict[int, int] = {}\n        current",
            ),
        ),
        tests=(f"{_CRASHES}::test_each_crash_point_heals_from_the_table[rest-publish.after-send-True]",),
        servers=_COLD_TIER,
    ),
    Bug(
        name="late_commit_not_sealed_off",
        breaks="A commit lands after its window was recorded as empty: rows that the ledger does not know.",
        edits=(
            Edit(
                file=_HEALING,
                before="            if not final or not left:\n                return claim\n",
                after="            if True:\n                return claim\n",
            ),
        ),
        tests=(f"{_CRASHES}::test_a_commit_that_is_late_is_kept_out_for_good_before_its_heir_goes_on[rest]",),
        servers=_COLD_TIER,
    ),
    Bug(
        name="intent_of_a_living_base_forgotten",
        breaks="A commit that may still land is forgotten, and nobody records it once it has.",
        edits=(
            Edit(
                file=_HEALING,
                before="one.snapshot_id in landed or one.base_snapshot_id != current]\n",
                after="one.snapshot_id in landed or True]\n",
            ),
        ),
        tests=(f"{_CRASHES}::test_a_commit_that_is_late_is_kept_out_for_good_before_its_heir_goes_on[rest]",),
        servers=_COLD_TIER,
    ),
    Bug(
        name="server_error_taken_for_a_refusal",
        breaks="The manifests of a commit that was answered with 503 are deleted, though it has landed.",
        edits=(
            Edit(
                file=_FAILURES,
                before="    refused = status is not None and status < HTTPStatus.INTERNAL_SERVER_ERROR and",
                after="    refused = status is not None and",
            ),
        ),
        tests=(f"{_ANSWERS}::test_whatever_the_server_stumbles_over_the_commit_may_have_landed",),
    ),
    Bug(
        name="lost_connection_taken_for_a_refusal",
        breaks="A commit whose connection was cut counts as not landed without a look at the table.",
        edits=(
            Edit(
                file=_FAILURES,
                before="    return isinstance(reason, NewConnectionError)\n",
                after="    return True\n",
            ),
        ),
        tests=(f"{_ANSWERS}::test_what_the_failure_of_a_commit_means",),
    ),
    Bug(
        name="refusal_believed_without_a_look",
        breaks="A request that was sent twice on its way is refused the second time, and its snapshot loses its files.",
        edits=(
            Edit(
                file=_TWO_STEP,
                before="            if not self._arrived(base, snapshot_id):\n",
                after="            if True:\n",
            ),
        ),
        tests=(f"{_FAULTS}::test_a_refusal_of_what_has_landed_is_not_believed",),
        servers=_COLD_TIER,
    ),
    Bug(
        name="two_steps_without_evidence",
        breaks="Where the catalog is elsewhere, rows are appended to a table that was rolled back.",
        edits=(
            Edit(
                file=_TWO_STEP,
                before="            check_evidence(publication, record, evidence, ancestry.batch_ids)\n",
                after="",
            ),
        ),
        tests=(f"{_CATALOG}::test_a_table_rolled_back_by_hand_stops_the_next_publish[rest]",),
        servers=_COLD_TIER,
    ),
    Bug(
        name="events_left_out_of_the_intent",
        breaks="A crash between commit and record loses the events that wake the dependants.",
        edits=(
            Edit(
                file="consumer/ports/cold_tier.py",
                before="            outbox=tuple(self.outbox),\n",
                after="            outbox=(),\n",
            ),
        ),
        tests=(f"{_CRASHES}::test_a_killed_publisher_is_healed_from_the_table_with_its_events",),
        servers=_COLD_TIER,
    ),
    Bug(
        name="healed_with_an_old_record",
        breaks="After a heal whose answer got lost, the stream is halted for a divergence that there is none.",
        edits=(
            Edit(
                file=_HEALING,
                before="        return replace(claim, record=known), intents\n",
                after="        return claim, intents\n",
            ),
        ),
        tests=(f"{_CRASHES}::test_what_was_healed_without_an_answer_is_known_to_whoever_asks_again[rest]",),
        servers=_COLD_TIER,
    ),
    Bug(
        name="unfenced_record",
        breaks="An owner whose lease was taken over records its commit beside its heir, who has recorded it already.",
        edits=(
            Edit(
                file=_TWO_STEP,
                before="                publishing.lock_stream(connection, claim)\n                intents",
                after="                intents",
            ),
        ),
        tests=(f"{_CRASHES}::test_a_late_commit_of_another_batch_for_the_same_rows_is_followed[rest]",),
        servers=_COLD_TIER,
    ),
)
