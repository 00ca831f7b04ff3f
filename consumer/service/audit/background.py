"""Audits in a consumer, beside its work: one stream at a time, without reading rows, when nothing else is to do."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Protocol

import structlog

from consumer.domain.audit import Outcome, StreamAudit
from consumer.domain.event import Event
from consumer.domain.stream import Stream
from consumer.service.runtime.ports import Handler
from consumer.service.threads import SYSTEM_THREADS, Signal, Threads

_PAUSE_SECONDS = 1.0

_log = structlog.get_logger(__name__)


class AuditMetrics(Protocol):
    """What audits measure; the labels are stream and check."""

    def audit_check(self, stream: str, check: str, *, failed: bool) -> None:
        """Record how a check ended that could be made."""
        ...

    def audited(self, stream: str) -> None:
        """Record that every check of a stream could be made now."""
        ...


class Auditing(Protocol):
    """Audits a stream."""

    def audit(self, stream: Stream, *, rows: bool) -> StreamAudit:
        """Return what every check finds; with ``rows``, those that read rows, too."""
        ...


class BackgroundAudit:
    """Audits the streams whose events this consumer handles, each once in an interval.

    Streams of which other consumers handle the events are theirs to audit. While events are handled, an audit waits,
    but for one interval at most. It costs a listing of the files under the table, and a reading of its manifests.
    """

    def __init__(
        self,
        *,
        auditor: Auditing,
        streams: Mapping[str, Stream],
        handler: Handler,
        interval: timedelta,
        metrics: AuditMetrics,
        threads: Threads = SYSTEM_THREADS,
    ) -> None:
        self._auditor = auditor
        self._streams = streams
        self._handler = handler
        self._interval = interval.total_seconds()
        self._metrics = metrics
        self._clock = threads.monotonic
        self._lock = threads.condition()
        self._busy = 0
        self._handled: set[str] = set()
        self._due: dict[str, float] = {}

    def handle(self, event: Event, abandon: Signal) -> None:
        """Handle an event, and remember that its stream is ours.

        Raises:
            IcehaulError: as the handler raises it.
        """
        with self._lock:
            self._busy += 1
            if event.stream in self._streams:
                self._handled.add(event.stream)
                self._due.setdefault(event.stream, self._clock())
        try:
            self._handler(event, abandon)
        finally:
            with self._lock:
                self._busy -= 1

    def run(self, stop: Signal) -> None:
        """Audit what is due until ``stop`` is set; an audit that fails in a way that nobody foresaw is logged."""
        while not stop.wait(_PAUSE_SECONDS):
            try:
                self.run_once()
            except Exception:  # noqa: BLE001 - no defect of an audit may end the consumer
                _log.exception("audit.broke_off")

    def run_once(self) -> StreamAudit | None:
        """Audit the stream that has been due longest; ``None`` where none is, or work goes first."""
        with self._lock:
            name = self._next()
            if name is None:
                return None
            self._handled.discard(name)
            self._due[name] = self._clock() + self._interval
        audit = self._auditor.audit(self._streams[name], rows=False)
        self._report(audit)
        return audit

    def _next(self) -> str | None:
        now = self._clock() - (self._interval if self._busy else 0)
        due = [name for name in self._handled if self._due[name] <= now]
        return min(due, key=lambda name: (self._due[name], name), default=None)

    def _report(self, audit: StreamAudit) -> None:
        for check in audit.checks:
            if check.outcome in {Outcome.PASSED, Outcome.FAILED}:
                self._metrics.audit_check(audit.stream, check.name, failed=check.outcome is Outcome.FAILED)
            if not check.clean:
                _log.warning(
                    "audit.check_not_passed",
                    stream=audit.stream,
                    check=check.name.value,
                    outcome=check.outcome.value,
                    finding=check.message,
                    remedy=check.remedy,
                )
        if not any(check.outcome is Outcome.UNCHECKED for check in audit.checks):
            self._metrics.audited(audit.stream)
        _log.info("audit.finished", stream=audit.stream, clean=audit.clean, checks=len(audit.checks))
