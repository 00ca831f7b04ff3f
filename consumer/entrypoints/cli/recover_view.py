"""How `icehaul recover` looks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from consumer.domain.phrasing import counted
from consumer.domain.recovery import FoundMetadata
from consumer.domain.stream import Stream
from consumer.entrypoints.cli.output import instant
from consumer.entrypoints.cli.records import Column, Records
from consumer.entrypoints.cli.repair_view import repair_data, repair_text
from consumer.service.recovering.recoveries import Recovery


def recovery_text(found: Sequence[tuple[Stream, Recovery]], *, dry: bool) -> RenderableType:
    """Return what catalog and store have of each stream's table, and what becomes of it."""
    return Group(*(part for stream, one in found for part in _stream(stream, one, dry=dry)))


def _stream(stream: Stream, found: Recovery, *, dry: bool) -> Iterator[RenderableType]:
    yield Text(f"{stream.name}: {stream.target}", style="bold")
    yield Text(f"catalog  {_pointed(found)}")
    yield Text(f"ledger   {_recorded(found)}")
    if found.candidates:
        records = Records(
            "metadata files on the store",
            [
                Column("file"),
                Column("changed (UTC)"),
                Column("snapshots", right=True),
                Column("rows up to"),
                Column("generation", right=True),
                Column("missing files", right=True),
            ],
        )
        for one in found.candidates:
            records.add(*_candidate(one))
        yield records
    for line, style in _outlook(stream, found, dry=dry):
        yield Text(line, style=style)
    if found.repaired is not None:
        yield repair_text(stream, found.repaired, dry=False)


def _candidate(one: FoundMetadata) -> tuple[str, ...]:
    evidence = one.evidence
    return (
        one.name,
        instant(one.updated),
        f"{one.snapshots:,}",
        "no evidence" if evidence is None else "no window" if evidence.upper is None else instant(evidence.upper),
        "" if evidence is None else str(evidence.generation),
        f"{len(one.missing):,}",
    )


def _pointed(found: Recovery) -> str:
    if found.pointer is None:
        return "has no such table"
    if found.pointed is None:
        return f"points to {found.pointer}, which the store does not hold"
    if found.pointed.missing:
        lacking = counted(len(found.pointed.missing), "file")
        return f"points to {found.pointer}, which needs {lacking} that the store does not hold"
    return f"points to {found.pointer}"


def _recorded(found: Recovery) -> str:
    record = found.record
    if found.unknown or record is None:
        return "knows nothing of the stream"
    upper = "no row" if record.last_upper is None else f"rows up to {instant(record.last_upper)}"
    return f"{upper}, generation {record.generation}"


def _outlook(stream: Stream, found: Recovery, *, dry: bool) -> Iterator[tuple[str, str]]:
    if found.doubt is not None:
        yield f"in doubt: {found.doubt}", "bold red"
        command = f"`icehaul recover {stream.name} --metadata FILE`"
        yield f"nothing was changed: find out which one is right, and give it with {command}", ""
        return
    if found.chosen is None:
        yield "the catalog points to a table that is whole: there is nothing to recover", ""
        return
    would = "would point" if dry else "points"
    yield f"the catalog {would} to {found.chosen.location}", "yellow"
    if found.chosen.evidence is None:
        adopt = "`icehaul adopt` makes it a stream's target"
        yield f"no snapshot of it says that icehaul has written it: {adopt}", "yellow"
    elif not found.unknown:
        yield f"`icehaul repair {stream.name}` shows what the ledger has recorded that is not in it", ""
    elif dry:
        yield "the ledger would follow the table", ""
    if dry:
        yield "nothing was changed: give --yes to do it", ""


def recovery_data(stream: Stream, found: Recovery, *, dry: bool) -> dict[str, Any]:
    """Return the same as plain data."""
    return {
        "stream": stream.name,
        "target": str(stream.target),
        "dry_run": dry,
        "needed": found.needed,
        "doubt": found.doubt,
        "pointer": found.pointer,
        "pointer_exists": found.pointed is not None,
        "pointer_missing": [] if found.pointed is None else list(found.pointed.missing),
        "chosen": None if found.chosen is None else found.chosen.location,
        "candidates": [_data(one) for one in found.candidates],
        "repair": None if found.repaired is None else repair_data(stream, found.repaired, dry=False),
    }


def _data(one: FoundMetadata) -> dict[str, Any]:
    evidence = one.evidence
    return {
        "location": one.location,
        "version": one.version,
        "uuid": one.uuid,
        "updated": one.updated,
        "snapshots": one.snapshots,
        "last_upper": None if evidence is None else evidence.upper,
        "generation": None if evidence is None else evidence.generation,
        "missing": list(one.missing),
    }
