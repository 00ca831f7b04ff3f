"""The audit of `icehaul verify --all`: streams one by one, with progress on standard error."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.status import Status

from consumer.bootstrap import Application
from consumer.domain.audit import CheckName, StreamAudit
from consumer.domain.errors import ConfigurationError
from consumer.domain.phrasing import counted
from consumer.domain.stream import Stream
from consumer.entrypoints.audit.page import render_page
from consumer.entrypoints.audit.report import AuditReport, report_data, servers_of
from consumer.entrypoints.cli.audit_view import audit_text
from consumer.entrypoints.cli.output import Format, emit, messages


def audit_streams(application: Application, streams: Sequence[Stream], *, page: Path | None, output: Format) -> bool:
    """Audit streams, write what was found, and tell whether all of it is clean.

    Raises:
        ConfigurationError: if the page can't be written where it is to stand; said before anything is audited.
    """
    if page is not None:
        _check_writable(page)
    console = messages()
    started = datetime.now(UTC)
    audits = []
    with console.status("auditing") as status:
        for number, stream in enumerate(streams, start=1):
            audits.append(_audit(application, stream, status, f"{number} of {len(streams)}: {stream.name}"))
            _tell(console, audits[-1])
    report = AuditReport(
        started=started, ended=datetime.now(UTC), servers=servers_of(application), audits=tuple(audits)
    )
    if page is not None:
        page.write_text(render_page(report), encoding="utf-8")
        console.print(f"report: {page}", markup=False, highlight=False, soft_wrap=True)
    emit(output, text=audit_text(report), data=report_data(report))
    return report.clean


def _audit(application: Application, stream: Stream, status: Status, where: str) -> StreamAudit:
    def show(check: CheckName) -> None:
        status.update(f"{where}: {check}")

    status.update(where)
    return application.auditor.audit(stream, progress=show)


def _tell(console: Console, audit: StreamAudit) -> None:
    bad = [f"{check.name} {check.outcome}" for check in audit.checks if not check.clean]
    verdict = ", ".join(bad) if bad else f"{counted(len(audit.checks), 'check')}, clean"
    console.print(f"{audit.stream}: {verdict}", markup=False, highlight=False, soft_wrap=True)


def _check_writable(page: Path) -> None:
    try:
        with page.open("a", encoding="utf-8"):
            pass
    except OSError as error:
        raise ConfigurationError(
            f"--report: {page} can't be written: {error.strerror}",
            remedy="name a file in a folder that exists and that you may write to",
        ) from error
