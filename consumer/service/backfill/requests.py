"""The operator's part of a backfill: to ask for a range, to see how far it is, to call it off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID, uuid4

from consumer.domain.backfill import BackfillRequest, BackfillState, check_no_overlap, newest_first, uncovered
from consumer.domain.errors import ConfigurationError
from consumer.domain.event_factory import tick
from consumer.domain.phrasing import instant_text
from consumer.domain.stream import Stream
from consumer.domain.time_type import time_type
from consumer.domain.window import BEGINNING, Window
from consumer.failpoints.acting import Failpoints
from consumer.ports import Ledger, Source, SourceTable, StreamRecord
from consumer.service.backfill.ports import Backfills
from consumer.service.operator import operator
from consumer.service.plan import Planner
from consumer.service.preview import latest_rate


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillProgress:
    """A request, and what is still to be done of it.

    Attributes:
        rest: the stretches that are not done yet.
        rows: rows that the source holds in them now.
        bytes: their uncompressed bytes, estimated.
        seconds: how long they should take, at the rate of the stream's latest batches; ``None`` where unknown.
        order: what is recorded for the range: one request, or one for each of its stretches, newest first.
    """

    request: BackfillRequest
    rest: Sequence[Window]
    rows: int
    bytes: int
    seconds: float | None
    order: Sequence[Window] = ()


class BackfillRequests:
    """Checks and records requests; the consumers do the work."""

    def __init__(
        self,
        *,
        source: Source,
        ledger: Ledger,
        backfills: Backfills,
        failpoints: Failpoints,
        new_id: Callable[[], UUID] = uuid4,
    ) -> None:
        self._source = source
        self._ledger = ledger
        self._backfills = backfills
        self._failpoints = failpoints
        self._new_id = new_id
        self._planner = Planner(source, ledger)

    def plan(self, stream: Stream, lower: datetime, upper: datetime, *, backwards: bool = False) -> BackfillProgress:
        """Return what a request for ``lower`` up to but without ``upper`` would do; changes nothing.

        A request is done oldest rows first. To go ``backwards``, the range is cut into stretches, one request each.

        Raises:
            ConfigurationError: if the range can't be backfilled, naming option, value and what is allowed.
            StreamError, TransientError: as ledger and source raise them.
        """
        known = self._ledger.read([stream.name]).get(stream.name)
        record = known or StreamRecord.unseen(stream.name, self._source.now(), stream.begins)
        window = self._checked(stream, record, lower, upper)
        request = BackfillRequest(
            id=self._new_id(),
            stream=stream.name,
            window=window,
            position=window.lower,
            state=BackfillState.OPEN,
            requested_by=operator(),
            requested=self._source.now(),
        )
        check_no_overlap(request, self._backfills.open(stream.name))
        planned = self._progress(stream, record, request)
        if not planned.rest:
            raise ConfigurationError(
                f"--from, --to: everything of {window} is done already, or belongs to the live windows of stream"
                f" {stream.name}, which start at {instant_text(record.start)}",
                remedy=f"name a range below the start that is not done; `icehaul backfill --list {stream.name}` tells"
                " what was asked for",
            )
        if not backwards:
            return replace(planned, order=(window,))
        first = self._source.first(stream, window)
        return replace(planned, order=newest_first(window, stream.bounds.window, stream.partition_by, first))

    def request(self, stream: Stream, lower: datetime, upper: datetime, *, backwards: bool = False) -> BackfillProgress:
        """Record a request, with a hint that makes a consumer begin; return what it will do.

        Going ``backwards``, one for each stretch, the newest first: requests of a stream are done in this order.

        Raises:
            ConfigurationError, StreamError, TransientError: as :meth:`plan` raises them.
        """
        planned = self.plan(stream, lower, upper, backwards=backwards)
        self._ledger.register(stream.name, stream.begins)
        hint = tick(stream=stream.name, boundary=self._source.now())
        for number, window in enumerate(planned.order):
            id_ = planned.request.id if number == 0 else self._new_id()
            request = replace(planned.request, id=id_, window=window, position=window.lower)
            with self._failpoints.around("backfill.request"):
                self._backfills.request(request, hint)
        return planned

    def cancel(self, stream: Stream) -> Sequence[BackfillRequest]:
        """Cancel the stream's open requests, and return them; what they have done stays in the cold tier.

        Raises:
            ConfigurationError: if none is open.
            TransientError: as the ledger raises it.
        """
        if not self._backfills.open(stream.name):
            raise ConfigurationError(
                f"--cancel: stream {stream.name} has no open backfill",
                remedy=f"see `icehaul backfill --list {stream.name}`",
            )
        with self._failpoints.around("backfill.cancel"):
            return self._backfills.cancel(stream.name, None)

    def progress(self, streams: Sequence[Stream]) -> Sequence[BackfillProgress]:
        """Return every request of these streams, newest first, with what is still to be done.

        Raises:
            StreamError, TransientError: as ledger and source raise them.
        """
        by_name = {stream.name: stream for stream in streams}
        records = self._ledger.read(list(by_name))
        return [
            self._progress(by_name[one.stream], records[one.stream], one) for one in self._backfills.all(list(by_name))
        ]

    def _progress(self, stream: Stream, record: StreamRecord, request: BackfillRequest) -> BackfillProgress:
        whole = request.rest
        rest: list[Window] = []
        if whole is not None and request.state is BackfillState.OPEN:
            done = [recorded.window for recorded in self._ledger.windows(stream.name, whole)]
            rest = [
                Window(lower=one.lower, upper=min(one.upper, record.start))
                for one in uncovered(whole, done)
                if one.lower < record.start
            ]
        if rest:
            self._source.describe(stream.source)
        extents = [self._source.extent(stream, one) for one in rest]
        rows = sum(extent.rows for extent in extents)
        rate = latest_rate(self._ledger, stream.name)
        return BackfillProgress(
            request=request,
            rest=rest,
            rows=rows,
            bytes=sum(extent.bytes for extent in extents),
            seconds=None if rate is None else rows / rate,
        )

    def _checked(self, stream: Stream, record: StreamRecord, lower: datetime, upper: datetime) -> Window:
        if lower >= upper:
            raise ConfigurationError(
                f"--from {instant_text(lower)} is not before --to {instant_text(upper)}",
                remedy="--from is the first instant that is backfilled, --to the first one after the range",
            )
        if upper > record.watermark:
            raise ConfigurationError(
                f"--to {instant_text(upper)}: stream {stream.name} has been read up to its watermark"
                f" {instant_text(record.watermark)} only; what is above comes by itself",
                remedy=f"name an instant up to {instant_text(min(record.start, record.watermark))}, where the live"
                " windows start",
            )
        table = self._source.describe(stream.source)
        _check_type(stream, table, lower, upper)
        cutoff = self._planner.cutoff(stream, upper, None)
        if cutoff.instant < upper:
            raise ConfigurationError(
                f"--to {instant_text(upper)}: rows may still arrive below it: {cutoff.detail}",
                remedy=f"name an instant up to {instant_text(cutoff.instant)}, or wait",
            )
        return Window(lower=lower, upper=upper)


def _check_type(stream: Stream, table: SourceTable, lower: datetime, upper: datetime) -> None:
    """Make sure that the time column can hold both bounds, other than the beginning of time."""
    types = {column.name: column.type for column in table.columns}
    named = types.get(stream.timestamp_column)
    if named is None:
        return  # what is wrong with the source is for `plan` and `doctor` to say
    first, end = time_type(named).span
    for option, value in (("--from", lower), ("--to", upper)):
        if value != BEGINNING and not first <= value <= end:
            raise ConfigurationError(
                f"{option} {instant_text(value)}: {stream.source}.{stream.timestamp_column} is of type {named}, which"
                f" holds instants from {instant_text(first)} to {instant_text(end)}",
                remedy="name an instant in this range",
            )
