"""A table of a cluster: the same on every shard, and read from replicas that are not behind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from uuid import UUID

from consumer.adapters.clickhouse.client import ClickHouseConnection, Row, load_sql
from consumer.domain.clickhouse_sql import read_each
from consumer.domain.errors import ConfigurationError, SourceMissingError, SourceUnavailableError, StreamError
from consumer.domain.stream import TableName
from consumer.domain.table_ttl import row_ttls
from consumer.settings.connections import ClickHouseSettings

Replicas = Mapping[int, str]
"""The host that answers for each shard, by the shard's number."""

_REPLICATED = ("Replicated", "Shared")


def read_shards(connection: ClickHouseConnection, cluster: str) -> Mapping[int, int]:
    """Return how many replicas each shard of a cluster has, by the shard's number.

    Raises:
        ConfigurationError: if the server knows no cluster of this name.
    """
    rows = connection.rows(load_sql("cluster_shards"), parameters={"cluster": cluster})
    if not rows:
        raise ConfigurationError(
            f"clickhouse.cluster is {cluster!r}, which the server at {connection.address} does not know",
            remedy="name one of system.clusters, or define it in the server's remote_servers",
        )
    return {int(shard): int(replicas) for shard, replicas in rows}


def refuse_cluster(settings: ClickHouseSettings, what: str, remedy: str) -> None:
    """Refuse what would see or change one server's part of the tables alone.

    Raises:
        ConfigurationError: if the source tables are those of a cluster.
    """
    if settings.cluster is not None:
        raise ConfigurationError(
            f"clickhouse.cluster is {settings.cluster}, and {what} works on the tables of one server only",
            remedy=remedy,
        )


def identity(uuids: Iterable[tuple[int, str]]) -> UUID:
    """Return what a table of a cluster has for a UUID: made of its UUIDs on all shards.

    :func:`consumer.domain.unit_query.shards_identity` computes the same in SQL.
    """
    text = "|".join(sorted(f"{shard}={uuid}" for shard, uuid in uuids))
    return UUID(hex=sha256(text.encode()).hexdigest()[:32])


def check_shards(connection: ClickHouseConnection, table: TableName, rows: Sequence[Row]) -> None:
    """Check that a table is on every shard, and the same on all of them; ``rows`` describe it, one for each shard.

    Raises:
        ConfigurationError: if there is no such cluster.
        SourceMissingError: if the table is missing on a shard.
        StreamError: if shards differ, or replicas of a shard do not replicate.
    """
    shards = read_shards(connection, table.cluster or "")
    if missing := sorted(shards.keys() - {int(row[0]) for row in rows}):
        raise SourceMissingError(
            f"source {table} is missing on {_named(missing)} of the cluster {table.cluster}",
            remedy=f"create it there (CREATE TABLE … ON CLUSTER {table.cluster}), or leave these shards out",
        )
    first = rows[0]
    for row in rows:
        if different := _difference(first, row):
            raise StreamError(
                f"source {table} differs between shards {first[0]} and {row[0]} of the cluster {table.cluster}:"
                f" {different}",
                remedy=f"make it the same everywhere (ALTER TABLE … ON CLUSTER {table.cluster})",
            )
        if shards[int(row[0])] > 1 and not str(row[2]).startswith(_REPLICATED):
            raise StreamError(
                f"source {table} has the engine {row[2]} on shard {row[0]} of the cluster {table.cluster}, which has"
                f" {shards[int(row[0])]} replicas: they need not hold the same parts",
                remedy="use a Replicated…MergeTree, or a cluster with one replica in each shard",
            )


def _difference(one: Row, other: Row) -> str | None:
    """Say in what two shards' descriptions differ, as far as it matters."""
    names = ("engine", "partition key", "sorting key")
    facts = [*zip(names, one[2:5], other[2:5], strict=True), ("time zone", one[6], other[6])]
    facts += [("TTL", row_ttls(one[5]), row_ttls(other[5])), ("columns", one[7], other[7])]
    return next((name for name, here, there in facts if here != there), None)


def answering(connection: ClickHouseConnection, table: TableName) -> Replicas:
    """Return which replica answers for each shard of the table's cluster.

    Raises:
        SourceUnavailableError: if one is behind, can't reach Keeper, or a shard does not answer.
    """
    rows = connection.rows(
        read_each(table, load_sql("answering_replicas")),
        parameters={"database": table.database, "table": table.table},
    )
    for shard, host, delay, cut_off in rows:
        where = f"replica {host} of shard {shard} of the cluster {table.cluster}"
        if cut_off:
            raise SourceUnavailableError(
                f"{where} is read-only for {table}: it has lost Keeper, and may miss rows",
                remedy="see system.replicas there; the step is tried again, and reads elsewhere once that server is"
                " stopped or taken out of the cluster",
            )
        if int(delay):
            raise SourceUnavailableError(
                f"{where} is {delay} s behind for {table}",
                remedy="wait until it has caught up (system.replication_queue there says what it waits for), or stop it"
                " or take it out of the cluster: another replica is read then; the step is tried again",
            )
    return {int(shard): str(host) for shard, host, _, _ in rows}


def _named(shards: Sequence[int]) -> str:
    return f"{'shard' if len(shards) == 1 else 'shards'} {', '.join(map(str, shards))}"
