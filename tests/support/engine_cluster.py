"""An embedded ClickHouse of its own that is every shard of its clusters.

Its shards are local: the engine reads them in its own process, and they hold the same tables. So a row that is in the
table once comes once from each shard, and a query that leaves a shard out, or reads one twice, is noticed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from consumer.embedded.endpoints import ClickHouseEndpoint
from tests.integration.embedded_clickhouse.support import PASSWORD, USER, Server

SHARDS = 2
TWO, DOWN = "two-shards", "one_is_down"
_CONFIG = """
<clickhouse>
    <tcp_port>9000</tcp_port>
    <remote_servers>
        <two-shards>{here}{here}</two-shards>
        <one_is_down>{here}{nowhere}</one_is_down>
    </remote_servers>
</clickhouse>
"""


def _shard(port: int) -> str:
    return f"<shard><replica><host>127.0.0.1</host><port>{port}</port></replica></shard>"


@contextmanager
def cluster_server(home: Path, closed_port: int) -> Iterator[ClickHouseEndpoint]:
    """Start the server; of the second cluster, one shard is at a port on which nobody listens."""
    home.mkdir(parents=True, exist_ok=True)
    config = home / "config.xml"
    config.write_text(_CONFIG.format(here=_shard(9000), nowhere=_shard(closed_port)))
    server = Server(home, "--config-file", str(config))
    try:
        yield ClickHouseEndpoint(host="127.0.0.1", port=server.port, user=USER, password=PASSWORD)
    finally:
        server.process.terminate()
        server.process.wait(30)
