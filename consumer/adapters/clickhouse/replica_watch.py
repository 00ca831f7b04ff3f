"""Watching that the queries of one comparison read the same replicas."""

from __future__ import annotations

from threading import Lock

from consumer.adapters.clickhouse.client import ClickHouseConnection
from consumer.adapters.clickhouse.shards import Replicas, answering
from consumer.domain.errors import SourceUnavailableError
from consumer.domain.stream import Stream


class ReplicaWatch:
    """Remembers which replicas the inventory of a stream's source was read from; for all threads.

    What partitions hold is recorded as compared with counts that are read later. Were those read from a replica that
    lacks some of the inventory's rows, these rows would never be looked for again.
    """

    def __init__(self, connection: ClickHouseConnection) -> None:
        self._connection = connection
        self._lock = Lock()
        self._seen: dict[str, Replicas] = {}

    def begin(self, stream: Stream) -> None:
        """Remember which replicas answer, before the inventory is read.

        Raises:
            SourceUnavailableError: if one is behind or cut off.
        """
        if stream.source.cluster is None:
            return
        found = answering(self._connection, stream.source)
        with self._lock:
            self._seen[stream.name] = found

    def confirm(self, stream: Stream) -> None:
        """Check, after rows were read, that the same replicas still answer.

        Raises:
            SourceUnavailableError: if others do, or one is behind or cut off.
        """
        if stream.source.cluster is None:
            return
        found = answering(self._connection, stream.source)
        with self._lock:
            seen = self._seen.get(stream.name, found)
        if found != seen:
            moved = sorted(shard for shard in found if found[shard] != seen.get(shard))
            raise SourceUnavailableError(
                f"shard {moved[0] if moved else '?'} of the cluster {stream.source.cluster} is answered by another"
                f" replica than before while {stream.source} was compared",
                remedy="nothing to do: the step is tried again, with what that replica holds",
            )
