"""Results fit the place where they are read: a table, blocks on a narrow terminal, unbroken lines in a pipe."""

from __future__ import annotations

import io

import pytest
from rich.console import Console, Group
from rich.text import Text

from consumer.domain.phrasing import counted
from consumer.entrypoints.cli import output
from consumer.entrypoints.cli.output import Format
from consumer.entrypoints.cli.records import Column, Records

NAME = "bronze_trades_of_a_long_name"
MESSAGE = "a sentence that is longer than any terminal of forty columns, and may be broken"


def records(*, head: int = 1) -> Records:
    made = Records(
        "two streams",
        [Column("stream"), Column("state"), Column("lag", right=True), Column("error", sentences=True)],
        head=head,
    )
    made.add(NAME, Text("halted", style="red"), "1h 3m", MESSAGE)
    made.add("other", "active", "-", "")
    return made


def shown(width: int, found: Records) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(found)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("width", range(20, 200, 7))
def test_no_line_is_wider_than_the_terminal_and_every_word_is_there(width: int) -> None:
    lines = shown(width, records())

    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    assert {"halted", "active", "1h", "3m", "sentence", "forty", "broken"} <= set(words)


def test_where_there_is_room_it_is_a_table_with_whole_names() -> None:
    lines = shown(120, records())

    assert lines[0] == "two streams"
    assert lines[2].split()[:2] == ["┃", "stream"]
    assert any(NAME in line and "halted" in line and "1h 3m" in line for line in lines)


def test_where_names_would_break_each_row_is_a_block() -> None:
    assert shown(60, records()) == [
        "two streams",
        NAME,
        "  state halted   lag 1h 3m",
        "  error a sentence that is longer than any terminal of forty",
        "  columns, and may be broken",
        "other",
        "  state active",
    ]


def test_a_headline_may_have_several_fields() -> None:
    assert shown(60, records(head=2))[1] == f"{NAME}  halted"


def test_a_single_field_below_a_headline_needs_no_heading() -> None:
    found = Records("found", [Column("check"), Column("finding", sentences=True)])
    found.add("clickhouse", MESSAGE)

    assert shown(40, found)[2] == "  a sentence that is longer than any"


def test_nothing_found_is_a_title() -> None:
    assert shown(60, Records("0 streams", [Column("stream")])) == ["0 streams"]


def test_in_a_pipe_no_line_is_broken(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    output.emit(Format.TEXT, text=records(), data={})
    (row,) = (line for line in capsys.readouterr().out.splitlines() if NAME in line)
    assert MESSAGE in row


def test_columns_sets_the_width_of_a_pipe_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    output.emit(Format.TEXT, text=records(), data={})
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 60


def test_what_asks_for_it_is_not_broken_on_a_narrow_terminal_either(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    output.emit(Format.TEXT, text=Group(Text(MESSAGE, no_wrap=True, overflow="ignore")), data={})
    assert capsys.readouterr().out == f"{MESSAGE}\n"


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 batches"), (1, "1 batch"), (2, "2 batches"), (2000, "2,000 batches")]
)
def test_a_number_agrees_with_its_noun(number: int, said: str) -> None:
    assert counted(number, "batch", "batches") == said
    assert counted(number, "row") == said.replace("batches", "rows").replace("batch", "row")
