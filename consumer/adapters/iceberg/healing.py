"""Settling publishes in two steps whose outcome the ledger does not know: the ledger follows the table.

A commit demands one exact base: that the table's current snapshot is the one it was staged on. So of all commits on one
base a single one can land, however late a request arrives, and one whose base is not current any more never will. What
is absent may still land as long as its base is current; before the ledger moves on without a commit of its own, a
*seal*, a snapshot without rows, takes the base away from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import structlog
from pyiceberg.table.metadata import TableMetadata

from consumer.adapters.iceberg.ancestry import ancestors
from consumer.adapters.iceberg.evidence import content_of, seal_of
from consumer.adapters.iceberg.placement import Placement
from consumer.adapters.iceberg.publish import replaced
from consumer.adapters.iceberg.staging import StagedCommit
from consumer.adapters.iceberg.store import AttemptFiles, table_errors
from consumer.adapters.iceberg.target import Base
from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.intents import Intent, settle, settle_landed, unsettled
from consumer.adapters.postgres.publishing import lock_stream, read_streams
from consumer.domain.batch import Evidence
from consumer.domain.errors import BaseMovedError, CatalogUnavailableError, UnknownCommitError
from consumer.domain.fence import missing_row
from consumer.domain.stream import Stream
from consumer.failpoints.acting import Failpoints
from consumer.ports import Claim
from consumer.settings.connections import StoreSettings

_log = structlog.get_logger(__name__)

_SEALS_MAX = 10
"""How often a seal is tried: each failure means that somebody has committed, or that nobody knows."""


class Healer:
    """Brings the ledger up to what a table proves."""

    def __init__(
        self, *, database: Database, placement: Placement, store: StoreSettings, failpoints: Failpoints
    ) -> None:
        self._database = database
        self._placement = placement
        self._store = store
        self._failpoints = failpoints

    def heal(
        self, stream: Stream, claim: Claim, evidence_of: Callable[[Base], Evidence | None], *, final: bool
    ) -> Claim:
        """Settle every open intent of a stream; see :meth:`consumer.ports.Catalog.heal`.

        Where there is none, and that is nearly always so, the table is not looked at.
        """
        for _ in range(_SEALS_MAX):
            claim, intents = self._open(claim)
            if not intents:
                return claim
            base = self._placement.bases.load(stream.target)
            if base is None or base.metadata.table_uuid != claim.record.target_uuid:
                raise replaced(stream.name, stream.target, base)
            evidence = evidence_of(base)
            claim, left = self._settle(claim, base, intents, evidence)
            if not final or not left:
                return claim
            self._seal(base, evidence)
        raise CatalogUnavailableError(
            f"stream {stream.name}: a commit to {stream.target} with an unknown outcome can't be kept from landing"
            f" late: {_SEALS_MAX} seals were refused",
            remedy="find out who else commits to the table that often; it is tried again",
        )

    def _open(self, claim: Claim) -> tuple[Claim, list[Intent]]:
        """Return the open intents, and the claim with the record of now.

        The record that the caller has may be older than an intent that was settled, where the answer to that got lost.
        """
        with self._database.transaction(repeatable=True) as connection:
            intents = unsettled(connection, [claim.stream])
            known = read_streams(connection, [claim.stream]).get(claim.stream)
        if known is None:
            raise missing_row(claim.stream)
        return replace(claim, record=known), intents

    def _settle(
        self, claim: Claim, base: Base, intents: Sequence[Intent], evidence: Evidence | None
    ) -> tuple[Claim, int]:
        """Record what has landed, oldest first, forget what never will, and count what is left; under the fence."""
        landed = landed_in(base.metadata, evidence, intents)
        current = base.metadata.current_snapshot_id
        over = [one.snapshot_id for one in intents if one.snapshot_id in landed or one.base_snapshot_id != current]
        if not over:
            return claim, len(intents)
        with self._failpoints.around("publish.heal"), self._database.transaction(repeatable=True) as connection:
            lock_stream(connection, claim)
            for intent in intents:
                if intent.snapshot_id in landed:
                    settle_landed(connection, claim, intent, landed[intent.snapshot_id])
            settle(connection, claim.stream, over)
            record = lock_stream(connection, claim)
        for intent in intents:
            if intent.snapshot_id in over:
                _log.warning(
                    "publish.settled",
                    stream=claim.stream,
                    batch=str(intent.batch_id),
                    landed=intent.snapshot_id in landed,
                )
        return replace(claim, record=record), len(intents) - len(over)

    def _seal(self, base: Base, evidence: Evidence | None) -> None:
        """Add a snapshot without rows, so that no commit on this base can land any more.

        Whether it was added, or somebody else has committed, or nobody knows: the next look at the table tells.
        """
        attempt = AttemptFiles(self._placement.io)
        with table_errors(self._store, base.name, f"staging a seal of {base.name}"):
            commit = StagedCommit(base.table(attempt))
            commit.append_files((), seal_of(evidence))
        with self._failpoints.around("table.seal"):
            try:
                self._placement.pointers.commit(base, commit)
            except BaseMovedError:
                attempt.discard()
            except UnknownCommitError as error:
                _log.warning("seal.unknown", table=str(base.name), error=error.message)


def landed_in(metadata: TableMetadata, evidence: Evidence | None, intents: Sequence[Intent]) -> Mapping[int, int]:
    """Return which intents are on a table's ancestry, with the id of the snapshot that says so.

    A compaction may have taken an intent's own snapshot away, and say of its batch what that said; the evidence that
    the table's properties repeat speaks where not even that is left.
    """
    ancestry = list(ancestors(metadata, metadata.current_snapshot_id))
    there = {snapshot.snapshot_id for snapshot in ancestry}
    if evidence is not None:
        there.add(evidence.snapshot_id)
    landed = {one.snapshot_id: one.snapshot_id for one in intents if one.snapshot_id in there}
    batches = {one.batch_id for one in intents if one.snapshot_id in landed}
    carried = {content_of(snapshot): snapshot.snapshot_id for snapshot in reversed(ancestry)}
    for one in intents:
        content = (str(one.batch_id), str(one.landing.fingerprint.rows), one.landing.fingerprint.hex)
        if one.batch_id not in batches and content in carried:
            landed[one.snapshot_id] = carried[content]
            batches.add(one.batch_id)
    return landed
