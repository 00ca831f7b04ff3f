"""A bar chart as plain SVG."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path

_LABEL = 190
_BAR = 460
_ROW = 34
_TOP = 50


def write_chart(path: Path, title: str, values: Mapping[str, float], unit: str, highlight: str) -> None:
    """Draw one bar for each value, longest first, ``highlight`` in another colour."""
    greatest = max(values.values(), default=1.0)
    height = _TOP + _ROW * len(values) + 16
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 {height}" role="img" font-family="sans-serif">',
        f"<title>{escape(title)}</title>",
        f'<rect width="800" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="28" font-size="17" font-weight="bold" fill="#1f2937">{escape(title)}</text>',
    ]
    for number, (name, value) in enumerate(sorted(values.items(), key=lambda item: -item[1])):
        y = _TOP + _ROW * number
        width = max(1.0, _BAR * value / greatest)
        color = "#2563eb" if name == highlight else "#9ca3af"
        lines += [
            f'<text x="{_LABEL - 8}" y="{y + 17}" font-size="13" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{_LABEL}" y="{y}" width="{width:.1f}" height="24" rx="3" fill="{color}"/>',
            f'<text x="{_LABEL + width + 8:.1f}" y="{y + 17}" font-size="13">{value:,.0f} {escape(unit)}</text>',
        ]
    path.write_text("\n".join([*lines, "</svg>", ""]), encoding="utf-8")
