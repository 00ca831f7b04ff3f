"""Cuts and their tags on the real catalog: read at one moment, set on exact bases, in all tables or in none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr
from pyiceberg.expressions import LessThan, Reference
from pyiceberg.expressions.literals import literal

from consumer.adapters.iceberg.catalog import IcebergCatalog
from consumer.adapters.iceberg.tagging import Tagger
from consumer.adapters.postgres.database import Database
from consumer.domain.cut import Fit
from consumer.domain.errors import ConfigurationError, DivergenceError, LedgerUnavailableError, StreamError
from consumer.domain.stream import Stream, TableName
from consumer.embedded.stack import EmbeddedStack
from consumer.ports import Claim
from consumer.service.cut import Cut, Cuts
from consumer.settings.connections import CatalogSettings, PostgresSettings
from tests.support.cold_tier import HOUR, START, STREAM, IcebergColdTier, iceberg_cold_tier
from tests.support.postgres_proxy import CommitFault, PostgresProxy, runs

BARS = replace(
    STREAM,
    name="bars",
    target=TableName.parse("gold.bars"),
    upstreams=("trades",),
    retain_snapshots=3,
    row_span=2 * HOUR,
)


class Layers:
    """Two streams on one catalog, and what happens to them."""

    def __init__(self, trades: IcebergColdTier) -> None:
        self.trades = trades
        self.trades.stream = replace(STREAM, retain_snapshots=3)
        self.bars = trades.sibling(BARS)
        self.claims: dict[str, Claim] = {tier.stream.name: tier.begin() for tier in (self.trades, self.bars)}
        self.cuts = Cuts(trades.catalog)

    @property
    def streams(self) -> list[Stream]:
        return [self.trades.stream, self.bars.stream]

    def publish(self, tier: IcebergColdTier, hours: int) -> int:
        """Publish the next batch over so many hours, with a row in each."""
        claim = self.claims[tier.stream.name]
        return tier.catalog.publish(tier.write(claim, rows=hours, span=hours * HOUR).publication)

    def parts(self, cut: Cut) -> Mapping[str, tuple[Fit, int | None]]:
        return {one.stream.name: (one.part.fit, one.part.snapshot_id) for one in cut.parts}

    def tags(self) -> dict[str, dict[str, int]]:
        """Every table's tags, as another engine reads them."""
        return {
            tier.stream.name: {
                name: ref.snapshot_id for name, ref in tier.table().refs().items() if ref.snapshot_ref_type == "tag"
            }
            for tier in (self.trades, self.bars)
        }

    def rows(self, tier: IcebergColdTier, tag: str, below: datetime) -> list[datetime]:
        """The instants of a tagged snapshot's rows below an instant, as another engine reads them."""
        table = tier.table()
        snapshot = table.snapshot_by_name(tag)
        assert snapshot is not None
        found = table.scan(
            snapshot_id=snapshot.snapshot_id,
            row_filter=LessThan(term=Reference("ts"), value=literal(below.isoformat())),
        ).to_arrow()
        return sorted(found["ts"].to_pylist())


@pytest.fixture
def layers(stack: EmbeddedStack) -> Iterator[Layers]:
    with iceberg_cold_tier(stack.endpoints) as tier:
        yield Layers(tier)


def test_without_an_instant_the_cut_is_at_the_least_watermark(layers: Layers) -> None:
    layers.publish(layers.trades, 2)
    second = layers.publish(layers.trades, 3)
    bars = layers.publish(layers.bars, 4)
    cut = layers.cuts.find(layers.streams, None)
    assert cut.instant == START + 4 * HOUR
    assert layers.parts(cut) == {"trades": (Fit.STRADDLES, second), "bars": (Fit.EXACT, bars)}


def test_a_cut_between_whole_spans_takes_the_bars_that_it_covers_only(layers: Layers) -> None:
    layers.publish(layers.trades, 4)
    first = layers.publish(layers.bars, 2)
    layers.publish(layers.bars, 2)
    cut = layers.cuts.find(layers.streams, START + 3 * HOUR)
    assert {one.stream.name: one.below for one in cut.parts} == {
        "trades": START + 3 * HOUR,
        "bars": START + 2 * HOUR,
    }
    assert layers.parts(cut)["bars"] == (Fit.EXACT, first)


@pytest.mark.thorough
def test_a_tagged_cut_outlives_the_expiry_and_holds_the_same_rows(layers: Layers) -> None:
    layers.publish(layers.trades, 6)
    layers.publish(layers.bars, 4)
    cut = layers.cuts.find(layers.streams, None)
    assert layers.cuts.tag(cut, "close") == 2
    before = [layers.rows(tier, "close", cut.instant) for tier in (layers.trades, layers.bars)]
    assert before == [[START + hour * HOUR for hour in range(4)]] * 2

    for _ in range(8):
        layers.publish(layers.trades, 1)
        layers.publish(layers.bars, 1)
    assert layers.trades.catalog.snapshots(layers.trades.stream.target) == 4
    assert [layers.rows(tier, "close", cut.instant) for tier in (layers.trades, layers.bars)] == before


def test_without_a_tag_an_expired_cut_is_said_to_be_gone_and_nothing_is_tagged(layers: Layers) -> None:
    layers.publish(layers.bars, 4)
    for _ in range(5):
        layers.publish(layers.trades, 1)
    cut = layers.cuts.find(layers.streams, START + HOUR)
    assert not cut.complete
    assert layers.parts(cut)["trades"] == (Fit.NOT_RETAINED, None)
    with pytest.raises(StreamError, match="the snapshot of trades has expired"):
        layers.cuts.tag(cut, "late")
    assert layers.tags() == {"trades": {}, "bars": {}}


def test_a_tag_of_another_snapshot_is_refused_in_all_tables(layers: Layers) -> None:
    layers.publish(layers.trades, 2)
    first = layers.publish(layers.bars, 2)
    layers.cuts.tag(layers.cuts.find([layers.bars.stream], None), "close")
    layers.publish(layers.bars, 2)
    layers.publish(layers.trades, 2)
    files = layers.trades.keys("metadata")
    with pytest.raises(ConfigurationError, match=r"gold\.bars has a tag of this name already"):
        layers.cuts.tag(layers.cuts.find(layers.streams, None), "close")
    assert layers.tags() == {"trades": {}, "bars": {"close": first}}
    assert layers.trades.keys("metadata") == files


def test_tagging_again_and_removing_change_what_they_say(layers: Layers) -> None:
    layers.publish(layers.trades, 2)
    layers.publish(layers.bars, 2)
    cut = layers.cuts.find(layers.streams, None)
    for _ in range(2):
        layers.cuts.tag(cut, "close")
    names = {name: set(tags) for name, tags in layers.tags().items()}
    assert names == {"trades": {"close"}, "bars": {"close"}}
    assert layers.cuts.untag("close", layers.streams) == layers.streams
    assert layers.cuts.untag("close", layers.streams) == []
    assert layers.tags() == {"trades": {}, "bars": {}}


@pytest.mark.parametrize("name", ["", "main", "-x", "a b", "x" * 128, "é"])
def test_what_is_no_name_of_a_tag_is_refused(layers: Layers, name: str) -> None:
    layers.publish(layers.trades, 2)
    layers.publish(layers.bars, 2)
    with pytest.raises(ConfigurationError):
        layers.cuts.tag(layers.cuts.find(layers.streams, None), name)
    assert layers.tags() == {"trades": {}, "bars": {}}


def test_a_table_that_moves_while_it_is_tagged_loses_nothing(layers: Layers, monkeypatch: pytest.MonkeyPatch) -> None:
    layers.publish(layers.trades, 2)
    layers.publish(layers.bars, 2)
    cut = layers.cuts.find(layers.streams, None)
    published = meanwhile(layers, monkeypatch, lambda: layers.publish(layers.bars, 2))
    layers.cuts.tag(cut, "close")
    assert {name: tags["close"] for name, tags in layers.tags().items()} == {
        one.stream.name: one.part.snapshot_id for one in cut.parts
    }
    snapshot = layers.bars.table().current_snapshot()
    assert snapshot is not None
    assert [snapshot.snapshot_id] == published
    layers.publish(layers.trades, 1)
    layers.publish(layers.bars, 1)


def test_a_table_that_never_rests_is_tagged_in_no_other_either(layers: Layers, monkeypatch: pytest.MonkeyPatch) -> None:
    layers.publish(layers.trades, 2)
    layers.publish(layers.bars, 2)
    cut = layers.cuts.find(layers.streams, None)
    before = set(layers.trades.keys("metadata"))
    meanwhile(layers, monkeypatch, layers.bars.append_nothing, times=100)
    monkeypatch.setattr("consumer.adapters.iceberg.tagging._ATTEMPTS", 3)
    with pytest.raises(LedgerUnavailableError, match="moved on 3 times"):
        layers.cuts.tag(cut, "close")
    assert layers.tags() == {"trades": {}, "bars": {}}
    assert set(layers.trades.keys("metadata")) == before


@pytest.mark.parametrize("fault", [CommitFault.APPLIED, CommitFault.LOST])
def test_a_tag_whose_answer_is_lost_is_looked_up(stack: EmbeddedStack, layers: Layers, fault: CommitFault) -> None:
    layers.publish(layers.trades, 2)
    layers.publish(layers.bars, 2)
    with PostgresProxy(stack.endpoints.postgres.port) as proxy, catalog_behind(layers.trades, proxy) as catalog:
        cuts = Cuts(catalog)
        cut = cuts.find(layers.streams, None)
        proxy.strike(fault, after=runs(b"update iceberg_tables"))
        cuts.tag(cut, "close")
        assert proxy.struck.is_set()
    assert {name: set(tags) for name, tags in layers.tags().items()} == {"trades": {"close"}, "bars": {"close"}}
    for tier in (layers.trades, layers.bars):
        table = tier.table()
        kept = {table.metadata_location, *(entry.metadata_file for entry in table.metadata.metadata_log)}
        assert {key for key in tier.keys("metadata") if key.endswith(".json")} == kept


def test_a_stream_that_was_never_read_is_named(layers: Layers) -> None:
    unseen = replace(STREAM, name="unseen", target=TableName.parse("bronze.unseen"))
    with pytest.raises(ConfigurationError, match="unseen was never read"):
        layers.cuts.find([layers.trades.stream, unseen], None)


def test_an_instant_that_a_stream_has_not_reached_is_refused(layers: Layers) -> None:
    layers.publish(layers.trades, 2)
    with pytest.raises(ConfigurationError, match="bars has been read up to 2024-01-01T00:00:00"):
        layers.cuts.find(layers.streams, START + HOUR)


def test_a_table_that_does_not_prove_its_watermark_is_in_no_cut(layers: Layers) -> None:
    first = layers.publish(layers.trades, 2)
    layers.publish(layers.trades, 2)
    layers.publish(layers.bars, 2)
    layers.trades.roll_back(first)
    with pytest.raises(DivergenceError):
        layers.cuts.find(layers.streams, None)


def test_watermarks_and_tables_are_read_at_one_moment(layers: Layers, monkeypatch: pytest.MonkeyPatch) -> None:
    """A publish between two reads would show a watermark that the table does not prove, or the reverse."""
    layers.publish(layers.trades, 2)
    layers.publish(layers.bars, 2)
    at = layers.trades.catalog._bases.at

    def publish_then_read(name: TableName, location: str) -> object:
        monkeypatch.undo()
        layers.publish(layers.trades, 2)
        layers.publish(layers.bars, 2)
        return at(name, location)

    monkeypatch.setattr(layers.trades.catalog._bases, "at", publish_then_read)
    cut = layers.cuts.find(layers.streams, None)
    assert cut.instant == START + 2 * HOUR
    assert {one.part.fit for one in cut.parts} == {Fit.EXACT}


def meanwhile(layers: Layers, monkeypatch: pytest.MonkeyPatch, act: Callable[[], int], *, times: int = 1) -> list[int]:
    """Let something happen between staging and commit of tags, the first few times; returns what it returned."""
    tagger = layers.trades.catalog._tagger
    assert isinstance(tagger, Tagger)
    commit, done = tagger._commit, list[int]()

    def interrupted(staged: object) -> None:
        if len(done) < times:
            done.append(act())
        commit(staged)  # type: ignore[arg-type]

    monkeypatch.setattr(tagger, "_commit", interrupted)
    return done


@contextmanager
def catalog_behind(tier: IcebergColdTier, proxy: PostgresProxy) -> Iterator[IcebergCatalog]:
    """A catalog whose connections to Postgres go through a proxy."""
    dsn = urlsplit(tier.dsn)
    behind = dsn._replace(netloc=f"{dsn.username}:{dsn.password}@127.0.0.1:{proxy.port}").geturl()
    with Database(PostgresSettings(dsn=SecretStr(f"{behind}?sslmode=disable"))) as database:
        yield IcebergCatalog(database=database, catalog=CatalogSettings(), store=tier.store)
