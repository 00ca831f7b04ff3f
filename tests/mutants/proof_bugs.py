"""Bugs of the proof and of verification: what nobody reads back, and what a comparison leaves out."""

from __future__ import annotations

from tests.mutants.bug import Bug, Edit

_COMPARING = "consumer/service/verifying/comparing.py"
_PROOF = "consumer/domain/proof.py"
_VERIFY = "consumer/service/verify.py"
_VERIFY_TESTS = "tests/unit/service/test_verify.py"

BUGS = (
    Bug(
        name="files_not_read_back",
        breaks="With digest: always a file that holds other values than were read is published.",
        edits=(
            Edit(
                file=_PROOF,
                before="case DigestPolicy.ALWAYS:\n            return files",
                after="case DigestPolicy.ALWAYS:\n            return files[:0]",
            ),
        ),
        tests=("tests/unit/service/test_proofs.py",),
    ),
    Bug(
        name="one_file_read_back",
        breaks="Of a batch with several files, all but the first one are published unread.",
        edits=(
            Edit(
                file=_PROOF,
                before="case DigestPolicy.ALWAYS:\n            return files",
                after="case DigestPolicy.ALWAYS:\n            return files[:1]",
            ),
        ),
        tests=("tests/unit/service/test_proofs.py",),
    ),
    Bug(
        name="sample_drawn_by_attempt",
        breaks="A batch whose file is damaged is tried until an attempt is not drawn, and is published then.",
        edits=(Edit(file=_PROOF, before="_drawn(batch_id, file.unit)", after="_drawn(batch_id, len(file.path))"),),
        tests=("tests/unit/domain/test_proof.py",),
    ),
    Bug(
        name="differences_added_up",
        breaks="Slices that differ by the same rows in opposite ways are called equal.",
        edits=(
            Edit(
                file=_VERIFY,
                before="return self.hot.rows + self.dropped.rows == self.cold.rows and not self.differences",
                after="return self.hot.rows + self.dropped.rows == self.cold.rows",
            ),
        ),
        tests=(_VERIFY_TESTS,),
    ),
    Bug(
        name="rows_outside_of_slices",
        breaks="A row of the cold tier whose time lies in no window is not seen by a verification.",
        edits=(
            Edit(
                file=_COMPARING,
                before="tally = self._source.tally_every if every else self._source.tally_files",
                after="tally = self._source.tally_files if every else self._source.tally_files",
            ),
        ),
        tests=(_VERIFY_TESTS,),
    ),
    Bug(
        name="look_between_publishes",
        breaks="A batch that is published while a verification begins is reported as rows that nobody has read.",
        edits=(
            Edit(
                file=_VERIFY,
                before="(again is not None and again.position == record.position)",
                after="again is not None",
            ),
        ),
        tests=(_VERIFY_TESTS,),
    ),
    Bug(
        name="dropped_rows_cut_apart",
        breaks="Partitions that were dropped from the hot tier on purpose are reported as rows that nobody has read.",
        edits=(
            Edit(
                file="consumer/domain/slices.py",
                before="if one.window.lower < cut < one.window.upper}",
                after="if one.window.lower > cut > one.window.upper}",
            ),
        ),
        tests=("tests/unit/domain/test_slices.py",),
    ),
)
