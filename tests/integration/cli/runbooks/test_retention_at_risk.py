"""docs/runbooks/retention-at-risk.md: a stream stands still while a TTL comes near; a TTL is not understood."""

from __future__ import annotations

from tests.integration.cli.conftest import Run
from tests.integration.cli.runbooks.conftest import RunbookOf
from tests.support.consuming import consuming
from tests.support.local_platform import LocalPlatform, judge


def test_the_runbook_is_followed(icehaul: Run, local: LocalPlatform, trades: str, runbook: RunbookOf) -> None:
    client, table = local.client, f"{local.name}.trades"
    client.command(f"TRUNCATE TABLE {table}")
    client.command(
        f"INSERT INTO {table} (ts, seq, symbol, price, quantity)"
        " SELECT now64(6) - INTERVAL 20 HOUR, number, 'BTC', 1, 1 FROM numbers(50)"
    )
    client.command(f"ALTER TABLE {table} MODIFY TTL toDateTime(ts) + INTERVAL 1 DAY")
    assert icehaul("pause", trades, "--reason", "the lake is moved").code == 0
    with local.consumer() as application, runbook("retention-at-risk.md") as page:
        application.topics.ensure()
        assert time_to_loss(icehaul) < 4 * 3600
        page.follow("Diagnosis")
        page.follow("Lengthen the TTL")
        assert time_to_loss(icehaul) > 29 * 86_400
        with consuming(application):
            page.follow("Let the stream go on")
        client.command(f"ALTER TABLE {table} MODIFY TTL toDateTime(ts) + toIntervalSecond(seq + 10000000)")
        page.follow("When the rule is not understood")
        page.follow("Verification")
        judge(application, trades, rows=50)


def time_to_loss(icehaul: Run) -> float:
    """The seconds that ``icehaul status`` tells."""
    (found,) = icehaul("status", "--output", "json").data["streams"]
    return float(found["time_to_loss"]["seconds"])
