"""Bugs of schemas that change: ids, guesses, and the hashes of rows that were written before."""

from __future__ import annotations

from tests.mutants.bug import Bug, Edit

_CHANGES = "tests/unit/domain/test_schema_change.py"

BUGS = (
    Bug(
        name="old_rows_hashed_over_new_columns",
        breaks="Every window that was written before a column was added differs from what is recorded of it.",
        edits=(
            Edit(
                file="consumer/domain/history_mapping.py",
                before="        if hashes[number] != expression:\n",
                after="        if hashes[number] == expression:\n",
            ),
        ),
        tests=(f"{_CHANGES}::test_rows_below_an_added_column_are_hashed_without_it",),
    ),
    Bug(
        name="rename_taken_for_drop_and_addition",
        breaks="The values of a renamed column are split over two columns of the target, and nobody is asked.",
        edits=(
            Edit(
                file="consumer/domain/schema_change.py",
                before="    if not gone or not new:\n",
                after="    if gone or not new:\n",
            ),
        ),
        tests=(f"{_CHANGES}::test_a_column_that_may_have_been_renamed_is_not_guessed_at",),
    ),
    Bug(
        name="field_id_given_twice",
        breaks="A new column gets the id of an old one: engines read the old column's values in its place.",
        edits=(
            Edit(
                file="consumer/domain/evolution.py",
                before="    builder = _Builder(count(last_column_id + 1))\n",
                after="    builder = _Builder(count(len(base.fields)))\n",
            ),
        ),
        tests=(f"{_CHANGES}::test_fields_keep_their_ids_through_any_sequence_of_changes",),
    ),
    Bug(
        name="lossy_change_followed",
        breaks="A column that lost its NULLs goes on as if nothing had happened, with default values in their place.",
        edits=(
            Edit(
                file="consumer/domain/schema_change.py",
                before="    if obstacles:\n        raise _refusal(stream, obstacles)\n    return evolution\n",
                after="    return evolution\n",
            ),
        ),
        tests=(f"{_CHANGES}::test_what_loses_values_is_refused_with_a_plan",),
    ),
)
