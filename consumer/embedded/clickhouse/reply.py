"""What goes back to the client, independent of how it is sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from io import BufferedReader

from consumer.embedded.clickhouse.engine import Outcome

_TEXT = "text/plain; charset=UTF-8"
_CONTENT_TYPES = {
    "csv": "text/csv; charset=UTF-8; header=absent",
    "csvwithnames": "text/csv; charset=UTF-8; header=present",
    "csvwithnamesandtypes": "text/csv; charset=UTF-8; header=present",
    "xml": "application/xml; charset=UTF-8",
    "html": "text/html; charset=UTF-8",
    "markdown": "text/markdown; charset=UTF-8",
}
_BINARY_FORMATS = (
    "native", "rowbinary", "arrow", "parquet", "orc", "avro", "msgpack", "protobuf", "capnproto", "rawblob", "npy",
    "bson",
)  # fmt: skip


def content_type(format_name: str) -> str:
    """The media type ClickHouse sends with a format."""
    name = format_name.lower()
    if name in _CONTENT_TYPES:
        return _CONTENT_TYPES[name]
    if name.startswith(("tabseparated", "tsv")):
        return "text/tab-separated-values; charset=UTF-8"
    if name.startswith("json"):
        lines = "eachrow" in name or name in {"jsonlines", "ndjson"}
        return "application/x-ndjson; charset=UTF-8" if lines else "application/json; charset=UTF-8"
    return "application/octet-stream" if name.startswith(_BINARY_FORMATS) else _TEXT


def summary(outcome: Outcome | None) -> str:
    """The header X-ClickHouse-Summary.

    Without an outcome the statement still runs while its first rows leave. A server then reports the counts so far;
    this one leaves them out, so that a count which is there is always the exact one.
    """
    if outcome is None:
        return json.dumps({})
    counts = {
        "read_rows": outcome.read_rows,
        "read_bytes": outcome.read_bytes,
        "written_rows": outcome.written_rows,
        "written_bytes": outcome.written_bytes,
        "total_rows_to_read": 0,
        "result_rows": outcome.result_rows,
        "result_bytes": outcome.result_bytes,
        "elapsed_ns": outcome.elapsed_ns,
    }
    return json.dumps({name: str(count) for name, count in counts.items()}, separators=(",", ":"))


@dataclass(slots=True, kw_only=True)
class Reply:
    """A successful answer: its body is bytes, a file (to be closed) or a stream that may still fail."""

    body: bytes | BufferedReader | Iterator[bytes]
    format: str | None
    outcome: Outcome | None
    coding: str | None = None
    status: HTTPStatus = HTTPStatus.OK

    def headers(self) -> dict[str, str]:
        """The headers that depend on the result."""
        headers = {"Content-Type": content_type(self.format) if self.format else _TEXT}
        if self.format:
            headers["X-ClickHouse-Format"] = self.format
        if self.coding:
            headers["Content-Encoding"] = self.coding
        headers["X-ClickHouse-Summary"] = summary(self.outcome)
        return headers
