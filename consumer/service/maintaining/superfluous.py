"""The look at a table's files, for those that nothing refers to: the store is listed first, then the rest is read."""

from __future__ import annotations

from dataclasses import dataclass

from consumer.domain.divergence import check_divergence, repair_command
from consumer.domain.errors import DivergenceError, TargetMismatchError
from consumer.domain.stream import Stream
from consumer.domain.unreferenced import Heap, Unreferenced, absent, sort_files
from consumer.ports import Catalog, StreamRecord, TargetTable
from consumer.service.audit.ports import AttemptRecords, TableFiles
from consumer.service.maintaining.removal_ports import RemovalLedger, Remover

_LOOKS = 3
"""How often the store is listed while somebody else commits to the table in between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one look has found, and the metadata file that it was made at."""

    files: Unreferenced
    pointer: str


class SuperfluousFiles:
    """Finds the files that nothing refers to; changes nothing, and takes no lease."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        attempts: AttemptRecords,
        files: TableFiles,
        removals: RemovalLedger,
        remover: Remover,
    ) -> None:
        self._catalog = catalog
        self._attempts = attempts
        self._files = files
        self._removals = removals
        self._remover = remover

    def look(self, stream: Stream, record: StreamRecord) -> Seen | None:
        """Return what is under the stream's table; ``None`` where nothing was ever published to it.

        Raises:
            DivergenceError: if the table is another one than the ledger knows, the two tell different stories, or not
                everything can be read that the table refers to.
            TargetMismatchError: if another table has files in the same place.
            StreamError, TransientError: as catalog, store and ledger raise them.
        """
        target = self._catalog.inspect(stream.target)
        if record.target_uuid is None:
            return None
        if target is None or target.uuid != record.target_uuid:
            raise DivergenceError(
                f"stream {stream.name}: the target {stream.target} is not the table that the ledger knows",
                remedy=repair_command(stream.name),
            )
        check_divergence(stream=stream.name, recorded=record.progress, evidence=target.evidence)
        sharing = self._remover.sharing(stream.target, target.location)
        if sharing:
            raise TargetMismatchError(
                f"stream {stream.name}: the table {sharing[0]} has files in {target.location}, too, where the target"
                f" {stream.target} lies: nobody can tell whose a file is",
                remedy="move one of the two to another location, or switch the removal of files off for this stream:"
                " maintenance.removal.enabled: false",
            )
        return self._sorted(stream, target)

    def _sorted(self, stream: Stream, target: TargetTable) -> Seen:
        missing: tuple[str, ...] = ()
        for _ in range(_LOOKS):
            # Listed first: what is written or committed from now on is not taken for superfluous.
            stored = self._files.stored(target.location)
            attempts, recorded = self._attempts.attempts(stream.name), self._attempts.files(stream.name)
            census = self._files.census(stream.target, stored)
            if census is None:
                break
            unread = (*census.unreadable, *census.doubtful)
            if unread:
                raise DivergenceError(
                    f"stream {stream.name}: {unread[0]} can't be read, so nobody knows which files it refers to",
                    remedy="restore the file; or, where it is a metadata file that nobody needs, delete it by hand",
                )
            missing = tuple(absent(census, target.location, {file.path for file in stored}))
            if not missing:
                files = Unreferenced(
                    stored=Heap.of(stored),
                    kinds=sort_files(stored, census, target.location, attempts, recorded),
                    found=self._removals.found(stream.name),
                    policy=stream.maintenance.removal,
                )
                return Seen(files=files, pointer=census.current)
        raise DivergenceError(
            f"stream {stream.name}: the table {stream.target} refers to {missing[0]}, which the store does not list"
            if missing
            else f"stream {stream.name}: the table {stream.target} was dropped during the look at it",
            remedy="see what `icehaul verify --all` finds; nothing is removed from a table that is damaged",
        )
