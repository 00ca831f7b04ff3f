"""Asking each engine each query: first and warm, straight for seconds, through the meter for files and bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.utils.datetime import micros_to_timestamptz

from tests.bench.cold.queries import Answer, Query
from tests.bench.cold.readers import Reader
from tests.bench.report import percentile
from tests.support.store_meter import StoreMeter

_FEW = 3
_WARM_UPS = 6
"""For how much longer than it is asked an engine may be made warm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What one query of one engine took.

    Attributes:
        engine, query: whose.
        first_ms: milliseconds of the first answer, when nothing of the table was in the engine's memory.
        warm_ms: milliseconds of the answers after that.
        cpu_ms: CPU milliseconds of one of them, on average, of server, store and client.
        files: data files of which it read anything.
        needless: those of them that hold no row of the answer, by partition and by bounds of the time column.
        bytes: bytes of data files that it read.
    """

    engine: str
    query: str
    first_ms: float
    warm_ms: Sequence[float]
    cpu_ms: float
    files: int
    needless: int
    bytes: int

    def percentile(self, percent: int) -> float:
        """Return a percentile of the warm answers, in milliseconds."""
        return percentile(self.warm_ms, percent) if len(self.warm_ms) > 1 else self.warm_ms[0]

    def document(self) -> dict[str, object]:
        """Return it as it stands in the report."""
        return {
            "engine": self.engine,
            "query": self.query,
            "first_ms": round(self.first_ms, 1),
            "p50_ms": round(self.percentile(50), 1),
            "p99_ms": round(self.percentile(99), 1),
            "cpu_ms": round(self.cpu_ms, 1),
            "runs": len(self.warm_ms),
            "files": self.files,
            "needless_files": self.needless,
            "bytes": self.bytes,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often a query is repeated: so often, but not for longer than so many seconds.

    Three times at least, and once where that would take thrice as long.
    """

    repeats: int
    seconds: float

    def enough(self, done: int, spent: float) -> bool:
        """Tell whether that was enough."""
        if done in (0, self.repeats):
            return done > 0
        return spent >= (self.seconds if done >= _FEW else _FEW * self.seconds)


def files_of(table: Table, query: Query) -> dict[str, DataFile]:
    """Return the data files that may hold rows of the answer, by path: their times meet those of the query."""
    field = table.schema().find_field("ts").field_id
    found = {}
    for task in table.scan().plan_files():
        low, high = _instant(task.file.lower_bounds, field), _instant(task.file.upper_bounds, field)
        too_late = query.until is not None and low is not None and low >= query.until
        too_early = query.since is not None and high is not None and high < query.since
        if not (too_late or too_early):
            found[task.file.file_path] = task.file
    return found


def _instant(bounds: Mapping[int, bytes] | None, field: int) -> datetime | None:
    """Return a bound; ``None`` where the manifest has none, so that anything may be in the file."""
    value = (bounds or {}).get(field)
    return None if value is None else micros_to_timestamptz(int.from_bytes(value, "little", signed=True))


class Asker:
    """Asks engines of one table as it is now."""

    def __init__(self, table: Table, straight: str, meter: StoreMeter, cpu: Callable[[], float]) -> None:
        self._cpu = cpu
        self._table = table
        self._straight = straight
        self._meter = meter

    def ask(
        self,
        readers: Iterable[Reader],
        queries: Sequence[Query],
        patience: Patience,
        expected: Mapping[str, Answer],
        said: Callable[[Asked], None] = lambda _: None,
    ) -> list[Asked]:
        """Return what each query of each engine took.

        Raises:
            AssertionError: naming engine and query, if an answer is not the expected one.
        """
        found = []
        for reader in readers:
            for query in queries:
                found.append(self._one(reader, query, patience, expected[query.name]))
                said(found[-1])
        return found

    def _warm_up(self, reader: Reader, query: Query, patience: Patience, expected: Answer) -> None:
        started = time.perf_counter()
        for _ in range(reader.warm_up):
            if time.perf_counter() - started > _WARM_UPS * patience.seconds:
                return
            self._checked(reader, query, expected, self._straight)

    def _one(self, reader: Reader, query: Query, patience: Patience, expected: Answer) -> Asked:
        reader.forget()
        first = self._checked(reader, query, expected, self._straight)
        self._warm_up(reader, query, patience, expected)
        warm: list[float] = []
        before, started = self._cpu(), time.perf_counter()
        while not patience.enough(len(warm), time.perf_counter() - started):
            warm.append(self._checked(reader, query, expected, self._straight) * 1e3)
        cpu = self._cpu() - before
        reader.forget()
        self._meter.data_files()
        self._checked(reader, query, expected, f"http://127.0.0.1:{self._meter.port}")
        read = self._meter.data_files()
        return Asked(
            engine=reader.name,
            query=query.name,
            first_ms=first * 1e3,
            warm_ms=warm,
            cpu_ms=cpu * 1e3 / len(warm),
            files=len(read),
            needless=len(read.keys() - files_of(self._table, query).keys()),
            bytes=sum(read.values()),
        )

    def _checked(self, reader: Reader, query: Query, expected: Answer, endpoint: str) -> float:
        answer, seconds = reader.ask(query, endpoint)
        if answer != expected:
            raise AssertionError(f"{reader.name}, {query.name}: {answer} where {expected} was expected")
        return seconds
