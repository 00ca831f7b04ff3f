"""What a ledger in memory knows of the hot tier's content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from consumer.domain.fingerprint import Fingerprint
from consumer.domain.reconcile import ComparedPartition, Finding, FindingKind
from consumer.domain.window import Window
from consumer.ports import Comparison


@dataclass(slots=True)
class _Known:
    partitions: dict[str, ComparedPartition] = field(default_factory=dict)
    hot: dict[datetime, Fingerprint] = field(default_factory=dict)
    findings: dict[tuple[FindingKind, datetime], Finding] = field(default_factory=dict)


class MemoryComparisons:
    """What the tables of ``0004_late_rows.sql`` hold; the ledger's mutex protects it."""

    def __init__(self) -> None:
        self._streams: dict[str, _Known] = {}

    def partitions(self, stream: str) -> Mapping[str, ComparedPartition]:
        """Return the partitions as they were last compared."""
        return dict(self._of(stream).partitions)

    def hot(self, stream: str) -> Mapping[datetime, Fingerprint]:
        """Return what the hot tier holds of windows that differ, by lower bound."""
        return self._of(stream).hot

    def findings(self, stream: str) -> Sequence[Finding]:
        """Return the findings, by window."""
        return sorted(self._of(stream).findings.values(), key=lambda finding: (finding.window.lower, finding.kind))

    def record(self, stream: str, comparison: Comparison) -> None:
        """Record the outcome of a comparison."""
        known = self._of(stream)
        known.partitions |= {partition.id: partition for partition in comparison.partitions}
        for id_ in comparison.gone:
            known.partitions.pop(id_, None)
        known.hot |= comparison.hot
        for finding in comparison.findings:
            key = (finding.kind, finding.window.lower)
            before = known.findings.get(key)
            accepted = before is not None and before.accepted and before.rows == finding.rows
            known.findings[key] = replace(finding, accepted=accepted)
        for window in comparison.equal:
            self.forget(stream, window)

    def forget(self, stream: str, window: Window) -> None:
        """Forget how the tiers differed in a window whose rows are the same in both."""
        known = self._of(stream)
        known.hot = {lower: hot for lower, hot in known.hot.items() if not window.contains(lower)}
        known.findings = {
            (kind, lower): finding
            for (kind, lower), finding in known.findings.items()
            if kind is FindingKind.GAP or not window.contains(lower)
        }

    def renew(self, stream: str, comparison: Comparison) -> None:
        """Forget partitions and differences, and record others; findings stay."""
        known = self._of(stream)
        known.partitions, known.hot = {}, {}
        self.record(stream, comparison)

    def cut_off(self, stream: str, since: datetime, left: Comparison) -> None:
        """Forget how the tiers differed from an instant on, but for what is ``left`` to be known of a window there."""
        self.record(stream, left)
        known = self._of(stream)
        kept = {(finding.kind, finding.window.lower) for finding in left.findings}
        known.hot = {lower: hot for lower, hot in known.hot.items() if lower < since or lower in left.hot}
        known.findings = {
            key: finding
            for key, finding in known.findings.items()
            if finding.kind is FindingKind.GAP or finding.window.lower < since or key in kept
        }

    def accept(self, stream: str) -> int:
        """Accept every finding, and wait for no row that has gone; return how many findings there were."""
        known = self._of(stream)
        known.partitions = {id_: partition.settled() for id_, partition in known.partitions.items()}
        opened = sum(not finding.accepted for finding in known.findings.values())
        known.findings = {key: replace(finding, accepted=True) for key, finding in known.findings.items()}
        return opened

    def _of(self, stream: str) -> _Known:
        return self._streams.setdefault(stream, _Known())
