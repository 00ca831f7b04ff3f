"""Which units ClickHouse is asked to write by itself, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import structlog

from consumer.adapters.clickhouse.files import FileReader
from consumer.domain.batch import Unit
from consumer.domain.export_query import ATTEMPT, export_statement, file_columns
from consumer.domain.mapping import TableMapping
from consumer.domain.row_order import AS_READ, RowOrder
from consumer.domain.stream import Stream
from consumer.domain.unit_query import unit_rows
from consumer.domain.writer import Writer, WriterPolicy, choose_writer
from spark.unit_task import ExportOrder, UnitOutcome, attempt_path

_REMEMBERED_SECONDS = 600.0
"""How long after a refusal ``auto`` does not ask again: somebody may have given the rights meanwhile."""

_log = structlog.get_logger(__name__)


def export_order(
    files: FileReader,
    mapping: TableMapping,
    rows: str,
    path: str,
    *,
    may_stream: bool,
    sorted_by: RowOrder = AS_READ,
) -> ExportOrder:
    """Return the order to write ``rows``, a query of wire values, under the path of an attempt."""
    target = files.source(f"{path}.export", file_columns(mapping))
    return ExportOrder(statement=export_statement(mapping, rows, target, sorted_by), may_stream=may_stream)


class Exports:
    """Writes the orders for ClickHouse, and remembers where it refuses; several threads may use it."""

    def __init__(
        self,
        policy: WriterPolicy,
        files: FileReader,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._files = files
        self._clock = clock
        self._refusals: dict[str, tuple[float, str]] = {}

    def order(
        self, stream: Stream, mapping: TableMapping, unit: Unit, prefix: str, sorted_by: RowOrder = AS_READ
    ) -> ExportOrder | None:
        """Return how ClickHouse is to write a unit under ``prefix``; ``None`` where the task reads its rows."""
        if unit.rewriting is not None:
            return None
        cluster = stream.source.cluster is not None
        choice = choose_writer(self._policy, unit, cluster=cluster, refusal=self._refusal(stream.name))
        if choice.writer is not Writer.EXPORT:
            return None
        path = attempt_path(prefix, unit.index, ATTEMPT)
        may_stream = self._policy is WriterPolicy.AUTO
        rows = unit_rows(stream, mapping, unit)
        return export_order(self._files, mapping, rows, path, may_stream=may_stream, sorted_by=sorted_by)

    def learn(self, stream: Stream, outcomes: Sequence[UnitOutcome]) -> None:
        """Remember, and say once, that units of a stream had to be read because ClickHouse did not export them."""
        refusal = next((one.refusal for one in outcomes if one.refusal is not None), None)
        if refusal is None:
            return
        if self._refusal(stream.name) is None:
            _log.warning(
                "writer.export_refused",
                stream=stream.name,
                reason=refusal,
                remedy="nothing has to be done: the rows were read instead, and will be; to export, do what the reason"
                " asks for, or set spark.writer to stream to be told no more",
            )
        self._refusals[stream.name] = (self._clock() + _REMEMBERED_SECONDS, refusal)

    def _refusal(self, stream: str) -> str | None:
        until, reason = self._refusals.get(stream, (0.0, ""))
        return reason if reason and self._clock() < until else None
