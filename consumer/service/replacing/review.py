"""Looking before replacing: which windows differ from the hot tier, and may their rows be replaced?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from consumer.domain.errors import ConfigurationError
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.mapping import TableMapping
from consumer.domain.reconcile import Difference, FindingKind, RecordedWindow
from consumer.domain.replacement import FileShare, files_of
from consumer.domain.stream import Stream
from consumer.domain.window import BEGINNING, Window
from consumer.ports import Catalog, Ledger, Source, StreamRecord
from consumer.service.offload import check_active
from consumer.service.prepare import Preparation
from consumer.service.replacing.doubt import Exchange, doubt_about

_SETTLED = frozenset({FindingKind.CHANGED, FindingKind.DELETED, FindingKind.TOO_LATE})


class Verdict(StrEnum):
    """Whether the rows of a window are replaced."""

    EQUAL = "equal"
    """Both tiers hold the same rows: there is nothing to replace."""
    REPLACEABLE = "replaceable"
    REFUSED = "refused"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """A window, the rows of both tiers, and what was decided.

    Attributes:
        files: the data files that hold its rows.
        hot: what the hot tier holds of the window.
        missing: rows in the hot tier only: they come into the cold tier.
        surplus: rows in the cold tier only: they go.
        reason: why it was refused.
        snapshot_id: the snapshot that replaced its rows.
    """

    recorded: RecordedWindow
    files: Sequence[FileShare]
    hot: Fingerprint
    missing: int
    surplus: int
    verdict: Verdict
    reason: str = ""
    snapshot_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which windows: those that overlap ``within``, or those with findings; and whether rows may be removed for good.

    With ``remove_rows`` rows may go that the hot tier does not hold any more, whatever the cause.
    """

    within: Window | None
    remove_rows: bool = False


class Review:
    """Examines windows, and changes nothing."""

    def __init__(
        self,
        *,
        source: Source,
        ledger: Ledger,
        catalog: Catalog,
        dropped: Callable[[str], Sequence[Window]],
    ) -> None:
        self._source = source
        self._ledger = ledger
        self._catalog = catalog
        self._dropped = dropped
        self._preparation = Preparation(source=source, ledger=ledger, catalog=catalog)

    def review(self, stream: Stream, choice: Choice) -> list[Examined]:
        """Examine what a replacement would do.

        Raises:
            ConfigurationError: if no window that is done is chosen.
            StreamError, TransientError: as source, ledger and catalog raise them.
        """
        record = self._ledger.read([stream.name]).get(stream.name)
        if record is not None:
            check_active(record)
        _, mapping = self._preparation.read_source(stream, record)
        return [self.examine(stream, mapping, recorded, choice) for recorded in self.chosen(stream, record, choice)]

    def chosen(self, stream: Stream, record: StreamRecord | None, choice: Choice) -> Sequence[RecordedWindow]:
        """Return the chosen windows, ascending.

        Raises:
            ConfigurationError: if there is none.
        """
        watermark = BEGINNING if record is None else record.watermark
        findings = [finding for finding in self._ledger.findings(stream.name) if finding.kind in _SETTLED]
        stretches = [choice.within] if choice.within is not None else [finding.window for finding in findings]
        windows: dict[Window, RecordedWindow] = {}
        for stretch in stretches:
            for recorded in self._ledger.windows(stream.name, stretch):
                windows[recorded.window] = recorded
        if windows:
            return [windows[window] for window in sorted(windows, key=lambda window: window.lower)]
        if choice.within is None:
            raise ConfigurationError(
                f"stream {stream.name}: there is no finding of changed, deleted or late rows to settle",
                remedy="name a stretch of time with --from and --to, or see `icehaul status` for what was found",
            )
        raise ConfigurationError(
            f"--from, --to: stream {stream.name} has offloaded no window in {choice.within}; its watermark is"
            f" {watermark.isoformat()}",
            remedy="name a stretch of time below the watermark",
        )

    def examine(self, stream: Stream, mapping: TableMapping, recorded: RecordedWindow, choice: Choice) -> Examined:
        """Compare a window's rows in both tiers, and decide whether they may be replaced.

        Raises:
            DivergenceError: if the cold tier does not hold what is recorded of the window.
            StreamError, TransientError: as source and catalog raise them.
        """
        window = recorded.window
        paths = self._catalog.data_files(stream.target, stream.partition_by, window)
        files = files_of(stream, recorded, self._source.file_shares(stream, mapping.as_recorded, window, paths))
        difference = self._source.late_rows(stream, mapping, window, paths)
        equal = not difference.missing and not difference.surplus
        reason = "" if equal else self._objection(stream, window, files, difference, choice)
        verdict = Verdict.EQUAL if equal else Verdict.REFUSED if reason else Verdict.REPLACEABLE
        return Examined(
            recorded=recorded,
            files=files,
            hot=difference.hot,
            missing=difference.missing,
            surplus=difference.surplus,
            verdict=verdict,
            reason=reason,
        )

    def _objection(
        self, stream: Stream, window: Window, files: Sequence[FileShare], difference: Difference, choice: Choice
    ) -> str:
        """Return why a window's rows must not be replaced; nothing if they may be."""
        first = min((file.first for file in files if file.first is not None), default=window.lower)
        exchange = Exchange(window=window, first=first, coming=difference.missing, going=difference.surplus)
        doubt = doubt_about(self._source, stream, exchange, self._dropped(stream.name), insist="--remove-rows")
        return "" if doubt is None or (choice.remove_rows and not doubt.final) else doubt.reason
