"""The batch that replaces a window's rows: what is read of it, and what other rows of its files are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from consumer.domain.batch import Batch, BatchKind, KeptRows, Replacement, Unit
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.reconcile import RecordedWindow
from consumer.domain.replacement import FileShare
from consumer.domain.stream import Stream
from consumer.domain.window import Window
from consumer.ports import Ledger, Source
from consumer.service.batch_context import BatchContext
from consumer.service.plan import Planner, fitted


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanged:
    """A window, the data files that hold its rows, and the rows of the hot tier that are to take their place."""

    recorded: RecordedWindow
    files: Sequence[FileShare]
    hot: Fingerprint


class ReplacementPlanner:
    """Plans the batches that replace windows; for the command and for the modes that do so by themselves."""

    def __init__(self, source: Source, ledger: Ledger) -> None:
        self._planner = Planner(source, ledger)

    def batch(self, context: BatchContext, generation: int, exchanged: Exchanged) -> Batch:
        """Return the batch; what is read for it must be what was compared, or it is not published.

        Raises:
            StreamError, TransientError: as the source raises them.
        """
        stream, work, recorded = context.stream, context.work, exchanged.recorded
        window = recorded.window
        units = list(self._planner.units(fitted(stream, work.target), window))
        for share in exchanged.files:
            if share.elsewhere is not None:
                units.append(_kept_unit(len(units), stream, window, share))
        revision = recorded.revision + 1
        return Batch(
            id=work.identity(generation).batch_id(BatchKind.REPLACE, window, base=recorded.cold, revision=revision),
            stream=stream.name,
            kind=BatchKind.REPLACE,
            window=window,
            generation=generation,
            units=tuple(units),
            base=recorded.cold,
            revision=revision,
            replacement=Replacement(content=exchanged.hot, files=tuple(share.path for share in exchanged.files)),
        )


def _kept_unit(index: int, stream: Stream, window: Window, share: FileShare) -> Unit:
    elsewhere = share.elsewhere or window.lower
    partition = Window(lower=stream.partition_by.floor(elsewhere), upper=stream.partition_by.ceil(elsewhere))
    return Unit(
        index=index,
        window=partition,
        rows=share.outside.rows,
        kept=KeptRows(path=share.path, outside=window, fingerprint=share.outside),
    )
