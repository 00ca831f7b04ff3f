"""Where restored rows come from: the files of a snapshot, the ledger's record of them, and the columns they had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from consumer.domain.divergence import check_divergence
from consumer.domain.errors import (
    CatalogUnavailableError,
    DivergenceError,
    SourceMissingError,
    StreamError,
    TargetMissingError,
)
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.mapping import TableMapping
from consumer.domain.reconcile import RecordedWindow
from consumer.domain.restore import RestoreChoice
from consumer.domain.restore_query import TableLayout, layout_of
from consumer.domain.stream import Stream
from consumer.domain.window import Window
from consumer.ports import Ledger, Source, SourceTable, StreamRecord
from consumer.service.restoring.columns import PastColumns, present_columns, remembered_columns
from consumer.service.restoring.ports import DataFile, PastTable, PastTables, RestoreServer

_LOOKS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What is known of a stream's rows without reading any.

    Attributes:
        record: the ledger's record.
        past: the target at the snapshot that is restored.
        windows: what the ledger has recorded of the stretch.
        source: the source, if the table that the ledger knows is still there.
        columns: the columns, as the source has, or had, them.
        layout: how a table of them is laid out.
    """

    record: StreamRecord
    past: PastTable
    windows: Sequence[RecordedWindow]
    source: SourceTable | None
    columns: PastColumns
    layout: TableLayout


class ColdRows:
    """Reads what is to be restored of a stream, and what is known of it."""

    def __init__(self, *, source: Source, ledger: Ledger, past: PastTables, server: RestoreServer) -> None:
        self._source = source
        self._ledger = ledger
        self._past = past
        self._server = server

    def origin(self, stream: Stream, choice: RestoreChoice) -> Origin:
        """Return what is known of the rows without reading any.

        Raises:
            ConfigurationError: if there is no such snapshot.
            DivergenceError, TargetMissingError, TargetMismatchError: if ledger and target do not fit together.
            StreamError: if nothing of the stretch was offloaded.
            TransientError: if something can't be asked now.
        """
        record, past, windows = self._moment(stream, choice)
        if past.snapshot_id is None or not windows:
            raise StreamError(
                f"stream {stream.name}: nothing of {choice.within} was offloaded",
                remedy=f"see `icehaul status {stream.name}` for what was, and name a stretch of that",
            )
        source = self._known_source(stream, record)
        if source is None:
            columns = remembered_columns(stream, record, past)
            layout = layout_of(stream, [key.column for key in past.order.keys])
        else:
            columns = present_columns(stream, record, past, source)
            layout = TableLayout(partition_key=source.partition_key, sorting_key=source.sorting_key)
        return Origin(record=record, past=past, windows=windows, source=source, columns=columns, layout=layout)

    def _moment(
        self, stream: Stream, choice: RestoreChoice
    ) -> tuple[StreamRecord, PastTable, Sequence[RecordedWindow]]:
        """Return the ledger's record, the target and the recorded windows, all of one moment."""
        for _ in range(_LOOKS):
            past = self._past.past(stream.target, choice.snapshot)
            record = self._ledger.read([stream.name]).get(stream.name)
            if record is None or record.target_uuid is None:
                raise StreamError(
                    f"stream {stream.name}: the ledger has recorded nothing of it, so nothing proves what is restored",
                    remedy=f"offload it first (icehaul plan {stream.name}); a ledger that was lost follows the table"
                    f" again by: icehaul repair {stream.name}",
                )
            if past is None:
                raise TargetMissingError(
                    f"stream {stream.name}: target {stream.target} does not exist, but the ledger knows it",
                    remedy="restore the table in the catalog first",
                )
            if past.uuid != record.target_uuid:
                raise DivergenceError(
                    f"stream {stream.name}: target {stream.target} has UUID {past.uuid}, the ledger recorded"
                    f" {record.target_uuid}",
                    remedy="put the recorded table back first",
                )
            windows = self._ledger.windows(stream.name, choice.within)
            again = self._past.past(stream.target, choice.snapshot)
            if again is not None and again.evidence == past.evidence and again.snapshot_id == past.snapshot_id:
                check_divergence(stream=stream.name, recorded=record.progress, evidence=past.evidence)
                return record, past, windows
        raise CatalogUnavailableError(
            f"stream {stream.name}: the table {stream.target} is published to faster than it can be looked at",
            remedy="run the command again; or name a snapshot, or a tag",
        )

    def _known_source(self, stream: Stream, record: StreamRecord) -> SourceTable | None:
        try:
            described = self._source.describe(stream.source)
        except SourceMissingError:
            return None
        return described if described.uuid == record.source_uuid else None

    def files(self, stream: Stream, origin: Origin, within: Window) -> Sequence[DataFile]:
        """Return the data files that may hold rows of a window."""
        snapshot_id = origin.past.snapshot_id
        return () if snapshot_id is None else self._past.files_at(stream.target, snapshot_id, within)

    def contents(self, stream: Stream, origin: Origin, windows: Sequence[Window]) -> Sequence[Fingerprint]:
        """Return what the files hold of contiguous windows, hashed as the ledger has recorded it."""
        return self.tally(stream, origin, origin.columns.recorded, windows)

    def tally(
        self, stream: Stream, origin: Origin, mapping: TableMapping, windows: Sequence[Window]
    ) -> Sequence[Fingerprint]:
        """Return what the files hold of contiguous windows, as ClickHouse reads these columns."""
        files = self.files(stream, origin, Window(lower=windows[0].lower, upper=windows[-1].upper))
        if not files:
            return [EMPTY] * len(windows)
        return self._server.tally_files(stream, mapping, windows, files)
