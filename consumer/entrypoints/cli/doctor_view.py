"""How `icehaul doctor` looks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from consumer.domain.phrasing import counted
from consumer.entrypoints.cli.records import Column, Records
from consumer.service.doctor.finding import Finding, Severity

_STYLES: Mapping[Severity, str] = MappingProxyType(
    {Severity.OK: "green", Severity.INFO: "cyan", Severity.WARNING: "bold yellow", Severity.ERROR: "bold red"}
)
_WITH_REMEDY = frozenset({Severity.WARNING, Severity.ERROR})


def doctor_text(found: Sequence[Finding]) -> RenderableType:
    """Return all findings, with the remedies of those that matter, and their numbers below."""
    records = Records(
        "what icehaul depends on",
        [Column(""), Column("check"), Column("subject"), Column("finding", sentences=True)],
        head=3,
    )
    for one in found:
        text = Text(one.message)
        if one.severity in _WITH_REMEDY:
            text.append(f"\nremedy: {one.remedy}", style="bold")
        records.add(Text(one.severity, style=_STYLES[one.severity]), one.check, one.subject, text)
    return Group(records, Text(_summary(found)))


def _summary(found: Sequence[Finding]) -> str:
    numbers = _count(found)
    bad = f"{counted(numbers['error'], 'error')}, {counted(numbers['warning'], 'warning')}"
    return f"{bad}, {numbers['ok']} checked and found good"


def _count(found: Sequence[Finding]) -> dict[str, int]:
    counter = Counter(one.severity for one in found)
    return {severity.value: counter[severity] for severity in Severity}


def doctor_data(found: Sequence[Finding]) -> dict[str, Any]:
    """Return the same as plain data."""
    return {
        "healthy": not any(one.severity is Severity.ERROR for one in found),
        "counts": _count(found),
        "findings": [asdict(one) for one in found],
    }
