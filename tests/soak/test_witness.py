"""The judge of a soak can find a row that is missing, doubled or changed, and sees what a TTL has taken."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from consumer.embedded.stack import EmbeddedStack
from tests.platform.trading import COINBASE, Trading
from tests.soak.feed import Feed
from tests.soak.witness import Witness
from tests.support.platform import Platform, day

_ROWS = 40
_LOWER = day("2024-03-05")
_MINUTE = timedelta(minutes=1)
_QUARTER = 15 * _MINUTE


@pytest.fixture
def feed(stack: EmbeddedStack, unique_name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Feed]:
    """Ten tables with a witness, and a quarter hour of updates of one of them."""
    platform = Platform(stack.endpoints, unique_name, tmp_path_factory.mktemp("feed"))
    trading = Trading(platform.client, unique_name)
    trading.market.create_tables()
    witness = Witness(platform.client, unique_name)
    witness.create()
    made = Feed(trading, witness, retention=_QUARTER)
    trading.feed(COINBASE, _LOWER, _LOWER + _QUARTER, _ROWS)
    yield made
    witness.drop()
    platform.close()


def _hot(feed: Feed) -> pa.Table:
    return feed.trading.client.query_arrow(f"SELECT * FROM {feed.trading.database}.{COINBASE}", use_strings=True)


def test_what_was_inserted_and_found_is_neither_lost_nor_doubled_whatever_the_ttl_takes(feed: Feed) -> None:
    first = _hot(feed)
    feed.add_column()
    # The TTL is exact to seconds.
    feed.trading.feed(COINBASE, _LOWER + _QUARTER + _MINUTE, _LOWER + 2 * _QUARTER, _ROWS)
    feed.expire(_LOWER + 2 * _QUARTER, datetime.now(UTC))
    second = _hot(feed)
    assert second.num_rows == _ROWS, "the TTL takes the first quarter hour"
    assert second["venue_1"].null_count == 0
    # What was offloaded before the column was added has NULL in it.
    found = pa.concat_tables([first, second], promote_options="default")
    assert feed.witness.rows()[COINBASE] == found.num_rows
    assert feed.witness.difference(COINBASE, found) == (0, 0)


def test_rows_that_are_missing_doubled_or_changed_are_counted(feed: Feed) -> None:
    found = _hot(feed)
    assert feed.witness.difference(COINBASE, found.slice(1)) == (1, 0)
    assert feed.witness.difference(COINBASE, found.slice(0, 0)) == (_ROWS, 0)
    assert feed.witness.difference(COINBASE, pa.concat_tables([found, found.slice(0, 2)])) == (0, 2)
    products = pa.array(["other", *found["product"].to_pylist()[1:]])
    changed = found.set_column(found.column_names.index("product"), "product", products)
    assert feed.witness.difference(COINBASE, changed) == (1, 1)
