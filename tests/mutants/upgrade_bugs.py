"""Bugs of upgrades: who waits for whom while a ledger is migrated, and which programs work with it."""

from __future__ import annotations

from tests.mutants.bug import Bug, Edit

_MIGRATIONS = "consumer/adapters/postgres/migrations.py"
_UPGRADES = "tests/integration/test_upgrades.py"

BUGS = (
    Bug(
        name="migration_waits_in_front_of_everybody",
        breaks="While a migration waits for one slow transaction, every publish and every lease waits behind it.",
        edits=(
            Edit(
                file="consumer/adapters/postgres/sql/session.sql",
                before="set_config('lock_timeout', '500ms', true)",
                after="set_config('lock_timeout', '120s', true)",
            ),
        ),
        tests=(f"{_UPGRADES}::test_consumers_work_while_a_migration_waits_for_one_of_them",),
    ),
    Bug(
        name="a_busy_table_fails_a_migration",
        breaks="An upgrade under traffic fails at the first publish that it meets.",
        edits=(
            Edit(
                file=_MIGRATIONS,
                before="            if deadline.remaining < _PAUSE_S:\n",
                after="            if deadline.remaining > 0:\n",
            ),
        ),
        tests=(f"{_UPGRADES}::test_consumers_work_while_a_migration_waits_for_one_of_them",),
    ),
    Bug(
        name="programs_that_were_left_behind_go_on",
        breaks="An old consumer works on a ledger that lacks what it writes.",
        edits=(
            Edit(
                file=_MIGRATIONS,
                before="        if version > newest and oldest > newest:\n",
                after="        if version > newest and oldest < 0:\n",
            ),
        ),
        tests=(f"{_UPGRADES}::test_a_program_that_a_newer_ledger_has_left_behind_is_refused_by_name",),
    ),
    Bug(
        name="every_newer_ledger_is_refused",
        breaks="Nobody can go back: the job that migrates fails under the old version.",
        edits=(
            Edit(
                file=_MIGRATIONS,
                before="        if version > newest and oldest > newest:\n",
                after="        if version > newest:\n",
            ),
        ),
        tests=(f"{_UPGRADES}::test_a_program_works_with_a_newer_ledger_that_says_so",),
    ),
    Bug(
        name="a_migration_that_says_nothing_suits_every_program",
        breaks="A column goes, and the old consumers are let on to find out.",
        edits=(
            Edit(
                file=_MIGRATIONS,
                before="        return self.version if found is None else int(found[1])\n",
                after="        return 0 if found is None else int(found[1])\n",
            ),
        ),
        tests=(f"{_UPGRADES}::test_a_program_that_a_newer_ledger_has_left_behind_is_refused_by_name",),
    ),
    Bug(
        name="what_was_applied_does_not_say_for_whom",
        breaks="Old programs never learn that a migration was not made for them.",
        edits=(
            Edit(
                file=_MIGRATIONS,
                before='                "oldest_program": migration.oldest_program,\n',
                after='                "oldest_program": 0,\n',
            ),
        ),
        tests=(f"{_UPGRADES}::test_a_program_that_a_newer_ledger_has_left_behind_is_refused_by_name",),
    ),
)
