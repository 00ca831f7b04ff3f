"""The process: start, stop, restart, several at once."""

from __future__ import annotations

import socket
import subprocess
import sys
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.integration.embedded_clickhouse.support import (
    ENDLESS,
    PASSWORD,
    USER,
    Server,
    is_running,
)
from tests.support.waiting import wait_for


def test_data_and_uuids_survive_a_restart_and_a_kill(tmp_path: Path) -> None:
    first = Server(tmp_path)
    with first.client() as client:
        client.command("CREATE TABLE kept (a UInt64) ENGINE = MergeTree ORDER BY a")
        client.command("INSERT INTO kept SELECT number FROM numbers(1000)")
        uuid = client.command("SELECT uuid FROM system.tables WHERE name = 'kept'")
    assert first.stop() == 0
    assert not first.ready_file.exists()
    second = Server(tmp_path)
    with second.client() as client:
        assert client.command("SELECT uuid FROM system.tables WHERE name = 'kept'") == uuid
        client.command("INSERT INTO kept SELECT number FROM numbers(10)")
    second.process.kill()
    second.process.wait()
    second.ready_file.unlink()
    third = Server(tmp_path)
    with third.client() as client:
        assert client.command("SELECT count() FROM kept") == 1010
        assert client.command("SELECT uuid FROM system.tables WHERE name = 'kept'") == uuid
    assert third.stop() == 0


def test_two_servers_side_by_side_and_a_stop_with_a_query_running(server: Server, tmp_path: Path) -> None:
    second = Server(tmp_path)
    assert second.port != server.port
    second.ask("CREATE TABLE only_here (a Int8) ENGINE = Memory")
    assert server.ask("EXISTS TABLE only_here").body == b"0\n"
    with ThreadPoolExecutor(1) as pool:
        endless = pool.submit(second.ask, ENDLESS)
        wait_for(lambda: is_running(second, ENDLESS), deadline_s=60, what="the query runs")
        assert second.stop() == 0
        assert endless.result().headers["x-clickhouse-exception-code"] == "394"
    assert server.ask("SELECT 1").body == b"1\n"


def test_a_second_server_on_the_same_directory_says_why_it_cannot_start(server: Server) -> None:
    command = [sys.executable, "-m", "consumer.embedded.clickhouse", "--data-dir", str(server.home / "data")]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, cwd=Path(__file__).parents[3]
    )
    assert ended.returncode == 1
    assert "data directory" in ended.stderr
    assert server.ask("SELECT 1").body == b"1\n"


def test_a_stop_ends_even_a_stream_that_nobody_reads(tmp_path: Path) -> None:
    own = Server(tmp_path)
    query = "SELECT number, repeat('x', 100) FROM numbers(1000000000) FORMAT RowBinary"
    fields = {"query": query, "user": USER, "password": PASSWORD}
    with socket.create_connection(("127.0.0.1", own.port)) as peer:
        peer.sendall(f"GET /?{urllib.parse.urlencode(fields)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert peer.recv(12) == b"HTTP/1.1 200"
        assert own.stop() == 0


def test_requests_leave_no_descriptor_thread_or_file_behind(server: Server) -> None:
    process = Path("/proc") / str(server.process.pid)

    def held() -> tuple[int, int]:
        return len(list((process / "fd").iterdir())), len(list((process / "task").iterdir()))

    def requests() -> None:
        for wait in ("0", "1"):
            server.ask("SELECT number FROM numbers(300000)", wait_end_of_query=wait)
            server.ask("SELECT throwIf(number = 290000) FROM numbers(300000)", wait_end_of_query=wait)
            server.ask("SELECT missing", wait_end_of_query=wait)
            server.ask("1,2", query="INSERT INTO FUNCTION null('a Int8, b Int8') FORMAT CSV")
            server.ask("SELECT 1", session_id="leaves nothing", close_session="1")

    for _ in range(20):
        requests()
    files_before, threads_before = held()
    for _ in range(20):
        requests()
    wait_for(lambda: held()[0] <= files_before + 10, deadline_s=60, what=f"no more than {files_before} descriptors")
    assert held()[1] <= threads_before + 20
    assert list((server.home / "data" / "http_spool").iterdir()) == []
