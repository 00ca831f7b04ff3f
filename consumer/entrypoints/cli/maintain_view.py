"""How `icehaul maintain` looks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from consumer.domain.maintenance import Part, TaskPlan
from consumer.domain.phrasing import counted
from consumer.domain.stream import Stream
from consumer.entrypoints.cli.records import Column, Records


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintained:
    """What the tasks would do in a stream's target, or did."""

    stream: Stream
    plans: Sequence[TaskPlan]


def maintained_text(found: Sequence[Maintained], *, dry: bool) -> RenderableType:
    """Return what becomes of each part of each target, and what is left alone and why."""
    return Group(*(line for one in found for plan in one.plans for line in _plan(one.stream, plan, dry=dry)))


def _plan(stream: Stream, plan: TaskPlan, *, dry: bool) -> Iterator[RenderableType]:
    if plan.parts:
        records = Records(
            f"{plan.task} of {stream.target}",
            [
                Column("part"),
                Column("files", right=True),
                Column("bytes", right=True),
                Column("files after", right=True),
                Column("bytes after", right=True),
            ],
        )
        for part in plan.parts:
            records.add(
                part.what, f"{part.files:,}", f"{part.bytes:,}", f"{part.files_after:,}", f"{part.bytes_after:,}"
            )
        yield records
    yield Text(f"{stream.name}: {_summary(plan, dry=dry)}")
    for why in plan.left:
        yield Text(f"{stream.name}: left alone: {why}")


def _summary(plan: TaskPlan, *, dry: bool) -> str:
    if not plan.parts:
        return f"{plan.task}: nothing to do"
    files = counted(sum(part.files for part in plan.parts), "file")
    after = f"{sum(part.files_after for part in plan.parts):,}"
    verb = "would become" if dry else "became"
    return f"{plan.task}: {files} {verb} {after}, {plan.bytes_gone:,} bytes less" + (
        "; nothing was changed" if dry else ""
    )


def maintained_data(found: Sequence[Maintained], *, dry: bool) -> dict[str, Any]:
    """Return the same as plain data."""
    return {
        "dry_run": dry,
        "streams": [
            {
                "stream": one.stream.name,
                "target": str(one.stream.target),
                "tasks": [
                    {
                        "task": plan.task,
                        "parts": [_part(part) for part in plan.parts],
                        "files_gone": plan.files_gone,
                        "bytes_gone": plan.bytes_gone,
                        "left": list(plan.left),
                    }
                    for plan in one.plans
                ],
            }
            for one in found
        ],
    }


def _part(part: Part) -> dict[str, Any]:
    return {
        "part": part.what,
        "files": part.files,
        "bytes": part.bytes,
        "files_after": part.files_after,
        "bytes_after": part.bytes_after,
    }
