"""Bugs by which rows are deleted from the hot tier that the cold tier does not hold."""

from __future__ import annotations

from consumer.embedded.component import ComponentName
from tests.mutants.bug import Bug, Edit

_REVIEW = "consumer/service/dropping/review.py"
_DROPS = "tests/faults/test_drop_hot.py"
_SERVERS = (ComponentName.CLICKHOUSE, ComponentName.POSTGRES, ComponentName.STORE)

BUGS = (
    Bug(
        name="dropped_though_rows_are_missing",
        breaks="A partition with a late row is dropped from the hot tier, and the row is nowhere any more.",
        edits=(
            Edit(
                file="consumer/domain/hot_drop.py",
                before="        return self.missing == 0\n",
                after="        return self.missing >= 0\n",
            ),
        ),
        tests=(_DROPS,),
        servers=_SERVERS,
    ),
    Bug(
        name="source_compared_and_not_the_quarantine",
        breaks="What arrived in the source meanwhile is compared, and what is dropped was compared with nothing.",
        edits=(
            Edit(
                file=_REVIEW,
                before="        there = replace(stream, source=table)\n",
                after="        table = stream.source\n        there = replace(stream, source=table)\n",
            ),
        ),
        tests=(_DROPS,),
        servers=_SERVERS,
    ),
    Bug(
        name="dropped_partition_mapped_without_its_history",
        breaks="A partition from before a change of columns is compared over the columns of now, and never matches.",
        edits=(
            Edit(
                file="consumer/service/prepare.py",
                before="        recorded = () if record is None else record.schemas\n        history = history_now(",
                after="        recorded = ()\n        history = history_now(",
            ),
        ),
        tests=("tests/faults/test_drop_hot_changed_columns.py",),
        servers=_SERVERS,
    ),
    Bug(
        name="uncompared_partition_left_in_quarantine",
        breaks="A partition that can't be compared stays in quarantine, where no query finds it.",
        edits=(
            Edit(
                file="consumer/service/dropping/drops.py",
                before="            self._bring_back(run, drop, error.message)\n            raise\n",
                after="            raise\n",
            ),
        ),
        tests=("tests/faults/test_drop_hot_changed_columns.py",),
        servers=_SERVERS,
    ),
    Bug(
        name="waiting_while_rows_are_deleted",
        breaks="A stream waits for its upstream until the TTL has deleted the rows that it waits with.",
        edits=(
            Edit(
                file="consumer/service/plan.py",
                before="        if not left.within(stream.retention.margin):\n",
                after="        if left.lowest is not None:\n",
            ),
        ),
        tests=("tests/unit/service/test_retention.py",),
    ),
    Bug(
        name="unknown_ttl_taken_for_none",
        breaks="A TTL that nobody understands counts as safe, and no alert says that rows may be gone.",
        edits=(
            Edit(
                file="consumer/domain/retention.py",
                before="        return nan if self.unknown else inf\n",
                after="        return inf\n",
            ),
        ),
        tests=("tests/unit/domain/test_retention.py",),
    ),
    Bug(
        name="months_that_end_with_their_last_day",
        breaks="A TTL of months is taken to last to the end of the month, and rows are deleted before the time told.",
        edits=(
            Edit(
                file="consumer/domain/ttl_expression.py",
                before="    return first.replace(day=min(day.day, last.day))\n",
                after="    return first.replace(day=last.day)\n",
            ),
        ),
        tests=("tests/unit/domain/test_retention.py",),
    ),
    Bug(
        name="danger_waits_its_turn",
        breaks="A stream whose rows are about to be deleted waits behind all that have time.",
        edits=(
            Edit(
                file="consumer/service/runtime/dispatcher.py",
                before="        position = min(ranks)[1] if ranks else 0\n",
                after="        position = 0\n",
            ),
        ),
        tests=("tests/unit/runtime/test_dispatcher.py",),
    ),
)
