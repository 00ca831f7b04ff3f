"""ClickHouse's exceptions in bodies that had begun as results."""

from __future__ import annotations

import re

_EXCEPTION = re.compile(rb"Code: (\d+)\. DB::[A-Za-z]*Exception: [^\n]*")


def find_exception(body: bytes) -> tuple[int, str] | None:
    """Find the text of an exception that ClickHouse wrote into a body that it had begun; its code and line."""
    found = _EXCEPTION.search(body)
    if found is None:
        return None
    return int(found.group(1)), found.group(0).decode("utf-8", "replace")
