"""The report of an audit as one HTML file: nothing is loaded from elsewhere, and everything is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources
from string import Template
from types import MappingProxyType

from consumer.domain.audit import CHECK_MEANINGS, Check, Outcome, StreamAudit
from consumer.domain.phrasing import counted, instant_text
from consumer.entrypoints.audit.by_hand import Query, queries
from consumer.entrypoints.audit.report import AuditReport

_CLASSES: Mapping[Outcome, str] = MappingProxyType(
    {
        Outcome.PASSED: "passed",
        Outcome.FAILED: "failed",
        Outcome.UNCHECKED: "unchecked",
        Outcome.NOT_APPLICABLE: "idle",
    }
)


def render_page(report: AuditReport) -> str:
    """Return the whole page."""
    template = Template((resources.files(__package__) / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=f"icehaul audit, {escape(instant_text(report.started.replace(microsecond=0)))} UTC",
        verdict=escape(_verdict(report)),
        verdict_class="passed" if report.clean else "failed",
        facts=_pairs(
            {
                "begun": f"{instant_text(report.started)} UTC",
                "ended": f"{instant_text(report.ended)} UTC",
                "icehaul": report.version,
                **report.servers,
            }
        ),
        rows="\n".join(_row(audit) for audit in report.audits),
        streams="\n".join(_stream(audit) for audit in report.audits),
    )


def _verdict(report: AuditReport) -> str:
    streams = counted(len(report.audits), "stream")
    if report.clean:
        return f"{streams}: every check passed"
    bad = [f"{report.count(one)} {one.value}" for one in (Outcome.FAILED, Outcome.UNCHECKED) if report.count(one)]
    return f"{streams}: {', '.join(bad)}, {report.count(Outcome.PASSED)} passed"


def _row(audit: StreamAudit) -> str:
    passed = sum(check.outcome is Outcome.PASSED for check in audit.checks)
    cells = [
        f'<a href="#{escape(audit.stream)}">{escape(audit.stream)}</a>',
        "-" if audit.watermark is None else escape(instant_text(audit.watermark)),
        "-" if audit.snapshot_id is None else str(audit.snapshot_id),
        f"{passed} of {len(audit.checks)}",
        '<span class="passed">clean</span>' if audit.clean else '<span class="failed">not clean</span>',
    ]
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _stream(audit: StreamAudit) -> str:
    by_hand = queries(audit)
    checks = [_check(check, [one for one in by_hand if one.check is check.name]) for check in audit.checks]
    facts = {"from": audit.source, "to": audit.target}
    return (
        f'<section>\n<h2 id="{escape(audit.stream)}">{escape(audit.stream)}</h2>\n'
        f"<dl>{_pairs(facts)}</dl>\n{''.join(checks)}</section>"
    )


def _check(check: Check, by_hand: Sequence[Query]) -> str:
    outcome = f'<span class="outcome {_CLASSES[check.outcome]}">{escape(check.outcome)}</span>'
    parts = [
        f"<header><h3>{escape(check.name)}</h3>{outcome}</header>",
        f'<p class="meaning">{escape(CHECK_MEANINGS[check.name])}</p>',
        f"<p>{escape(check.message)}</p>",
    ]
    if check.listed:
        parts.append(f"<ul>{''.join(f'<li>{escape(one)}</li>' for one in check.listed)}</ul>")
    if check.remedy is not None and not check.clean:
        parts.append(f"<p><strong>remedy:</strong> {escape(check.remedy)}</p>")
    if check.figures:
        parts.append(f"<dl>{_pairs(check.figures)}</dl>")
    if by_hand:
        parts.append(f"<details><summary>by hand</summary>{''.join(_by_hand(by_hand))}</details>")
    return f"<article>{''.join(parts)}</article>\n"


def _by_hand(by_hand: Iterable[Query]) -> Iterable[str]:
    return (f"<p>{escape(one.on)}:</p><pre>{escape(one.sql)}</pre>" for one in by_hand)


def _pairs(values: Mapping[str, int | str | None]) -> str:
    return "".join(f"<dt>{escape(name)}</dt><dd>{escape(_text(value))}</dd>" for name, value in values.items())


def _text(value: int | str | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else value
