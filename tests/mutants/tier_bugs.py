"""Bugs of what is made of both tiers: views, cuts and tags; and of the order between streams."""

from __future__ import annotations

from consumer.embedded.component import ComponentName
from tests.mutants.bug import Bug, Edit

_VIEWS = "tests/integration/test_views.py"
_CHANGED = "tests/integration/test_views_of_changed_sources.py"
_FOLLOWED = "tests/integration/test_followed_views.py"
_CUT = "tests/unit/domain/test_cut.py"
_CUTS = "tests/integration/test_cuts.py"
_LAYERS = "tests/unit/service/test_layers.py"
_TAGGING = "consumer/adapters/iceberg/tagging.py"

_COLD_TIER = (ComponentName.POSTGRES, ComponentName.STORE)
_BOTH_TIERS = (*_COLD_TIER, ComponentName.CLICKHOUSE)

BUGS = (
    Bug(
        name="view_without_a_boundary",
        breaks="A view shows every row twice that is in both tiers.",
        edits=(
            Edit(
                file="consumer/domain/view_query.py",
                before="    hot_from = time_type(column.source_type).at_or_after(quote_name(column.name), boundary)\n",
                after='    hot_from = "1"\n',
            ),
        ),
        tests=(f"{_FOLLOWED}::test_while_batches_are_published_and_partitions_dropped_every_row_is_seen_once",),
        servers=_BOTH_TIERS,
    ),
    Bug(
        name="view_of_two_moments",
        breaks="A view's boundary is that of another moment than its snapshot: rows are missing, or there twice.",
        edits=(
            Edit(
                file="consumer/adapters/iceberg/catalog.py",
                before="        return Pin(\n            record=standing.record,\n            evidence",
                after="        record = self.moments.read([stream])[stream.name].record\n"
                "        return Pin(\n            record=record,\n            evidence",
            ),
            Edit(
                file="consumer/service/view.py",
                before="        check_divergence(\n",
                after="        (lambda **_: None)(\n",
            ),
        ),
        tests=(f"{_VIEWS}::test_watermark_and_snapshot_are_of_one_moment",),
        servers=_BOTH_TIERS,
    ),
    Bug(
        name="view_without_defaults",
        breaks="A view shows nothing where ClickHouse shows the default of a column that was added later.",
        edits=(
            Edit(
                file="consumer/domain/view_query.py",
                before='    return f"{before} AND {empty}"\n',
                after="    return None\n",
            ),
        ),
        tests=(f"{_CHANGED}::test_both_tiers_show_the_same_before_and_after_the_target_follows",),
        servers=_BOTH_TIERS,
    ),
    Bug(
        name="view_takes_values_for_absent",
        breaks="A view shows the default where NULL or nothing was written.",
        edits=(
            Edit(
                file="consumer/domain/view_query.py",
                before='    return f"{before} AND {empty}"\n',
                after="    return empty\n",
            ),
        ),
        tests=(f"{_CHANGED}::test_what_was_offloaded_as_null_or_empty_stays_so_and_a_changed_default_is_shown",),
        servers=_BOTH_TIERS,
    ),
    Bug(
        name="view_replaces_anything",
        breaks="A view takes the place of whatever has its name, the source table too.",
        edits=(
            Edit(
                file="consumer/adapters/clickhouse/views.py",
                before='        if engine != "View" or mark is None or mark.stream != stream.name:\n',
                after='        if engine == "Nothing":\n',
            ),
        ),
        tests=(f"{_VIEWS}::test_nothing_else_is_ever_replaced_or_dropped",),
        servers=_BOTH_TIERS,
    ),
    Bug(
        name="cut_without_the_straddling_window",
        breaks="Rows below the instant of a cut are missing, where a window reaches over it.",
        edits=(
            Edit(
                file="consumer/domain/cut.py",
                before="        elif snapshot.window.lower >= below:\n",
                after="        elif snapshot.window.upper > below:\n",
            ),
        ),
        tests=(f"{_CUT}::test_the_snapshot_holds_exactly_the_rows_below_the_instant_once_they_are_filtered",),
    ),
    Bug(
        name="cut_of_two_moments",
        breaks="A publish between two reads makes a cut of tables that never stood so together.",
        edits=(
            Edit(
                file="consumer/adapters/iceberg/moment.py",
                before="        return Standing(record=record, base=None if location is None else"
                " self._bases.at(stream.target, location))\n",
                after="        self._bases.at(stream.target, location or '')\n"
                "        return Standing(record=record, base=self._bases.load(stream.target))\n",
            ),
        ),
        tests=(f"{_CUTS}::test_watermarks_and_tables_are_read_at_one_moment",),
        servers=_COLD_TIER,
    ),
    Bug(
        name="tags_one_by_one",
        breaks="A cut whose tables move is tagged in some of them only.",
        edits=(
            Edit(
                file=_TAGGING,
                before="            with self._database.transaction(repeatable=True) as connection:\n"
                "                for table, one in _in_order(staged):\n",
                after="            for table, one in _in_order(staged):\n"
                "                with self._database.transaction(repeatable=True) as connection:\n",
            ),
        ),
        tests=(f"{_CUTS}::test_a_table_that_never_rests_is_tagged_in_no_other_either",),
        servers=_COLD_TIER,
    ),
    Bug(
        name="tagged_snapshots_expire",
        breaks="A cut that was tagged can't be read any more once its streams have moved on.",
        edits=(
            Edit(
                file="consumer/adapters/iceberg/expiry.py",
                before="            kept.add(ref.snapshot_id)\n            continue\n",
                after="            continue\n",
            ),
        ),
        tests=(f"{_CUTS}::test_a_tagged_cut_outlives_the_expiry_and_holds_the_same_rows",),
        servers=_COLD_TIER,
    ),
    Bug(
        name="waiting_holds_a_worker",
        breaks="A few poisoned streams take all workers until they are halted.",
        edits=(
            Edit(
                file="consumer/service/runtime/loop.py",
                before="self._dispatcher.patient(self._threads.signal())",
                after="self._threads.signal()",
            ),
        ),
        tests=(f"{_LAYERS}::test_a_poisoned_stream_that_waits_for_its_next_attempt_holds_no_worker",),
    ),
    Bug(
        name="one_stream_until_it_is_done",
        breaks="Hundreds of streams wait until the first one has nothing left to do.",
        edits=(
            Edit(
                file="consumer/service/runtime/dispatcher.py",
                before="        self._ready.append(key)\n        self._changed",
                after="        self._ready.appendleft(key)\n        self._changed",
            ),
        ),
        tests=(f"{_LAYERS}::test_five_hundred_streams_are_planned_fairly",),
    ),
)
