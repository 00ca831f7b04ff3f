"""Bugs of recoveries and of what the ledger lets go: which file is taken, whose it is, and what is still needed."""

from __future__ import annotations

from tests.mutants.bug import Bug, Edit

_RECOVERY = "consumer/domain/recovery.py"
_RECOVERIES = "consumer/service/recovering/recoveries.py"
_DOMAIN = "tests/unit/domain/test_recovery.py"
_UNIT = "tests/unit/service/test_recovering.py"
_WATCH = "consumer/service/ledger_watch.py"
_RETENTION = "consumer/adapters/postgres/sql/retention.sql"
_YEAR = "tests/integration/test_year_of_ledger.py"

BUGS = (
    Bug(
        name="a_new_table_over_a_lost_one",
        breaks="After Postgres is lost, a new table takes the place of the old one, which holds rows of its own.",
        edits=(
            Edit(
                file="consumer/service/prepare.py",
                before="            self._check_not_lost(stream)\n",
                after="            pass\n",
            ),
        ),
        tests=(f"{_UNIT}::test_no_new_table_is_made_over_one_that_ledger_and_catalog_have_lost",),
    ),
    Bug(
        name="the_first_of_two_newest_is_taken",
        breaks="Of two metadata files of one version the one is taken that was never committed.",
        edits=(Edit(file=_RECOVERY, before="    if len(newest) > 1:\n", after="    if len(newest) > 99:\n"),),
        tests=(f"{_DOMAIN}::test_nothing_is_chosen_between_two_of_one_version",),
    ),
    Bug(
        name="a_version_is_believed_whatever_stands_in_the_file",
        breaks="A copy of an old metadata file under a newer name rolls the table back.",
        edits=(
            Edit(
                file=_RECOVERY,
                before="        if one.updated > top.updated or one.sequence > top.sequence:\n",
                after="        if one.updated > top.updated and one.sequence > top.sequence:\n",
            ),
        ),
        tests=(f"{_DOMAIN}::test_a_name_that_its_content_contradicts_is_in_doubt",),
    ),
    Bug(
        name="missing_files_are_no_doubt",
        breaks="The catalog is pointed to a table whose data files the store does not hold.",
        edits=(Edit(file=_RECOVERY, before="    if top.missing:\n", after="    if not top.location:\n"),),
        tests=(f"{_DOMAIN}::test_a_file_that_needs_others_which_are_gone_is_in_doubt",),
    ),
    Bug(
        name="anybodys_table_is_taken",
        breaks="The catalog is pointed to another table, and the ledger follows rows that are not its own.",
        edits=(
            Edit(
                file=_RECOVERIES,
                before="    if known is not None and known != chosen.uuid:\n",
                after="    if known is not None and known != chosen.uuid and chosen.missing:\n",
            ),
        ),
        tests=(f"{_UNIT}::test_another_table_than_the_ledger_knows_is_not_taken",),
    ),
    Bug(
        name="epochs_begin_anew",
        breaks="After a ledger was rebuilt, epochs that were other owners' come again.",
        edits=(
            Edit(
                file=_RECOVERIES,
                before="stream.begins, found.chosen.epoch)",
                after="stream.begins, 0)",
            ),
        ),
        tests=(f"{_UNIT}::test_an_empty_ledger_gets_room_above_the_epochs_of_before",),
    ),
    Bug(
        name="history_of_a_lost_ledger_is_stray",
        breaks="A stream whose history was backfilled can't be rebuilt: its rows below the start belong to nobody.",
        edits=(
            Edit(
                file="consumer/service/repair/examination.py",
                before=" if known else unknown_history(held.first, record.start)\n",
                after="\n",
            ),
        ),
        tests=(f"{_UNIT}::test_history_below_the_start_is_found_again_in_the_table_alone",),
    ),
    Bug(
        name="the_event_that_asks_for_most_goes",
        breaks="Of a halted stream's events an old tick is left, so that what came since waits for the next one.",
        edits=(
            Edit(
                file=_RETENTION,
                before="(event ->> 'cutoff')::timestamptz DESC, number DESC",
                after="(event ->> 'cutoff')::timestamptz, number",
            ),
        ),
        tests=(f"{_YEAR}::test_of_what_a_halted_stream_keeps_the_event_that_asks_for_most_is_left",),
    ),
    Bug(
        name="what_nobody_knows_the_source_of_goes",
        breaks="After a repair, which forgets the partitions, every close is forgotten, and all are sent once more.",
        edits=(
            Edit(
                file=_RETENTION,
                before="EXISTS (SELECT FROM offload_partitions AS known WHERE known.stream = emission.stream)",
                after="true",
            ),
        ),
        tests=(f"{_YEAR}::test_what_is_young_stays_and_so_does_what_nobody_knows_the_source_of",),
    ),
    Bug(
        name="differences_of_windows_that_are_there_go",
        breaks="Windows that the source holds are compared row by row again and again.",
        edits=(
            Edit(
                file=_RETENTION,
                before="      AND difference.lower < oldest.first\n",
                after="",
            ),
            Edit(file=_RETENTION, before="AND done.upper > oldest.first", after="AND done.upper < oldest.first"),
        ),
        tests=(f"{_YEAR}::test_what_the_source_does_not_hold_any_more_is_forgotten_and_what_it_holds_is_kept",),
    ),
    Bug(
        name="a_watch_that_does_not_end",
        breaks="A consumer that is to end goes on deleting, and is killed.",
        edits=(Edit(file=_WATCH, before="            if stop.is_set():\n", after="            if gone < 0:\n"),),
        tests=("tests/unit/service/test_ledger_watch.py::test_a_consumer_that_ends_waits_for_one_step_at_most",),
    ),
)
