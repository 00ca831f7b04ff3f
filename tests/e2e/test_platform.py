"""The whole platform in small: three bronze, one silver and six gold tables, a cycle of each, and a late row."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from consumer.adapters.spark.engine import SparkEngine
from consumer.adapters.telemetry.tracing import Tracing
from consumer.bootstrap import Application
from consumer.demo.group import Group
from consumer.demo.market import BARS, TABLES, stream_settings
from consumer.embedded.stack import EmbeddedStack
from tests.platform.campaign import DAY, Campaign, judge
from tests.platform.trading import TRADES, Trading
from tests.support.local_platform import ledger_database, local_platform
from tests.support.platform import day

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]

ROWS = 2_000
MIDNIGHT = day("2024-03-06")
SETTLE_LAG = timedelta(seconds=1)
RELAY = timedelta(milliseconds=100)


@contextmanager
def consuming(application: Application) -> Iterator[None]:
    """Take part in the group in this process, and relay the outbox."""
    loop = application.loop(Tracing(application.configuration.telemetry, role="consumer"))
    stop = threading.Event()
    threads = [
        threading.Thread(target=loop.run, name="loop"),
        threading.Thread(target=application.relay.run, args=(stop, RELAY), name="relay"),
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        loop.stop()
        stop.set()
        for thread in threads:
            thread.join()


@pytest.fixture
def campaign(
    stack: EmbeddedStack,
    spark_engine: SparkEngine,
    unique_name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Campaign]:
    """The platform with its ten streams, on a ledger of its own, and a consumer with the run's warm Spark."""
    with ExitStack() as resources:
        dsn = resources.enter_context(ledger_database(stack.endpoints, unique_name))
        platform = resources.enter_context(local_platform(stack.endpoints, unique_name, dsn, tmp_path, monkeypatch))
        platform.streams += [stream_settings(name, database=unique_name, settle_lag=SETTLE_LAG) for name in TABLES]
        application = resources.enter_context(Application(platform.configuration(), environment={}))
        application.engine = spark_engine
        application.topics.ensure()
        trading = Trading(platform.client, unique_name)
        trading.market.create_tables()
        group = Group(
            bootstrap_servers=stack.endpoints.kafka.bootstrap_servers, group=unique_name, topic=platform.topic
        )
        resources.callback(group.close)
        resources.enter_context(consuming(application))
        yield Campaign(application, group, trading, lower=MIDNIGHT - timedelta(minutes=15))


@pytest.mark.thorough
def test_a_cycle_of_ten_tables_and_a_late_row_in_a_closed_day_arrive_exactly(campaign: Campaign) -> None:
    closed = MIDNIGHT - 2 * DAY
    campaign.fill_day(TRADES, closed, ROWS)
    cycle = campaign.cycle(ROWS)
    assert cycle.rows == ROWS
    assert set(cycle.reached) == set(TABLES)
    late = campaign.late_row(TRADES, closed)
    assert late.table_rows == ROWS + ROWS // 4
    campaign.catch_up()
    verdicts = judge(campaign.application, campaign.trading)
    assert all(verdict.equal for verdict in verdicts), verdicts
    assert all(verdict.cold_rows for verdict in verdicts)
    # The late trade is a late row of silver, too.
    rows = {verdict.table: verdict.cold_rows for verdict in verdicts}
    assert rows["silver_trades"] == rows[TRADES] == late.table_rows + 1
    assert sorted(rows[table] for table in BARS) == [2, 2, 2, 2, 6, 30]
