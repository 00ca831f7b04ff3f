"""What attempts of a ledger in memory have written."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from uuid import UUID

from consumer.domain.audit import RecordedAttempt, RecordedFile
from consumer.domain.batch import Batch, BatchStatus, Rewind, WrittenFile
from consumer.domain.errors import DivergenceError
from consumer.ports import BatchRecord
from consumer.testing.batches import MemoryBatches


class MemoryAttempts:
    """What ``offload_attempts`` and ``offload_files`` hold; the ledger's mutex protects it."""

    def __init__(self, batches: MemoryBatches) -> None:
        self._batches = batches
        self._files: dict[str, tuple[UUID, str, WrittenFile]] = {}
        self._prefixes: dict[str, UUID] = {}
        self._former: dict[str, list[UUID]] = {}

    def stage(self, stream: str, batch_id: UUID, prefix: str, files: Sequence[WrittenFile]) -> None:
        """Record a prefix and its files.

        Raises:
            DivergenceError: if a path is recorded already with other content.
        """
        for file in files:
            if self._files.get(file.path, (batch_id, prefix, file)) != (batch_id, prefix, file):
                raise DivergenceError(
                    f"stream {stream}: {file.path} is recorded already with other content",
                    remedy="no two attempts may write to one path",
                )
        self._prefixes.setdefault(prefix, batch_id)
        self._files.update({file.path: (batch_id, prefix, file) for file in files})

    def close(self, stream: str, before_epoch: int, error: str) -> int:
        """Record as failed what owners before an epoch have left as being written, and return how many batches."""
        return self._batches.close(stream, before_epoch, error)

    def own(self, batch_id: UUID, file: WrittenFile) -> None:
        """Give a file to a batch, whoever wrote it."""
        prefix = file.path.rpartition("/")[0]
        self._prefixes.setdefault(prefix, batch_id)
        self._files[file.path] = (batch_id, prefix, file)

    def hand_over(self, batch: Batch, rewind: Rewind, withdrawn: Sequence[BatchRecord]) -> None:
        """Give the files that a rewind leaves to whom their rows belong now."""
        gone = {record.batch_id: record for record in withdrawn}
        left = rewind.remainder
        for path, (owner, prefix, file) in list(self._files.items()):
            if left is not None and owner == batch.id and file.unit in left.units:
                self._files[path] = left.id, prefix, replace(file, kept=False)
            elif owner in gone and file.kept:
                self._files[path] = batch.id, prefix, file
            elif left is not None and owner in gone and gone[owner].window.lower < rewind.watermark:
                self._files[path] = left.id, prefix, file
            else:
                continue
            self._former.setdefault(path, []).append(owner)

    def give_back(self, batch_ids: Collection[UUID]) -> None:
        """Give files back to batches that count again, where a rewind has given them to one that was withdrawn."""
        for path, former in self._former.items():
            owner, prefix, file = self._files[path]
            now = self._batches.get(owner)
            if now is not None and now.record.status is BatchStatus.WITHDRAWN:
                again = next((one for one in former if one in batch_ids), owner)
                self._files[path] = again, prefix, file

    def attempts(self, stream: str) -> Sequence[RecordedAttempt]:
        """Return every prefix that an attempt at a batch of the stream was to write under."""
        return [
            RecordedAttempt(prefix=prefix, batch_id=batch_id, status=stored.record.status)
            for prefix, batch_id in self._prefixes.items()
            if (stored := self._batches.get(batch_id)) is not None and stored.record.stream == stream
        ]

    def files(self, stream: str) -> Sequence[RecordedFile]:
        """Return every data file that an attempt at a batch of the stream reported."""
        return [
            RecordedFile(
                path=file.path,
                batch_id=batch_id,
                bytes=file.bytes,
                fingerprint=file.fingerprint,
                status=stored.record.status,
                published=stored.fingerprint if stored.record.status is BatchStatus.PUBLISHED else None,
                kept=file.kept,
                superseded=self._batches.superseded(stored),
            )
            for batch_id, _, file in self._files.values()
            if (stored := self._batches.get(batch_id)) is not None and stored.record.stream == stream
        ]
