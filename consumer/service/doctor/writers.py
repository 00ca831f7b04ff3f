"""The check of the writer: whether ClickHouse can write data files itself, by writing one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from consumer.domain.errors import IcehaulError
from consumer.domain.writer import EXPORT_BYTES_MIN, WriterPolicy
from consumer.service.doctor.finding import Statement, error, info, ok


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterCheck:
    """Export of one small file, unless units are never exported here.

    ``export`` lets ClickHouse write a file, completes it as a task does, and removes it.
    """

    subject: str
    policy: WriterPolicy
    cluster: bool
    export: Callable[[], None]
    name: str = "writer"

    def run(self) -> Iterator[Statement]:
        """Export where that is configured; where it is only preferred, a refusal is no fault."""
        if self.policy is WriterPolicy.STREAM or self.cluster:
            why = "the source is read over a cluster" if self.cluster else "spark.writer is stream"
            yield ok(f"stream: Spark's tasks read the rows, for {why}")
            return
        try:
            self.export()
        except IcehaulError as failure:
            if self.policy is WriterPolicy.EXPORT:
                yield error(f"ClickHouse can't export: {failure.message}", failure.remedy)
            else:
                yield info(f"stream: Spark's tasks read the rows; an export fails: {failure.message}", failure.remedy)
            return
        size = "" if self.policy is WriterPolicy.EXPORT else f" of {EXPORT_BYTES_MIN // 2**20} MiB and more"
        yield ok(f"export: ClickHouse writes the files of units{size} to the store by itself")
