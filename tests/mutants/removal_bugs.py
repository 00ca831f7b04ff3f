"""Bugs of the removal of files: what somebody needs is deleted, or what nobody needs stays for ever."""

from __future__ import annotations

from consumer.embedded.component import ComponentName
from tests.mutants.bug import Bug, Edit

_RULES = "consumer/domain/unreferenced.py"
_LOOK = "consumer/service/maintaining/superfluous.py"
_REMOVAL = "consumer/service/maintaining/removal.py"
_COUNTING = "consumer/adapters/iceberg/counting.py"
_REMOVALS = "consumer/adapters/postgres/removals.py"
_SQL = "consumer/adapters/postgres/sql/removal.sql"

_HISTORIES = "tests/unit/iceberg/test_removal_histories.py"
_DOMAIN = "tests/unit/domain/test_unreferenced.py"
_UNIT = "tests/unit/service/test_removal.py"
_CONTRACT = "tests/contract/test_removals.py"
_ANY = f"{_HISTORIES}::test_after_any_history_what_is_needed_stays_and_all_else_goes"
_SERVERS = (ComponentName.POSTGRES, ComponentName.STORE)

BUGS = (
    Bug(
        name="files_of_a_slow_batch_removed",
        breaks="A batch that takes longer than the grace period loses its files, and its publish fails or lies.",
        edits=(
            Edit(file=_RULES, before="        if any(written):\n", after="        if all(written) and not written:\n"),
        ),
        tests=(_ANY,),
    ),
    Bug(
        name="former_metadata_left_without_its_files",
        breaks="A reader that has planned on the metadata of just now finds its files gone.",
        edits=(
            Edit(
                file=_COUNTING,
                before="        for path in (*former, *later):\n",
                after="        for path in later:\n",
            ),
        ),
        tests=(_ANY,),
    ),
    Bug(
        name="staged_metadata_taken_for_an_orphan",
        breaks="A commit that stood still before its swap makes a metadata file current that was deleted.",
        edits=(
            Edit(
                file=_RULES,
                before="    return number is None or now is None or number > now\n",
                after="    return number is None or now is None or number > now + 1\n",
            ),
        ),
        tests=(f"{_HISTORIES}::test_a_commit_that_stood_still_may_be_made_after_the_removal",),
    ),
    Bug(
        name="names_that_are_given_again_removed",
        breaks="A process that stood still deletes the metadata of a table that was made anew in the same place.",
        edits=(
            Edit(
                file=_RULES,
                before="            kind = Kind.METADATA if _UUID.search(file.path, len(metadata)) else Kind.HELD\n",
                after="            kind = Kind.METADATA\n",
            ),
        ),
        tests=(f"{_DOMAIN}::test_metadata_whose_name_may_be_given_again_stays",),
    ),
    Bug(
        name="lost_commits_kept_for_ever",
        breaks="What lost commits have staged is never deleted.",
        edits=(
            Edit(
                file=_RULES,
                before="    return number is None or now is None or number > now\n",
                after="    return number is None or now is None or number > 0\n",
            ),
        ),
        tests=(f"{_HISTORIES}::test_what_a_lost_commit_had_staged_goes_once_the_table_has_passed_its_base",),
    ),
    Bug(
        name="removed_when_found",
        breaks="A query loses the files of the snapshot that it reads as soon as that expires.",
        edits=(
            Edit(
                file=_RULES,
                before="                    yield file, after - self.found.get(file.path, timedelta(0))\n",
                after="                    yield file, timedelta(0) - self.found.get(file.path, timedelta(0))\n",
            ),
        ),
        tests=(
            f"{_HISTORIES}::test_the_grace_period_begins_when_a_file_is_found_superfluous_and_not_when_it_was_written",
        ),
    ),
    Bug(
        name="noted_for_ever",
        breaks="A file that was needed again for a while is deleted without a grace period.",
        edits=(
            Edit(
                file=_REMOVAL,
                before="        gone = found.found.keys() - doomed.keys()\n",
                after="        gone: set[str] = set()\n",
            ),
        ),
        tests=(f"{_HISTORIES}::test_what_is_referred_to_again_begins_its_grace_period_anew",),
    ),
    Bug(
        name="unknown_files_removed_with_the_others",
        breaks="What another engine is writing, or a hand has put there, is deleted, and nobody has asked for it.",
        edits=(
            Edit(
                file=_RULES,
                before="            return policy.unknown_after\n",
                after="            return policy.grace\n",
            ),
        ),
        tests=(f"{_UNIT}::test_files_that_nobody_knows_stay_unless_the_policy_says_how_long",),
    ),
    Bug(
        name="damaged_table_cleaned",
        breaks="Where the store spells a file otherwise than the table does, live files are deleted.",
        edits=(
            Edit(
                file=_LOOK,
                before="            missing = tuple(absent(census, target.location, {file.path for file in stored}))\n",
                after="            missing = ()\n",
            ),
        ),
        tests=(f"{_HISTORIES}::test_nothing_is_removed_from_a_table_that_lacks_a_file",),
    ),
    Bug(
        name="pointer_looked_at_once",
        breaks="A file that somebody adds to the table between the look and the deletion is deleted.",
        edits=(
            Edit(
                file=_REMOVAL,
                before="        if self._remover.pointer(stream.target) == seen.pointer:\n",
                after="        if self._remover.pointer(stream.target) is not None:\n",
            ),
        ),
        tests=(f"{_UNIT}::test_a_file_that_somebody_has_added_to_the_table_since_the_look_is_spared",),
    ),
    Bug(
        name="neighbours_in_one_place_cleaned",
        breaks="The files of another table that lies in the same place are deleted.",
        edits=(Edit(file=_LOOK, before="        if sharing:\n", after="        if not sharing and sharing:\n"),),
        tests=(f"{_UNIT}::test_a_table_that_shares_its_place_is_left_alone",),
    ),
    Bug(
        name="diverged_table_cleaned",
        breaks="Files go that an operator needs to set right what was restored or rolled back.",
        edits=(
            Edit(
                file=_LOOK,
                before="recorded=record.progress, evidence=target.evidence)\n",
                after="recorded=type(record.progress)(), evidence=None)\n",
            ),
        ),
        tests=(f"{_UNIT}::test_a_table_that_tells_another_story_than_the_ledger_is_left_alone",),
    ),
    Bug(
        name="another_table_cleaned_by_this_ledger",
        breaks="The files of a table that was put in the place of the stream's are judged by a ledger that knows"
        " nothing of them.",
        edits=(
            Edit(
                file=_LOOK,
                before="        if target is None or target.uuid != record.target_uuid:\n",
                after="        if target is None:\n",
            ),
        ),
        tests=(f"{_UNIT}::test_another_table_of_the_same_name_is_left_alone",),
    ),
    Bug(
        name="halted_stream_cleaned",
        breaks="Files go while an operator looks for what has happened to the table.",
        edits=(
            Edit(
                file=_REMOVAL,
                before="        check_active(claim.record)\n        # A commit",
                after="        # A commit",
            ),
        ),
        tests=(f"{_UNIT}::test_a_halted_stream_is_left_alone",),
    ),
    Bug(
        name="commit_on_its_way_forgotten",
        breaks="A commit that arrives late at a catalog elsewhere lands with manifests that were deleted.",
        edits=(
            Edit(
                file=_REMOVAL,
                before="        claim = self._catalog.heal(stream, claim, final=True)\n",
                after="        claim = self._catalog.heal(stream, claim, final=False)\n",
            ),
        ),
        tests=(
            f"{_HISTORIES}::test_a_commit_whose_outcome_nobody_knows_is_kept_from_landing_before_its_files_are_looked_at",
        ),
    ),
    Bug(
        name="store_listed_last",
        breaks="What is published during the look is noted as superfluous.",
        edits=(
            Edit(
                file=_LOOK,
                before="                files = Unreferenced(\n",
                after="                stored = self._files.stored(target.location)\n"
                "                files = Unreferenced(\n",
            ),
        ),
        tests=(f"{_HISTORIES}::test_what_is_committed_during_a_look_is_not_taken_for_superfluous",),
    ),
    Bug(
        name="attempt_of_the_present_owner_closed",
        breaks="A batch that is being written under this very lease counts as failed, and its files as left behind.",
        edits=(
            Edit(
                file=_SQL,
                before="WHERE stream = %(stream)s AND status = 'writing' AND epoch < %(epoch)s\n",
                after="WHERE stream = %(stream)s AND status = 'writing' AND epoch <= %(epoch)s\n",
            ),
        ),
        tests=(f"{_CONTRACT}::test_batches_that_earlier_owners_have_left_are_closed_and_no_other",),
        servers=_SERVERS,
    ),
    Bug(
        name="attempts_closed_without_a_fence",
        breaks="An old owner closes the attempt that its heir is writing.",
        edits=(
            Edit(
                file=_REMOVALS,
                before="            lock_stream(connection, claim)\n            return connection.execute(\n",
                after="            return connection.execute(\n",
            ),
        ),
        tests=(f"{_CONTRACT}::test_an_owner_that_has_lost_the_lease_changes_nothing",),
        servers=_SERVERS,
    ),
)
