"""The report of ``make soak`` as charts, plain SVG: ``python -m tests.soak.chart REPORT.json CHART.svg``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from tests.support.charts import TITLE, WIDTH, draw_report, framed

_LEFT, _RIGHT = 70, 16
_PANEL, _PLOT = 120, 78
_COLORS = ("#2563eb", "#9ca3af")

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart: one or two series of a report under a heading."""

    heading: str
    series: Sequence[str]


PANELS = (
    Panel("Lag, seconds: median and 99th percentile of the streams", ("lag_p50_seconds", "lag_p99_seconds")),
    Panel("Batches, seconds: median and longest", ("batch_p50_seconds", "batch_max_seconds")),
    Panel("Memory of the consumer that stays, MiB", ("memory_mib",)),
    Panel("Open files and sockets of that consumer", ("handles",)),
    Panel("Live data files of the ten tables", ("files",)),
    Panel("Snapshots of the ten tables", ("snapshots",)),
    Panel("Ledger, MiB", ("ledger_mib",)),
)


def chart_of(document: Mapping[str, Any]) -> str:
    """Return the charts of a report, one below the other, over the quarter hours."""
    title = f"{document['ticks']} quarter hours of {document['rows_per_tick']:,} rows over ten tables"
    height = TITLE + _PANEL * len(PANELS) + 8
    lines: list[str] = []
    last = max(1.0, float(document["ticks"]))
    for number, panel in enumerate(PANELS):
        series = [document["series"][name] for name in panel.series]
        lines += _panel(panel.heading, series, TITLE + _PANEL * number, last)
    return framed(title, height, lines)


def _panel(heading: str, series: Sequence[Points], top: int, last: float) -> list[str]:
    greatest = max((value for points in series for _, value in points), default=0.0) or 1.0
    base, right = top + 24 + _PLOT, WIDTH - _RIGHT
    lines = [
        f'<text x="16" y="{top + 14}" font-size="14" fill="#1f2937">{escape(heading)}</text>',
        f'<line x1="{_LEFT}" y1="{base}" x2="{right}" y2="{base}" stroke="#d1d5db"/>',
        f'<text x="{_LEFT - 8}" y="{top + 34}" font-size="12" text-anchor="end">{greatest:,.4g}</text>',
        f'<text x="{_LEFT - 8}" y="{base}" font-size="12" text-anchor="end">0</text>',
    ]
    # The first series, in front, is drawn last.
    for points, color in reversed(list(zip(series, _COLORS, strict=False))):
        places = " ".join(
            f"{_LEFT + (right - _LEFT) * tick / last:.1f},{base - _PLOT * value / greatest:.1f}"
            for tick, value in points
        )
        lines.append(f'<polyline points="{places}" fill="none" stroke="{color}" stroke-width="1.5"/>')
    return lines


if __name__ == "__main__":
    sys.exit(draw_report(sys.argv[1:], chart_of))
