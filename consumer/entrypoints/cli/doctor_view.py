"""How `icehaul doctor` looks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from consumer.service.doctor.finding import Finding, Severity

_STYLES: Mapping[Severity, str] = MappingProxyType(
    {Severity.OK: "green", Severity.INFO: "cyan", Severity.WARNING: "bold yellow", Severity.ERROR: "bold red"}
)
_WITH_REMEDY = frozenset({Severity.WARNING, Severity.ERROR})


def doctor_text(found: Sequence[Finding]) -> RenderableType:
    """Return a table of all findings, with the remedies of those that matter, and their numbers below."""
    table = Table(title="what icehaul depends on", title_justify="left", show_lines=False)
    table.add_column("", no_wrap=True)
    for heading in ("check", "subject", "finding"):
        table.add_column(heading, overflow="fold")
    for one in found:
        text = Text(one.message)
        if one.severity in _WITH_REMEDY:
            text.append(f"\nremedy: {one.remedy}", style="bold")
        table.add_row(Text(one.severity, style=_STYLES[one.severity]), one.check, Text(one.subject), text)
    return Group(table, Text(_summary(found)))


def _summary(found: Sequence[Finding]) -> str:
    numbers = _count(found)
    return f"{numbers['error']} error(s), {numbers['warning']} warning(s), {numbers['ok']} checked and found good"


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
