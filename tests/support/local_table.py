"""A table whose metadata lies in a folder of this machine, and a model of what every one of its snapshots holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat, ManifestEntry, ManifestFile
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.typedef import Record

from consumer.adapters.iceberg.metadata_files import write_next
from consumer.adapters.iceberg.staging import StagedCommit
from consumer.adapters.iceberg.tables import new_metadata
from consumer.adapters.iceberg.target import Base
from consumer.domain.stream import Stream
from tests.support.cold_tier import MAPPING

Live = Mapping[str, tuple[int, int]]
"""Data files by path, each with the snapshot that added it, and that snapshot's sequence number."""


@dataclass(slots=True)
class LocalTable:
    """Commits as the publisher stages them; ``held`` is what each snapshot has to list, by its id.

    New data files lie in the folder ``data``.
    """

    stream: Stream
    io: FileIO
    base: Base
    held: dict[int, Live] = field(default_factory=dict)
    numbers: count[int] = field(default_factory=count)
    data: str = "data"

    @property
    def metadata(self) -> TableMetadata:
        """The table as it is now."""
        return self.base.metadata

    @property
    def live(self) -> Live:
        """What the current snapshot has to list."""
        current = self.metadata.current_snapshot_id
        return {} if current is None else self.held[current]

    def append(
        self, files: int, summary: Mapping[str, str], properties: Mapping[str, str], *, merging: bool = True
    ) -> int:
        """Add data files, by the publisher's append or by another engine's, and expire what the stream lets go."""
        commit = StagedCommit(self.base.table(self.io))
        added = [self.new_file() for _ in range(files)]
        if merging:
            snapshot_id = commit.append_files(added, summary)
            commit.expire(self.stream.retain_snapshots)
            commit.set_properties(dict(properties))
        else:
            producer = commit.update_snapshot().fast_append()
            for file in added:
                producer.append_data_file(file)
            producer.commit()
            snapshot_id = producer.snapshot_id
        return self._committed(commit, snapshot_id, added, ())

    def replace(self, path: str, summary: Mapping[str, str], properties: Mapping[str, str]) -> int:
        """Put another file in the place of a live one."""
        table = self.base.table(self.io)
        commit = StagedCommit(table)
        (removed,) = [
            entry.data_file for entry in _entries(self.manifests(), self.io) if entry.data_file.file_path == path
        ]
        added = [self.new_file()]
        snapshot_id = commit.replace_files(added, [removed], summary)
        commit.expire(self.stream.retain_snapshots)
        commit.set_properties(dict(properties))
        return self._committed(commit, snapshot_id, added, [path])

    def tag(self, name: str) -> int:
        """Tag the current snapshot."""
        snapshot = self.metadata.current_snapshot()
        assert snapshot is not None
        commit = StagedCommit(self.base.table(self.io))
        commit.tag(name, snapshot.snapshot_id)
        self.base = write_next(self.base, commit.result(), self.io)
        return snapshot.snapshot_id

    def manifests(self, snapshot_id: int | None = None) -> Sequence[ManifestFile]:
        """The manifests of a snapshot, of the current one by default."""
        found = self.metadata.current_snapshot() if snapshot_id is None else self.metadata.snapshot_by_id(snapshot_id)
        return [] if found is None else found.manifests(self.io)

    def listed(self, snapshot_id: int) -> tuple[Live, Sequence[str]]:
        """What a snapshot lists, and what it lists more than once."""
        found: dict[str, tuple[int, int]] = {}
        times = Counter[str]()
        for entry in _entries(self.manifests(snapshot_id), self.io):
            path = entry.data_file.file_path
            times[path] += 1
            found[path] = (entry.snapshot_id or 0, entry.sequence_number or 0)
        return found, [path for path, number in times.items() if number > 1]

    def new_file(self) -> DataFile:
        """A data file that no snapshot lists yet; nobody looks into it."""
        return DataFile.from_args(
            content=DataFileContent.DATA,
            file_path=f"{self.metadata.location}/{self.data}/{next(self.numbers)}.parquet",
            file_format=FileFormat.PARQUET,
            partition=Record(),
            record_count=1,
            file_size_in_bytes=100,
            sort_order_id=None,
            spec_id=self.metadata.default_spec_id,
            equality_ids=None,
            key_metadata=None,
        )

    def _committed(
        self, commit: StagedCommit, snapshot_id: int, added: Sequence[DataFile], removed: Sequence[str]
    ) -> int:
        before = self.live
        self.base = write_next(self.base, commit.result(), self.io)
        snapshot = self.metadata.current_snapshot()
        assert snapshot is not None
        assert snapshot.snapshot_id == snapshot_id
        new = {file.file_path: (snapshot_id, snapshot.sequence_number or 0) for file in added}
        self.held[snapshot_id] = {path: was for path, was in before.items() if path not in removed} | new
        return snapshot_id


def _entries(manifests: Sequence[ManifestFile], io: FileIO) -> list[ManifestEntry]:
    return [entry for manifest in manifests for entry in manifest.fetch_manifest_entry(io, discard_deleted=True)]


def local_table(folder: Path, stream: Stream, **properties: str) -> LocalTable:
    """A new table without partitions in a folder, with table properties besides the product's own."""
    metadata = new_metadata(stream, MAPPING, f"file://{folder}")
    metadata = metadata.model_copy(update={"properties": {**metadata.properties, **properties}})
    io = PyArrowFileIO()
    first = Base(name=stream.target, location=f"file://{folder}/metadata/00000-first.metadata.json", metadata=metadata)
    return LocalTable(stream, io, first)
