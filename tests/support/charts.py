"""The frame of charts that are drawn from reports, plain SVG, and the command that draws one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

WIDTH = 800
TITLE = 44
"""How far below the top what is drawn under the title begins."""


def framed(title: str, height: int, drawn: Iterable[str]) -> str:
    """Return a picture of what is ``drawn``, under a title."""
    size = f'viewBox="0 0 {WIDTH} {height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" font-family="sans-serif">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            f'<text x="16" y="28" font-size="17" font-weight="bold" fill="#1f2937">{escape(title)}</text>',
            *drawn,
            "</svg>",
            "",
        ]
    )


def draw_report(arguments: Sequence[str], chart_of: Callable[[Mapping[str, Any]], str]) -> int:
    """Draw the report that the first argument names into the file that the second one names; return the exit status."""
    report, chart = map(Path, arguments)
    chart.write_text(chart_of(json.loads(report.read_text(encoding="utf-8"))), encoding="utf-8")
    return 0
