"""How `icehaul restore` looks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from consumer.domain.phrasing import counted
from consumer.domain.restore_query import create_statement
from consumer.domain.stream import TableName
from consumer.entrypoints.cli.output import instant
from consumer.entrypoints.cli.records import Column, Records
from consumer.service.restoring.restores import Restored
from consumer.service.restoring.review import Plan, Standing

_STANDINGS: Mapping[Standing, str] = MappingProxyType(
    {
        Standing.ABSENT: "which is to be made",
        Standing.EMPTY: "which has no row of the stretch",
        Standing.PARTLY: "which has some of them; an earlier run has ended early",
        Standing.RESTORED: "which holds just these rows already",
    }
)


def restore_text(found: Restored, *, dry: bool) -> RenderableType:
    """Return each stretch with its rows and digest, and what becomes of them."""
    plan = found.plan
    records = Records(
        f"rows of {plan.stream.target} at snapshot {plan.origin.past.snapshot_id}",
        [
            Column("from (UTC)"),
            Column("before (UTC)"),
            Column("rows", right=True),
            Column("digest"),
            Column("ledger"),
        ],
        head=2,
    )
    for one in plan.windows:
        records.add(
            instant(one.window.lower),
            instant(one.window.upper),
            f"{one.fingerprint.rows:,}",
            one.fingerprint.hex,
            Text("the same") if one.proved else Text("replaced since", style="yellow"),
        )
    return Group(records, *(Text(line) for line in _notes(plan, found.removed, dry=dry)), Text(_summary(plan, dry=dry)))


def _notes(plan: Plan, removed: Sequence[TableName], *, dry: bool) -> Iterator[str]:
    if plan.standing is Standing.ABSENT and dry:
        yield create_statement(plan.choice.into, plan.mapping, plan.origin.layout)
    for name, what in plan.lost.items():
        yield f"column {name} comes back without {what}"
    if plan.origin.columns.guessed:
        yield (
            f"nobody has recorded the ClickHouse type of {', '.join(plan.origin.columns.guessed)}: such columns get the"
            " one that holds their values"
        )
    if plan.left_out:
        yield (
            f"{', '.join(plan.left_out)}, which the source has dropped, can't come back into {plan.choice.into}: it has"
            " no such column; a new table (--create) has them"
        )
    for drop in plan.drops:
        stands = "would stand" if dry else "stands"
        yield f"partition {drop.partition.id}, dropped from the hot tier, {stands} there again"
    leftovers = plan.leftovers[1:] if plan.finishing else plan.leftovers
    if plan.finishing:
        yield f"{plan.leftovers[0]}, of a run that ended early, {'would be' if dry else 'was'} used"
    for table in leftovers if dry else removed:
        yield f"{table}, of a run that ended early, {'would be' if dry else 'was'} removed"


def _summary(plan: Plan, *, dry: bool) -> str:
    total = plan.total
    what = f"{counted(total.rows, 'row')} with digest {total.hex} into {plan.choice.into}"
    if plan.standing is Standing.RESTORED:
        return f"{what}, {_STANDINGS[plan.standing]}: nothing {'has to be' if dry else 'had to be'} restored"
    if dry:
        return f"would restore {what}, {_STANDINGS[plan.standing]}; nothing was changed: give --yes to do it"
    return f"restored {what}"


def restore_data(found: Restored, *, dry: bool) -> dict[str, Any]:
    """Return the same as plain data."""
    plan = found.plan
    return {
        "stream": plan.stream.name,
        "target": str(plan.stream.target),
        "into": str(plan.choice.into),
        "snapshot_id": plan.origin.past.snapshot_id,
        "dry_run": dry,
        "standing": plan.standing,
        "rows": plan.total.rows,
        "digest": plan.total.hex,
        "windows": [
            {
                "lower": one.window.lower,
                "upper": one.window.upper,
                "rows": one.fingerprint.rows,
                "digest": one.fingerprint.hex,
                "proved": one.proved,
            }
            for one in plan.windows
        ],
        "ddl": create_statement(plan.choice.into, plan.mapping, plan.origin.layout)
        if plan.standing is Standing.ABSENT
        else None,
        "lost": dict(plan.lost),
        "guessed": list(plan.origin.columns.guessed),
        "left_out": list(plan.left_out),
        "drops": [drop.partition.id for drop in plan.drops],
        "finishing": plan.finishing,
        "leftovers": [str(table) for table in plan.leftovers],
        "removed": [str(table) for table in found.removed],
    }
