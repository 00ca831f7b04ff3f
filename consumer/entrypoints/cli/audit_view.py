"""How `icehaul verify --all` looks."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from rich.console import Group, RenderableType
from rich.text import Text

from consumer.domain.audit import Outcome
from consumer.domain.phrasing import counted
from consumer.entrypoints.audit.report import AuditReport
from consumer.entrypoints.cli.records import Column, Records

_STYLES: Mapping[Outcome, str] = MappingProxyType(
    {
        Outcome.PASSED: "green",
        Outcome.FAILED: "bold red",
        Outcome.UNCHECKED: "bold yellow",
        Outcome.NOT_APPLICABLE: "dim",
    }
)
_LISTED = 5
"""How many files or windows are shown of each check; JSON and report have more."""


def audit_text(report: AuditReport) -> RenderableType:
    """Return every check of every stream, with remedies where one is needed, and the numbers below."""
    records = Records(
        "everything that has to be true of a stream",
        [Column("stream"), Column("check"), Column(""), Column("finding", sentences=True)],
        head=3,
    )
    for audit in report.audits:
        for check in audit.checks:
            text = Text(check.message)
            for one in check.listed[:_LISTED]:
                text.append(f"\n- {one}")
            if len(check.listed) > _LISTED:
                text.append(f"\n- and {len(check.listed) - _LISTED} more")
            if check.remedy is not None and not check.clean:
                text.append(f"\nremedy: {check.remedy}", style="bold")
            records.add(audit.stream, check.name, Text(check.outcome, style=_STYLES[check.outcome]), text)
    return Group(records, Text(_summary(report)))


def _summary(report: AuditReport) -> str:
    numbers = ", ".join(f"{report.count(outcome)} {outcome}" for outcome in Outcome if report.count(outcome))
    return f"{counted(len(report.audits), 'stream')}: {numbers or 'nothing to check'}"
