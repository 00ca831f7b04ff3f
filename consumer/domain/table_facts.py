"""A table as an unprejudiced look at ClickHouse finds it, before anybody has decided to offload it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnFacts:
    """A column as ``system.columns`` describes it; ``kind`` is DEFAULT, MATERIALIZED, ALIAS, EPHEMERAL or empty."""

    name: str
    type: str
    kind: str = ""
    comment: str = ""

    @property
    def stored(self) -> bool:
        """Whether the column's values stand in the parts, and so belong to a full row."""
        return self.kind not in {"ALIAS", "EPHEMERAL"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFacts:
    """A table as ``system.tables`` describes it; any name is possible here, allowed or not.

    Attributes:
        engine_full: the engine with its clauses: PARTITION BY, ORDER BY, TTL, SETTINGS.
        create_query: the statement that would make the table again.
        rows: as the server counts them, ``None`` where it does not.
    """

    database: str
    table: str
    engine: str
    engine_full: str
    create_query: str
    partition_key: str
    sorting_key: str
    rows: int | None
    bytes: int | None
    columns: tuple[ColumnFacts, ...]
    has_uuid: bool = True

    @property
    def offloadable(self) -> bool:
        """Whether it is a table with parts of its own."""
        return self.engine.endswith("MergeTree")


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueRange:
    """Smallest and greatest value of a time column, in UTC."""

    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EventObject:
    """A table or view by which ClickHouse makes events itself."""

    database: str
    name: str
    engine: str

    @property
    def is_view(self) -> bool:
        """Whether it is refreshed."""
        return self.engine == "MaterializedView"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRefresh:
    """What came of the last refresh of such a view.

    Attributes:
        exception: what it failed with; empty where it did not.
        duration: of the last one that counts as done.
    """

    view: str
    exception: str
    duration: timedelta
