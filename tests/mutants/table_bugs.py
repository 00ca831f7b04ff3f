"""Bugs of a table's own past: merged manifests, expired snapshots, and what the next metadata carries on."""

from __future__ import annotations

from tests.mutants.bug import Bug, Edit

_MERGING = "consumer/adapters/iceberg/merging.py"
_LEVELS = "consumer/adapters/iceberg/manifest_levels.py"
_NEXT = "consumer/adapters/iceberg/next_metadata.py"

_HISTORY = "tests/unit/iceberg/test_table_history.py"
_ANY_SERIES = f"{_HISTORY}::test_after_any_series_each_file_is_listed_once_and_each_batch_is_found"

BUGS = (
    Bug(
        name="merged_manifests_listed_beside_what_they_became",
        breaks="Each file of a merged manifest is listed twice, and every reader counts its rows twice.",
        edits=(
            Edit(
                file=_MERGING,
                before="                merged = [one for one in merged if one not in members]\n",
                after="                merged = [one for one in merged if one is not members[0]]\n",
            ),
        ),
        tests=(_ANY_SERIES,),
    ),
    Bug(
        name="merging_makes_old_files_new",
        breaks="Merged entries get the snapshot and sequence number of the commit that merged them, so that deletes of"
        " other engines apply to them no more, and an audit takes them for its files.",
        edits=(
            Edit(
                file=_MERGING,
                before="                    writer.existing(entry)\n",
                after="                    writer.add(entry)\n",
            ),
        ),
        tests=(_ANY_SERIES,),
    ),
    Bug(
        name="merging_writes_large_manifests_again",
        breaks="A commit writes ever more old entries anew: history slows batches down.",
        edits=(
            Edit(
                file=_LEVELS,
                before="    return _oldest_within(sorted(merged), weights, target_bytes)\n",
                after="    return list(range(len(weights)))\n",
            ),
        ),
        tests=("tests/unit/iceberg/test_manifest_levels.py",),
    ),
    Bug(
        name="snapshot_log_of_the_commit_alone",
        breaks="Each commit forgets the log of snapshots, and no reader can ask for the table as of an instant.",
        edits=(
            Edit(
                file=_NEXT,
                before='"snapshot_log": [*log, *changed.snapshot_log]}',
                after='"snapshot_log": changed.snapshot_log}',
            ),
        ),
        tests=(f"{_HISTORY}::test_the_next_metadata_is_what_pyiceberg_makes_of_the_same_changes",),
    ),
)
