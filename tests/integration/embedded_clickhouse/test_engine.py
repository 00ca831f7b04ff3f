"""The engine behind it: tables, merges, concurrency."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ProgrammingError

from tests.integration.embedded_clickhouse.support import (
    Server,
    is_running,
)
from tests.support.waiting import wait_for


def test_tables_have_uuids_parts_and_columns(client: Client, table: str) -> None:
    client.insert(table, [[1, "a", 0]], column_names=["id", "name", "at"])
    ((uuid, engine),) = client.query(
        "SELECT uuid, engine FROM system.tables WHERE database = 'default' AND name = {t:String}",
        parameters={"t": table},
    ).result_rows
    assert uuid.int != 0
    assert engine == "MergeTree"
    parts = "SELECT sum(rows) FROM system.parts WHERE table = {t:String} AND active"
    assert client.query(parts, parameters={"t": table}).first_row == (1,)
    columns = client.query("SELECT name FROM system.columns WHERE table = {t:String}", parameters={"t": table})
    assert columns.result_rows == [("id",), ("name",), ("at",)]


def test_partitions_views_and_merges(client: Client) -> None:
    client.command("CREATE TABLE p (d Date, v UInt64) ENGINE = MergeTree PARTITION BY toYYYYMM(d) ORDER BY v")
    client.command("CREATE MATERIALIZED VIEW p_sum ENGINE = SummingMergeTree ORDER BY d AS SELECT d, v FROM p")
    for month in (1, 2):
        for value in range(3):
            client.command(f"INSERT INTO p VALUES ('2026-0{month}-01', {value})")
    client.command("OPTIMIZE TABLE p FINAL")
    active = "SELECT partition, count(), sum(rows) FROM system.parts WHERE table = 'p' AND active GROUP BY 1 ORDER BY 1"
    assert client.query(active).result_rows == [("202601", 1, 3), ("202602", 1, 3)]
    client.command("ALTER TABLE p DROP PARTITION 202601")
    assert client.command("SELECT count() FROM p") == 3
    assert client.command("SELECT sum(v) FROM p_sum") == 6
    client.command("DROP TABLE p_sum SYNC")
    client.command("DROP TABLE p SYNC")


def test_ttl_deletes_rows(client: Client) -> None:
    client.command(
        "CREATE TABLE aging (at DateTime, v UInt8) ENGINE = MergeTree ORDER BY v TTL at + INTERVAL 1 DAY DELETE "
        "SETTINGS merge_with_ttl_timeout = 0"
    )
    client.command("INSERT INTO aging VALUES (now() - INTERVAL 2 DAY, 1), (now(), 2)")
    client.command("OPTIMIZE TABLE aging FINAL")
    wait_for(lambda: client.command("SELECT count() FROM aging") == 1, deadline_s=30, what="the TTL was applied")
    client.command("DROP TABLE aging SYNC")


def test_eight_threads_insert_read_and_digest_without_losing_a_row(server: Server, client: Client) -> None:
    client.command("CREATE TABLE busy (thread UInt8, n UInt64, s String) ENGINE = MergeTree ORDER BY (thread, n)")
    rounds, rows = 6, 5000

    def work(thread: int) -> None:
        with server.client(autogenerate_session_id=False) as own:
            for turn in range(rounds):
                first = turn * rows
                data = pa.table(
                    {
                        "thread": pa.array([thread] * rows, pa.uint8()),
                        "n": pa.array(range(first, first + rows), pa.uint64()),
                        "s": [f"row {n}" for n in range(rows)],
                    }
                )
                assert own.insert_arrow("busy", data).written_rows == rows
                read = own.query_arrow(f"SELECT * FROM busy WHERE thread = {thread} ORDER BY n")
                assert read.column("n").to_pylist() == list(range(first + rows))
                digest = "SELECT count(), sum(cityHash64(n, s)) FROM busy WHERE thread = {t:UInt8}"
                assert own.query(digest, parameters={"t": thread}).result_rows[0][0] == first + rows
                with own.query_arrow_stream(f"SELECT n FROM busy WHERE thread = {thread}") as stream:
                    assert sum(batch.num_rows for batch in stream) == first + rows

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(work, thread) for thread in range(8)]:
            done.result()
    assert client.query("SELECT count(), uniqExact(thread, n) FROM busy").first_row == (8 * rounds * rows,) * 2
    client.command("DROP TABLE busy SYNC")


def test_one_client_refuses_concurrent_queries_in_its_session(server: Server) -> None:
    with server.client() as client, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(client.command, "SELECT sleep(1)")
        wait_for(lambda: is_running(server, "SELECT sleep(1)"), deadline_s=60, what="the query runs")
        with pytest.raises(ProgrammingError, match="concurrent"):
            client.command("SELECT 1")
        slow.result()
