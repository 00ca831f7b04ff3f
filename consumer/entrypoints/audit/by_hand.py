"""How an auditor repeats each check by hand, without icehaul."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from string import Template

from consumer.domain.audit import CheckName, StreamAudit

_HEAD = re.compile(r"^-- check: (\w+) on (\w+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A statement, and what it is to be run on; in Spark, the catalog goes by the name ``icehaul``."""

    check: CheckName
    on: str
    sql: str


def queries(audit: StreamAudit) -> Sequence[Query]:
    """Return the statements by which a stream's audit is repeated, in the order of the checks."""
    names = {"stream": audit.stream, "target": audit.target, "hot": audit.hot_query or ""}
    filled = [
        Query(check=template.check, on=template.on, sql=Template(template.sql).substitute(names))
        for template in _templates()
    ]
    return [query for query in filled if query.sql]


@cache
def _templates() -> Sequence[Query]:
    text = (resources.files(__package__) / "by_hand.sql").read_text(encoding="utf-8")
    _, *parts = _HEAD.split(text)
    return [
        Query(check=CheckName(name), on=on, sql=sql.strip())
        for name, on, sql in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    ]
