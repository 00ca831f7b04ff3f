"""Bugs of steps 3 to 5: which rows are read, by which query, and whether what was written is what was read."""

from __future__ import annotations

from consumer.embedded.component import ComponentName
from tests.mutants.bug import Bug, Edit

_TIME = "consumer/domain/time_type.py"
_PLANNING = "consumer/domain/planning.py"
_QUERY = "consumer/domain/unit_query.py"
_BATCH = "consumer/domain/batch.py"
_RUN = "consumer/service/batch_run.py"
_READER = "spark/unit_reader.py"
_TASK = "spark/unit_offload.py"

_PLAN_TESTS = "tests/unit/domain/test_planning.py"
_QUERY_TESTS = "tests/unit/domain/test_unit_query.py"
_TIME_TESTS = "tests/unit/domain/test_time_type.py"
_OFFLOAD = "tests/unit/service/test_offload.py"
_STREAMS = "tests/faults/test_unit_writer_faults.py"

_LOWER = '            conditions.append(f"{column} >= {self._literal(lower)}")\n'
_UPPER = '            conditions.append(f"{column} < {self._literal(upper)}")\n'

BUGS = (
    Bug(
        name="rows_at_the_watermark_taken_for_read",
        breaks='Deduplication by "at or below the watermark" leaves out rows that lie exactly on it.',
        edits=(Edit(file=_TIME, before=_LOWER, after=_LOWER.replace(">=", ">")),),
        tests=(_TIME_TESTS, _QUERY_TESTS),
    ),
    Bug(
        name="window_closed_on_both_ends",
        breaks="A row on the border between two windows is read with both.",
        edits=(Edit(file=_TIME, before=_UPPER, after=_UPPER.replace("<", "<=")),),
        tests=(_TIME_TESTS, _QUERY_TESTS),
    ),
    Bug(
        name="sequence_range_closed_on_both_ends",
        breaks="Of an instant that is split by its sequence columns, the rows on the borders are read twice.",
        edits=(
            Edit(
                file=_QUERY,
                before='((">=", sequence.lower), ("<", sequence.upper))',
                after='((">=", sequence.lower), ("<=", sequence.upper))',
            ),
        ),
        tests=(_QUERY_TESTS,),
    ),
    Bug(
        name="gap_between_windows",
        breaks="A stretch between two groups of rows is in no window: the next one does not continue the watermark.",
        edits=(
            Edit(
                file="consumer/service/plan.py",
                before="                window = Window(lower=lower, upper=upper)\n",
                after="                window = Window(lower=group.slices[0].window.lower, upper=upper)\n",
            ),
        ),
        tests=("tests/unit/service/test_planner.py",),
    ),
    Bug(
        name="settle_lag_ignored",
        breaks="Instants are read to which rows are still being inserted, and those come too late.",
        edits=(
            Edit(
                file=_PLANNING,
                before="    lagged = now - stream.settle_lag\n",
                after="    lagged = now\n",
            ),
        ),
        tests=(_PLAN_TESTS, f"{_OFFLOAD}::test_the_watermark_stays_a_settle_lag_behind_the_source"),
    ),
    Bug(
        name="row_span_ignored",
        breaks="A daily bar is read while its day still changes it.",
        edits=(Edit(file=_PLANNING, before="    if stream.row_span:\n", after="    if stream.row_span is None:\n"),),
        tests=(_PLAN_TESTS,),
    ),
    Bug(
        name="upstream_watermark_ignored",
        breaks="Derived rows are read before the rows that they are derived from are complete.",
        edits=(
            Edit(
                file=_PLANNING,
                before="    return min(candidates, key=lambda candidate: candidate.instant)\n",
                after="    bounds = [one for one in candidates if one.reason is not CutoffReason.UPSTREAM]\n"
                "    return min(bounds, key=lambda candidate: candidate.instant)\n",
            ),
        ),
        tests=(_PLAN_TESTS, f"{_OFFLOAD}::test_a_stream_never_passes_its_upstream_and_is_woken_by_it"),
    ),
    Bug(
        name="generation_left_out_of_the_batch_id",
        breaks="A window that is written anew after a repair has the id of the old batch, and counts as published.",
        edits=(
            Edit(
                file=_BATCH,
                before="        window.upper.isoformat(),\n        str(generation),\n",
                after="        window.upper.isoformat(),\n",
            ),
        ),
        tests=("tests/unit/domain/test_batch_id.py",),
    ),
    Bug(
        name="empty_window_moves_nothing",
        breaks="A stream without rows stands still: its dependants wait for it, and its lag grows.",
        edits=(
            Edit(
                file=_RUN,
                before="            account.without_rows(BatchOutcome.EMPTY)\n"
                "            return self._advance(context, claim, batch)\n",
                after="            account.without_rows(BatchOutcome.EMPTY)\n            return claim\n",
            ),
        ),
        tests=(
            f"{_OFFLOAD}::test_a_dependant_is_woken_by_an_upstream_that_moved_on_without_rows",
            f"{_OFFLOAD}::test_the_watermark_stays_a_settle_lag_behind_the_source",
        ),
    ),
    Bug(
        name="missing_units_taken_for_empty",
        breaks="A job that ended early counts as an empty window, and the watermark passes rows nobody has read.",
        edits=(
            Edit(
                file="consumer/adapters/spark/engine.py",
                before="    if units != sorted(unit.index for unit in batch.units):\n",
                after="    if not set(units) <= {unit.index for unit in batch.units}:\n",
            ),
        ),
        tests=("tests/unit/spark/test_engine_reports.py",),
    ),
    Bug(
        name="short_batch_accepted",
        breaks="A result that holds fewer rows than the server counted is published as whole.",
        edits=(
            Edit(
                file=_READER,
                before="        if rows != self._expected_rows:\n",
                after="        if rows > self._expected_rows:\n",
            ),
        ),
        tests=(f"{_STREAMS}::test_a_broken_stream_is_an_error_and_leaves_no_file",),
    ),
    Bug(
        name="end_of_stream_not_demanded",
        breaks="A result that breaks off between two blocks is taken for its end.",
        edits=(
            Edit(
                file=_READER,
                before="        if surplus or not self._body.tail.endswith(_END_OF_STREAM):\n",
                after="        if surplus:\n",
            ),
        ),
        tests=(f"{_STREAMS}::test_a_broken_stream_is_an_error_and_leaves_no_file",),
    ),
    Bug(
        name="attempt_path_reused",
        breaks="A task that was thought dead overwrites the file of the attempt that was published.",
        edits=(
            Edit(
                file="spark/unit_task.py",
                before='    return f"{prefix}/{index:05d}-{attempt}"\n',
                after='    return f"{prefix}/{index:05d}"\n',
            ),
        ),
        tests=(f"{_STREAMS}::test_two_attempts_at_a_unit_write_two_files",),
    ),
    Bug(
        name="digest_check_skipped",
        breaks="Files whose rows differ from those that were read are published.",
        edits=(
            Edit(
                file="consumer/service/file_check.py",
                before="            if written != read:\n",
                after="            if written is None:\n",
            ),
        ),
        tests=(f"{_OFFLOAD}::test_a_file_that_differs_from_what_was_read_is_never_published",),
    ),
    Bug(
        name="footer_check_skipped",
        breaks="A file that is shorter than its task reported is published.",
        edits=(
            Edit(
                file="consumer/adapters/iceberg/file_checks.py",
                before='    _same(footer.path, "size in bytes", footer.bytes, file.bytes)\n'
                '    _same(footer.path, "row count", metadata.num_rows, file.fingerprint.rows)\n',
                after="",
            ),
        ),
        tests=("tests/contract/test_catalog.py::test_a_file_of_another_size_or_row_count_fails_the_check[iceberg]",),
        servers=(ComponentName.POSTGRES, ComponentName.STORE),
    ),
    Bug(
        name="row_outside_of_its_window_published",
        breaks="A row that belongs to the next window stands in the table twice.",
        edits=(
            Edit(
                file="consumer/adapters/iceberg/file_checks.py",
                before="        if not window.contains(instant):\n",
                after="        if instant < window.lower:\n",
            ),
        ),
        tests=("tests/integration/test_publish.py::test_a_row_outside_of_the_units_window_is_never_published",),
        servers=(ComponentName.POSTGRES, ComponentName.STORE),
    ),
    Bug(
        name="digest_combined_by_xor",
        breaks="Two equal rows cancel each other out: files that lack both have the same digest.",
        edits=(
            Edit(
                file="consumer/domain/fingerprint.py",
                before="digest=(self.digest + other.digest) % _MODULUS)\n",
                after="digest=self.digest ^ other.digest)\n",
            ),
        ),
        tests=("tests/unit/domain/test_fingerprint.py",),
    ),
    Bug(
        name="task_digest_combined_by_xor",
        breaks="Within a block of rows, pairs of equal rows are not in the digest.",
        edits=(
            Edit(
                file="spark/columns.py",
                before="values.sum(dtype=np.uint64)",
                after="np.bitwise_xor.reduce(values)",
            ),
        ),
        tests=("tests/unit/spark/test_columns.py::test_the_digest_is_the_sum_modulo_two_to_the_64th",),
    ),
    Bug(
        name="null_hashed_as_the_default",
        breaks="A NULL that was written as zero, or as an empty text, goes unnoticed.",
        edits=(
            Edit(
                file="consumer/domain/wire_form.py",
                before='        return [f"isNull({value})", f"ifNull(',
                after='        return [f"ifNull(',
            ),
        ),
        tests=("tests/unit/domain/test_unit_query.py::test_a_null_enters_the_hash_beside_its_default",),
    ),
    Bug(
        name="type_change_guard_dropped",
        breaks="A column that was widened after it was described is cast to its old type, and values wrap.",
        edits=(
            Edit(
                file=_QUERY,
                before='    return f"{types_unchanged(mapping)} AND {table_unchanged(stream, mapping)}"\n',
                after="    return table_unchanged(stream, mapping)\n",
            ),
        ),
        tests=(f"{_QUERY_TESTS}::test_the_guards_of_types_and_table_stand_in_the_reading_query",),
    ),
    Bug(
        name="exchanged_table_read",
        breaks="An empty table that takes the name of a full one passes for no rows, and the watermark goes on.",
        edits=(
            Edit(
                file=_QUERY,
                before='    return f"{types_unchanged(mapping)} AND {table_unchanged(stream, mapping)}"\n',
                after="    return types_unchanged(mapping)\n",
            ),
        ),
        tests=(f"{_QUERY_TESTS}::test_the_guards_of_types_and_table_stand_in_the_reading_query",),
    ),
)
