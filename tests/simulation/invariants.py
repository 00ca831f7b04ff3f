"""What is checked after every rule, and at the end of a run."""

from __future__ import annotations

from collections import Counter

from consumer.domain.backfill import BackfillState, uncovered
from consumer.domain.batch import BatchKind, BatchStatus
from consumer.domain.reconcile import FindingKind
from consumer.domain.window import BEGINNING, EVER
from consumer.ports import StreamState
from consumer.testing.rows import Row
from tests.simulation.servers import Servers
from tests.simulation.truth import StreamTruth, Violation

_SHOWN = 5
_ALL = 1_000_000


class Invariants:
    """Compares the servers with the model."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._seen: dict[str, tuple[object, ...]] = {}

    def check(self) -> None:
        """Check what has changed since the last check.

        Raises:
            Violation: naming the stream and the difference.
        """
        truth = self._servers.truth
        if truth.found:
            raise Violation(truth.found[0])
        for thread in self._servers.kernel.failed:
            raise Violation(f"{thread.name} died of {thread.error!r}") from thread.error
        watermarks = self._servers.ledger.watermarks()
        for name, known in truth.streams.items():
            # One that was halted before anybody claimed it does not know yet where it starts.
            unclaimed = known.epoch == 0 and watermarks.get(name) == BEGINNING
            if not unclaimed and watermarks.get(name, known.stream.begins) != known.watermark:
                raise Violation(
                    f"{name}: the watermark is {watermarks.get(name)}, but what has landed ends at {known.watermark}"
                )
            table = self._servers.catalog.tables.get(known.stream.target)
            readings = sum(len(landed.readings) for landed in known.done)
            if self._servers.catalog.unrecorded(name):
                # Between commit and record the table is ahead of the ledger.
                continue
            seen = (table.version if table is not None else 0, readings, known.rolled_back, known.repairs)
            if self._seen.get(name) != seen:
                self._seen[name] = seen
                self._check_rows(name, known)

    def check_end(self) -> None:
        """Check a run that has come to rest: everything is delivered, and both tiers agree.

        Raises:
            Violation: naming the stream and the difference.
        """
        for name, known in self._servers.truth.streams.items():
            self._check_rows(name, known)
            self._check_ledger(name, known)
            if missing := self.missing(name, known):
                raise Violation(f"{name}: {_shown(missing)} stay in the hot tier only")

    def missing(self, name: str, known: StreamTruth) -> Counter[Row]:
        """Return the rows below the watermark that stand in the hot tier only.

        Where rows were deleted and others came late, the two can't be told from rows that were changed: an operator
        has been told, and decides.
        """
        told = [
            finding.window for finding in self._servers.ledger.findings(name) if finding.kind is FindingKind.CHANGED
        ]
        hot = Counter(
            held.row
            for held in known.rows
            if held.went is None
            and known.covers(held.row.ts)
            and not any(window.contains(held.row.ts) for window in told)
        )
        return hot - self._servers.cold(name)

    def _check_rows(self, name: str, known: StreamTruth) -> None:
        if known.rolled_back:
            return
        cold = self._servers.cold(name)
        must, may = known.bounds()
        if lost := must - cold:
            raise Violation(f"{name}: lost are {_shown(lost)}")
        if doubled := cold - may:
            raise Violation(f"{name}: there are too many of {_shown(doubled)}")

    def _check_ledger(self, name: str, known: StreamTruth) -> None:
        records = self._servers.ledger.batches(name, _ALL)
        done = sorted(
            record.window
            for record in records
            if record.kind is BatchKind.WINDOW and record.status in {BatchStatus.PUBLISHED, BatchStatus.EMPTY}
        )
        reached = known.stream.begins
        for window in done:
            if window.lower != reached:
                raise Violation(f"{name}: the ledger's windows are not contiguous at {reached}: {window}")
            reached = window.upper
        self._check_history(name, known)
        record = self._servers.ledger.read([name])[name]
        if (record.watermark, record.state) != (reached, StreamState.ACTIVE):
            raise Violation(f"{name}: the ledger's windows end at {reached}, its record is {record}")
        unknown = [
            path
            for path in self._servers.written
            if not path.startswith("memory://compacted")
            and not any(path.startswith(prefix) for prefix in self._servers.truth.prefixes)
        ]
        if unknown:
            raise Violation(f"{name}: {unknown} stand under no prefix that the ledger knows")

    def _check_history(self, name: str, known: StreamTruth) -> None:
        """Check that what was asked for is done, and the ledger knows of each window that is."""
        done = sorted(landed.window for landed in known.backfilled)
        recorded = [one.window for one in self._servers.ledger.windows(name, EVER)]
        if recorded[: len(done)] != done:
            raise Violation(f"{name}: {done} were backfilled, the ledger has {recorded[: len(done)]}")
        for request in self._servers.ledger.backfills.all([name]):
            if request.state is BackfillState.DONE and list(uncovered(request.window, recorded)):
                raise Violation(f"{name}: {request} is done, but {recorded} do not cover it")
            if request.state is BackfillState.OPEN:
                raise Violation(f"{name}: {request} is left")


def _shown(rows: Counter[Row]) -> str:
    shown = [f"{count} x {row}" for row, count in sorted(rows.items())[:_SHOWN]]
    return f"{rows.total()} rows: {'; '.join(shown)}"
