"""A view is made of exact readings only: what the server misreads is found before anybody queries it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast
from uuid import UUID

import pytest

from consumer.domain.batch import Evidence
from consumer.domain.errors import ConfigurationError, StreamError
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.mapping import TableMapping
from consumer.domain.stream import Stream, TableName
from consumer.domain.view_query import ViewMark
from consumer.ports import Catalog
from consumer.service.view import Pin, Position, Views
from tests.support.lake import NOON, Lake, stream

VIEW = TableName.parse("market.everything")
ROWS = Fingerprint(rows=3, digest=7)


@dataclass
class Server:
    """A ClickHouse server; ``misread`` is what it finds in a file through Iceberg."""

    misread: Fingerprint = ROWS
    columns: tuple[str, ...] = ("ts", "seq", "value")
    made: dict[TableName, ViewMark] = field(default_factory=dict)
    proofs: int = 0

    def cold(self, location: str, metadata: str) -> str:
        return f"cold({location}, {metadata})"

    def types(self, _cold: str) -> Mapping[str, str]:
        return dict.fromkeys(self.columns, "DateTime64(6, 'UTC')")

    def read_back(
        self, _stream: Stream, _mapping: TableMapping, _cold: str, _types: Mapping[str, str], _file: str
    ) -> tuple[Fingerprint, Fingerprint]:
        self.proofs += 1
        return ROWS, self.misread

    def find(self) -> Mapping[TableName, ViewMark]:
        return dict(self.made)

    def put(
        self,
        name: TableName,
        _stream: Stream,
        _mapping: TableMapping,
        mark: ViewMark,
        *,
        cold: str | None,
        types: Mapping[str, str],
    ) -> None:
        assert (cold is None) == (not types)
        self.made[name] = mark

    def drop(self, name: TableName) -> None:
        del self.made[name]


@dataclass
class Tables:
    """One table at one metadata file."""

    at: Pin

    def positions(self, streams: Sequence[Stream]) -> Mapping[str, Position]:
        return {one.name: (self.at.watermark, self.at.metadata) for one in streams}

    def pin(self, _stream: Stream) -> Pin:
        return self.at

    def sample(self, _stream: Stream, _pin: Pin) -> str | None:
        return "s3://lake/file.parquet"


TRADES = stream("trades")
TRADES_BATCH = UUID(int=7)


def world(server: Server) -> tuple[Views, Tables]:
    """Views of a stream that has published one batch."""
    lake = Lake({"trades": TRADES})
    lake.insert("trades", NOON)
    lake.ticks(NOON, "trades")
    record = replace(lake.ledger.register("trades"), watermark=NOON)
    tables = Tables(
        Pin(record=record, location="s3://lake/t", metadata="s3://lake/t/metadata/1", snapshot_id=1, publishes=5)
    )
    catalog = cast("Catalog", lake.catalog)
    return Views(source=lake.source, ledger=lake.ledger, catalog=catalog, tables=tables, server=server), tables


def test_a_server_that_misreads_a_type_gets_no_view() -> None:
    server = Server(misread=Fingerprint(rows=3, digest=8))
    views, _ = world(server)
    with pytest.raises(StreamError, match=r"misreads the table bronze\.trades") as refused:
        views.make(TRADES, VIEW)
    assert "use a newer server" in refused.value.remedy
    assert server.made == {}


def test_a_server_that_does_not_see_a_column_gets_no_view() -> None:
    views, _ = world(Server(columns=("ts", "seq")))
    with pytest.raises(StreamError, match="lacks the columns value"):
        views.make(TRADES, VIEW)


def test_reading_is_proved_once_and_the_view_replaced_whenever_the_table_moves() -> None:
    server = Server()
    views, tables = world(server)
    made = [views.make(TRADES, VIEW).replaced]
    for number in (2, 2, 3):
        tables.at = replace(tables.at, metadata=f"s3://lake/t/metadata/{number}", snapshot_id=number)
        made.append(views.make(TRADES, VIEW).replaced)
    assert made == [True, True, False, True]
    assert server.proofs == 1
    assert server.made[VIEW].snapshot_id == 3


def test_evidence_that_the_ledger_does_not_know_makes_no_view() -> None:
    server = Server()
    views, tables = world(server)
    evidence = Evidence(upper=NOON, generation=1, batch_id=TRADES_BATCH, snapshot_id=1)
    tables.at = replace(tables.at, evidence=evidence)
    with pytest.raises(StreamError, match="the ledger has recorded nothing"):
        views.make(TRADES, VIEW)
    assert server.made == {}


def test_views_of_other_streams_are_neither_listed_nor_dropped() -> None:
    server = Server()
    views, _ = world(server)
    views.make(TRADES, VIEW)
    other = replace(server.made[VIEW], stream="bars")
    theirs = TableName.parse("market.bars_both_tiers")
    server.made[theirs] = other
    assert list(views.names(TRADES)) == [VIEW]
    with pytest.raises(ConfigurationError, match="no view of this name"):
        views.drop(TRADES, theirs)
    assert views.drop(TRADES, None) == [VIEW]
    assert server.made == {theirs: other}
