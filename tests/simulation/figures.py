"""What a campaign has reached, so that one can see that no rule and no invariant is idle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from consumer.failpoints.effect import Component
from consumer.failpoints.effects import POINTS

_SUMS: Mapping[str, Sequence[str]] = {
    "events handled": ("handled",),
    "events redelivered after an offset reset": ("replayed",),
    "events parked": ("metric event * parked",),
    "events covered by another owner's work": ("metric event * covered",),
    "events repeated or out of order": ("rule repeat_event", "rule lose_event"),
    "dead letters": ("metric dead_letter *",),
    "batches published": ("metric batch * published",),
    "windows without rows": ("point batch.after-advance",),
    "zombies fenced": ("handled FencedError",),
    "leases found held": ("handled LeaseHeldError",),
    "unknown commits that had landed": ("metric unknown_commit * landed",),
    "unknown commits that had not landed": ("metric unknown_commit * not_landed",),
    "commits left under way": ("fault unknown: under way at *",),
    "publishes staged again on a moved base": ("metric conflict *",),
    "files that a broken disk changed": ("fault corrupt at *",),
    "checks failed": ("metric batch * CheckFailedError",),
    "halts, by operator or exhausted retries": ("halted",),
    "partitions assigned": ("metric rebalance assigned",),
    "partitions revoked": ("metric rebalance revoked",),
    "partitions lost": ("metric rebalance lost",),
    "offset commits refused": ("metric commit_error *",),
    "processes killed at a point": ("killed at *",),
    "processes frozen beyond their lease": ("overslept at *",),
    "clocks set": ("rule skew",),
    "calls refused by an absent server": ("outage *",),
    "snapshots of other writers": ("foreign append",),
    "compactions by other writers": ("foreign compact",),
    "expiries by other writers": ("foreign expire",),
    "tables rolled back": ("foreign roll back",),
    "rows inserted": ("rows inserted",),
    "rows alike": ("rows alike",),
    "rows that came late": ("rows late",),
    "rows published by supplements": ("metric rows * supplement published",),
    "rows published by backfills": ("metric rows * backfill published",),
    "stretches of history without rows": ("point backfill.after-advance",),
    "backfills cancelled": ("point backfill.after-cancel",),
    "rows changed at the source": ("rows changed",),
    "ledgers that were made to follow their tables": ("point stream.after-repair",),
    "streams paused": ("point stream.after-pause",),
    "rewrites published": ("metric maintained * done",),
    "windows replaced": ("metric batch * replace-window published",),
    "streams rewound": ("streams rewound",),
    "streams rewound without a snapshot": ("streams rewound without a snapshot",),
    "rows removed at the source": ("rows removed",),
    "windows of several units": ("windows of several units",),
    "ticks and closes sent": ("point ticks.after-send", "point closes.after-send"),
    "outbox messages relayed": ("point outbox.after-remove",),
}

NOT_SIMULATED: Mapping[str, str] = {
    "target.before-write": "the metadata file of a new table is the real catalog's own",
    "target.after-write": "the same",
    "target.before-discard": "the same",
    "target.after-discard": "the same",
    "publish.before-retire": "metadata files are the real catalog's own",
    "publish.after-retire": "the same",
    "publish.before-discard": "the same",
    "publish.after-discard": "the same",
    "task.before-answer": "a task answers by returning",
    "task.after-answer": "the same",
    **{
        name: "nothing is dropped from the hot tier"
        for name, point in POINTS.items()
        if point.effect.component is Component.DROPPER
    },
    **{name: "nothing is restored" for name, point in POINTS.items() if point.effect.component is Component.RESTORER},
    **{
        name: "stores in memory hold no metadata: tests/unit/iceberg/test_removal_histories.py"
        for name, point in POINTS.items()
        if point.effect.component is Component.REMOVER
    },
    **{
        name: "streams keep their names, and catalogs their tables"
        for name, point in POINTS.items()
        if point.effect.component is Component.REGISTER
    },
    **{
        name: "publishes have two steps in runs of their own"
        for name, point in POINTS.items()
        if point.effect.component is Component.TWO_STEP
    },
    **{
        name: "dead letters are the broker's matter"
        for name, point in POINTS.items()
        if point.effect.component is Component.LETTERS
    },
}
"""Failpoints that no process of the simulation passes, with the reason; other tests have them."""


def figures(counts: Counter[str]) -> dict[str, int]:
    """Return what was reached, by what it is."""
    return {name: sum(_sum(counts, pattern) for pattern in patterns) for name, patterns in _SUMS.items()}


def unreached(counts: Counter[str]) -> list[str]:
    """Return the failpoints that were never passed, those left out that no process can pass."""
    return [point for point in POINTS if point not in NOT_SIMULATED and not counts[f"point {point}"]]


def broken_at(counts: Counter[str]) -> set[str]:
    """Return the points at which something was made to fail."""
    return {name.rpartition(" at ")[2] for name in counts if name.startswith("fault ")}


def _sum(counts: Counter[str], pattern: str) -> int:
    if "*" not in pattern:
        return counts[pattern]
    start, _, end = pattern.partition("*")
    return sum(count for name, count in counts.items() if name.startswith(start) and name.endswith(end))
