"""The files of a table: how many, how large, and how many of them could be fewer."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass

from pyiceberg.table import Table

from consumer.domain.table_size import TableSize

SMALL_RATIO = 0.05
"""The share of files that may be small after maintenance, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The live data files of a table.

    Attributes:
        files, bytes: how many, and their bytes together.
        small: files below 32 MiB, as the metric ``icehaul_table_small_files_ratio`` counts them.
        superfluous: files of less than half of what a file may hold that are not alone in that in their partition.
        manifests: how many manifests list them.
    """

    files: int
    bytes: int
    small: int
    superfluous: int
    manifests: int

    @property
    def small_ratio(self) -> float:
        """The share of files that could be fewer."""
        return self.superfluous / self.files if self.files else 0.0

    def document(self) -> dict[str, object]:
        """Return it as it stands in the report."""
        return asdict(self) | {"superfluous_ratio": round(self.small_ratio, 4)}


def files_now(table: Table, file_rows: int, file_bytes: int) -> Files:
    """Count the files of a table's current snapshot; a file may hold so many rows and so many bytes."""
    live = [task.file for task in table.scan().plan_files()]
    snapshot = table.current_snapshot()
    half = [one for one in live if one.record_count * 2 < file_rows and one.file_size_in_bytes * 2 < file_bytes]
    places = Counter(one.partition[0] for one in half)
    size = TableSize.of(one.file_size_in_bytes for one in live)
    return Files(
        files=size.files,
        bytes=size.bytes,
        small=size.small_files,
        superfluous=sum(count for count in places.values() if count > 1),
        manifests=0 if snapshot is None else len(snapshot.manifests(table.io)),
    )
