"""What tables looked like when they were described last, and what time the server said it was."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from threading import Lock

from consumer.adapters.clickhouse.client import ClickHouseConnection, Row, load_sql
from consumer.adapters.clickhouse.tables import describe_table
from consumer.domain.clickhouse_sql import PARTITION_OF_PART, partition_of, read_system
from consumer.domain.inventory import PartitionContent
from consumer.domain.stream import TableName
from consumer.domain.time_type import from_micros
from consumer.ports import SourceTable, Survey

Contents = Mapping[str, tuple[PartitionContent, datetime]]
"""Of partitions that are not empty, by id: what they hold, and when they were modified last."""

_SETTLED_S = 2
"""A definition that is older than this is not being altered: times of change are told in whole seconds."""
_CLOCK_S = 1.0
"""How long the server's time is reckoned on from what it last said, instead of asking it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """What tells one definition of a table from another, UUID included; ``modified`` in seconds since 1970."""

    definition: str
    modified: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """``version`` is ``None`` where the table might have been altered while it was described."""

    version: Version | None
    table: SourceTable


class Descriptions:
    """Describes tables, in full only after they have changed; for all threads."""

    def __init__(self, connection: ClickHouseConnection) -> None:
        self._connection = connection
        self._lock = Lock()
        self._known: dict[TableName, _Known] = {}
        self._clock: tuple[datetime, float] | None = None

    def describe(self, table: TableName) -> SourceTable:
        """Return what the table looks like now; see :func:`consumer.adapters.clickhouse.tables.describe_table`.

        That the user may read every column is proved once for each definition; a grant that is taken away later
        fails the query that reads the rows.
        """
        version, settled = self._version(self._ask(_version_query(table), table))
        unchanged = self._unchanged(table, version)
        if unchanged is not None:
            return unchanged
        with self._lock:
            known = self._known.get(table)
        described = describe_table(self._connection, table, known.table if known is not None else None)
        with self._lock:
            self._known[table] = _Known(version=version if settled else None, table=described)
        return described

    def survey(self, table: TableName) -> Survey:
        """Return what the partitions of a table hold, and how it was described, if that is what it looks like now."""
        contents, described = self.look(table)
        return Survey(contents={id_: content for id_, (content, _) in contents.items()}, table=described)

    def look(self, table: TableName) -> tuple[Contents, SourceTable | None]:
        """Return what :meth:`survey` does, with the time at which each partition was modified last."""
        told = self._ask(_survey_query(table), table)
        version, _ = self._version([row for row in told if row[1]])
        contents = {str(id_): _content(parts) for id_, definition, *parts in told if not definition}
        return contents, self._unchanged(table, version)

    def last(self, table: TableName) -> SourceTable:
        """Return the table as it was described last, or describe it for the first time."""
        with self._lock:
            known = self._known.get(table)
        return self.describe(table) if known is None else known.table

    def now(self) -> datetime:
        """Return the server's time in UTC: asked, or reckoned on from what it said within the last second.

        Reckoned from when the answer arrived, it is never ahead of the server's clock.
        """
        with self._lock:
            clock = self._clock
        if clock is not None:
            said, heard = clock
            elapsed = time.monotonic() - heard
            if elapsed < _CLOCK_S:
                return said + timedelta(seconds=elapsed)
        ((micros,),) = self._connection.rows("SELECT toUnixTimestamp64Micro(now64(6))")
        return from_micros(int(micros))

    def _ask(self, statement: str, table: TableName) -> Sequence[Row]:
        return self._connection.rows(statement, parameters={"database": table.database, "table": table.table})

    def _unchanged(self, table: TableName, version: Version | None) -> SourceTable | None:
        """Return the table as it was described, if this is the version that was."""
        with self._lock:
            known = self._known.get(table)
        return known.table if known is not None and version is not None and known.version == version else None

    def _version(self, told: Sequence[Row]) -> tuple[Version | None, bool]:
        """Return the version that ``table_version.sql`` told, and whether nobody has altered the table for a while.

        There is none where there is no table.
        """
        if not told:
            return None, False
        now = from_micros(min(int(micros) for _, _, _, micros, *_ in told))
        modified = max(int(seconds) for _, _, seconds, *_ in told)
        with self._lock:
            self._clock = (now, time.monotonic())
        definitions = sorted(str(definition) for _, definition, *_ in told)
        settled = modified <= int(now.timestamp()) - _SETTLED_S
        return Version(definition="\n".join(definitions), modified=modified), settled


def _content(parts: Sequence[int]) -> tuple[PartitionContent, datetime]:
    """Return what ``survey.sql`` tells of a partition after its id and the definition."""
    rows, min_block, max_block, version, modified = map(int, parts)
    content = PartitionContent(rows=rows, min_block=min_block, max_block=max_block, data_version=version)
    return content, from_micros(modified * 1_000_000)


@cache
def _survey_query(table: TableName) -> str:
    return load_sql(
        "survey",
        partition=partition_of(table, PARTITION_OF_PART),
        parts=read_system(table, "parts"),
        version=_version_query(table),
    )


@cache
def _version_query(table: TableName) -> str:
    shard = "0" if table.cluster is None else "_shard_num"
    return load_sql("table_version", tables=read_system(table, "tables"), shard=shard)
