"""Looking before rewinding: what would leave the table, and does the hot tier still hold it?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from consumer.domain.divergence import check_divergence
from consumer.domain.errors import ConfigurationError
from consumer.domain.rewind import Reach, check_instant
from consumer.domain.stream import Stream
from consumer.domain.window import Window
from consumer.ports import Catalog, Ledger, StreamRecord
from consumer.service.adoption.ports import FileSource
from consumer.service.offload import check_active
from consumer.service.prepare import Preparation
from consumer.service.rewinding.dependants import Lineage
from consumer.service.rewinding.examined import Examined, Verdict, Wish
from consumer.service.rewinding.look import Look, Seen, Tiers
from consumer.service.rewinding.ports import RewindLedger


class Review:
    """Examines what a rewind would do, and changes nothing."""

    def __init__(
        self,
        *,
        streams: Mapping[str, Stream],
        source: FileSource,
        ledger: Ledger,
        rewinds: RewindLedger,
        catalog: Catalog,
        dropped: Callable[[str], Sequence[Window]],
    ) -> None:
        self._tiers = Tiers(
            source=source,
            ledger=ledger,
            rewinds=rewinds,
            catalog=catalog,
            dropped=dropped,
            lineage=Lineage(streams, ledger),
        )
        self._preparation = Preparation(source=source, ledger=ledger, catalog=catalog)

    def review(self, stream: Stream, wish: Wish) -> Examined:
        """Examine what a rewind would do, without the lease.

        Raises:
            ConfigurationError: if the stream can't be set back to that instant.
            StreamError, TransientError: as source, ledger and catalog raise them.
        """
        record = self._tiers.ledger.read([stream.name]).get(stream.name)
        if record is None:
            raise ConfigurationError(
                f"stream {stream.name} was never read: there is nothing to rewind",
                remedy=f"see what its first event would do: icehaul plan {stream.name}",
            )
        check_active(record)
        target = self._tiers.catalog.inspect(stream.target)
        evidence = None if target is None else target.evidence
        check_divergence(stream=stream.name, recorded=record.progress, evidence=evidence)
        return self.examine(stream, record, wish)

    def examine(self, stream: Stream, record: StreamRecord, wish: Wish) -> Examined:
        """Compare what would leave the table with the hot tier, and decide whether it may.

        Raises:
            ConfigurationError: if the stream can't be set back to that instant.
            DivergenceError: if ledger and table do not hold the same rows of the windows concerned.
            StreamError, TransientError: as source, ledger and catalog raise them.
        """
        reach = Reach(start=record.start, adopted=record.adopted, watermark=record.watermark)
        check_instant(stream.name, wish.to, reach, self._tiers.source.now())
        if wish.to == record.watermark:
            return Examined(wish=wish, record=record, verdict=Verdict.THERE)
        described, mapping = self._preparation.read_source(stream, record)
        seen = Seen(stream=stream, record=record, described=described, mapping=mapping, wish=wish)
        return Look(self._tiers, seen).examined()
