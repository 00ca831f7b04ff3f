"""Rows of named fields: a table where it fits, and one block for each row where it does not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_READABLE = 40
"""Cells that a column of sentences needs at least to be read with ease."""
_INDENT = 2
_APART = 3


@dataclass(frozen=True, slots=True)
class Column:
    """A field of every row. ``sentences`` may be broken into lines; any other field is one word to a reader."""

    heading: str
    right: bool = False
    sentences: bool = False


class Records:
    """What a command found, row by row.

    A table whose columns are squeezed until names break in the middle can be neither read nor copied from. Where
    the terminal is too narrow for that, each row is a block: the first ``head`` fields as its headline, and below it
    the others that say something, as many to a line as there is room for.
    """

    def __init__(self, title: str, columns: Sequence[Column], *, head: int = 1) -> None:
        self._title = title
        self._columns = columns
        self._head = head
        self._rows: list[tuple[Text, ...]] = []

    def add(self, *fields: str | Text) -> None:
        """Add a row, with one field for each column."""
        self._rows.append(tuple(one if isinstance(one, Text) else Text(one) for one in fields))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(self._title, style="italic")
        if not self._rows:
            return
        if self._needed() <= options.max_width:
            yield self._table()
        else:
            yield from self._blocks(options.max_width)

    def _needed(self) -> int:
        widths = [
            max([cell_len(column.heading), *(self._width(column, row[place]) for row in self._rows)])
            for place, column in enumerate(self._columns)
        ]
        return sum(widths) + 3 * len(widths) + 1

    @staticmethod
    def _width(column: Column, field: Text) -> int:
        longest = max((cell_len(line) for line in field.plain.splitlines()), default=0)
        return min(longest, _READABLE) if column.sentences else longest

    def _table(self) -> Table:
        table = Table()
        for column in self._columns:
            table.add_column(
                column.heading,
                justify="right" if column.right else "left",
                no_wrap=not column.sentences,
                overflow="fold",
            )
        for row in self._rows:
            table.add_row(*row)
        return table

    def _blocks(self, width: int) -> Iterator[RenderableType]:
        for row in self._rows:
            yield Text("  ").join(field for field in row[: self._head] if field.plain)
            line = Text()
            for field, wide in self._fields(row):
                if line and (wide or cell_len(line.plain) + cell_len(field.plain) + _APART > width - _INDENT):
                    yield Padding(line, (0, 0, 0, _INDENT))
                    line = Text()
                line = Text(" " * _APART).join([line, field]) if line else field
            if line:
                yield Padding(line, (0, 0, 0, _INDENT))

    def _fields(self, row: Sequence[Text]) -> Iterator[tuple[Text, bool]]:
        """Yield the fields below a headline that say something, each with its heading, and whether it is long."""
        columns = self._columns[self._head :]
        for column, field in zip(columns, row[self._head :], strict=True):
            if field.plain not in {"", "-"}:
                heading = f"{column.heading} " if len(columns) > 1 else ""
                yield Text.assemble((heading, "dim"), field), column.sentences
