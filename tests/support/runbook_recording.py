"""Writing what was really said into a runbook, with ``…`` for what differs from run to run (``make runbooks``)."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from tests.support.runbooks import Block, blocks

_WIDTH = 150
_DIFFERING = re.compile(
    r"""
    [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12} # an id
    | \b\d{16,20}\b                                              # a snapshot
    | \b(?=[0-9a-f]*[0-9])[0-9a-f]{12,64}\b                      # a digest, a trace
    | \b20(?:2[5-9]|[3-9]\d)-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:[+]00:00)? # an instant of the run
    | (?<![\w.])-?\d[\d,]*[dhms]\ \d+[hms]\b | (?<![\w.])-?\d[\d.,]*\ ?(?:ms|s)\b     # a length of time
    | (?<![\w.])\d[\d.,]*\ (?:[KMG]i)?B\b                             # a size
    | \d[\d,]*(?=\ rows/s)                                             # a speed
    | \b[A-Za-z][\w.-]*@[\w.-]+\b                                   # somebody
    | \b[\w.-]+:\d+(?=/)|\b127\.0\.0\.1:\d+                      # a server
    """,
    re.VERBOSE,
)


def recorded(said: str) -> str:
    """Return what a page shows of what was said."""
    lines = _DIFFERING.sub("…", said).rstrip().splitlines()
    shown: list[str] = []
    table: list[str] = []
    for line in [*lines, ""]:
        if line[:1] in {"┏", "┃", "┡", "│", "└"}:
            table.append(line)
            continue
        if table:
            shown += _drawn(table)
            table = []
        shown += _broken(line)
    return "\n".join(shown).rstrip() + "\n"


def _broken(line: str) -> list[str]:
    margin = line[: len(line) - len(line.lstrip())]
    broken = textwrap.wrap(
        line, _WIDTH, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False, drop_whitespace=True
    )
    return broken or [""]


def _drawn(table: list[str]) -> list[str]:
    """Draw a table again, whose cells have other widths now."""
    rows = [[cell.strip() for cell in re.split("[┃│]", line)[1:-1]] for line in table if line[0] in "┃│"]
    right = [_is_right(table, column) for column in range(len(rows[0]))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]

    def drawn(row: list[str], border: str) -> str:
        cells = [
            cell.rjust(width) if pushed else cell.ljust(width)
            for cell, width, pushed in zip(row, widths, right, strict=True)
        ]
        return f"{border} " + f" {border} ".join(cells) + f" {border}"

    def ruled(left: str, between: str, end: str, dash: str) -> str:
        return left + between.join(dash * (width + 2) for width in widths) + end

    return [
        ruled("┏", "┳", "┓", "━"),
        drawn(rows[0], "┃"),
        ruled("┡", "╇", "┩", "━"),
        *(drawn(row, "│") for row in rows[1:]),
        ruled("└", "┴", "┘", "─"),
    ]


def _is_right(table: list[str], column: int) -> bool:
    """Whether the cells of a column end at its right border."""
    cells = [re.split("[┃│]", line)[1:-1][column] for line in table if line[0] in "┃│"]
    return any(cell.startswith("  ") for cell in cells) and all(not cell.endswith("  ") for cell in cells)


def record(page: Path, block: Block, said: str) -> None:
    """Put what was said in the place of what a page shows."""
    text = page.read_text(encoding="utf-8")
    there = blocks(text)[block.number]
    before, after = text[: there.position], text[there.position + len(there.text) :]
    page.write_text(before + recorded(said) + after, encoding="utf-8")
