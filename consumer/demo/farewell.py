"""What the demo shows at its end: one batch's trace, and how to go on."""

from __future__ import annotations

from rich.console import Console

from consumer.adapters.telemetry.trace_tree import render_trace
from consumer.bootstrap import Application
from consumer.demo.market import CAPTURES
from consumer.demo.stage import Paths
from consumer.domain.batch import BatchStatus
from consumer.embedded.endpoints import Endpoints


def print_trace(console: Console, application: Application, paths: Paths) -> None:
    """Print the trace of the first bronze batch, from the event's production to the offset commit.

    The same trace goes on through the streams that the batch woke; they are one line here.
    """
    batches = application.ledger.batches(CAPTURES[0].table, 100)
    published = [batch for batch in batches if batch.status is BatchStatus.PUBLISHED and batch.trace_id is not None]
    if not published:
        return
    batch = published[-1]
    console.print(
        f"\n[bold]one batch's trace[/bold] ({batch.stream}, {batch.rows:,} rows, snapshot {batch.snapshot_id})"
    )
    console.print(render_trace(sorted(paths.traces.glob("*.jsonl")), str(batch.trace_id)))


def print_farewell(console: Console, paths: Paths, endpoints: Endpoints) -> None:
    """Print how to query every part of the stack that was left up."""
    exports = " ".join(f"{name}={value}" for name, value in paths.environment().items())
    clickhouse = endpoints.clickhouse
    console.print("\n[bold]the stack is still up[/bold]; end it with: make demo-stop")
    password, dsn = (paths.secrets / name for name in ("icehaul_clickhouse__password", "icehaul_postgres__dsn"))
    query = "SELECT+count()+FROM+market.silver_trades"
    lines = [
        "# icehaul",
        f"export {exports}",
        ".venv/bin/icehaul status",
        ".venv/bin/icehaul plan bronze_trades_binance",
        ".venv/bin/icehaul verify",
        "# a consumer, with the console at http://127.0.0.1:8080/",
        f"JAVA_HOME={endpoints.java_home} ICEHAUL_CONSUMER__HTTP_PORT=8080 .venv/bin/icehaul run",
        "# ClickHouse",
        f'curl --user "{clickhouse.user}:$(cat {password})" "http://{clickhouse.host}:{clickhouse.port}/?query={query}"',
        "# Postgres: the ledger, and the Iceberg catalog",
        f'psql "$(cat {dsn})" -c "SELECT stream, watermark FROM offload_watermarks"',
        "# Iceberg, by PyIceberg",
        ".venv/bin/python -m consumer.demo.query market.gold_ohlcv_1m",
        "# Kafka",
        f"kcat -C -b {endpoints.kafka.bootstrap_servers} -t icehaul.events -e",
    ]
    for line in lines:
        console.print("  " + line, markup=False, highlight=False, soft_wrap=True)
