"""Taking over the watermark of a table that something else has filled, once it is proved that nothing is missing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from consumer.domain.batch import Batch, BatchKind, batch_id
from consumer.domain.errors import ConfigurationError, DivergenceError
from consumer.domain.event_factory import tick
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.mapping import TableMapping
from consumer.domain.stream import Stream
from consumer.domain.window import BEGINNING, Window
from consumer.ports import Catalog, Claim, Ledger, Source, TargetTable
from consumer.service.lease import LeaseKeeper
from consumer.service.offload import check_active
from consumer.service.plan import Planner
from consumer.service.prepare import Preparation
from consumer.service.steps import trigger_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeover:
    """What was taken over: the watermark, and the rows below it that both tiers hold."""

    watermark: datetime
    rows: Fingerprint


class Takeovers:
    """Gives a new stream the watermark of its target's former writer."""

    def __init__(self, *, source: Source, ledger: Ledger, catalog: Catalog, owner: str, lease: timedelta) -> None:
        self._source = source
        self._ledger = ledger
        self._catalog = catalog
        self._owner = owner
        self._lease = lease
        self._planner = Planner(source, ledger)
        self._preparation = Preparation(source=source, ledger=ledger, catalog=catalog)

    def take_over(self, stream: Stream, watermark: datetime) -> Takeover | None:
        """Set the watermark of a stream that has read nothing; ``None`` if it was taken over, or passed, before.

        Allowed only if the existing target fits the stream, and the source's rows below the watermark are exactly
        the rows in the target's data files, by count and full-row digest. Nothing is written to the target.

        Raises:
            ConfigurationError: if rows may still arrive below the watermark.
            DivergenceError: if the rows differ, or the stream has a smaller watermark of its own.
            LeaseHeldError, StreamError, TransientError: as ledger, source and catalog raise them.
        """
        record = self._ledger.register(stream.name)
        check_active(record)
        if record.watermark >= watermark:
            return None
        if record.watermark != BEGINNING:
            raise DivergenceError(
                f"stream {stream.name}: the watermark {watermark.isoformat()} can't be taken over: the stream has read"
                f" up to {record.watermark.isoformat()} by itself",
                remedy="leave the option out: the stream goes on from its own watermark",
            )
        self._check_final(stream, watermark)
        claim = self._ledger.claim(stream.name, self._owner, self._lease)
        with LeaseKeeper(self._ledger, claim, self._lease, on_lost=lambda: None) as keeper:
            described, mapping = self._preparation.read_source(stream, claim.record)
            # A target that has to be created has nothing to take over.
            existing = replace(stream, create_target=False)
            target = self._catalog.ensure(existing, mapping, expected_uuid=claim.record.target_uuid)
            rows = self._compare(stream, mapping, target, watermark)
            keeper.check()
            self._ledger.bind(claim, source_uuid=described.uuid, target_uuid=target.uuid)
            self._advance(claim, stream, described.uuid, target.uuid, watermark)
        return Takeover(watermark=watermark, rows=rows)

    def _check_final(self, stream: Stream, watermark: datetime) -> None:
        cutoff = self._planner.cutoff(stream, watermark, None)
        if cutoff.instant < watermark:
            raise ConfigurationError(
                f"stream {stream.name}: rows may still arrive below the watermark {watermark.isoformat()}:"
                f" {cutoff.detail}, which is {cutoff.instant.isoformat()}",
                remedy="wait until the settle lag has passed, and run the same command again",
            )

    def _compare(self, stream: Stream, mapping: TableMapping, target: TargetTable, watermark: datetime) -> Fingerprint:
        window = Window(lower=BEGINNING, upper=watermark)
        if target.evidence is not None:
            raise DivergenceError(
                f"stream {stream.name}: the target {stream.target} was filled by icehaul up to"
                f" {target.evidence.upper} (batch {target.evidence.batch_id}), but the ledger knows nothing of it",
                remedy="put back the ledger that belongs to the table, or give the stream another target",
            )
        paths = self._catalog.data_files(stream.target, stream.partition_by, None)
        hot = self._source.fingerprint(stream, mapping, window)
        cold = self._source.fingerprint_files(mapping, paths) if paths else EMPTY
        if hot != cold:
            missing, surplus = self._source.difference(stream, mapping, [window], paths)
            raise DivergenceError(
                f"stream {stream.name}: the watermark {watermark.isoformat()} can't be taken over: below it the source"
                f" {stream.source} holds {hot.rows} rows (digest {hot.hex}), the target {stream.target} holds"
                f" {cold.rows} rows (digest {cold.hex}); {missing} stand in the source only, {surplus} in the target"
                " only",
                remedy="correct the watermark, which is exclusive (the first instant that was not offloaded), or"
                " offload into a fresh target table, and drop the old one once `icehaul verify` finds both tiers equal",
            )
        now = self._catalog.inspect(stream.target)
        if now is None or now.snapshot_id != target.snapshot_id:
            raise DivergenceError(
                f"stream {stream.name}: somebody committed to the target {stream.target} while it was compared",
                remedy="stop whatever else writes to the table, and run the same command again",
            )
        return hot

    def _advance(self, claim: Claim, stream: Stream, source_uuid: UUID, target_uuid: UUID, watermark: datetime) -> None:
        window = Window(lower=BEGINNING, upper=watermark)
        generation = claim.record.generation
        identifier = batch_id(
            source_uuid=source_uuid,
            target_uuid=target_uuid,
            kind=BatchKind.WINDOW,
            window=window,
            generation=generation,
        )
        # For the ledger it is a stretch without rows: icehaul itself reads none of it.
        batch = Batch(
            id=identifier,
            stream=stream.name,
            kind=BatchKind.WINDOW,
            window=window,
            generation=generation,
            units=(),
        )
        self._ledger.advance(claim, batch, trigger_of(tick(stream=stream.name, boundary=watermark)), ())
