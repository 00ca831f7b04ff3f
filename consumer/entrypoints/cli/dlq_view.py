"""How `icehaul dlq` looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from consumer.domain.dead_letter import DeadLetter, Verdict
from consumer.domain.phrasing import counted
from consumer.entrypoints.cli.output import instant
from consumer.entrypoints.cli.records import Column, Records
from consumer.service.letters import Judged

_SHOWN = 2_000
"""Bytes of a value that are shown as text; `--output json` has all of them."""
_STYLES: Mapping[Verdict, str] = MappingProxyType(
    {
        Verdict.VALID: "yellow",
        Verdict.REDRIVEN: "green",
        Verdict.DONE: "",
        Verdict.INVALID: "bold red",
    }
)


def letters_text(letters: Sequence[DeadLetter], *, topic: str) -> RenderableType:
    """Return one row for each letter."""
    records = Records(
        f"dead letters in {topic}",
        [Column("letter"), Column("reason"), Column("since (UTC)"), Column("from"), Column("error", sentences=True)],
        head=2,
    )
    for one in letters:
        records.add(
            str(one.place),
            one.reason,
            "" if one.time is None else instant(one.time),
            "unknown" if one.origin is None else str(one.origin),
            one.error + ("" if one.redriven is None else f" (sent again at {instant(one.redriven)})"),
        )
    return Group(records, Text(counted(len(letters), "dead letter")))


def letters_data(letters: Sequence[DeadLetter]) -> dict[str, Any]:
    """Return the same as plain data."""
    return {"letters": [_letter(one) for one in letters]}


def letter_text(judged: Judged) -> RenderableType:
    """Return all of one letter."""
    one = judged.letter
    lines = [
        f"letter   {one.place}",
        f"from     {'unknown' if one.origin is None else one.origin}",
        f"reason   {one.reason}",
        f"error    {one.error}",
        f"key      {_part(one.key)}",
        *(f"header   {name}: {_part(content)}" for name, content in one.headers),
        f"value    {_part(one.value)}",
    ]
    now = judged.verdict if not judged.problem else f"{judged.verdict}: {judged.problem}"
    return Group(*(Text(line) for line in lines), Text(f"now      {now}", style=_STYLES[judged.verdict]))


def letter_data(judged: Judged) -> dict[str, Any]:
    """Return the same as plain data; bytes as hexadecimal digits."""
    one = judged.letter
    return {
        **_letter(one),
        "verdict": judged.verdict,
        "problem": judged.problem or None,
        "key": None if one.key is None else one.key.hex(),
        "headers": [
            {"name": name, "value": None if content is None else content.hex()} for name, content in one.headers
        ],
        "value": None if one.value is None else one.value.hex(),
    }


def judged_text(judged: Sequence[Judged], *, dry: bool) -> RenderableType:
    """Return what becomes, or became, of each letter."""
    records = Records(
        "dead letters",
        [Column("letter"), Column("verdict"), Column("stream"), Column("cutoff (UTC)"), Column("", sentences=True)],
        head=2,
    )
    for one in judged:
        event = one.event
        records.add(
            str(one.letter.place),
            Text("would be sent again" if dry and one.verdict is Verdict.VALID else one.verdict, _STYLES[one.verdict]),
            "" if event is None else event.stream,
            "" if event is None else instant(event.cutoff),
            one.problem,
        )
    sent = sum(one.verdict in {Verdict.VALID, Verdict.REDRIVEN} for one in judged)
    if not dry:
        return Group(records, Text(f"sent {counted(sent, 'event')} again"))
    hint = ": give --yes to do it" if sent else ""
    return Group(records, Text(f"would send {counted(sent, 'event')} again; nothing was sent{hint}"))


def judged_data(judged: Sequence[Judged], *, dry: bool) -> dict[str, Any]:
    """Return the same as plain data."""
    return {
        "dry_run": dry,
        "letters": [
            {
                "letter": str(one.letter.place),
                "verdict": one.verdict,
                "problem": one.problem or None,
                "stream": None if one.event is None else one.event.stream,
                "cutoff": None if one.event is None else one.event.cutoff,
            }
            for one in judged
        ],
    }


def _letter(one: DeadLetter) -> dict[str, Any]:
    return {
        "letter": str(one.place),
        "time": one.time,
        "reason": one.reason,
        "error": one.error,
        "topic": None if one.origin is None else one.origin.topic,
        "partition": None if one.origin is None else one.origin.partition,
        "offset": None if one.origin is None else one.origin.offset,
        "cut_off": one.cut_off,
        "redriven": one.redriven,
    }


def _part(content: bytes | None) -> str:
    """Return bytes for a terminal: control characters would act on it."""
    if content is None:
        return "(none)"
    text = content[:_SHOWN].decode("utf-8", "backslashreplace")
    shown = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
    left = len(content) - _SHOWN
    return shown if left <= 0 else f"{shown}… ({left:,} bytes more)"
