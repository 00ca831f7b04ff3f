"""The audit of a stream: one look, then every check; none stops another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from consumer.domain.audit import Check, CheckName, StreamAudit, not_applicable, unchecked
from consumer.domain.clickhouse_sql import read_rows
from consumer.domain.errors import IcehaulError
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.stream import Stream
from consumer.domain.unit_query import fingerprint_query, window_condition, wire_rows
from consumer.ports import Catalog, Ledger, Source
from consumer.service.audit.content import check_record, check_tiers
from consumer.service.audit.observation import Cold, Observation, Observer
from consumer.service.audit.ports import AttemptRecords, TableFiles
from consumer.service.audit.registration import NO_TABLE, check_registered, registration
from consumer.service.audit.standing import check_evidence, check_findings, check_state, check_windows
from consumer.service.audit.storage import check_orphans, check_stored
from consumer.service.prepare import Preparation
from consumer.service.verify import Look, Verification, Verifier

_Step = tuple[CheckName, Callable[[], Check]]


class Auditor:
    """Audits streams; changes nothing, and takes no lease: work goes on meanwhile."""

    def __init__(
        self,
        *,
        source: Source,
        ledger: Ledger,
        catalog: Catalog,
        attempts: AttemptRecords,
        files: TableFiles,
        verifier: Verifier,
    ) -> None:
        self._source = source
        self._files = files
        self._observer = Observer(ledger=ledger, catalog=catalog, attempts=attempts, files=files)
        self._preparation = Preparation(source=source, ledger=ledger, catalog=catalog)
        self._verifier = verifier

    def audit(
        self, stream: Stream, *, rows: bool = True, progress: Callable[[CheckName], None] = lambda _name: None
    ) -> StreamAudit:
        """Return what every check finds; one that ends in an error is unchecked, and the next goes on.

        Args:
            stream: whose tables are audited.
            rows: whether rows are read, too; without, the checks that read them are left out.
            progress: called with each check before it is made.
        """
        try:
            seen = self._observer.observe(stream)
        except IcehaulError as error:
            return _audit(stream, None, [_unchecked(name, error) for name in CheckName])
        if seen is None or (seen.record.unread and seen.cold is None):
            return _audit(stream, seen, [_nothing_read(name) for name in CheckName])
        checks = []
        for name, check in self._steps(seen):
            if not rows and name in {CheckName.TIERS, CheckName.RECORD}:
                continue
            progress(name)
            try:
                checks.append(check())
            except IcehaulError as error:
                checks.append(_unchecked(name, error))
        return replace(_audit(stream, seen, checks), hot_query=self._hot_query(seen))

    def _hot_query(self, seen: Observation) -> str | None:
        """Return the statement of count and digest of the hot rows; ``None`` where the source can't be described."""
        stream, covered = seen.stream, seen.covered
        if not covered:
            return None
        try:
            _, mapping = self._preparation.read_source(stream, seen.record)
        except IcehaulError:
            return None
        where = " OR ".join(window_condition(stream, mapping, stretch) for stretch in covered)
        return fingerprint_query(mapping, wire_rows(mapping, f"{read_rows(stream)} WHERE {where}"))

    def _steps(self, seen: Observation) -> Iterator[_Step]:
        reading = _Reading(self._verifier, seen)
        yield CheckName.TIERS, partial(self._check_tiers, seen, reading)
        yield CheckName.WINDOWS, partial(check_windows, seen)
        yield CheckName.RECORD, partial(self._check_record, seen, reading)
        yield CheckName.EVIDENCE, partial(check_evidence, seen)
        yield CheckName.REGISTERED, partial(check_registered, seen)
        yield CheckName.STORED, partial(check_stored, seen, self._files.sizes)
        yield CheckName.ORPHANS, partial(check_orphans, seen)
        yield CheckName.FINDINGS, partial(check_findings, seen)
        yield CheckName.STATE, partial(check_state, seen)

    def _check_tiers(self, seen: Observation, reading: _Reading) -> Check:
        return check_tiers(seen, reading.verification())

    def _check_record(self, seen: Observation, reading: _Reading) -> Check:
        cold = seen.table()
        if cold is None:
            return not_applicable(CheckName.RECORD, NO_TABLE)
        return check_record(seen, self._own(seen, cold, reading))

    def _own(self, seen: Observation, cold: Cold, reading: _Reading) -> Fingerprint:
        """Return the fingerprint of the live files, without those that were there before a takeover."""
        found = registration(seen, cold)
        _, mapping = self._preparation.read_source(seen.stream, seen.record)
        # Of an adopted table the ledger has recorded what was there before, too.
        whole = not found.prior or seen.record.adopted is not None
        if whole and mapping.recorded is None:
            return reading.verification().cold
        paths = [file.path for file in (*found.own, *found.foreign, *(found.prior if whole else ()))]
        return self._source.fingerprint_files(mapping.as_recorded, paths) if paths else EMPTY


class _Reading:
    """Reads the rows of both tiers once, for all checks that need them."""

    def __init__(self, verifier: Verifier, seen: Observation) -> None:
        self._verifier = verifier
        self._seen = seen
        self._found: Verification | IcehaulError | None = None

    def verification(self) -> Verification:
        """Return the comparison of both tiers.

        Raises:
            IcehaulError: what kept it from being made; the same at every call.
        """
        if self._found is None:
            try:
                self._found = self._compare()
            except IcehaulError as error:
                self._found = error
        if isinstance(self._found, IcehaulError):
            raise self._found
        return self._found

    def _compare(self) -> Verification:
        seen, cold = self._seen, self._seen.table()
        paths = () if cold is None else cold.paths
        if isinstance(paths, IcehaulError):
            raise paths
        return self._verifier.compare(
            Look(
                stream=seen.stream,
                record=seen.record,
                windows=seen.windows,
                target=None if cold is None else cold.target,
                paths=paths,
                dropped=self._verifier.dropped(seen.stream),
            )
        )


def _audit(stream: Stream, seen: Observation | None, checks: list[Check]) -> StreamAudit:
    watermark = None if seen is None or seen.record.unread else seen.record.watermark
    cold = seen.cold if seen is not None else None
    return StreamAudit(
        stream=stream.name,
        source=str(stream.source),
        target=str(stream.target),
        watermark=watermark,
        snapshot_id=cold.target.snapshot_id if isinstance(cold, Cold) else None,
        checks=checks,
    )


def _unchecked(name: CheckName, error: IcehaulError) -> Check:
    return unchecked(name, error.message, error.remedy)


def _nothing_read(name: CheckName) -> Check:
    return not_applicable(name, "nothing of the stream was read yet")
