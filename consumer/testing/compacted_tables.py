"""Tables of a catalog in memory as compaction looks at them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from consumer.domain.compaction import Layout, TableFile, TableState
from consumer.domain.stream import Stream
from consumer.domain.window import BEGINNING, PartitionBy, Window
from consumer.testing.catalog import MemoryCatalog


class MemoryCompactedTables:
    """The port ``CompactedTables`` on a catalog in memory, whose files all have one layout."""

    layout = Layout(schema="{}", columns=("ts", "seq", "value"))

    def __init__(self, catalog: MemoryCatalog) -> None:
        self._catalog = catalog
        self.bytes: int | None = None

    def state(self, stream: Stream, watermark: datetime) -> TableState | None:
        """Return the files of a stream's target."""
        table = self._catalog.tables.get(stream.target)
        if table is None or table.current is None or watermark <= BEGINNING:
            return None
        files = []
        for number, (file, window) in enumerate(table.live()):
            lower = table.partition_by.floor(window.lower)
            upper = watermark if table.partition_by is PartitionBy.NONE else table.partition_by.ceil(window.lower)
            files.append(
                TableFile(
                    path=file.path,
                    bytes=file.bytes,
                    rows=file.fingerprint.rows,
                    partition=Window(lower=lower, upper=upper),
                    sequence=number,
                    deletes=table.deletes.get(file.path, ()),
                )
            )
        return TableState(snapshot_id=table.current, sequence=table.version, files=tuple(files))

    def file_bytes(self, stream: Stream) -> int | None:  # noqa: ARG002 - as the port has it
        """Return the size that the target asks of its files."""
        return self.bytes

    def layouts(self, stream: Stream, paths: Sequence[str]) -> Mapping[str, Layout]:  # noqa: ARG002
        """Return how data files were written: all alike."""
        return dict.fromkeys(paths, self.layout)
