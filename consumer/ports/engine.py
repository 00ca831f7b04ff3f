"""The engine that writes the units of a batch as data files: Spark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from consumer.domain.batch import Batch, WrittenFile
from consumer.domain.mapping import TableMapping
from consumer.domain.stream import Stream
from consumer.ports.cold_tier import TargetTable


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitReport:
    """What one task reports of the unit that it wrote, and how many seconds it took.

    ``removed`` tells that the file holds the rows of rewritten files that were deleted: it is compared, and never
    published.
    """

    file: WrittenFile
    seconds: float = 0.0
    removed: bool = False


class BatchEngine(Protocol):
    """Writes the units of a batch as data files: Spark."""

    def write(
        self,
        *,
        stream: Stream,
        mapping: TableMapping,
        target: TargetTable,
        batch: Batch,
        prefix: str,
        traceparent: str | None,
    ) -> Sequence[UnitReport]:
        """Write every unit under ``prefix`` and return one report for each file (none for a unit without rows).

        The files of a rewrite have no digest yet: nobody has read the rows by ClickHouse.

        ``traceparent`` is the W3C trace context in which the tasks work: each is a span ``offload.unit`` below it.

        Raises:
            SourceUnavailableError, StoreUnavailableError, EngineFailedError, CheckFailedError
        """
        ...

    def cancel(self, batch_id: UUID) -> None:
        """Cancel the tasks of a batch, if any run; what they wrote stays under their own paths."""
        ...
