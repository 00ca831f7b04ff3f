"""The objects by which ClickHouse makes events, on the embedded engine."""

from __future__ import annotations

from collections.abc import Iterable

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

NO_READERS = "Shutdown was called"
"""What the embedded engine says of every Kafka table, which it has made nevertheless: it keeps no thread that reads
such tables (the pool has no size that could be set), and nothing of ours reads them. What is inserted is sent."""


def make_database(client: Client, name: str) -> None:
    """Make the objects' database in memory: the embedded engine does not start on a folder with a Kafka table."""
    client.command(f"CREATE DATABASE {name} ENGINE = Memory")


def apply(client: Client, statements: Iterable[str]) -> list[str]:
    """Run statements one by one, and return those of which the engine said that it has no readers."""
    unread = []
    for statement in statements:
        try:
            client.command(statement)
        except DatabaseError as error:
            if NO_READERS not in str(error):
                raise
            unread.append(statement)
    return unread
