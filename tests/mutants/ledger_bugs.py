"""Bugs of the ledger: leases, transactions, parked events and the outbox."""

from __future__ import annotations

from tests.mutants.bug import Bug, Edit

_SQL = "consumer/adapters/postgres/sql/ledger.sql"
_LEDGER_PY = "consumer/adapters/postgres/ledger.py"
_DATABASE = "consumer/adapters/postgres/database.py"
_SESSION = "consumer/adapters/postgres/sql/session.sql"
_OFFLOAD_PY = "consumer/service/offload.py"
_RELAY = "consumer/adapters/kafka/relay.py"

_LEDGER_BATCHES = "tests/contract/test_ledger_batches.py"
_LEDGER_EVENTS = "tests/contract/test_ledger_events.py"
_LEDGER_RECORDS = "tests/contract/test_ledger_records.py"
_CONNECTIONS = "tests/faults/test_ledger_connections.py"
_CONTENTION = "tests/faults/test_ledger_contention.py"
_OFFLOAD = "tests/unit/service/test_offload.py"

BUGS = (
    Bug(
        name="epoch_not_incremented",
        breaks="A new owner has the epoch of the old one, so the fence lets both through.",
        edits=(Edit(file=_SQL, before="    epoch = epoch + 1,\n", after="    epoch = greatest(epoch, 1),\n"),),
        tests=(f"{_LEDGER_RECORDS}::test_every_acquisition_increments_the_epoch[postgres]",),
    ),
    Bug(
        name="unexpired_lease_claimed",
        breaks="Every consumer that is given an event takes the stream away from the one that works on it.",
        edits=(
            Edit(
                file=_SQL,
                before="WHERE stream = %(stream)s\n"
                "  AND (owner IS NULL OR owner = %(owner)s OR lease_expires <= clock_timestamp())\n",
                after="WHERE stream = %(stream)s\n",
            ),
        ),
        tests=(f"{_LEDGER_RECORDS}::test_a_lease_that_has_not_expired_is_refused_to_another_owner[postgres]",),
    ),
    Bug(
        name="expired_lease_never_free",
        breaks="A stream whose owner was killed stands still for ever.",
        edits=(
            Edit(
                file=_SQL,
                before="  AND (owner IS NULL OR owner = %(owner)s OR lease_expires <= clock_timestamp())\n"
                "RETURNING stream",
                after="  AND (owner IS NULL OR owner = %(owner)s)\nRETURNING stream",
            ),
        ),
        tests=(f"{_LEDGER_RECORDS}::test_an_expired_lease_is_taken_over[postgres]",),
    ),
    Bug(
        name="windows_looked_for_in_the_claim",
        breaks="An heir that waited for its predecessor's publish misses that window, and halts the stream for a gap.",
        edits=(
            Edit(
                file=_SQL,
                before="adopted, schemas\n\n-- name: standing\n",
                after="adopted, schemas, watermark = start OR EXISTS (SELECT FROM offload_batches AS done"
                " WHERE done.stream = offload_watermarks.stream AND done.upper = offload_watermarks.watermark"
                " AND done.status = 'published') AS continuous\n\n-- name: standing\n",
            ),
            Edit(
                file=_LEDGER_PY,
                before='continuous=standing[0]["continuous"]',
                after='continuous=claimed[0]["continuous"]',
            ),
        ),
        tests=(f"{_CONTENTION}::test_an_heir_whose_claim_waits_for_a_publish_finds_the_window_that_it_has_published",),
    ),
    Bug(
        name="old_owner_releases_the_new_lease",
        breaks="A zombie that ends gives its heir's lease away, and a third owner begins the same work.",
        edits=(
            Edit(
                file=_SQL,
                before="SET owner = NULL, lease_expires = NULL, updated = clock_timestamp()\n"
                "WHERE stream = %(stream)s AND epoch = %(epoch)s AND owner = %(owner)s\n",
                after="SET owner = NULL, lease_expires = NULL, updated = clock_timestamp()\n"
                "WHERE stream = %(stream)s AND owner = %(owner)s\n",
            ),
        ),
        tests=(f"{_LEDGER_RECORDS}::test_a_lease_that_was_taken_over_can_not_be_released_by_its_old_owner[postgres]",),
    ),
    Bug(
        name="frozen_owner_keeps_its_lock",
        breaks="An owner that is frozen in its transaction holds the stream's row for as long as it sleeps.",
        edits=(
            Edit(
                file=_SESSION,
                before="    set_config('idle_in_transaction_session_timeout', '%(idle)d', true),\n",
                after="    set_config('idle_in_transaction_session_timeout', '0', true),\n",
            ),
        ),
        tests=(
            f"{_CONNECTIONS}::test_an_owner_that_freezes_inside_the_publish_loses_its_transaction_before_its_lease",
        ),
    ),
    Bug(
        name="commit_not_durable",
        breaks="A commit that was confirmed is lost when the server ends, and the offset after it is committed.",
        edits=(
            Edit(
                file=_SESSION,
                before="WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END,\n",
                after="WHEN 'remote_apply' THEN 'remote_apply' ELSE current_setting('synchronous_commit') END,\n",
            ),
        ),
        tests=(
            "tests/faults/test_ledger_contention.py::test_a_commit_is_durable_even_where_the_server_is_set_to_lose_it",
        ),
    ),
    Bug(
        name="lost_reply_reported_as_not_landed",
        breaks="A connection that breaks during COMMIT counts as a failure for certain, and what landed is cleaned up.",
        edits=(
            Edit(
                file=_DATABASE,
                before="                refuses_commit(error) and not connection.closed\n            )\n",
                after="                refuses_commit(error) or connection.closed\n            )\n",
            ),
        ),
        tests=(f"{_CONNECTIONS}::test_a_commit_that_landed_without_a_reply_is_unknown_and_read_back_as_published",),
    ),
    Bug(
        name="failed_transaction_taken_for_committed",
        breaks="Postgres answers COMMIT of a failed transaction with ROLLBACK, and nobody notices.",
        edits=(Edit(file=_DATABASE, before="                _refuse_failed_transaction(connection)\n", after=""),),
        tests=(f"{_CONNECTIONS}::test_an_error_that_the_block_swallowed_is_not_taken_for_a_commit",),
    ),
    Bug(
        name="read_back_without_the_lock",
        breaks="A commit that is still under way is read as absent, and lands after its batch was begun again.",
        edits=(
            Edit(
                file=_LEDGER_PY,
                before="            self._locked(connection, stream)\n"
                "            # A statement of its own: its snapshot is taken after the lock was granted.\n",
                after="",
            ),
        ),
        tests=(f"{_CONNECTIONS}::test_the_read_back_waits_for_a_commit_that_is_still_on_its_way",),
    ),
    Bug(
        name="one_path_recorded_for_two_files",
        breaks="An attempt that overwrote another's file is recorded as if nothing had happened.",
        edits=(
            Edit(
                file=_SQL,
                before="WHERE file.prefix = excluded.prefix AND file.batch_id = excluded.batch_id "
                "AND file.rows = excluded.rows\n"
                "  AND file.bytes = excluded.bytes AND file.digest = excluded.digest\n",
                after="WHERE file.prefix = excluded.prefix AND file.batch_id = excluded.batch_id\n",
            ),
        ),
        tests=(f"{_LEDGER_BATCHES}::test_a_path_is_staged_with_one_content_only[postgres]",),
    ),
    Bug(
        name="halting_event_not_parked",
        breaks="The event during which a stream halted is acknowledged, and resume has nothing to take up.",
        edits=(
            Edit(
                file=_OFFLOAD_PY,
                before='        _log.error("stream.halted", stream=event.stream, reason=error.message,'
                " remedy=error.remedy)\n        self._admission.park(event)\n",
                after='        _log.error("stream.halted", stream=event.stream, reason=error.message,'
                " remedy=error.remedy)\n",
            ),
        ),
        tests=(f"{_OFFLOAD}::test_a_stream_that_keeps_failing_is_halted_and_its_event_parked",),
    ),
    Bug(
        name="event_of_a_halted_stream_dropped",
        breaks="Events that arrive while a stream is halted are acknowledged and forgotten.",
        edits=(
            Edit(
                file="consumer/service/admission.py",
                before="self.register(stream).state is StreamState.HALTED:\n            self.park(event)\n",
                after="self.register(stream).state is StreamState.HALTED:\n",
            ),
        ),
        tests=(f"{_OFFLOAD}::test_events_of_a_halted_stream_are_parked_and_taken_up_by_resume",),
    ),
    Bug(
        name="parked_after_the_resume",
        breaks="An event that is parked while somebody resumes its stream is never taken up.",
        edits=(
            Edit(
                file=_LEDGER_PY,
                before="            if self._locked(connection, event.stream).state is StreamState.HALTED:\n",
                after="            if self._locked(connection, event.stream):\n",
            ),
        ),
        tests=(f"{_LEDGER_EVENTS}::test_an_event_that_is_parked_after_the_resume_is_not_lost[postgres]",),
    ),
    Bug(
        name="zombie_halts_its_heirs_stream",
        breaks="What looks wrong to an owner whose time is over stops the stream of the owner that is right.",
        edits=(
            Edit(
                file=_OFFLOAD_PY,
                before="reason=error.message, remedy=error.remedy, epoch=claim.epoch)\n",
                after="reason=error.message, remedy=error.remedy, epoch=None)\n",
            ),
        ),
        tests=(f"{_OFFLOAD}::test_a_zombie_that_takes_its_heirs_progress_for_a_divergence_halts_nothing",),
    ),
    Bug(
        name="outbox_removed_before_it_is_sent",
        breaks="Events for dependants are lost while the broker is away.",
        edits=(
            Edit(
                file=_RELAY,
                before='            with self._failpoints.around("outbox.send"):\n'
                "                self._sink.send([message.event for message in messages])\n"
                '            with self._failpoints.around("outbox.remove"):\n'
                "                self._outbox.relayed([message.number for message in messages])\n",
                after='            with self._failpoints.around("outbox.remove"):\n'
                "                self._outbox.relayed([message.number for message in messages])\n"
                '            with self._failpoints.around("outbox.send"):\n'
                "                self._sink.send([message.event for message in messages])\n",
            ),
        ),
        tests=("tests/unit/kafka/test_relay.py::test_what_was_not_acknowledged_stays_in_the_outbox",),
    ),
    Bug(
        name="dead_relay_keeps_its_messages",
        breaks="Messages that a relay had taken when it died are never sent.",
        edits=(
            Edit(
                file=_SQL,
                before="    SET claimed_until = clock_timestamp() + %(claim)s\n",
                after="    SET claimed_until = 'infinity'\n",
            ),
        ),
        tests=(
            f"{_LEDGER_EVENTS}::test_a_message_is_kept_from_other_relays_and_comes_back_if_its_relay_died[postgres]",
        ),
    ),
)
