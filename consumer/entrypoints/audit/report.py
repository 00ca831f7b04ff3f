"""What an audit as a whole says: when, by which version, on which servers, and of every stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from consumer import __version__
from consumer.bootstrap import Application
from consumer.domain.audit import CHECK_MEANINGS, Check, Outcome, StreamAudit
from consumer.entrypoints.audit.by_hand import queries


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """The audits of some streams; times are this machine's, ``servers`` are addresses without secrets."""

    started: datetime
    ended: datetime
    servers: Mapping[str, str]
    audits: Sequence[StreamAudit]
    version: str = __version__

    @property
    def clean(self) -> bool:
        """Whether nothing has to be done about any stream."""
        return all(audit.clean for audit in self.audits)

    def count(self, outcome: Outcome) -> int:
        """Return how many checks ended so."""
        return sum(check.outcome is outcome for audit in self.audits for check in audit.checks)


def servers_of(application: Application) -> Mapping[str, str]:
    """Return the addresses of the servers that an audit asks."""
    settings = application.configuration
    return {
        "ClickHouse": f"{settings.clickhouse.host}:{settings.clickhouse.port}",
        "Postgres": application.database.target,
        "object store": f"{settings.store.endpoint or f'S3 in {settings.store.region}'}, {settings.store.warehouse}",
        "Iceberg catalog": settings.catalog.name,
    }


def report_data(report: AuditReport) -> dict[str, Any]:
    """Return a report as plain data."""
    return {
        "clean": report.clean,
        "version": report.version,
        "started": report.started,
        "ended": report.ended,
        "servers": dict(report.servers),
        "counts": {outcome.value: report.count(outcome) for outcome in Outcome},
        "streams": [
            {
                "name": audit.stream,
                "source": audit.source,
                "target": audit.target,
                "watermark": audit.watermark,
                "snapshot_id": audit.snapshot_id,
                "clean": audit.clean,
                "checks": [_check_data(check) for check in audit.checks],
                "by_hand": [{"check": one.check.value, "on": one.on, "sql": one.sql} for one in queries(audit)],
            }
            for audit in report.audits
        ],
    }


def _check_data(check: Check) -> dict[str, Any]:
    return {
        "name": check.name.value,
        "meaning": CHECK_MEANINGS[check.name],
        "outcome": check.outcome.value,
        "message": check.message,
        "figures": dict(check.figures),
        "listed": list(check.listed),
        "remedy": check.remedy,
    }
