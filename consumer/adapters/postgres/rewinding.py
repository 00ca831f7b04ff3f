"""The ledger's part of a rewind, within the transaction that makes it true."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from consumer.adapters.postgres.comparisons import cut_off, read_windows
from consumer.adapters.postgres.database import Connection
from consumer.adapters.postgres.statements import statements
from consumer.domain.batch import Batch, BatchKind, BatchStatus, Remainder, Rewind, WrittenFile
from consumer.domain.errors import DivergenceError
from consumer.domain.fingerprint import EMPTY
from consumer.domain.rewind import RewindPlace, check_held, check_rewind
from consumer.domain.window import Window
from consumer.ports import Comparison, StreamRecord


def check_place(connection: Connection, batch: Batch, rewind: Rewind, record: StreamRecord, owner: str) -> None:
    """Check the predicate of a rewind against the locked record, and lock the rows of the dependants that are held.

    Raises:
        FencedError: if the lease on a dependant is not the owner's any more.
        UnknownCommitError, StaleDifferenceError: as :func:`consumer.domain.rewind.check_rewind` does.
    """
    row = connection.execute(statements("publish")["status"], {"batch_id": batch.id}).fetchone()
    above = Window(lower=rewind.watermark, upper=max(record.watermark, batch.window.upper))
    place = RewindPlace(
        status=None if row is None else BatchStatus(row["status"]),
        generation=record.generation,
        watermark=record.watermark,
        windows=read_windows(connection, batch.stream, above),
        last_upper=last_rows(connection, batch.stream, rewind.since),
    )
    check_rewind(batch, rewind, place)
    if rewind.held:
        rows = connection.execute(statements("rewind")["lock_held"], {"streams": list(rewind.held)}).fetchall()
        check_held(rewind, owner, {row["stream"]: (row["epoch"], row["owner"]) for row in rows})


def record_rewind(
    connection: Connection, batch: Batch, rewind: Rewind, parameters: dict[str, Any], files: Sequence[WrittenFile]
) -> None:
    """Withdraw what is done from the instant on, record what is left of it, and set the watermark back.

    Called after :func:`check_place`, once the rewind itself is recorded with these ``parameters``.

    Raises:
        DivergenceError: if the stream's row is not as it was checked.
    """
    sql = statements("rewind")
    facts = {
        **parameters,
        "since": rewind.since,
        "watermark": rewind.watermark,
        "last_upper": rewind.last_upper,
        "published": parameters.get("snapshot_id") is not None,
        "reason": rewind.reason,
    }
    connection.execute(sql["explain"], facts)
    connection.execute(sql["withdraw"], facts)
    connection.execute(sql["take_over"], facts)
    if rewind.remainder is not None:
        _record_remainder(connection, rewind.remainder, facts, files)
    if connection.execute(sql["set_back"], facts).rowcount != 1:
        raise DivergenceError(
            f"stream {batch.stream}: the rewind {batch.id} to {rewind.watermark.isoformat()} touched no row",
            remedy="run the same command again: it looks at the stream anew",
        )
    left = Comparison(partitions=rewind.partitions, hot=rewind.hot, findings=rewind.findings)
    cut_off(connection, batch.stream, rewind.since, left)


def _record_remainder(
    connection: Connection, left: Remainder, facts: dict[str, Any], files: Sequence[WrittenFile]
) -> None:
    own = [file for file in files if file.unit in left.units]
    window = {
        **facts,
        "batch_id": left.id,
        "kind": BatchKind.WINDOW.value,
        "lower": left.window.lower,
        "upper": left.window.upper,
        "generation": facts["generation"] + 1,
        "rows": left.content.rows,
        "digest": left.content.hex,
        "bytes": sum(file.bytes for file in own),
    }
    if left.content == EMPTY:
        connection.execute(statements("ledger")["add_empty"], window)
    else:
        connection.execute(statements("publish")["publish_batch"], window)
    paths = [file.path for file in own]
    connection.execute(statements("rewind")["hand_over"], {**facts, "remainder": left.id, "paths": paths})


def last_rows(connection: Connection, stream: str, before: datetime) -> datetime | None:
    """Return the upper bound of the last window with rows that ends at an instant or before it."""
    row = connection.execute(statements("rewind")["last_rows"], {"stream": stream, "before": before}).fetchone()
    found: datetime | None = None if row is None else row["upper"]
    return None if found is None else found.astimezone(UTC)
