"""Settings, databases and sessions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from clickhouse_connect.driver.client import Client

from tests.integration.embedded_clickhouse.support import (
    Answer,
    Server,
    is_running,
)
from tests.support.waiting import wait_for


def test_settings_hold_for_their_query_only(server: Server, client: Client) -> None:
    query = "SELECT value, changed FROM system.settings WHERE name = 'max_block_size'"
    assert client.query(query, settings={"max_block_size": 777}).first_row == ("777", 1)
    assert client.query(query).result_rows[0][1] == 0
    assert server.ask(query, max_block_size="778").body == b"778\t1\n"


def test_settings_of_a_client_hold_for_all_its_queries(server: Server) -> None:
    with server.client(settings={"max_block_size": 999}) as client:
        assert client.command("SELECT getSetting('max_block_size')") == 999


def test_databases_of_a_client_and_of_a_query(server: Server, client: Client) -> None:
    client.command("CREATE DATABASE IF NOT EXISTS other")
    with server.client(database="other") as second:
        assert second.command("SELECT currentDatabase()") == "other"
        second.command("CREATE TABLE here (a Int8) ENGINE = Memory")
    assert client.command("EXISTS TABLE other.here") == 1
    assert server.ask("SELECT currentDatabase()", database="other").body == b"other\n"
    assert server.ask("SELECT currentDatabase()").body == b"default\n"
    assert server.ask("SELECT 1", database="missing").headers["x-clickhouse-exception-code"] == "81"
    client.command("DROP DATABASE other SYNC")


def test_sessions_keep_temporary_tables_and_settings(server: Server) -> None:
    ask = partial(server.ask, session_id="keeps")
    assert ask("CREATE TEMPORARY TABLE mine (a Int8)").status == 200
    assert ask("INSERT INTO mine VALUES (5)").status == 200
    assert ask("SET max_block_size = 555").status == 200
    assert ask("SELECT a FROM mine").body == b"5\n"
    once = ask("SELECT getSetting('max_block_size')", max_block_size="4444", database="system")
    assert once.body == b"4444\n"
    again = ask("SELECT getSetting('max_block_size'), currentDatabase()")
    assert again.body == b"555\tdefault\n"
    assert server.ask("SELECT a FROM mine").headers["x-clickhouse-exception-code"] == "60"


def test_a_request_goes_back_to_what_its_session_was_last_set_to(server: Server) -> None:
    ask = partial(server.ask, session_id="set again")
    seen = "SELECT getSetting('max_block_size'), currentDatabase()"
    for size, database in ((111, "system"), (222, "default")):
        assert ask(f"SET max_block_size = {size}").status == 200
        assert ask(f"USE {database}").status == 200
        assert ask(seen, max_block_size="4444", database="system").body == b"4444\tsystem\n"
        assert ask(seen).body == f"{size}\t{database}\n".encode()
    assert ask("SELECT 1", max_block_size="3333", no_such_setting="1").headers["x-clickhouse-exception-code"] == "115"
    assert ask("SELECT 1", max_block_size="3333", database="missing").headers["x-clickhouse-exception-code"] == "81"
    assert ask(seen).body == b"222\tdefault\n"


def test_a_failed_query_leaves_nothing_in_its_session(server: Server) -> None:
    ask = partial(server.ask, session_id="fails")
    failing = "SELECT throwIf(number = 500000) FROM numbers(1000000)"
    assert ask(failing, wait_end_of_query="1").headers["x-clickhouse-exception-code"] == "395"
    assert ask("SHOW DATABASES LIKE 'default'").body == b"default\n"
    assert ask("EXISTS TABLE system.one").body == b"1\n"


def test_read_only_requests_leave_their_session_writable(server: Server) -> None:
    ask = partial(server.ask, session_id="reads")
    assert ask(method="GET", query="SELECT 1").body == b"1\n"
    assert ask(method="GET", query="CREATE TEMPORARY TABLE x (a Int8)").status == 500
    assert ask("CREATE TEMPORARY TABLE x (a Int8)").status == 200


def test_a_missing_session_is_an_error_only_if_it_must_exist(server: Server) -> None:
    answer = server.ask("SELECT 1", session_id="never seen", session_check="1")
    assert answer.headers["x-clickhouse-exception-code"] == "372"
    assert server.ask("SELECT 1", session_id="never seen before").body == b"1\n"


def test_a_session_ends_after_its_timeout_or_on_request(server: Server) -> None:
    assert server.ask("SELECT 1", session_id="short", session_timeout="0").status == 200
    assert server.ask("SELECT 1", session_id="short", session_check="1").status == 500
    assert server.ask("SELECT 1", session_id="closed", close_session="1").status == 200
    assert server.ask("SELECT 1", session_id="closed", session_check="1").status == 500
    assert (
        server.ask("SELECT 1", session_id="x", session_timeout="99999").headers["x-clickhouse-exception-code"] == "374"
    )


def test_a_busy_session_is_locked(server: Server) -> None:
    def long_query() -> Answer:
        return server.ask("SELECT sleep(2)", session_id="busy", query_id="holds-the-session")

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(long_query)
        wait_for(lambda: is_running(server, "SELECT sleep(2)"), deadline_s=60, what="the query runs")
        second = server.ask("SELECT 1", session_id="busy")
        assert second.headers["x-clickhouse-exception-code"] == "373"
        assert b"SESSION_IS_LOCKED" in second.body
        assert first.result().status == 200


@pytest.mark.parametrize("wait", ["0", "1"])
@pytest.mark.parametrize("rows", [1, 400_000])
def test_a_session_and_a_query_id_are_free_again_once_the_answer_is_complete(
    server: Server, wait: str, rows: int
) -> None:
    again = partial(server.ask, session_id="again", query_id="again", wait_end_of_query=wait)
    answers = [again(f"SELECT number FROM numbers({rows})").status for _ in range(20)]
    assert answers == [200] * 20
