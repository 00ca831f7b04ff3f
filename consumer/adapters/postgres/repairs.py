"""The ledger's part of a repair (the port ``RepairLedger``) on Postgres: one transaction, under the fence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from consumer.adapters.postgres.comparisons import read_partitions, write_comparison
from consumer.adapters.postgres.database import Connection, Database
from consumer.adapters.postgres.intents import settle, unsettled
from consumer.adapters.postgres.publishing import lock_stream, send
from consumer.adapters.postgres.rows import Row
from consumer.adapters.postgres.statements import statements
from consumer.domain.batch import BatchKind, BatchStatus
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.reconcile import ComparedPartition
from consumer.domain.repair import KnownBatch
from consumer.domain.window import Window
from consumer.ports import Claim, Comparison
from consumer.service.repair.ports import RebuiltWindow, Repair


class PostgresRepairs:
    """Reads what the ledger has of a stream's batches, and makes it follow the table."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = statements("repair")

    def partitions(self, stream: str) -> Mapping[str, ComparedPartition]:
        """Return the partitions of the source as they were last compared with the record, by id."""
        with self._database.transaction(repeatable=True) as connection:
            return read_partitions(connection, stream)

    def known_batches(self, stream: str) -> Sequence[KnownBatch]:
        """Return every batch of a stream that is published, empty or withdrawn."""
        with self._database.transaction(repeatable=True) as connection:
            rows = connection.execute(self._sql["known"], {"stream": stream}).fetchall()
        return [_known(row) for row in rows]

    def repair(self, claim: Claim, repair: Repair) -> None:
        """Do all of a repair in one transaction; a second time it finds its own epoch over, or its work done."""
        with self._database.transaction(repeatable=True) as connection:
            record = lock_stream(connection, claim)
            if record.generation >= repair.generation:
                # An earlier commit of the same repair has landed, for nobody else has the lease.
                return
            settle(connection, claim.stream, [one.snapshot_id for one in unsettled(connection, [claim.stream])])
            self._batches(connection, claim, repair)
            connection.execute(
                self._sql["repaired"],
                {
                    "stream": claim.stream,
                    "watermark": repair.watermark,
                    "last_upper": repair.last_upper,
                    "last_batch_id": repair.last_batch_id,
                    "generation": repair.generation,
                    "source_uuid": repair.source_uuid,
                    "target_uuid": repair.target_uuid,
                    "adopted": repair.adopted,
                },
            )
            for window in repair.backfills:
                bounds = {"lower": window.lower, "upper": window.upper}
                connection.execute(self._sql["reopen"], {"stream": claim.stream, **bounds})
            for name in ("forget_partitions", "forget_differences"):
                connection.execute(self._sql[name], {"stream": claim.stream})
            write_comparison(
                connection, claim.stream, Comparison(partitions=repair.partitions, findings=repair.findings)
            )
            for name in ("activate", "unpark"):
                connection.execute(statements("ledger")[name], {"stream": claim.stream})
            send(connection, [repair.event])

    def _batches(self, connection: Connection, claim: Claim, repair: Repair) -> None:
        at = {"stream": claim.stream}
        connection.execute(self._sql["withdraw"], {**at, "ids": list(repair.withdrawn)})
        for name in ("reinstate", "give_back"):
            connection.execute(self._sql[name], {**at, "ids": list(repair.reinstated)})
        for one in repair.rebuilt:
            bounds = {"lower": one.window.lower, "upper": one.window.upper, "by": one.id}
            connection.execute(self._sql["withdraw_inside"], {**at, **bounds})
        connection.execute(self._sql["withdraw_above"], {**at, "watermark": repair.watermark})
        for one in repair.rebuilt:
            self._rebuild(connection, claim, repair, one)

    def _rebuild(self, connection: Connection, claim: Claim, repair: Repair, one: RebuiltWindow) -> None:
        filled = one.fingerprint.rows > 0
        at = {"stream": claim.stream, "batch_id": one.id, "epoch": claim.epoch, "owner": claim.owner}
        connection.execute(
            self._sql["rebuild"],
            {
                **at,
                "kind": one.kind.value,
                "lower": one.window.lower,
                "upper": one.window.upper,
                "generation": repair.generation,
                "status": (BatchStatus.PUBLISHED if filled else BatchStatus.EMPTY).value,
                "rows": one.fingerprint.rows,
                "bytes": sum(file.bytes for file in one.files) if filled else 0,
                "digest": one.fingerprint.hex if filled else None,
                "snapshot_id": repair.snapshot_id if filled else None,
            },
        )
        owned: dict[str, Any] = {
            **at,
            "prefixes": [file.path.rpartition("/")[0] for file in one.files],
            "paths": [file.path for file in one.files],
            "units": list(range(len(one.files))),
            "rows": [file.fingerprint.rows for file in one.files],
            "bytes": [file.bytes for file in one.files],
            "digests": [file.fingerprint.hex for file in one.files],
        }
        for name in ("own_prefixes", "own_files"):
            connection.execute(self._sql[name], owned)


def _known(row: Row) -> KnownBatch:
    digest = row["digest"]
    return KnownBatch(
        id=row["batch_id"],
        kind=BatchKind(row["kind"]),
        window=Window(lower=row["lower"].astimezone(UTC), upper=row["upper"].astimezone(UTC)),
        status=BatchStatus(row["status"]),
        fingerprint=EMPTY if digest is None else Fingerprint.parse(rows=row["rows"], hexadecimal=digest),
        revision=row["revision"],
        snapshot_id=row["snapshot_id"],
        epoch=row["epoch"],
        ended=row["ended"].astimezone(UTC),
        withdrawn_by=row["withdrawn_by"],
    )
