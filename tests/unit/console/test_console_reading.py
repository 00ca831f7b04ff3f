"""What the console shows: every path, its headers, its pages and its bounds, without a server."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from consumer.domain.retention import Outlook
from consumer.entrypoints.console.reading import AT_ONCE, Reading
from consumer.entrypoints.console.site import ConsoleSite
from consumer.entrypoints.http_messages import Answer, Request
from consumer.ports import BatchRecord
from consumer.service.console.ports import BatchPlace
from consumer.service.console.viewing import Viewing
from tests.support.console_ledger import console_streams
from tests.support.memory_history import NOW, MemoryHistory

HOSTILE = '<script>alert("x")</script>'


def outlook(stream: str) -> Outlook | None:
    left = timedelta(hours=2) if stream == "stream_009" else timedelta(days=30)
    return Outlook(now=NOW, lowest=NOW, at=NOW + left, clause="ts + toIntervalDay(90)")


@pytest.fixture
def history() -> MemoryHistory:
    return MemoryHistory()


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def site(history: MemoryHistory, clock: list[float]) -> ConsoleSite:
    viewing = Viewing(streams=console_streams(), history=history, outlook=outlook)
    reading = Reading(viewing, actions=False, clock=lambda: clock[0])
    return ConsoleSite(reading=reading.answer, acting=None, hosts={"lake.example"})


def ask(site: ConsoleSite, path: str, *, method: str = "GET", host: str = "127.0.0.1:8080", **query: str) -> Answer:
    answer = site.answer(Request(method=method, path=path, query=query, headers={"host": host}))
    assert answer is not None, path
    return answer


def body(answer: Answer) -> Any:
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/console/", "text/html; charset=utf-8"),
        ("/console/app.js", "text/javascript; charset=utf-8"),
        ("/console/console.css", "text/css; charset=utf-8"),
        ("/console/icon.svg", "image/svg+xml; charset=utf-8"),
    ],
)
def test_the_page_and_its_files_are_served_with_a_strict_policy(
    site: ConsoleSite, path: str, content_type: str
) -> None:
    answer = ask(site, path)
    assert (answer.status, answer.content_type) == (200, content_type)
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self' data:",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_the_page_refers_to_nothing_outside_of_itself(site: ConsoleSite) -> None:
    page = ask(site, "/console/").body.decode()
    assert "style=" not in page
    assert "<script>" not in page
    assert "http://" not in page
    assert "https://" not in page


@pytest.mark.parametrize("path", ["/", "/console"])
def test_what_people_type_leads_to_the_page(site: ConsoleSite, path: str) -> None:
    answer = ask(site, path)
    assert answer.status == 307
    assert answer.headers["Location"] == "console/"


@pytest.mark.parametrize(
    "path", ["/console/../run.py", "/console/files.py", "/api", "/api/nothing", "/api/streams/x/y"]
)
def test_nothing_else_is_there(site: ConsoleSite, path: str) -> None:
    assert site.answer(Request(method="GET", path=path, headers={"host": "localhost"})) is None


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "[::1]:8080", "localhost:8080", "LAKE.example", "10.0.0.1"])
def test_it_is_served_under_addresses_and_names_that_are_configured(site: ConsoleSite, host: str) -> None:
    assert ask(site, "/api/streams", host=host).status == 200


@pytest.mark.parametrize("host", ["evil.example", "", "127.0.0.1.evil.example", "]"])
def test_a_page_that_rebinds_its_own_name_to_this_address_reads_nothing(
    site: ConsoleSite, history: MemoryHistory, host: str
) -> None:
    answer = ask(site, "/api/streams", host=host)
    assert answer.status == 421
    assert history.reads == 0


def test_streams_come_in_pages_by_name(site: ConsoleSite) -> None:
    first = body(ask(site, "/api/streams", limit="150"))
    second = body(ask(site, "/api/streams", limit="150", after=first["next"]))
    names = [one["name"] for one in [*first["streams"], *second["streams"]]]
    assert names == list(console_streams())
    assert second["next"] is None
    assert second["streams"][-1]["state"] == "new"
    assert first["streams"][0]["lag_seconds"] == 3600
    assert first["actions"] is False


def test_a_stream_in_danger_of_loss_says_so(site: ConsoleSite) -> None:
    assert body(ask(site, "/api/streams/stream_009"))["stream"]["time_to_loss"]["in_danger"] is True


def test_a_halted_stream_tells_reason_remedy_and_page_as_they_are(site: ConsoleSite, history: MemoryHistory) -> None:
    history.halted["stream_001"] = HOSTILE
    shown = body(ask(site, "/api/streams/stream_001"))
    stream = shown["stream"]
    assert (stream["state"], stream["halt_reason"], stream["halt_remedy"]) == ("halted", HOSTILE, "icehaul repair it")
    assert stream["runbook"] == "data-consistency-audit"
    assert shown["findings"][0]["detail"] == "a gap"
    assert "# Repair a stream" in body(ask(site, "/api/runbooks/repair-a-stream"))["markdown"]


def test_batches_come_in_pages_newest_first_and_each_once(site: ConsoleSite, history: MemoryHistory) -> None:
    seen: list[str] = []
    query: dict[str, str] = {}
    while True:
        page = body(ask(site, "/api/streams/stream_000/batches", limit="100", **query))
        seen += [one["batch_id"] for one in page["batches"]]
        if page["next"] is None:
            break
        query = {"before": page["next"]}
    assert seen == [str(one.batch_id) for one in history.batches["stream_000"]]


def test_a_snapshot_id_is_text_because_javascript_would_round_it(site: ConsoleSite) -> None:
    shown = body(ask(site, f"/api/batches/{UUID(int=7)}"))
    assert shown["batch"]["snapshot_id"] == str(2**62 + 1)
    assert (shown["owner"], shown["event_ids"], shown["files"]) == ("me", ["e"], 3)


def test_files_of_a_batch_come_in_pages(site: ConsoleSite) -> None:
    first = body(ask(site, f"/api/batches/{UUID(int=7)}/files", limit="2"))
    second = body(ask(site, f"/api/batches/{UUID(int=7)}/files", limit="2", after=first["next"]))
    assert [one["path"] for one in [*first["files"], *second["files"]]] == [f"s3://lake/{n}" for n in range(3)]
    assert second["next"] is None


@pytest.mark.parametrize(
    "path", [f"/api/batches/{UUID(int=2**64)}", f"/api/batches/{UUID(int=1000)}/files", "/api/streams/x"]
)
def test_what_no_configured_stream_has_is_not_found(site: ConsoleSite, path: str) -> None:
    assert site.answer(Request(method="GET", path=path, headers={"host": "localhost"})) is None


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/api/streams", {"limit": "0"}),
        ("/api/streams", {"limit": "501"}),
        ("/api/streams", {"limit": "ten"}),
        ("/api/streams/stream_000/batches", {"before": "yesterday"}),
        ("/api/streams/stream_000/batches", {"before": f"2026-01-01T00:00:00,{UUID(int=1)}"}),
    ],
)
def test_no_page_is_larger_than_allowed_and_no_place_is_made_up(
    site: ConsoleSite, path: str, query: dict[str, str]
) -> None:
    answer = ask(site, path, **query)
    assert answer.status == 400
    assert json.loads(answer.body)["error"].startswith(("limit: ", "before: "))


def test_however_many_look_the_streams_are_read_once_a_second(
    site: ConsoleSite, history: MemoryHistory, clock: list[float]
) -> None:
    answers = {ask(site, "/api/streams").body for _ in range(20)}
    assert (len(answers), history.reads) == (1, 1)
    clock[0] = 1.5
    ask(site, "/api/streams")
    assert history.reads == 2


def test_only_a_few_requests_are_answered_at_once(site: ConsoleSite, history: MemoryHistory) -> None:
    gate, inside = threading.Event(), threading.Semaphore(0)

    def hang(stream: str, limit: int, before: BatchPlace | None) -> Sequence[BatchRecord]:
        inside.release()
        gate.wait(30)
        return []

    history.page = hang  # type: ignore[method-assign]
    threads = [
        threading.Thread(target=ask, args=(site, "/api/streams/stream_000/batches"), daemon=True)
        for _ in range(AT_ONCE)
    ]
    for thread in threads:
        thread.start()
    assert all(inside.acquire(timeout=60) for _ in threads)
    refused = ask(site, "/api/streams/stream_000/batches")
    gate.set()
    for thread in threads:
        thread.join(60)
    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    assert ask(site, "/api/streams/stream_000/batches").status == 200


def test_a_ledger_that_does_not_answer_is_named_with_its_remedy(site: ConsoleSite, history: MemoryHistory) -> None:
    history.failing = True
    answer = ask(site, "/api/streams")
    assert answer.status == 503
    assert json.loads(answer.body) == {"error": "no answer from Postgres", "remedy": "start it"}


@pytest.mark.parametrize("path", ["/console/", "/", "/console/app.js"])
def test_pages_can_only_be_read(site: ConsoleSite, path: str) -> None:
    answer = ask(site, path, method="POST")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
