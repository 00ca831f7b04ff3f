"""The console over a real ledger of 200 streams and 100,000 batches: its queries, its pages, and itself in Chromium."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from consumer.adapters.postgres.console import NEWEST
from consumer.adapters.postgres.statements import statements
from consumer.embedded.stack import EmbeddedStack
from consumer.service.console.ports import COUNT_LIMIT
from tests.support.browser import look_at_console, needs_browser
from tests.support.console_ledger import BATCHES, TOKEN, console_streams, fill, serving
from tests.support.local_platform import ledger_database

PAGES = {"streams", "stream", "hostile", "batch", "runbook"}


@pytest.fixture(scope="module")
def dsn(stack: EmbeddedStack) -> Iterator[str]:
    with ledger_database(stack.endpoints, f"t_{uuid4().hex[:12]}") as made:
        fill(made)
        yield made


@pytest.fixture(scope="module")
def batch(dsn: str) -> str:
    """The batch with most files, 1,206."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT batch_id FROM offload_files WHERE path LIKE '%/more-00000.parquet'").fetchone()
    assert row is not None
    return str(row[0])


@pytest.fixture(scope="module")
def port(dsn: str) -> Iterator[int]:
    with serving(dsn, token=TOKEN) as port:
        yield port


@pytest.fixture(scope="module")
def seen(port: int, batch: str) -> Any:
    return look_at_console(port, token=TOKEN, batch=batch)


def get(port: int, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200, body
        return json.loads(body)
    finally:
        connection.close()


def explain(dsn: str, name: str, parameters: Mapping[str, Any]) -> tuple[int, float]:
    """The pages of tables and indexes that a statement of the console touches, and its milliseconds."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statements("console")[name], parameters
        ).fetchone()
    assert row is not None
    plan = row[0][0]
    return plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"], plan["Execution Time"]


def questions(stream: str, batch: str) -> Mapping[str, Mapping[str, Any]]:
    """Every statement of the console with the largest parameters that a request can give it."""
    streams = {"streams": list(console_streams()), "most": COUNT_LIMIT}
    middle = {"started": datetime.now(UTC), "batch_id": NEWEST.batch_id}
    return {
        "latest": streams,
        "open": streams,
        "now": {},
        "findings": {"stream": stream, "limit": 100},
        "page": {"stream": stream, "limit": 500, **middle},
        "batch": {"batch_id": UUID(batch), "most": COUNT_LIMIT},
        "files": {"batch_id": UUID(batch), "limit": 500, "after": ""},
    }


def test_no_query_of_the_console_reads_more_than_what_it_shows(dsn: str, batch: str) -> None:
    asked = questions("stream_000", batch)
    assert asked.keys() == statements("console").keys()
    with psycopg.connect(dsn) as connection:
        total = connection.execute("SELECT count(*), pg_relation_size('offload_batches') / 8192 FROM offload_batches")
        assert total.fetchone()[0] == BATCHES  # type: ignore[index]
    for name, parameters in asked.items():
        blocks, milliseconds = explain(dsn, name, parameters)
        print(f"console.sql {name}: {blocks} blocks, {milliseconds:.1f} ms")  # noqa: T201 - a figure
        # A descent of the index and a row for each stream, or a page of rows; the table alone has thousands.
        assert blocks <= 1200, name


def test_a_page_of_a_stream_with_fifty_thousand_batches_costs_what_one_of_a_small_stream_costs(
    dsn: str, batch: str
) -> None:
    large, _ = explain(dsn, "page", {**questions("stream_000", batch)["page"], "limit": 100})
    small, _ = explain(dsn, "page", {**questions("stream_001", batch)["page"], "limit": 100})
    assert large <= small + 20


def test_all_streams_come_with_what_the_ledger_says(port: int) -> None:
    page = get(port, "/api/streams?limit=200")
    streams = {one["name"]: one for one in page["streams"]}
    assert (list(streams), page["next"], page["actions"]) == (list(console_streams()), None, True)
    assert [name for name, one in streams.items() if one["state"] == "halted"] == ["stream_003", "stream_007"]
    assert streams["stream_003"]["halt_reason"].startswith('<img src=x onerror="window.stolen=1">')
    assert streams["stream_007"]["runbook"] == "data-consistency-audit"
    assert streams["stream_005"]["open_findings"] == 1
    assert 3600 <= streams["stream_000"]["lag_seconds"] < 3 * 3600
    assert streams["stream_000"]["latest"]["snapshot_id"] == "9007199254740993"


def test_every_batch_of_a_stream_is_on_one_page_and_one_only(port: int, dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        # Batches that were begun at the same instant are told apart by their ids.
        connection.execute(
            "UPDATE offload_batches SET started = '2026-01-01 00:00:00Z', ended = '2026-01-01 00:00:01Z'"
            " WHERE stream = 'stream_150' AND kafka_offset < 100"
        )
        rows = connection.execute("SELECT batch_id FROM offload_batches WHERE stream = 'stream_150'").fetchall()
    found: list[str] = []
    following: str | None = ""
    while following is not None:
        page = get(port, f"/api/streams/stream_150/batches?limit=30{following}")
        found += [one["batch_id"] for one in page["batches"]]
        following = None if page["next"] is None else f"&before={page['next'].replace('+', '%2B')}"
    assert len(found) == len(set(found)) == 252
    assert set(found) == {str(row[0]) for row in rows}


def test_every_file_of_a_batch_is_on_one_page_and_one_only(port: int, batch: str) -> None:
    assert get(port, f"/api/batches/{batch}")["files"] == COUNT_LIMIT
    paths: list[str] = []
    after: str | None = ""
    while after is not None:
        page = get(port, f"/api/batches/{batch}/files?limit=500&after={after}")
        paths += [one["path"] for one in page["files"]]
        after = page["next"]
    assert len(paths) == 1206
    assert paths == sorted(set(paths))


@pytest.mark.thorough
@needs_browser
def test_the_policy_is_never_violated_and_nothing_is_asked_of_other_servers(seen: Any, port: int) -> None:
    for name, view in seen["views"].items():
        assert (view["violations"], view["complaints"]) == ([], []), name
        assert view["asked"] == [f"http://127.0.0.1:{port}"]


@pytest.mark.thorough
@needs_browser
def test_hostile_text_is_shown_and_never_run(seen: Any) -> None:
    for name, view in seen["views"].items():
        assert (view["stolen"], view["foreign"]) == (None, 0), name
    shown = seen["views"]["hostile"]["text"]
    assert '<img src=x onerror="window.stolen=1"><script>window.stolen=1</script>' in shown
    assert '<b onclick="window.stolen=1">the log</b>' in shown


@pytest.mark.thorough
@needs_browser
def test_nothing_that_axe_knows_of_wcag_aa_is_violated_in_light_or_dark(seen: Any) -> None:
    assert {name: view["axe"] for name, view in seen["views"].items() if view["axe"]} == {}
    grounds = {name: view["ground"] for name, view in seen["views"].items()}
    assert grounds["streams"] == "rgb(255, 255, 255)"
    assert grounds["streams-dark"] != grounds["streams"]


@pytest.mark.thorough
@needs_browser
def test_on_a_phone_nothing_is_wider_than_the_screen_and_targets_can_be_hit(seen: Any) -> None:
    phone = {name: view for name, view in seen["views"].items() if name.endswith("-phone")}
    assert len(phone) == 3
    for name, view in phone.items():
        assert view["overflow"] <= 0, name
        assert view["small"] == [], name


@pytest.mark.thorough
@needs_browser
def test_everything_is_reached_by_keyboard_and_seen_to_have_the_focus(seen: Any) -> None:
    keys = seen["keyboard"]
    names = [stop["name"] for stop in keys["overview"]]
    assert names[:4] == ["Skip to the content", "icehaul", "hold", "stream_003"]
    assert "named" in names
    assert all(stop["visible"] for stop in keys["overview"] + keys["inside"])
    assert keys["heading"] == "h1"
    # A plot is one stop; arrow keys lead from batch to batch, and a renewal does not take the focus away.
    assert [stop["tag"] for stop in keys["inside"]] == ["a", "a", "input", "input"]
    moved, said, label = keys["moved"]
    assert moved != keys["first"]
    assert said == label
    assert keys["kept"] == moved
    assert keys["batch"].endswith(f"/batches/{moved}")


@pytest.mark.thorough
@needs_browser
def test_the_page_moves_nothing_for_who_wants_it_still(seen: Any) -> None:
    assert seen["views"]["still"]["moves"] == "0s"
    assert seen["views"]["streams"]["moves"] != "0s"


@pytest.mark.thorough
@needs_browser
def test_what_is_done_in_one_tab_is_seen_and_told_in_another(seen: Any) -> None:
    live = seen["live"]
    assert (live["before"], live["told"]) == ("2", ["halted or in danger: stream_020", "3"])
    assert "Not done: the token is not the one of consumer.console_token" in live["refused"]
    assert "paused by the console, from 127.0.0.1: the disk is moved" in live["paused"]
    assert live["held"] == "true"
    assert (live["stored"], live["kept"]) == ([0, 0, ""], "")


@pytest.mark.thorough
@needs_browser
def test_a_stream_leads_to_its_batches_files_snapshot_trace_and_runbook(seen: Any) -> None:
    shown = seen["views"]["batch"]["text"]
    for part in ("Snapshot id", "0af7651916cd43dd8448eb211c80319c", "/00000.parquet", "1,000 or more files"):
        assert part in shown
    heading, blocks, title = seen["drill"]["runbook"]
    assert (heading, title) == ("Data-consistency audit", "data consistency audit - icehaul")
    assert blocks >= 3
    assert (seen["drill"]["shown"], seen["drill"]["older"]) == (100, 100)


@pytest.mark.thorough
@needs_browser
def test_the_first_paint_is_soon(seen: Any) -> None:
    paints = {name: view["paint"] for name, view in seen["views"].items()}
    print(f"first paint with 200 streams and {BATCHES:,} batches, Chromium {seen['version']}: {paints} ms")  # noqa: T201 - a figure
    assert {name for name, paint in paints.items() if paint is not None} >= PAGES
