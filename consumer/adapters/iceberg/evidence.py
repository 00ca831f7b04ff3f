"""Evidence: what snapshots say of the batch that made them and of their stream's progress.

Evidence counts on the ancestry of the current snapshot only, for a rollback takes a snapshot away and leaves a
property behind. The table's properties repeat the newest evidence for one case: snapshots of other engines are on
top, and an expiry has removed everything below them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot

from consumer.adapters.iceberg.ancestry import ancestors
from consumer.domain.batch import BatchKind, Evidence
from consumer.domain.cut import PastSnapshot
from consumer.domain.errors import DivergenceError
from consumer.domain.proof import Proof
from consumer.domain.repair import Lineage
from consumer.domain.window import Window
from consumer.ports import Publication

PREFIX = "icehaul."
_BATCH_ID = f"{PREFIX}batch-id"
_KIND = f"{PREFIX}kind"
_ROWS = f"{PREFIX}rows"
_DIGEST = f"{PREFIX}digest"
_WINDOW_LOWER = f"{PREFIX}window-lower"
_WINDOW_UPPER = f"{PREFIX}window-upper"
_LAST_UPPER = f"{PREFIX}last-upper"
_LAST_GENERATION = f"{PREFIX}last-generation"
_LAST_LOWER = f"{PREFIX}last-lower"
_LAST_END = f"{PREFIX}last-end"
_LAST_BATCH_ID = f"{PREFIX}last-batch-id"
_LAST_SNAPSHOT_ID = f"{PREFIX}last-snapshot-id"
_LAST_KIND = f"{PREFIX}last-kind"
_EPOCH = f"{PREFIX}epoch"
_REASON = "reason"
SCHEMA_ID = f"{PREFIX}schema-id"
"""Summary entry: the schema with which the batch's files were written."""


MAINTENANCE_ID = f"{PREFIX}maintenance-id"
"""Summary entry: the batch that made a snapshot which names the batch below it, for it has changed no row."""

SEAL = "seal"
"""Kind of a snapshot without rows that keeps a commit with an unknown outcome from landing late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestry:
    """What the current snapshot and its ancestors say.

    ``evidence`` is the newest; ``batch_ids`` and ``snapshot_ids`` are all that are still to be seen; ``whole`` tells
    whether the walk came to the table's first snapshot, so that nothing can be hidden by expiry; ``oldest_sequence`` is
    the sequence number of the last one that it came to.
    """

    evidence: Evidence | None
    batch_ids: frozenset[str]
    whole: bool
    snapshot_ids: frozenset[int] = frozenset()
    oldest_sequence: int = 0

    @property
    def lineage(self) -> Lineage:
        """The same, as the domain sees it; a name that is no batch id is nobody's."""
        ids = (_id_or_none(text) for text in self.batch_ids)
        return Lineage(
            snapshot_ids=self.snapshot_ids, batch_ids=frozenset(id_ for id_ in ids if id_ is not None), whole=self.whole
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """The newest evidence as the table's properties repeat it, with the window that it is about.

    ``removed`` tells that the rows of that window were taken out of the table.
    """

    evidence: Evidence
    window: Window
    removed: bool = False


def summary_of(publication: Publication) -> dict[str, str]:
    """Return the summary entries of the snapshot that publishes a batch."""
    batch, trigger, fingerprint = publication.batch, publication.trigger, publication.fingerprint
    entries: dict[str, str | int | None] = {
        "batch-id": str(batch.id),
        "stream": batch.stream,
        "kind": batch.kind.value,
        "window-lower": batch.window.lower.isoformat(),
        "window-upper": batch.window.upper.isoformat(),
        "rows": fingerprint.rows,
        "digest": fingerprint.hex,
        **_proof(publication.proof),
        "generation": batch.generation,
        "epoch": publication.claim.epoch,
        "event-id": trigger.event_id,
        "trace-id": trigger.trace_id,
        "traceparent": trigger.traceparent,
        **_progress(publication),
    }
    if trigger.coordinates is not None:
        entries |= {
            "kafka-topic": trigger.coordinates.topic,
            "kafka-partition": trigger.coordinates.partition,
            "kafka-offset": trigger.coordinates.offset,
        }
    return {f"{PREFIX}{name}": str(value) for name, value in entries.items() if value is not None}


def _proof(proof: Proof | None) -> dict[str, str | int]:
    """Return what was found in the files before the publish, and by which policy they were read."""
    if proof is None:
        return {}
    content = proof.content
    return {
        "proof": proof.policy.value,
        "proved-files": proof.files,
        "proved-rows": content.rows,
        "proved-digest": content.hex,
    }


def seal_of(evidence: Evidence | None) -> dict[str, str]:
    """Return the summary entries of a snapshot without rows, which carries forward what the table proves."""
    return {_KIND: SEAL, **_carried(evidence)}


def rewrite_of(publication: Publication, evidence: Evidence | None) -> dict[str, str]:
    """Return the summary entries of a snapshot that only moves rows: its own, and what the table proves as before."""
    own = summary_of(publication)
    kept = {name: value for name, value in own.items() if name not in {_BATCH_ID, _LAST_UPPER, _LAST_GENERATION}}
    return {**kept, MAINTENANCE_ID: own[_BATCH_ID], **_carried(evidence)}


def _carried(evidence: Evidence | None) -> dict[str, str]:
    if evidence is None:
        return {}
    carried = {_BATCH_ID: str(evidence.batch_id), _LAST_GENERATION: str(evidence.generation)}
    if evidence.upper is not None:
        carried[_LAST_UPPER] = evidence.upper.isoformat()
    return carried


def content_of(snapshot: Snapshot) -> tuple[str | None, str | None, str | None]:
    """Return the batch that a snapshot names, and its rows and digest, as they stand in the summary."""
    summary = snapshot.summary.additional_properties if snapshot.summary is not None else {}
    return summary.get(_BATCH_ID), summary.get(_ROWS), summary.get(_DIGEST)


def epoch_of(snapshot: Snapshot) -> int:
    """Return the epoch of the owner that made a snapshot; 0 where it names none."""
    text = "" if snapshot.summary is None else snapshot.summary.additional_properties.get(_EPOCH, "")
    return int(text) if text.isdecimal() else 0


def _progress(publication: Publication) -> dict[str, str | int | None]:
    """Return how far the stream is with this snapshot; a supplement carries forward how far it was."""
    batch, last_upper = publication.batch, publication.claim.record.last_upper
    if batch.kind is BatchKind.WINDOW:
        return {"last-upper": batch.window.upper.isoformat(), "last-generation": batch.generation}
    if batch.rewind is not None:
        last_upper = batch.rewind.last_upper
    return {
        "last-upper": None if last_upper is None else last_upper.isoformat(),
        "last-generation": batch.proves,
        _REASON: None if batch.rewind is None else batch.rewind.reason,
    }


def properties_of(publication: Publication, snapshot_id: int) -> dict[str, str]:
    """Return the table properties that repeat the evidence of a batch, with the window that its rows are in.

    A supplement leaves the last upper that stands there, and a rewrite all of it.
    """
    batch = publication.batch
    if batch.rewrite is not None:
        return {}
    newest = {
        _LAST_GENERATION: str(batch.proves),
        _LAST_KIND: batch.kind.value,
        _LAST_LOWER: batch.window.lower.isoformat(),
        _LAST_END: batch.window.upper.isoformat(),
        _LAST_BATCH_ID: str(batch.id),
        _LAST_SNAPSHOT_ID: str(snapshot_id),
    }
    upper = batch.window.upper if batch.kind is BatchKind.WINDOW else None
    if batch.rewind is not None:
        upper = batch.rewind.last_upper
    return newest if upper is None else newest | {_LAST_UPPER: upper.isoformat()}


def withdrawn_properties(publication: Publication) -> tuple[str, ...]:
    """Return the table properties that are not true any more: after a rewind there may be no window with rows."""
    rewind = publication.batch.rewind
    return (_LAST_UPPER,) if rewind is not None and rewind.last_upper is None else ()


def read_ancestry(metadata: TableMetadata) -> Ancestry:
    """Walk from the current snapshot to the oldest ancestor that is still there.

    Raises:
        DivergenceError: if a snapshot carries evidence that can't be read.
    """
    evidence: Evidence | None = None
    batch_ids: set[str] = set()
    snapshot_ids: set[int] = set()
    oldest = None
    for snapshot in ancestors(metadata, metadata.current_snapshot_id):
        oldest = snapshot
        snapshot_ids.add(snapshot.snapshot_id)
        summary = snapshot.summary.additional_properties if snapshot.summary is not None else {}
        if _BATCH_ID in summary:
            batch_ids.add(summary[_BATCH_ID])
        if evidence is None and _LAST_GENERATION in summary:
            evidence = _parse(
                summary, snapshot.snapshot_id, _BATCH_ID, where=f"the summary of snapshot {snapshot.snapshot_id}"
            )
    # Java leaves the id of an expired parent behind, PyIceberg clears it: then the sequence number tells.
    sequence = 0 if oldest is None else oldest.sequence_number or 0
    whole = oldest is None or (oldest.parent_snapshot_id is None and sequence <= 1)
    return Ancestry(
        evidence=evidence,
        batch_ids=frozenset(batch_ids),
        whole=whole,
        snapshot_ids=frozenset(snapshot_ids),
        oldest_sequence=sequence,
    )


def said_by(snapshot: Snapshot) -> PastSnapshot:
    """Return the window whose rows a snapshot says to have added or taken out, and the upper bound that it proves.

    Raises:
        DivergenceError: if that can't be read.
    """
    summary = snapshot.summary.additional_properties if snapshot.summary is not None else {}
    kind = summary.get(_KIND)
    try:
        return PastSnapshot(
            snapshot_id=snapshot.snapshot_id,
            window=Window(lower=_instant(summary[_WINDOW_LOWER]), upper=_instant(summary[_WINDOW_UPPER]))
            if kind == BatchKind.WINDOW
            else None,
            proved=_instant(summary[_LAST_UPPER]) if _LAST_UPPER in summary else None,
            rewound=_instant(summary[_WINDOW_LOWER]) if kind == BatchKind.REWIND else None,
        )
    except (KeyError, ValueError) as error:
        raise _unreadable(f"the summary of snapshot {snapshot.snapshot_id}", error) from error


def read_properties(metadata: TableMetadata) -> Repeated | None:
    """Read the evidence that the table's properties repeat; ``None`` where there is none.

    Raises:
        DivergenceError: if it can't be read.
    """
    properties = metadata.properties
    if _LAST_GENERATION not in properties:
        return None
    where = "the table's properties"
    try:
        snapshot_id = int(properties[_LAST_SNAPSHOT_ID])
        lower = _instant(properties[_LAST_LOWER])
        # Before there were supplements, the last batch was the last window.
        end = _instant(properties.get(_LAST_END) or properties[_LAST_UPPER])
        evidence = _parse(properties, snapshot_id, _LAST_BATCH_ID, where=where)
        removed = properties.get(_LAST_KIND) == BatchKind.REWIND
        return Repeated(evidence=evidence, window=Window(lower=lower, upper=end), removed=removed)
    except (KeyError, ValueError) as error:
        raise _unreadable(where, error) from error


def _parse(entries: Mapping[str, str], snapshot_id: int, batch_id: str, *, where: str) -> Evidence:
    try:
        return Evidence(
            upper=_instant(entries[_LAST_UPPER]) if _LAST_UPPER in entries else None,
            generation=int(entries[_LAST_GENERATION]),
            batch_id=UUID(entries[batch_id]),
            snapshot_id=snapshot_id,
        )
    except (KeyError, ValueError) as error:
        raise _unreadable(where, error) from error


def _id_or_none(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return instant


def _unreadable(where: str, error: Exception) -> DivergenceError:
    missing = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
    return DivergenceError(
        f"{where} holds evidence of icehaul that can't be read: {missing}",
        remedy=f"find out who edited it; roll the table back to a snapshot whose {PREFIX}* entries are whole",
    )
