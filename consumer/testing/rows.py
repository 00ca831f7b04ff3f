"""The rows of the hot tier in memory."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.held_rows import FilePart
from consumer.domain.mapping import SourceColumn
from consumer.domain.window import PartitionBy

ROW_BYTES = 100
"""What every row of the fake weighs."""

COLUMNS = (
    SourceColumn(name="ts", type="DateTime64(6, 'UTC')"),
    SourceColumn(name="seq", type="UInt64"),
    SourceColumn(name="value", type="Int64"),
)
"""The columns of every table of the fake, until one is given another type."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Row:
    """A row of the fake: time column ``ts``, sequence column ``seq``, and a value."""

    ts: datetime
    seq: int
    value: int = 0

    def fingerprint(self) -> Fingerprint:
        """Return the fingerprint of this row alone."""
        text = f"{self.ts.isoformat()}|{self.seq}|{self.value}"
        digest = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
        return Fingerprint(rows=1, digest=digest)

    def texts(self) -> Mapping[str, str | None]:
        """Return each column's value as ClickHouse writes it."""
        return {"ts": f"{self.ts:%Y-%m-%d %H:%M:%S.%f}", "seq": str(self.seq), "value": str(self.value)}


def fingerprint_of(rows: Iterable[Row]) -> Fingerprint:
    """Return the fingerprint of some rows."""
    return sum((row.fingerprint() for row in rows), EMPTY)


def file_parts(path: str, rows: Iterable[Row], bounds: Collection[datetime]) -> list[FilePart]:
    """Return what a file holds from one bound to the next, and by day."""
    stretches: defaultdict[datetime, list[Row]] = defaultdict(list)
    for row in rows:
        day = PartitionBy.DAY.floor(row.ts)
        stretches[max((bound for bound in bounds if day < bound <= row.ts), default=day)].append(row)
    return [
        FilePart(
            path=path,
            lower=lower,
            fingerprint=fingerprint_of(some),
            first=min(row.ts for row in some),
            last=max(row.ts for row in some),
        )
        for lower, some in stretches.items()
    ]
