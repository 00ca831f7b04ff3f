"""Writing drafts down: a commented YAML file that loads as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Any

import yaml

from consumer.domain.duration import format_duration
from consumer.domain.stream import Mode
from consumer.service.starter.draft import Skipped, StreamDraft

_WIDTH = 118
_UNBROKEN = 1_000_000
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")
SCHEMA_FILE = "icehaul.schema.json"
"""What the file's first line tells editors to complete and check it by, beside the file itself."""

_HEADER = """\
icehaul: what is moved from ClickHouse into Iceberg. Drafted by `icehaul init` from a live database; every guess stands
beside its reason. Next: correct what is wrong, give the secrets (below), then run `icehaul doctor` and
`icehaul plan STREAM`, which changes nothing.
"""
_SECRETS = """\
Secrets do not stand here. Give them as environment variables, or as files in the directory ICEHAUL_SECRETS_DIR:
ICEHAUL_CLICKHOUSE__PASSWORD, ICEHAUL_POSTGRES__DSN (postgresql://USER:PASSWORD@HOST:PORT/DATABASE) and
ICEHAUL_STORE__SECRET_KEY.
"""


def render(
    sections: Mapping[str, Mapping[str, Any]], streams: Sequence[StreamDraft], skipped: Sequence[Skipped]
) -> str:
    """Return the file: a line for editors, the sections' fields as they are given, then a stream for each draft.

    ``sections`` must hold no secret. A draft with obstacles is commented out, with the reasons and the choices.
    """
    lines = [f"# yaml-language-server: $schema={SCHEMA_FILE}", *_comment(_HEADER), "", *_comment(_SECRETS)]
    for name, fields in sections.items():
        lines += ["", f"{name}:", *(f"  {field}: {_value(value)}" for field, value in fields.items())]
    lines += ["", "streams:"]
    for draft in streams:
        lines += ["", *_stream(draft)]
    if skipped:
        lines += ["", *_comment("Not written, because it can't be offloaded:", indent=2)]
        for one in skipped:
            lines += _comment(f"- {one.name}: {one.reason}", indent=2)
    return "\n".join(lines) + "\n"


def _stream(draft: StreamDraft) -> Iterator[str]:
    yield from _comment(_title(draft), indent=2)
    for text in draft.warnings:
        yield from _comment(f"WARNING: {text}", indent=2)
    if not draft.obstacles:
        yield from (f"  {line}" for line in _fields(draft))
        return
    yield from _comment("Commented out, for it can't run as it is:", indent=2)
    for text in draft.obstacles:
        yield from _comment(f"- {text}", indent=2)
    for line in _fields(draft):
        yield f"  # {line}".rstrip()


def _title(draft: StreamDraft) -> str:
    table = draft.table
    size = "" if table.rows is None else f", {table.rows:,} rows, {_size(table.bytes or 0)}"
    partitioned = f"PARTITION BY {table.partition_key}" if table.partition_key else "without a partition key"
    ordered = f"ORDER BY {table.sorting_key}" if table.sorting_key else "without a sorting key"
    return f"── {draft.source}: {table.engine}{size}, {partitioned}, {ordered}"


def _fields(draft: StreamDraft) -> Iterator[str]:
    yield f"- name: {_value(draft.name)}"
    for line in _body(draft):
        yield f"  {line}"


def _body(draft: StreamDraft) -> Iterator[str]:
    yield f"source: {_value(draft.source)}"
    yield f"target: {_value(draft.target)}"
    yield from _time_column(draft)
    if draft.sequence_columns:
        yield from _comment(f"order within an instant: {draft.sequence_reason}")
        yield f"sequence_columns: [{', '.join(map(_value, draft.sequence_columns))}]"
    elif draft.sequence_reason:
        yield from _comment(f"sequence_columns: {draft.sequence_reason}")
    mode, reason = draft.mode
    if mode is not Mode.APPEND:
        yield from _comment(f"mode: {reason}; append would keep every version")
        yield f"mode: {_value(mode)}"
        yield from _comment(
            "rows that are deleted in the source (by tombstone, sign or mutation) go from the target; false keeps them"
        )
        yield "replace: {remove_rows: true}"
    yield f"layer: {_value(draft.layer)}{'' if draft.layer_known else '  # a guess: no name tells it'}"
    yield f"settle_lag: {format_duration(draft.settle_lag)}  # how late rows may arrive; others come with a supplement"
    if draft.row_span:
        yield from _comment("a date stands for its whole day: rows of a day still come while it lasts")
        yield f"row_span: {format_duration(draft.row_span)}"
    if draft.partition_reason:
        yield from _comment(draft.partition_reason)
    yield f"partition_by: {_value(draft.partition_by)}"
    proposed = {column.name: column.proposed for column in draft.columns if column.proposed is not None}
    if proposed:
        yield from _comment("a choice, for want of an exact counterpart in Iceberg; others stand in the reasons above")
        yield f"columns: {_value(proposed)}"
    yield from _comment("columns in ClickHouse → Iceberg:")
    for column in draft.columns:
        yield from _comment(f"  {column.name} {column.source_type} → {column.becomes}")


def _time_column(draft: StreamDraft) -> Iterator[str]:
    chosen = draft.time_column
    if chosen is None:
        yield from _comment("timestamp_column: none was found")
    else:
        yield from _comment(f"time column, because: {'; '.join(chosen.reasons)}")
    for other in draft.ranking.candidates:
        if chosen is not None and other.column.name != chosen.column.name:
            yield from _comment(f"  instead: {other.column.name} ({'; '.join(other.reasons)})")
    for ruled in draft.ranking.ruled_out:
        yield from _comment(f"  not {ruled.column.name} ({ruled.column.type}): {ruled.reason}")
    if chosen is not None:
        yield f"timestamp_column: {_value(chosen.column.name)}"


def _comment(text: str, *, indent: int = 0) -> Iterator[str]:
    """Yield comment lines; whatever stands in ClickHouse's names and types, no line ends or starts by itself."""
    lead = " " * (len(text) - len(text.lstrip(" ")))
    plain = "".join(sign if sign.isprintable() else _escaped(sign) for sign in text.strip())
    start = " " * indent + "# "
    further = "  " if plain.startswith(("- ", "instead", "not ", "WARNING")) else ""
    for number, line in enumerate(
        wrap(plain, _WIDTH - len(start) - len(lead), break_long_words=False, break_on_hyphens=False) or [""]
    ):
        yield f"{start}{lead}{further if number else ''}{line}"


def _escaped(sign: str) -> str:
    return " " if sign.isspace() else sign.encode("unicode_escape").decode("ascii")


def _value(value: Any) -> str:  # noqa: ANN401 - whatever a section's field holds
    """Write a value so that YAML reads the same: words as they are, unless YAML would take them for something else."""
    if isinstance(value, str):
        text = str(value)
        try:
            # A value stands in a list or after a field's name: a lone "-" means something else there.
            same = yaml.safe_load(f"[{text}]") == [text] and yaml.safe_load(f"x: {text}") == {"x": text}
        except yaml.YAMLError:
            same = False
        return text if same else yaml.safe_dump(text, default_style='"', width=_UNBROKEN).strip()
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_value(key)}: {_value(item)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value)


def _size(count: float) -> str:
    for unit in _SIZES:
        if count < 1024 or unit == _SIZES[-1]:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError
