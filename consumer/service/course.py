"""The way of a stream from its watermark to its cutoff, planned as it is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from consumer.domain.batch import Batch
from consumer.ports import StreamRecord


class Course:
    """The batches that lead a stream to its cutoff, each planned when it is its turn; not thread-safe.

    Args:
        begin: plans the batches from a record's watermark on, lazily.
    """

    def __init__(self, begin: Callable[[StreamRecord], Iterator[Batch]]) -> None:
        self._begin = begin
        self._ahead: Iterator[Batch] = iter(())
        self._watermark: datetime | None = None
        self._batch: Batch | None = None

    def at(self, record: StreamRecord) -> Batch | None:
        """Return the batch that begins at a record's watermark; ``None`` at the cutoff.

        Asked again, it is the same one. After a failure, and where the watermark is not at the end of the batch before,
        planning begins anew.

        Raises:
            StreamError, TransientError: as the source raises them.
        """
        if self._watermark == record.watermark:
            return self._batch
        if self._batch is None or self._batch.window.upper != record.watermark:
            self._ahead = self._begin(record)
        self._watermark = self._batch = None
        batch = next(self._ahead, None)
        self._watermark, self._batch = record.watermark, batch
        return batch

    def rest(self, record: StreamRecord) -> Iterator[Batch]:
        """Yield every batch from a record's watermark on, as they would be planned now."""
        return self._begin(record)
