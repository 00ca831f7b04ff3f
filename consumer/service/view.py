"""Views over both tiers: ClickHouse reads rows from the watermark on in the source, and those below it in Iceberg."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from consumer.domain.batch import Evidence, Progress
from consumer.domain.divergence import check_divergence
from consumer.domain.errors import ConfigurationError, StreamError
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.mapping import TableMapping
from consumer.domain.stream import Stream, TableName
from consumer.domain.view_query import ViewMark, cold_name, columns_digest
from consumer.domain.window import BEGINNING
from consumer.ports import Catalog, Ledger, Source, StreamRecord
from consumer.service.prepare import Preparation

Position = tuple[datetime, str | None]
"""A stream's watermark and its target's metadata file, of one moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A stream's watermark, and its target as it stood when that was true.

    Attributes:
        record: the ledger's record; ``None`` for an unseen stream.
        evidence: what the table proves.
        location: the table's folder; ``None`` where there is no table.
        metadata: the metadata file.
        schema_id: the table's current schema.
        snapshot_id: the snapshot that this file names as the current one; ``None`` where the table has none.
        publishes: how many further publishes the snapshot survives at least.
    """

    record: StreamRecord | None
    evidence: Evidence | None = None
    location: str | None = None
    metadata: str | None = None
    schema_id: int | None = None
    snapshot_id: int | None = None
    publishes: int = 0

    @property
    def watermark(self) -> datetime:
        """The stream's watermark; ``BEGINNING`` where nothing was read."""
        return BEGINNING if self.record is None else self.record.watermark


class PinnedTables(Protocol):
    """What a view asks of ledger and catalog."""

    def positions(self, streams: Sequence[Stream]) -> Mapping[str, Position]:
        """Return every stream's position, all of the same moment; cheap enough to be asked every second."""
        ...

    def pin(self, stream: Stream) -> Pin:
        """Return watermark and table of one moment."""
        ...

    def sample(self, stream: Stream, pin: Pin) -> str | None:
        """Return the path of a data file of a pinned snapshot, if it has one."""
        ...


class ViewServer(Protocol):
    """The ClickHouse server, as far as views go."""

    def cold(self, location: str, metadata: str) -> str:
        """Return the table function that reads a table as one metadata file describes it."""
        ...

    def types(self, cold: str) -> Mapping[str, str]:
        """Return the types with which the server reads a table."""
        ...

    def read_back(
        self, stream: Stream, mapping: TableMapping, cold: str, types: Mapping[str, str], file: str
    ) -> tuple[Fingerprint, Fingerprint]:
        """Return a data file's fingerprint as the check reads it, and as the view does."""
        ...

    def find(self) -> Mapping[TableName, ViewMark]:
        """Return all views over both tiers."""
        ...

    def put(
        self,
        name: TableName,
        stream: Stream,
        mapping: TableMapping,
        mark: ViewMark,
        *,
        cold: str | None,
        types: Mapping[str, str],
    ) -> None:
        """Create a view, or replace the stream's own one, by one statement."""
        ...

    def drop(self, name: TableName) -> None:
        """Drop a view."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeView:
    """A view as it stands now; ``replaced`` tells whether it had to be changed for that."""

    name: TableName
    mark: ViewMark
    publishes: int
    replaced: bool


class Views:
    """Makes, follows and drops views over both tiers."""

    def __init__(
        self, *, source: Source, ledger: Ledger, catalog: Catalog, tables: PinnedTables, server: ViewServer
    ) -> None:
        self._preparation = Preparation(source=source, ledger=ledger, catalog=catalog)
        self._tables = tables
        self._server = server
        self._types: dict[str, tuple[TableMapping, int | None, Mapping[str, str]]] = {}

    def names(self, stream: Stream) -> Mapping[TableName, ViewMark]:
        """Return the stream's views, with what they read.

        Hot rows from the earliest of their boundaries on must not be dropped: those below are read from Iceberg.
        """
        return {name: mark for name, mark in self._server.find().items() if mark.stream == stream.name}

    def positions(self, streams: Sequence[Stream]) -> Mapping[str, Position]:
        """Return where the streams stand: a view is to be made anew when that changes."""
        return self._tables.positions(streams)

    def make(self, stream: Stream, name: TableName) -> MadeView:
        """Make a view of a stream's present state, or bring it up to that.

        Raises:
            ConfigurationError: if something else has the name, or expired snapshots would be read at once.
            StreamError: if ledger, table and source do not fit together, or the server can't read the table exactly.
            AccessDeniedError: naming the grant that is missing.
            TransientError: if something can't be asked now.
        """
        pin = self._tables.pin(stream)
        record = pin.record
        check_divergence(
            stream=stream.name,
            recorded=Progress() if record is None else record.progress,
            evidence=pin.evidence,
        )
        described, mapping = self._preparation.read_source(stream, record)
        mapping = replace(mapping, unstored=described.unstored)
        mark = ViewMark(
            stream=stream.name,
            boundary=pin.watermark,
            columns=columns_digest(mapping),
            snapshot_id=pin.snapshot_id,
            metadata=pin.metadata,
        )
        cold: str | None = None
        types: Mapping[str, str] = {}
        if pin.location is not None and pin.metadata is not None and pin.snapshot_id is not None:
            _check_lasting(stream, pin)
            cold = self._server.cold(pin.location, pin.metadata)
            types = self._known_types(stream, mapping, pin, cold)
        replaced = self.names(stream).get(name) != mark
        if replaced:
            self._server.put(name, stream, mapping, mark, cold=cold, types=types)
        return MadeView(name=name, mark=mark, publishes=pin.publishes, replaced=replaced)

    def drop(self, stream: Stream, name: TableName | None) -> Sequence[TableName]:
        """Drop the stream's views, or the one of this name, and return those that were there.

        Raises:
            ConfigurationError: if the stream has no view of this name.
            AccessDeniedError: naming the grant that is missing.
        """
        known = self.names(stream)
        if name is not None and name not in known:
            raise ConfigurationError(
                f"--name {name}: the stream {stream.name} has no view of this name",
                remedy=f"name one of: {', '.join(map(str, known)) or '(none)'}",
            )
        chosen = list(known) if name is None else [name]
        for one in chosen:
            self._server.drop(one)
        return chosen

    def _known_types(self, stream: Stream, mapping: TableMapping, pin: Pin, cold: str) -> Mapping[str, str]:
        """Return the types with which the server reads the table, proved once for each shape of it."""
        known = self._types.get(stream.name)
        if known is not None and known[:2] == (mapping, pin.schema_id):
            return known[2]
        types = self._server.types(cold)
        lacking = [one.name for one in mapping.columns if one.since is None and cold_name(one, types) is None]
        if lacking:
            raise StreamError(
                f"stream {stream.name}: the table {stream.target} lacks the columns {', '.join(lacking)}",
                remedy=f"see `icehaul status {stream.name}`: the source has changed",
            )
        file = self._tables.sample(stream, pin)
        if file is not None:
            right, found = self._server.read_back(stream, mapping, cold, types, file)
            if right != found:
                raise StreamError(
                    f"stream {stream.name}: this ClickHouse server misreads the table {stream.target}: in {file}"
                    f" it finds {found.rows} rows with digest {found.hex} through Iceberg, and {right.rows} with"
                    f" {right.hex} without (25.8 does so with dates before 1970)",
                    remedy="use a newer server (tested: 26.9), query the tiers apart"
                    " (docs/how-to/query-the-cold-tier.md), or read the cold tier by another engine",
                )
        self._types[stream.name] = (mapping, pin.schema_id, types)
        return types


def _check_lasting(stream: Stream, pin: Pin) -> None:
    if pin.publishes < 1:
        raise ConfigurationError(
            f"stream {stream.name}: retain_snapshots is {stream.retain_snapshots}, so the snapshot that a view reads"
            " expires with the next publish",
            remedy="raise retain_snapshots of the stream to 2 or more (100 is the default)",
        )
