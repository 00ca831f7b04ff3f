"""The check of the object store: every operation that icehaul needs, on one small file of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from consumer.domain.errors import IcehaulError
from consumer.service.doctor.finding import Statement, error, ok


class StoreProbe(Protocol):
    """One small Parquet file under the warehouse."""

    def put(self) -> None:
        """Write the file."""
        ...

    def get(self) -> bool:
        """Tell whether the file reads back as it was written."""
        ...

    def listed(self) -> bool:
        """Tell whether its folder lists the file."""
        ...

    def read_by_clickhouse(self) -> bool:
        """Tell whether ClickHouse reads the file with its values."""
        ...

    def delete(self) -> None:
        """Remove the file."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreCheck:
    """Put, get, list, ClickHouse's s3(), delete."""

    subject: str
    probe: StoreProbe
    name: str = "object store"

    def run(self) -> Iterator[Statement]:
        """Write the file, try everything with it, and remove it whatever happened."""
        self.probe.put()
        done = ["put"]
        for operation, doing in (
            ("get", self.probe.get),
            ("list", self.probe.listed),
            ("read by ClickHouse's s3()", self.probe.read_by_clickhouse),
        ):
            try:
                if doing():
                    done.append(operation)
                else:
                    yield error(
                        f"{operation}: the file that was just written is not there, or not whole",
                        "use a store with read-after-write consistency, and no cache in between",
                    )
            except IcehaulError as failure:
                yield error(f"{operation}: {failure.message}", failure.remedy)
        try:
            self.probe.delete()
            done.append("delete")
        except IcehaulError as failure:
            yield error(f"delete: {failure.message}", failure.remedy)
        yield ok(f"works: {', '.join(done)}")
