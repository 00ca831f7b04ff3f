"""Where the seconds go: the consumers' own step timings, read from their trace files."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from consumer.adapters.telemetry.trace_tree import FileSpan, read_spans

STEPS = ("claim", "observe", "plan", "write", "check", "publish", "reconcile")
LAYERS = ("bronze", "silver", "gold")
_PREFIX = "offload."
_NS_PER_MS = 1e6
_NS_PER_S = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """Milliseconds of events that found nothing: each event's reconciliation, and each whole event."""

    reconcile: Sequence[float]
    event: Sequence[float]


class Steps:
    """The spans of a campaign's consumers."""

    def __init__(self, paths: Sequence[Path]) -> None:
        spans = read_spans(paths)
        self._events = [span for span in spans if span.name.startswith("process ")]
        self._steps: dict[str, list[FileSpan]] = defaultdict(list)
        for span in spans:
            if span.parent_id is not None and span.name.startswith(_PREFIX):
                self._steps[span.parent_id].append(span)

    def by_layer(self, began_ns: int, ended_ns: int) -> Mapping[str, Mapping[str, float]]:
        """Return the seconds of each step, summed over the events that a stretch of time began, by layer."""
        found = {layer: dict.fromkeys(STEPS, 0.0) for layer in LAYERS}
        for event in self._within(began_ns, ended_ns):
            for span in self._steps[event.span_id]:
                layer = str(span.attributes["offload.stream"]).partition("_")[0]
                found[layer][span.name.removeprefix(_PREFIX)] += (span.ended_ns - span.started_ns) / _NS_PER_S
        return found

    def quiet(self, began_ns: int, ended_ns: int) -> Quiet:
        """Return how long the events took that found no row, of those that a stretch of time began."""
        reconcile, whole = [], []
        for event in self._within(began_ns, ended_ns):
            steps = self._steps[event.span_id]
            if not steps or any(span.name == f"{_PREFIX}write" for span in steps):
                continue
            parts = (span for span in steps if span.name in {f"{_PREFIX}observe", f"{_PREFIX}reconcile"})
            reconcile.append(sum(span.ended_ns - span.started_ns for span in parts) / _NS_PER_MS)
            whole.append((event.ended_ns - event.started_ns) / _NS_PER_MS)
        return Quiet(reconcile=reconcile, event=whole)

    def _within(self, began_ns: int, ended_ns: int) -> Sequence[FileSpan]:
        return [event for event in self._events if began_ns <= event.started_ns < ended_ns]


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile with interpolation; NaN of fewer than two values."""
    if len(values) < 2:
        return float("nan")
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
