"""One trace as a tree with durations, from the trace files of several processes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opentelemetry.semconv._incubating.attributes.messaging_attributes import MESSAGING_MESSAGE_ID
from opentelemetry.semconv.attributes.db_attributes import DB_SYSTEM_NAME
from rich.text import Text
from rich.tree import Tree

from consumer.adapters.telemetry.otlp_lines import read_requests

_ERROR = 2
_SEND = "send "
_PROCESS = "process "
_SHOWN = {
    "offload.stream": "{}",
    "offload.batch.id": "batch {:.8}",
    "offload.unit": "unit {}",
    "offload.rows": "{:,} rows",
    "offload.bytes": "{:,} bytes",
    "iceberg.snapshot.id": "snapshot {}",
    "messaging.batch.message_count": "{} messages",
    "messaging.destination.partition.id": "partition {}",
    "messaging.kafka.offset": "offset {}",
    "error.type": "{}",
}
"""Attributes worth a place in the tree, and how they are written."""
_IDENTITY = frozenset({"offload.stream", "offload.batch.id"})
"""Attributes that are not written again where a line above, in the same branch, has said so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSpan:
    """A span as a trace file holds it; times in nanoseconds since the Unix epoch.

    ``linked`` are the ids of the events whose spans it is linked to.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    service: str
    started_ns: int
    ended_ns: int
    failed: bool
    attributes: Mapping[str, str | int | float | bool]
    linked: Sequence[str] = ()

    @property
    def statement(self) -> bool:
        """Whether it is a statement of SQL."""
        return DB_SYSTEM_NAME in self.attributes


def read_spans(paths: Sequence[Path], containing: str = "") -> list[FileSpan]:
    """Read all spans of trace files, each span once, in the order of their starts.

    With ``containing``, at least those of the requests in which that text stands.
    """
    spans = {span.span_id: span for request in read_requests(paths, containing) for span in _spans(request)}
    return sorted(spans.values(), key=lambda span: (span.started_ns, span.span_id))


def read_trace(paths: Sequence[Path], trace_id: str) -> list[FileSpan]:
    """Read the spans of one trace (its id in 32 hexadecimal digits), in the order of their starts."""
    return [span for span in read_spans(paths, trace_id) if span.trace_id == trace_id]


def handling_of_event(paths: Sequence[Path], event_id: str) -> FileSpan | None:
    """Return the span in which an event was handled last, maybe covered by another one; else that of its sending."""
    spans = [
        span
        for span in read_spans(paths, event_id)
        if span.attributes.get(MESSAGING_MESSAGE_ID) == event_id or event_id in span.linked
    ]
    handled = [span for span in spans if span.name.startswith(_PROCESS)]
    return next(reversed(handled or spans), None)


def render_trace(paths: Sequence[Path], trace_id: str, *, downstream: bool = False, statements: bool = False) -> Tree:
    """Draw one trace (its id in 32 hexadecimal digits) from trace files; see :func:`draw_trace`."""
    spans = read_trace(paths, trace_id)
    if not spans:
        return Tree(Text(f"trace {trace_id}: no spans in the trace files", "dim"))
    return draw_trace(spans, downstream=downstream, statements=statements)


def draw_trace(spans: Sequence[FileSpan], *, downstream: bool = False, statements: bool = False) -> Tree:
    """Draw the spans of one trace, at least one, as a tree.

    With ``downstream`` also what its events set off in the streams that depend on it, with ``statements`` also the
    statements of SQL; without, each of these is one line.
    """
    return _Drawing(spans, downstream=downstream, statements=statements).tree()


class _Drawing:
    """Draws who caused what, when after the trace's start, and for how long.

    A span whose parent is in no file hangs from the root.
    """

    def __init__(self, spans: Sequence[FileSpan], *, downstream: bool, statements: bool) -> None:
        self._downstream = downstream
        self._folded = [] if statements else [span for span in spans if span.statement]
        self._begin = min(span.started_ns for span in spans)
        self._length = max(span.ended_ns for span in spans) - self._begin
        self._trace_id = spans[0].trace_id
        known = {span.span_id for span in spans}
        self._children: dict[str | None, list[FileSpan]] = defaultdict(list)
        for span in spans if statements else [span for span in spans if not span.statement]:
            self._children[span.parent_id if span.parent_id in known else None].append(span)

    def tree(self) -> Tree:
        """Return the whole drawing."""
        title = Text.assemble(("trace ", "bold"), self._trace_id, (f"  {_duration(self._length)}", "dim"))
        tree = Tree(title, guide_style="dim")
        self._grow(tree, None, {})
        if self._folded:
            length = sum(span.ended_ns - span.started_ns for span in self._folded)
            tree.add(Text(f"statements of SQL: {len(self._folded)}, {_duration(length)} in all", "dim italic"))
        return tree

    def _grow(self, tree: Tree, parent: str | None, above: Mapping[str, object]) -> None:
        folded: list[FileSpan] = []
        said = dict(above)
        for span in self._children.get(parent, ()):
            if parent is not None and span.name.startswith(_SEND) and not self._downstream:
                folded.append(span)
            else:
                branch = tree.add(_line(span, self._begin, said))
                said |= {key: span.attributes[key] for key in _IDENTITY if key in span.attributes}
                said["service"] = span.service
                self._grow(branch, span.span_id, said)
        if folded:
            count = sum(self._size(span.span_id) for span in folded)
            tree.add(Text(f"events to dependent streams: {len(folded)}, with {count} spans", "dim italic"))

    def _size(self, span_id: str) -> int:
        return 1 + sum(self._size(child.span_id) for child in self._children.get(span_id, ()))


def _line(span: FileSpan, begin: int, said: Mapping[str, object]) -> Text:
    details = [
        form.format(span.attributes[key])
        for key, form in _SHOWN.items()
        if key in span.attributes and said.get(key) != span.attributes[key]
    ]
    return Text.assemble(
        (span.name, "bold red" if span.failed else "bold cyan"),
        (f"  {_duration(span.ended_ns - span.started_ns)}", "green"),
        (f"  +{_duration(span.started_ns - begin)}", "dim"),
        (f"  {span.service}" if said.get("service") != span.service else "", "dim italic"),
        ("  " + ", ".join(details) if details else "", "dim"),
    )


def _duration(nanoseconds: int) -> str:
    milliseconds = nanoseconds / 1e6
    if milliseconds < 1000:
        return f"{milliseconds:.1f} ms"
    return f"{milliseconds / 1000:.2f} s"


def _spans(request: Mapping[str, Any]) -> Iterator[FileSpan]:
    for resource in request.get("resourceSpans", ()):
        service = _attributes(resource.get("resource", {})).get("service.name", "")
        for scope in resource.get("scopeSpans", ()):
            for span in scope.get("spans", ()):
                yield FileSpan(
                    trace_id=span["traceId"],
                    span_id=span["spanId"],
                    parent_id=span.get("parentSpanId") or None,
                    name=span["name"],
                    service=str(service),
                    started_ns=int(span["startTimeUnixNano"]),
                    ended_ns=int(span["endTimeUnixNano"]),
                    failed=span.get("status", {}).get("code") == _ERROR,
                    attributes=_attributes(span),
                    linked=tuple(
                        str(link[MESSAGING_MESSAGE_ID])
                        for link in map(_attributes, span.get("links", ()))
                        if MESSAGING_MESSAGE_ID in link
                    ),
                )


def _attributes(holder: Mapping[str, Any]) -> dict[str, str | int | float | bool]:
    found: dict[str, str | int | float | bool] = {}
    for attribute in holder.get("attributes", ()):
        kind, value = next(iter(attribute["value"].items()), ("", None))
        if value is None or kind not in {"stringValue", "intValue", "doubleValue", "boolValue"}:
            continue
        # OTLP/JSON writes 64-bit numbers as strings.
        found[attribute["key"]] = int(value) if kind == "intValue" else value
    return found
