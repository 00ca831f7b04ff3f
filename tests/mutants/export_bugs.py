"""Bugs of files that ClickHouse writes by itself: what nobody compares, and what no reader finds."""

from __future__ import annotations

from tests.mutants.bug import Bug, Edit

_EXPORT = "spark/unit_export.py"
_FOOTER = "spark/parquet_footer.py"
_ICEBERG = "spark/iceberg_footer.py"
_EXPORT_TESTS = "tests/unit/spark/test_unit_export.py"
_FOOTER_TESTS = "tests/unit/spark/test_parquet_footer.py"

BUGS = (
    Bug(
        name="proof_not_compared_with_the_file",
        breaks="A file that lacks rows passes where the server counts what it meant to write.",
        edits=(
            Edit(
                file=_EXPORT,
                before="if not written == footer.rows == proof.rows:",
                after="if written != footer.rows:",
            ),
        ),
        tests=(_EXPORT_TESTS,),
    ),
    Bug(
        name="proof_of_the_first_row_group",
        breaks="A file whose rows carry two proofs, of two states of the source, passes for one with a single proof.",
        edits=(Edit(file=_FOOTER, before="if len(values) > 1:", after="if not values and self.rows:"),),
        tests=(_FOOTER_TESTS,),
    ),
    Bug(
        name="exported_path_of_the_unit",
        breaks="Two attempts at a unit write one file: the file of a zombie takes the place of a live one.",
        edits=(
            Edit(
                file=_EXPORT,
                before=".replace(ATTEMPT, str(attempt))",
                after='.replace(ATTEMPT, "attempt")',
            ),
        ),
        tests=(_EXPORT_TESTS,),
    ),
    Bug(
        name="one_zero_as_a_bound",
        breaks="Engines skip a file that holds -0.0, for its least value is said to be 0.0.",
        edits=(Edit(file=_ICEBERG, before="-0.0 if place == LEAST else 0.0", after="0.0"),),
        tests=(_FOOTER_TESTS,),
    ),
    Bug(
        name="decimals_of_any_length_exported",
        breaks="A decimal with more digits than its type is written, and no engine can read the file.",
        edits=(Edit(file=_ICEBERG, before="10**kind.precision", after="10**38"),),
        tests=(_FOOTER_TESTS,),
    ),
    Bug(
        name="field_ids_of_the_first_level",
        breaks="Columns below lists and maps have no field id: readers that go by ids find them empty.",
        edits=(
            Edit(
                file=_ICEBERG,
                before="            _mark(element, kind.element_id, kind.element_type, column, types)\n",
                after="            types[kind.element_id] = (column, kind.element_type)\n",
            ),
        ),
        tests=(_FOOTER_TESTS,),
    ),
    Bug(
        name="refusal_forgotten",
        breaks="Every batch asks a server again that may not export, and reads its rows only after the refusal.",
        edits=(
            Edit(
                file="consumer/adapters/spark/exports.py",
                before="self._clock() + _REMEMBERED_SECONDS",
                after="self._clock()",
            ),
        ),
        tests=("tests/unit/spark/test_exports.py",),
    ),
)
