"""Recovering: looked at first, then the catalog points to the table again, and a ledger that is empty follows it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import structlog

from consumer.domain.errors import DivergenceError, TargetMismatchError, TargetMissingError
from consumer.domain.recovery import FoundMetadata, doubt_about, newest_first
from consumer.domain.stream import Stream
from consumer.failpoints.acting import Failpoints
from consumer.ports import Ledger, StreamRecord
from consumer.service.recovering.ports import LostTables, RecoveryLedger
from consumer.service.repair.examination import Examination
from consumer.service.repair.repairer import Repairs

_LOOKED_AT = 25
"""How many metadata files are read at most in search of one that is whole: more than a table keeps."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What was found of a stream's table, and what is to be done.

    Attributes:
        record: the ledger's record of the stream; ``None`` where it has none.
        pointer: the metadata file that the catalog points to; ``None`` where it has no such table.
        pointed: what that file says; ``None`` where there is none.
        candidates: the metadata files that were read, newest first.
        chosen: the one that the catalog is to point to; ``None`` where it points to a table that is whole, or in doubt.
        doubt: why none was chosen, though the catalog needs one.
        repaired: what the ledger was found to lack, where it was empty and has followed the table.
    """

    record: StreamRecord | None
    pointer: str | None
    pointed: FoundMetadata | None
    candidates: tuple[FoundMetadata, ...] = ()
    chosen: FoundMetadata | None = None
    doubt: str | None = None
    repaired: Examination | None = field(default=None, compare=False)

    @property
    def needed(self) -> bool:
        """Whether the catalog does not point to a table that is whole."""
        return self.chosen is not None or self.doubt is not None

    @property
    def unknown(self) -> bool:
        """Whether the ledger knows nothing of the stream's tables, so that there is nothing in it to be lost."""
        return self.record is None or self.record.target_uuid is None


class Recoveries:
    """Finds tables again; safe to repeat after any failure."""

    def __init__(
        self,
        *,
        tables: LostTables,
        ledger: Ledger,
        recovery: RecoveryLedger,
        repairs: Repairs,
        failpoints: Failpoints,
    ) -> None:
        self._tables = tables
        self._ledger = ledger
        self._recovery = recovery
        self._repairs = repairs
        self._failpoints = failpoints

    def review(self, stream: Stream, metadata: str | None = None) -> Recovery:
        """Return what there is of a stream's table; changes nothing.

        Args:
            stream: the stream.
            metadata: location of the metadata file that an operator has chosen; ``None`` for the newest.

        Raises:
            TargetMissingError: if there is no metadata file, or not the one that was chosen.
            TargetMismatchError, DivergenceError: if it is another stream's, or another table's than the ledger knows.
            StreamError, TransientError: as catalog, store and ledger raise them.
        """
        record = self._ledger.read([stream.name]).get(stream.name)
        pointer = self._tables.pointer(stream.target)
        pointed = None if pointer is None else self._tables.read(stream.target, pointer)
        found = Recovery(record=record, pointer=pointer, pointed=pointed)
        if metadata is not None:
            return self._as_chosen(stream, found, metadata)
        if pointed is not None and not pointed.missing:
            return found
        return self._newest(stream, found)

    def recover(self, stream: Stream, metadata: str | None = None) -> Recovery:
        """Let the catalog point to what :meth:`review` has chosen, and an empty ledger follow the table.

        Where something is in doubt, nothing is changed. A ledger that knows the stream is left to `icehaul repair`,
        which shows first what it would withdraw.

        Raises:
            BaseMovedError, UnknownCommitError: if the command has to be given again.
            LeaseHeldError: if somebody works on the stream at this moment.
            StreamError, TransientError: as :meth:`review` raises them.
        """
        found = self.review(stream, metadata)
        if found.chosen is None:
            return found
        if found.unknown:
            self._recovery.make_room(stream.name, stream.begins, found.chosen.epoch)
        with self._failpoints.around("table.register"):
            self._tables.point(stream.target, base=found.pointer, location=found.chosen.location)
        _log.warning(
            "table.recovered",
            stream=stream.name,
            table=str(stream.target),
            metadata=found.chosen.location,
            before=found.pointer,
        )
        if not found.unknown or found.chosen.evidence is None:
            return found
        return replace(found, repaired=self._repairs.repair(stream))

    def _as_chosen(self, stream: Stream, found: Recovery, location: str) -> Recovery:
        chosen = self._tables.read(stream.target, location)
        if chosen is None:
            raise TargetMissingError(
                f"--metadata: the store does not hold {location}",
                remedy=f"name one of the files that `icehaul recover {stream.name}` lists",
            )
        _check_ours(stream, found.record, chosen)
        if chosen.missing:
            raise DivergenceError(
                f"stream {stream.name}: --metadata: {doubt_about([chosen], ())}",
                remedy="restore these files, or choose a metadata file that is whole",
            )
        return replace(found, candidates=(chosen,), chosen=None if found.pointer == chosen.location else chosen)

    def _newest(self, stream: Stream, found: Recovery) -> Recovery:
        """Choose the newest metadata file; where it is doubtful, read on to the newest one that is whole."""
        groups: list[list[FoundMetadata]] = []
        for locations in newest_first(self._tables.metadata_files(stream.target)):
            read = (self._tables.read(stream.target, location) for location in locations)
            group = [one for one in read if one is not None]
            groups += [group] if group else []
            enough = len(groups) > 1 and any(not one.missing for group in groups for one in group)
            if enough or sum(map(len, groups)) >= _LOOKED_AT:
                break
        if not groups:
            raise _nothing_there(stream, found)
        candidates = tuple(one for group in groups for one in group)
        doubt = doubt_about(groups[0], groups[1] if len(groups) > 1 else ())
        if doubt is None:
            _check_ours(stream, found.record, groups[0][0])
        return replace(found, candidates=candidates, chosen=groups[0][0] if doubt is None else None, doubt=doubt)


def _nothing_there(stream: Stream, found: Recovery) -> TargetMissingError:
    pointed = "has no such table" if found.pointer is None else f"points it to {found.pointer}, which is not there"
    return TargetMissingError(
        f"stream {stream.name}: the store holds no metadata file of {stream.target} where it would be made, and the"
        f" catalog {pointed}",
        remedy="name the file with --metadata, if the table lies elsewhere (it was moved, or made by another tool);"
        " restore the store's folder; or, where nothing is to be found again, let the table be made anew:"
        f" `icehaul repair {stream.name} --yes`",
    )


def _check_ours(stream: Stream, record: StreamRecord | None, chosen: FoundMetadata) -> None:
    """Check that a metadata file is of the stream's table.

    Raises:
        TargetMismatchError: if it belongs to another stream.
        DivergenceError: if the ledger knows another table.
    """
    if chosen.owner not in {None, stream.name}:
        raise TargetMismatchError(
            f"stream {stream.name}: {chosen.location} is of a table that belongs to the stream {chosen.owner!r}",
            remedy="name the right file with --metadata, or correct the stream's name or target in the configuration",
        )
    known = None if record is None else record.target_uuid
    if known is not None and known != chosen.uuid:
        raise DivergenceError(
            f"stream {stream.name}: {chosen.location} is of a table with the UUID {chosen.uuid}; the ledger has"
            f" recorded rows in the table {known}",
            remedy="name a file of that table with --metadata; where it is lost for good, move this folder away, and"
            f" run `icehaul repair {stream.name} --yes`: a new one is made for the rows that the source still holds",
        )
