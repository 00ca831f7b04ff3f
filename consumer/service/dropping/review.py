"""Looking before dropping: may this stream be dropped from, and does the cold tier hold a partition's rows?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from consumer.domain.divergence import check_divergence
from consumer.domain.errors import AccessDeniedError, DivergenceError, DropRefusedError, TargetMissingError
from consumer.domain.fingerprint import EMPTY
from consumer.domain.hot_drop import Comparison, HotDrop, HotPartition, Selection
from consumer.domain.phrasing import instant_text
from consumer.domain.stream import Stream, TableName
from consumer.domain.view_query import ViewMark
from consumer.domain.window import BEGINNING
from consumer.ports import Catalog, Ledger, Source, StreamRecord
from consumer.service.dropping.ports import Partitions
from consumer.service.offload import check_active
from consumer.service.prepare import Preparation


class Place(StrEnum):
    """Where a partition stands."""

    SOURCE = "source"
    QUARANTINE = "quarantine"
    DROPPED = "dropped"
    RETURNED = "returned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """A partition, what the comparison with the cold tier found, and where the partition stands now."""

    partition: HotPartition
    comparison: Comparison
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What would be dropped, or was.

    Attributes:
        finished: drops of an earlier run that had happened, or had not begun, and were not recorded as ended.
        empty_quarantines: tables that a run left which ended early; nothing is in them.
        unproven: the source is replicated, on which nobody has tried this.
    """

    stream: Stream
    watermark: datetime
    dry: bool
    partitions: Sequence[Examined]
    finished: Sequence[HotDrop]
    empty_quarantines: Sequence[TableName]
    unproven: bool

    @property
    def good(self) -> bool:
        """Whether every chosen partition may be dropped, or was."""
        return all(one.comparison.contained and one.place is not Place.RETURNED for one in self.partitions)


class Review:
    """Examines partitions, and changes nothing."""

    def __init__(
        self,
        *,
        source: Source,
        ledger: Ledger,
        catalog: Catalog,
        partitions: Partitions,
        views: Callable[[Stream], Mapping[TableName, ViewMark]],
    ) -> None:
        self._views = views
        self._source = source
        self._ledger = ledger
        self._catalog = catalog
        self._partitions = partitions
        self._preparation = Preparation(source=source, ledger=ledger, catalog=catalog)

    def review(self, stream: Stream, selection: Selection) -> Report:
        """Examine what a drop would do: partitions that an earlier run left in quarantine first, then the chosen ones.

        Raises:
            ConfigurationError: if a named partition is not there.
            DropRefusedError: if a chosen partition, or the stream, may not be dropped from.
            StreamError, TransientError: as source, ledger and catalog raise them.
        """
        record = self._ledger.read([stream.name]).get(stream.name)
        unproven = self.check(stream, record)
        watermark = record.watermark if record is not None else stream.begins
        found, empty = [], []
        for quarantine in self._partitions.quarantines(stream):
            left = self._partitions.partitions(stream, quarantine)
            found += [self._examined(stream, record, quarantine, one, Place.QUARANTINE) for one in left]
            empty += [] if left else [quarantine]
        rest = without(selection, [one.partition.id for one in found])
        chosen = rest.choose(stream, self._partitions.partitions(stream, stream.source), watermark)
        self.check_views(stream, chosen)
        found += [self._examined(stream, record, stream.source, one, Place.SOURCE) for one in chosen]
        return Report(
            stream=stream,
            watermark=watermark,
            dry=True,
            partitions=found,
            finished=(),
            empty_quarantines=empty,
            unproven=unproven,
        )

    def check(self, stream: Stream, record: StreamRecord | None) -> bool:
        """Check that something may be dropped from the stream's source, and tell whether that is unproven on it.

        Raises:
            DropRefusedError: if nothing was offloaded, or the source has no partitions.
            AccessDeniedError: naming the missing grants.
            StreamError: if the stream is halted, or source, ledger and target don't fit together.
        """
        if record is None or record.unread or record.target_uuid is None:
            raise DropRefusedError(
                f"stream {stream.name} was never offloaded: the cold tier holds none of its rows",
                remedy=f"offload it first; see: icehaul plan {stream.name}",
            )
        check_active(record)
        described, _ = self._preparation.read_source(stream, record)
        if not described.partition_key:
            raise DropRefusedError(
                f"stream {stream.name}: {stream.source} has no partition key, so there is no part of it to drop",
                remedy="let a TTL delete its rows; `icehaul status` tells whether that is safe",
            )
        target = self._catalog.inspect(stream.target)
        if target is None:
            raise TargetMissingError(
                f"stream {stream.name}: target {stream.target} does not exist, but the ledger knows it",
                remedy="restore the table in the catalog before anything is dropped from the hot tier",
            )
        if target.uuid != record.target_uuid:
            raise DivergenceError(
                f"stream {stream.name}: target {stream.target} has UUID {target.uuid}, the ledger recorded"
                f" {record.target_uuid}",
                remedy="put the recorded table back before anything is dropped from the hot tier",
            )
        check_divergence(stream=stream.name, recorded=record.progress, evidence=target.evidence)
        if lacking := self._partitions.lacking(stream):
            raise AccessDeniedError(
                f"stream {stream.name}: the user of clickhouse.user lacks the grants: {'; '.join(lacking)}",
                remedy=f"run as an administrator of ClickHouse: {'; '.join(f'GRANT {one} TO …' for one in lacking)}",
            )
        return described.engine.startswith(("Replicated", "Shared"))

    def check_views(self, stream: Stream, chosen: Sequence[HotPartition]) -> None:
        """Check that no view over both tiers reads the partitions in the source.

        Raises:
            DropRefusedError: naming the view whose boundary one of them reaches above.
        """
        upper = max((one.window.upper for one in chosen), default=BEGINNING)
        for name, mark in self._views(stream).items():
            if mark.boundary < upper:
                raise DropRefusedError(
                    f"stream {stream.name}: the view {name} reads the source from {instant_text(mark.boundary)} on, and"
                    f" a chosen partition reaches up to {instant_text(upper)}: its rows would be missing there",
                    remedy=f"bring the view up to the watermark: icehaul view {stream.name} --name {name}, or --follow;"
                    " or drop it, if nobody needs it: --drop",
                )

    def compare(
        self, stream: Stream, record: StreamRecord | None, table: TableName, partition: HotPartition
    ) -> Comparison:
        """Compare a partition of the source, or of a quarantine table, with the data files of its stretch of time."""
        there = replace(stream, source=table)
        mapping = self._preparation.map_moved(stream, record, table)
        target = self._catalog.inspect(stream.target)
        paths = self._catalog.data_files(stream.target, stream.partition_by, partition.window) if target else ()
        hot = self._source.fingerprint(there, mapping, partition.window, partition=partition.id)
        cold = self._source.fingerprint_files(mapping, paths) if paths else EMPTY
        missing = 0
        if not paths:
            missing = hot.rows
        elif hot != cold:
            missing, _ = self._source.difference(there, mapping, [partition.window], paths, partition=partition.id)
        # What lies outside of the window that was compared would be dropped as well.
        uncompared = abs(self._partitions.count(table, partition.id) - hot.rows)
        return Comparison(
            hot=hot,
            cold=cold,
            missing=missing + uncompared,
            snapshot_id=target.snapshot_id if target is not None else None,
        )

    def _examined(
        self, stream: Stream, record: StreamRecord | None, table: TableName, partition: HotPartition, place: Place
    ) -> Examined:
        return Examined(partition=partition, comparison=self.compare(stream, record, table, partition), place=place)


def without(selection: Selection, handled: Sequence[str]) -> Selection:
    """Return the selection without partitions that were named and found in quarantine."""
    return replace(selection, partitions=tuple(one for one in selection.partitions if one not in handled))
