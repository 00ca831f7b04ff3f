"""The report of ``make bench`` as a chart, plain SVG: ``python -m tests.bench.chart REPORT.json CHART.svg``."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from tests.support.charts import TITLE, draw_report, framed

_LABEL = 190
_BAR = 460
_ROW = 30
_HEADING = 34


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One group of bars under a heading."""

    heading: str
    unit: str
    values: Mapping[str, float]


def chart_of(document: Mapping[str, Any]) -> str:
    """Return the chart of a report: how fast each path is, and how much each CPU second of all processes moves."""
    paths: Mapping[str, Mapping[str, float]] = document["paths"]
    panels = [
        Panel(heading=heading, unit=unit, values={name: figures[figure] for name, figures in paths.items()})
        for heading, unit, figure in (
            ("Rows per CPU second, source and store included", "rows/CPU s", "rows_per_cpu_second"),
            ("Rows per second", "rows/s", "rows_per_second"),
        )
    ]
    title = f"{document['rows']:,} trades of 11 columns, all servers on the same machine"
    return draw(title, panels, [name for name in paths if name.startswith("icehaul")])


def draw(title: str, panels: Sequence[Panel], highlighted: Collection[str]) -> str:
    """Return the panels one below the other, longest bars first, those of ``highlighted`` in another colour."""
    height = TITLE + sum(_HEADING + _ROW * len(panel.values) for panel in panels) + 16
    lines: list[str] = []
    top = TITLE
    for panel in panels:
        lines += _panel(panel, top, highlighted)
        top += _HEADING + _ROW * len(panel.values)
    return framed(title, height, lines)


def _panel(panel: Panel, top: int, highlighted: Collection[str]) -> list[str]:
    greatest = max(panel.values.values(), default=1.0)
    lines = [f'<text x="16" y="{top + 22}" font-size="14" fill="#1f2937">{escape(panel.heading)}</text>']
    for number, (name, value) in enumerate(sorted(panel.values.items(), key=lambda item: -item[1])):
        y = top + _HEADING + _ROW * number
        width = max(1.0, _BAR * value / greatest)
        color = "#2563eb" if name in highlighted else "#9ca3af"
        lines += [
            f'<text x="{_LABEL - 8}" y="{y + 16}" font-size="13" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{_LABEL}" y="{y}" width="{width:.1f}" height="22" rx="3" fill="{color}"/>',
            f'<text x="{_LABEL + width + 8:.1f}" y="{y + 16}" font-size="13">{value:,.0f} {escape(panel.unit)}</text>',
        ]
    return lines


if __name__ == "__main__":
    sys.exit(draw_report(sys.argv[1:], chart_of))
