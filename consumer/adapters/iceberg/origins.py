"""What a snapshot's summary says of the batch that made it, and of the event and the trace behind that."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from pyiceberg.table.snapshots import Snapshot as TableSnapshot

from consumer.adapters.iceberg.evidence import MAINTENANCE_ID, PREFIX, SEAL
from consumer.domain.batch import BatchKind, BatchStatus
from consumer.domain.errors import DivergenceError
from consumer.domain.event import Coordinates
from consumer.domain.window import Window
from consumer.service.origins import Origin, Snapshot

_SAMPLED = 1
"""Flag of a W3C trace context."""


def origin_of(snapshot: TableSnapshot) -> Snapshot:
    """Return whose a snapshot is.

    Raises:
        DivergenceError: if it says that it is icehaul's, and can't be read.
    """
    summary = snapshot.summary.additional_properties if snapshot.summary is not None else {}
    own = {name.removeprefix(PREFIX): value for name, value in summary.items() if name.startswith(PREFIX)}
    operation = "without a summary" if snapshot.summary is None else snapshot.summary.operation.value
    committed = datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC)
    if own.get("kind") == SEAL:
        return Snapshot(origin=None, by=f"a seal of {committed:%Y-%m-%d %H:%M:%S}, which has no rows")
    own["batch-id"] = summary.get(MAINTENANCE_ID) or own.get("batch-id", "")
    if not own["batch-id"]:
        return Snapshot(origin=None, by=f"a snapshot ({operation}) of {committed:%Y-%m-%d %H:%M:%S} by another writer")
    try:
        return Snapshot(origin=_origin(own, snapshot.snapshot_id, committed), by="icehaul")
    except (KeyError, ValueError) as error:
        raise DivergenceError(
            f"the summary of snapshot {snapshot.snapshot_id} can't be read: {type(error).__name__}: {error}",
            remedy=f"find out who edited it: its {PREFIX}* entries are no longer what icehaul wrote",
        ) from error


def _origin(own: Mapping[str, str], snapshot_id: int, committed: datetime) -> Origin:
    at = None
    if "kafka-topic" in own:
        at = Coordinates(
            topic=own["kafka-topic"], partition=int(own["kafka-partition"]), offset=int(own["kafka-offset"])
        )
    traceparent = own.get("traceparent")
    return Origin(
        stream=own["stream"],
        batch_id=UUID(own["batch-id"]),
        kind=BatchKind(own["kind"]),
        status=BatchStatus.PUBLISHED,
        window=Window(
            lower=datetime.fromisoformat(own["window-lower"]), upper=datetime.fromisoformat(own["window-upper"])
        ),
        rows=int(own["rows"]),
        snapshot_id=snapshot_id,
        event_ids=(own["event-id"],) if "event-id" in own else (),
        coordinates=at,
        trace_id=own.get("trace-id"),
        started=None,
        ended=committed,
        sampled=None if traceparent is None else bool(int(traceparent.rpartition("-")[2], 16) & _SAMPLED),
    )
