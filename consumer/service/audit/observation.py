"""One consistent look at ledger, table and store, without stopping the stream's work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from consumer.domain.audit import Census, RecordedAttempt, RecordedFile, StoredFile, plain_path
from consumer.domain.backfill import covered
from consumer.domain.errors import IcehaulError, LedgerUnavailableError
from consumer.domain.reconcile import Finding, RecordedWindow
from consumer.domain.stream import Stream
from consumer.domain.window import EVER, Window
from consumer.ports import Catalog, Ledger, StreamRecord, TargetTable
from consumer.service.audit.ports import AttemptRecords, TableFiles

_LOOKS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Cold:
    """The target table at one snapshot, and the files under it.

    ``paths`` are the live data files as the reader of rows takes them, or the error that keeps it from reading them.
    """

    target: TargetTable
    census: Census
    stored: Sequence[StoredFile]
    paths: Sequence[str] | IcehaulError


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What ledger, table and store said at one moment between two publishes.

    ``cold`` is ``None`` where the catalog has no table, and an error where it could not be looked at.
    """

    stream: Stream
    record: StreamRecord
    windows: Sequence[RecordedWindow]
    files: Sequence[RecordedFile]
    attempts: Sequence[RecordedAttempt]
    findings: Sequence[Finding]
    parked: int
    cold: Cold | IcehaulError | None

    def table(self) -> Cold | None:
        """Return the table, ``None`` where there is none.

        Raises:
            IcehaulError: what kept it from being looked at.
        """
        if isinstance(self.cold, IcehaulError):
            raise self.cold
        return self.cold

    @property
    def covered(self) -> Sequence[Window]:
        """The stretches of time whose rows belong into the cold tier."""
        done = [one.window for one in self.windows]
        return covered(done, start=self.record.start, watermark=self.record.watermark)

    @property
    def taken_over(self) -> bool:
        """Whether the first live window's rows may have been there before icehaul: it has read none of them itself."""
        if self.record.adopted is not None:
            return True
        first = next((one for one in self.windows if one.window.lower >= self.record.start), None)
        return first is not None and first.cold.rows == 0


class Observer:
    """Looks at a stream until nothing was published during the look."""

    def __init__(self, *, ledger: Ledger, catalog: Catalog, attempts: AttemptRecords, files: TableFiles) -> None:
        self._ledger = ledger
        self._catalog = catalog
        self._attempts = attempts
        self._files = files

    def observe(self, stream: Stream) -> Observation | None:
        """Return what is there now; ``None`` where the ledger does not know the stream.

        Raises:
            LedgerUnavailableError: if something was published during every look.
            IcehaulError: as the ledger raises them.
        """
        # Listed first: a file that is not recorded by then is not one that an attempt is just writing.
        stored = self._stored(stream)
        for _ in range(_LOOKS):
            before = self._ledger.read([stream.name]).get(stream.name)
            if before is None:
                return None
            cold = self._cold(stream, stored)
            name = stream.name
            seen = Observation(
                stream=stream,
                record=before,
                windows=self._ledger.windows(name, EVER),
                files=self._attempts.files(name),
                attempts=self._attempts.attempts(name),
                findings=self._ledger.findings(name),
                parked=len(self._ledger.parked(name)),
                cold=cold,
            )
            after = self._ledger.read([name]).get(name)
            if after is not None and after.position == before.position and _whole(cold):
                return seen
        raise LedgerUnavailableError(
            f"stream {stream.name}: batches were published faster than they could be looked at, {_LOOKS} times",
            remedy="audit the stream while less is written, or on a machine nearer to Postgres and the store",
        )

    def _stored(self, stream: Stream) -> Sequence[StoredFile] | IcehaulError:
        try:
            target = self._catalog.inspect(stream.target)
            return () if target is None else self._files.stored(target.location)
        except IcehaulError as error:
            return error

    def _cold(self, stream: Stream, stored: Sequence[StoredFile] | IcehaulError) -> Cold | IcehaulError | None:
        if isinstance(stored, IcehaulError):
            return stored
        try:
            target = self._catalog.inspect(stream.target)
            census = self._files.census(stream.target, stored)
        except IcehaulError as error:
            return error
        if target is None or census is None:
            return None
        paths: Sequence[str] | IcehaulError
        try:
            paths = self._catalog.data_files(stream.target, stream.partition_by, None)
        except IcehaulError as error:
            paths = error
        return Cold(target=target, census=census, stored=stored, paths=paths)


def _whole(cold: Cold | IcehaulError | None) -> bool:
    """Tell whether the parts of a look are of one snapshot: others may commit to the table, too."""
    if not isinstance(cold, Cold):
        return True
    if cold.target.snapshot_id != cold.census.snapshot_id:
        return False
    if isinstance(cold.paths, IcehaulError) or cold.census.unreadable:
        return True
    return sorted(map(plain_path, cold.paths)) == sorted(file.path for file in cold.census.live)
