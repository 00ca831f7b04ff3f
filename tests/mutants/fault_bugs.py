"""Bugs by which a full disk, a storm or a thousand failures do more harm than they have to."""

from __future__ import annotations

from consumer.embedded.component import ComponentName
from tests.mutants.bug import Bug, Edit

_SERVERS = (ComponentName.CLICKHOUSE, ComponentName.POSTGRES, ComponentName.STORE)

BUGS = (
    Bug(
        name="footer_not_compared",
        breaks="A bit that was turned over in a footer gives the manifest wrong bounds, by which engines skip rows.",
        edits=(
            Edit(
                file="consumer/adapters/iceberg/file_checks.py",
                before='        _same(footer.path, "checksum of the footer", f"{footer.crc:08x}",'
                ' f"{file.footer_crc:08x}")\n',
                after="        pass\n",
            ),
        ),
        tests=("tests/faults/test_damaged_files.py",),
        servers=_SERVERS,
    ),
    Bug(
        name="used_up_quota_taken_for_a_wrong_key",
        breaks="A store whose quota is used up halts the stream at once, and its operator looks for a wrong key.",
        edits=(Edit(file="consumer/domain/store_error.py", before='            "QuotaExceeded",\n', after=""),),
        tests=("tests/unit/domain/test_store_error.py",),
    ),
    Bug(
        name="retries_without_end",
        breaks="A stream whose store stays away is tried for ever, and nobody is told.",
        edits=(
            Edit(
                file="consumer/service/retrying.py",
                before="stop=lambda state: state.attempt_number >= policy.attempts or abandoned.is_set(),",
                after="stop=lambda state: state.attempt_number >= 1000 * policy.attempts or abandoned.is_set(),",
            ),
        ),
        tests=("tests/unit/service/test_retrying.py",),
    ),
    Bug(
        name="lease_kept_by_a_thread_after_a_failure",
        breaks="Every event that fails leaves a thread behind, which goes on trying to renew a lease that is over.",
        edits=(
            Edit(
                file="consumer/service/lease.py",
                before="        self._closing.set()\n        if self._thread is not None:\n"
                "            self._thread.join()\n",
                after="        if self._thread is not None and kind is None:\n            self._closing.set()\n"
                "            self._thread.join()\n",
            ),
            Edit(
                file="consumer/service/lease.py",
                before="                self._on_lost()\n                return\n",
                after="                self._on_lost()\n",
            ),
        ),
        tests=("tests/endurance/test_endurance.py",),
        servers=(*_SERVERS, ComponentName.KAFKA),
    ),
    Bug(
        name="events_of_a_batch_kept_for_ever",
        breaks="The row of a batch that fails for weeks grows with every event, and is written anew with each.",
        edits=(
            Edit(
                file="consumer/adapters/postgres/sql/ledger.sql",
                before="[cardinality(batch.event_ids) - 98:] END,\n    trace_id = excluded.trace_id,\n"
                "    epoch = excluded.epoch,\n    owner = excluded.owner,\n    attempts",
                after=" END,\n    trace_id = excluded.trace_id,\n"
                "    epoch = excluded.epoch,\n    owner = excluded.owner,\n    attempts",
            ),
        ),
        tests=("tests/faults/test_ledger_contention.py::test_a_batch_that_fails_for_weeks_keeps_its_latest_events",),
    ),
    Bug(
        name="files_of_a_killed_driver_left_behind",
        breaks="Every driver that dies leaves its directories behind, until the disk is full.",
        edits=(
            Edit(
                file="spark/properties.py",
                before='        "spark.local.dir": str(scratch),\n',
                after="",
            ),
        ),
        tests=("tests/unit/spark/test_session.py",),
    ),
    Bug(
        name="torn_line_spoils_the_next",
        breaks="What follows a line of the trace file of which a full disk took the beginning is lost, too.",
        edits=(
            Edit(
                file="consumer/adapters/telemetry/otlp_lines.py",
                before='            whole = b"\\n" + line if self._torn else line\n',
                after="            whole = line\n",
            ),
        ),
        tests=("tests/unit/telemetry/test_tracing.py",),
    ),
)
