"""Bugs by which rows come back from the cold tier twice, changed, or as somebody else's."""

from __future__ import annotations

from consumer.embedded.component import ComponentName
from tests.mutants.bug import Bug, Edit

_DOMAIN = "tests/unit/domain/test_restore.py"
_QUERIES = "tests/unit/domain/test_restore_query.py"
_RESTORE = "tests/integration/test_restore.py"
_CHANGED = "tests/integration/test_restore_changed_columns.py"
_FAILURES = "tests/faults/test_restore_failures.py"
_REVIEW = "consumer/service/restoring/review.py"
_RESTORES = "consumer/service/restoring/restores.py"
_SERVERS = (ComponentName.CLICKHOUSE, ComponentName.POSTGRES, ComponentName.STORE)

BUGS = (
    Bug(
        name="restored_though_the_ledger_says_otherwise",
        breaks="A value that was changed in a data file comes back, since there are as many rows as recorded.",
        edits=(
            Edit(
                file="consumer/domain/restore.py",
                before="    if found + since != recorded.cold:\n",
                after="    if (found + since).rows != recorded.cold.rows:\n",
            ),
        ),
        tests=(_DOMAIN,),
    ),
    Bug(
        name="rows_of_no_window_restored",
        breaks="Rows that somebody else has put into the table come back as if they had been offloaded.",
        edits=(
            Edit(
                file="consumer/domain/restore.py",
                before="        if piece.recorded is None and not _replaced(piece.window, changes):\n",
                after="        if piece.recorded is None and _replaced(piece.window, changes):\n",
            ),
        ),
        tests=(_DOMAIN,),
    ),
    Bug(
        name="way_back_from_the_wrong_form",
        breaks="UUIDs, which are 16 bytes in a data file, are taken for what an Iceberg table shows.",
        edits=(
            Edit(
                file="consumer/domain/restore_query.py",
                before="    mapper = FormMapper(count(1), dict(stream.columns).get(column.name), from_wire=True)\n"
                "    form = ",
                after="    mapper = FormMapper(count(1), dict(stream.columns).get(column.name))\n    form = ",
            ),
        ),
        tests=(_QUERIES,),
    ),
    Bug(
        name="other_windows_of_a_file_restored",
        breaks="All rows of a compacted file come back, and not those of the stretch alone.",
        edits=(
            Edit(
                file=_RESTORES,
                before="self._server.insert(plan.stream, plan.mapping, staging, plan.choice.within, plan.files)\n",
                after="self._server.insert(plan.stream, plan.mapping, staging, EVER, plan.files)\n",
            ),
            Edit(
                file=_RESTORES,
                before="from consumer.domain.stream import Stream, TableName\n",
                after="from consumer.domain.stream import Stream, TableName\nfrom consumer.domain.window import EVER\n",
            ),
        ),
        tests=(_RESTORE,),
        servers=_SERVERS,
    ),
    Bug(
        name="restored_beside_rows_that_stand_there",
        breaks="Rows that the destination holds already come a second time.",
        edits=(
            Edit(
                file=_REVIEW,
                before="        if sum(here, EMPTY).rows:\n            raise",
                after="        if sum(here, EMPTY).rows < 0:\n            raise",
            ),
            Edit(
                file=_RESTORES,
                before="        if not self._review.completes(plan, here, staging):\n",
                after="        if here is None:\n",
            ),
        ),
        tests=(_RESTORE,),
        servers=_SERVERS,
    ),
    Bug(
        name="leftover_of_another_run_kept",
        breaks="A staging table of a run that was taken for dead stays, and its owner moves the rows a second time.",
        edits=(
            Edit(
                file=_RESTORES,
                before="                    self._server.remove(leftover)\n",
                after="                    keeper.check()\n",
            ),
        ),
        tests=(_FAILURES,),
        servers=_SERVERS,
    ),
    Bug(
        name="restored_rows_counted_as_dropped",
        breaks="Rows that stand in the source again count as dropped, so that a later loss of as many is not seen.",
        edits=(Edit(file=_RESTORES, before="            if plan.drops:\n", after="            if not plan.stream:\n"),),
        tests=(_RESTORE,),
        servers=_SERVERS,
    ),
    Bug(
        name="restored_into_a_stream",
        breaks="Rows are restored into the source of another stream, which offloads them once more.",
        edits=(
            Edit(
                file="consumer/service/restoring/destination.py",
                before="            if other.source == into and other.name != stream.name:\n",
                after="            if other.source == into and other.name == stream.name:\n",
            ),
        ),
        tests=(_RESTORE,),
        servers=_SERVERS,
    ),
    Bug(
        name="restored_over_the_present_columns",
        breaks="Files are compared over the columns of now, so nothing comes back from before a change.",
        edits=(
            Edit(
                file="consumer/service/restoring/origin.py",
                before="origin.columns.recorded, windows)\n",
                after="origin.columns.mapping, windows)\n",
            ),
        ),
        tests=(_CHANGED,),
        servers=_SERVERS,
    ),
    Bug(
        name="restored_without_former_names",
        breaks="A renamed column comes back empty in the rows of before.",
        edits=(
            Edit(
                file="consumer/domain/restored_columns.py",
                before="former.get(column.name, ()), lacking=lacking",
                after="(), lacking=lacking or column.name in former",
            ),
        ),
        tests=(_CHANGED,),
        servers=_SERVERS,
    ),
    Bug(
        name="dropped_columns_not_restored",
        breaks="A new table lacks the columns that the source has dropped, and nobody is told.",
        edits=(
            Edit(
                file="consumer/service/restoring/columns.py",
                before="[*present, *(one.source for one in dropped)]",
                after="[*present]",
            ),
        ),
        tests=(_CHANGED,),
        servers=_SERVERS,
    ),
    Bug(
        name="added_columns_without_their_default",
        breaks="Old rows have 0 where the source shows the DEFAULT of a column that was added later.",
        edits=(
            Edit(
                file="consumer/domain/restored_columns.py",
                before="    if column.default_sql:\n",
                after="    if not column.source_type:\n",
            ),
        ),
        tests=(_CHANGED,),
        servers=_SERVERS,
    ),
)
