"""The register of streams (the port ``Register``): changes of both ledger and catalog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC

import psycopg

from consumer.adapters.iceberg.metadata_files import write_next
from consumer.adapters.iceberg.placement import place
from consumer.adapters.iceberg.staging import StagedCommit
from consumer.adapters.iceberg.store import AttemptFiles, table_errors
from consumer.adapters.iceberg.tables import STREAM_PROPERTY
from consumer.adapters.iceberg.target import Base
from consumer.adapters.postgres.database import Connection, Database
from consumer.adapters.postgres.publishing import lock_stream
from consumer.adapters.postgres.statements import statements
from consumer.domain.errors import BaseMovedError, DivergenceError, UnknownCommitError
from consumer.domain.stream import TableName
from consumer.ports import Claim, StreamState
from consumer.service.registry.ports import KnownStream
from consumer.settings.connections import CatalogSettings, StoreSettings

_RENAMED = (
    "rename",
    "rename_emissions",
    "rename_parked",
    "rename_outbox",
    "rename_upstream_of_parked",
    "rename_upstream_of_outbox",
)
_PURGED = (
    "files",
    "attempts",
    "batches",
    "publishes",
    "parked",
    "partitions",
    "differences",
    "findings",
    "drops",
    "backfills",
    "stream",
)


class IcebergRegister:
    """Changes the names of streams and tables."""

    def __init__(self, *, database: Database, catalog: CatalogSettings, store: StoreSettings) -> None:
        self._database = database
        self._store = store
        self._placement = place(database, catalog, store)
        self._io, self._bases = self._placement.io, self._placement.bases
        self._sql = statements("registry")

    def close(self) -> None:
        """Close connections that it has of its own; the next call opens them again."""
        self._placement.close()

    def known(self) -> Sequence[KnownStream]:
        """Return every stream of the ledger, those that were removed last."""
        with self._database.transaction(repeatable=True) as connection:
            rows = connection.execute(self._sql["known"]).fetchall()
        return [
            KnownStream(
                name=row["stream"],
                watermark=row["watermark"].astimezone(UTC),
                start=row["start"].astimezone(UTC),
                state=StreamState(row["state"]),
                owner=row["owner"],
                lease_expires=row["lease_expires"],
                removed=row["removed"],
            )
            for row in rows
        ]

    def counts(self, stream: str) -> Mapping[str, int]:
        """Return how many rows the ledger has of a stream, by what they are."""
        with self._database.transaction(repeatable=True) as connection:
            row = connection.execute(self._sql["counts"], {"stream": stream}).fetchone()
        return {} if row is None else dict(row)

    def rename(self, claim: Claim, new: str, target: TableName) -> None:
        """Give a stream another name, in the ledger, in events that wait, and in its table's properties."""
        base = self._bases.load(target)
        attempt = AttemptFiles(self._io)
        commit = None if base is None else self._owned(base, claim.stream, new, attempt)
        rows = self._placement.ledger_rows
        staged: Base | None = None
        try:
            if base is not None and commit is not None:
                if rows is None:
                    # The table first: repeated, the command finds it done, and goes on with the ledger.
                    self._placement.pointers.commit(base, commit)
                else:
                    with table_errors(self._store, target, f"staging the metadata of {target}"):
                        staged = write_next(base, commit.result(), attempt)
            with self._database.transaction(repeatable=True) as connection:
                lock_stream(connection, claim)
                for name in _RENAMED:
                    self._execute(connection, name, claim, new=new)
                if rows is not None and base is not None and staged is not None:
                    rows.swap(connection, target, base=base.location, new=staged.location)
        except (BaseMovedError, UnknownCommitError) as error:
            attempt.discard()
            raise DivergenceError(
                f"stream {claim.stream}: somebody commits to the table {target} at this moment: {error.message}",
                remedy="stop whatever else writes to the table, and run the same command again",
            ) from error

    def archive(self, claim: Claim, remains: str) -> None:
        """Keep what the ledger has of a stream under another name."""
        with self._database.transaction(repeatable=True) as connection:
            lock_stream(connection, claim)
            for name in ("forget_emissions", "forget_outbox", "archive"):
                self._execute(connection, name, claim, new=remains)

    def purge(self, claim: Claim) -> None:
        """Delete everything that the ledger has of a stream."""
        with self._database.transaction(repeatable=True) as connection:
            lock_stream(connection, claim)
            for name in ("forget_emissions", "forget_outbox", *(f"purge_{one}" for one in _PURGED)):
                self._execute(connection, name, claim)

    def move(self, claim: Claim, old: TableName, new: TableName) -> None:
        """Give a stream's table another name in the catalog; its files stay where they are."""
        rows = self._placement.ledger_rows
        if rows is None and not self._placement.pointers.move(old, new):
            raise _taken(claim.stream, f"there is no table {old} any more")
        with self._database.transaction(repeatable=True) as connection:
            lock_stream(connection, claim)
            if rows is not None and not rows.move(connection, old, new):
                raise _taken(claim.stream, f"there is no table {old} any more")
            self._execute(connection, "move_release", claim)

    def _execute(self, connection: Connection, name: str, claim: Claim, *, new: str | None = None) -> None:
        try:
            connection.execute(self._sql[name], {"stream": claim.stream, "new": new})
        except psycopg.errors.UniqueViolation as error:
            raise _taken(claim.stream, f"the ledger has a stream {new!r} already") from error

    def _owned(self, base: Base, old: str, new: str, attempt: AttemptFiles) -> StagedCommit | None:
        """Stage the table as one of the stream with its new name; ``None`` where it is not the stream's."""
        if base.metadata.properties.get(STREAM_PROPERTY) != old:
            return None
        commit = StagedCommit(base.table(attempt))
        commit.set_properties({STREAM_PROPERTY: new})
        return commit


def _taken(stream: str, what: str) -> DivergenceError:
    return DivergenceError(
        f"stream {stream}: {what}; nothing was changed", remedy="choose another name; see: icehaul stream list"
    )
