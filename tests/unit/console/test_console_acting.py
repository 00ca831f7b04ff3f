"""What may be done in the console: with the token, by POST, from its own page; without a token nothing at all."""

from __future__ import annotations

import json
from typing import Any

import pytest

from consumer.entrypoints.console.acting import Acting
from consumer.entrypoints.console.site import ConsoleSite
from consumer.entrypoints.http_messages import Answer, Request
from consumer.failpoints.acting import Failpoints
from consumer.ports import StreamState
from consumer.service.actions import Actions
from consumer.service.states import StreamStates
from consumer.testing.actions import MemoryActionLog
from consumer.testing.ledger import MemoryLedger
from tests.support.console_ledger import TOKEN, console_streams

PAUSE = "/api/streams/stream_000/pause"
RESUME = "/api/streams/stream_000/resume"
HEADERS = {
    "host": "127.0.0.1:8080",
    "origin": "http://127.0.0.1:8080",
    "sec-fetch-site": "same-origin",
    "content-type": "application/json",
    "icehaul-token": TOKEN,
}


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger()


@pytest.fixture
def record() -> MemoryActionLog:
    return MemoryActionLog()


@pytest.fixture
def site(ledger: MemoryLedger, record: MemoryActionLog) -> ConsoleSite:
    states = StreamStates(ledger=ledger, failpoints=Failpoints(""))
    actions = Actions(record)
    acting = Acting(states, actions=actions, streams=console_streams(), token=TOKEN, hosts={"lake.example"})
    return ConsoleSite(reading=lambda _request: None, acting=acting.answer, hosts={"lake.example"})


def post(site: ConsoleSite, path: str, body: bytes | None = b"{}", /, **changes: str | None) -> Answer | None:
    headers = {**HEADERS, **{name.replace("_", "-"): value for name, value in changes.items()}}
    return site.answer(
        Request(
            method="POST",
            path=path,
            headers={name: value for name, value in headers.items() if value is not None},
            client="192.0.2.7",
            body=lambda: body,
        )
    )


def result(answer: Answer | None) -> Any:
    assert answer is not None
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def state(ledger: MemoryLedger) -> StreamState | None:
    record = ledger.read(["stream_000"]).get("stream_000")
    return None if record is None else record.state


def test_a_stream_is_paused_and_resumed(site: ConsoleSite, ledger: MemoryLedger) -> None:
    paused = result(post(site, PAUSE, b'{"reason": "the disk\\n is moved"}'))
    assert paused == {
        "stream": "stream_000",
        "state": "halted",
        "paused": True,
        "reason": "paused by the console, from 192.0.2.7: the disk is moved",
    }
    assert state(ledger) is StreamState.HALTED
    assert result(post(site, PAUSE, b'{"reason": "again"}'))["paused"] is False
    assert result(post(site, RESUME))["state"] == "active"
    assert state(ledger) is StreamState.ACTIVE


def test_clients_that_are_no_browsers_act_with_the_token_alone(site: ConsoleSite, ledger: MemoryLedger) -> None:
    assert result(post(site, PAUSE, origin=None, sec_fetch_site=None))["paused"] is True


@pytest.mark.parametrize("token", ["", None, "a-token-of-some-lengtH", TOKEN + "x", TOKEN[:-1]])
def test_without_the_token_nothing_is_done(site: ConsoleSite, ledger: MemoryLedger, token: str | None) -> None:
    answer = post(site, PAUSE, icehaul_token=token)
    assert answer is not None
    assert answer.status == 403
    assert TOKEN not in answer.body.decode()
    assert state(ledger) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "null"},
        {"origin": "http://["},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
def test_a_page_of_another_origin_can_do_nothing_even_with_the_token(
    site: ConsoleSite, ledger: MemoryLedger, changes: dict[str, str]
) -> None:
    answer = post(site, PAUSE, b"{}", **changes)
    assert answer is not None
    assert answer.status == 403
    assert state(ledger) is None


def test_behind_a_proxy_the_page_acts_under_the_name_that_is_configured(site: ConsoleSite) -> None:
    assert result(post(site, PAUSE, origin="https://lake.example"))["paused"] is True


def test_no_answer_lets_another_origin_read_it(site: ConsoleSite) -> None:
    preflight = site.answer(Request(method="OPTIONS", path=PAUSE, headers=HEADERS))
    assert preflight is not None
    assert preflight.status == 405
    for answer in (preflight, post(site, PAUSE)):
        assert answer is not None
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Set-Cookie" not in answer.headers


def test_nothing_is_changed_by_reading(site: ConsoleSite, ledger: MemoryLedger) -> None:
    for method in ("GET", "HEAD"):
        assert site.answer(Request(method=method, path=PAUSE, headers=HEADERS)) is None
    put = site.answer(Request(method="PUT", path=PAUSE, headers=HEADERS))
    assert put is not None
    assert (put.status, put.headers["Allow"]) == (405, "POST")
    assert state(ledger) is None


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "application/json"),
        (b"[]", "application/json"),
        (b"{", "application/json"),
        (b"\xff", "application/json"),
        (None, "application/json"),
        (b"{}", "text/plain"),
        (b"{}", "application/x-www-form-urlencoded"),
    ],
)
def test_what_is_no_json_object_is_refused(
    site: ConsoleSite, ledger: MemoryLedger, body: bytes | None, content_type: str
) -> None:
    answer = post(site, PAUSE, body, content_type=content_type)
    assert answer is not None
    assert answer.status == 400
    assert state(ledger) is None


@pytest.mark.parametrize("path", ["/api/streams/unknown/pause", "/api/streams/stream_000/drop", "/api/streams"])
def test_there_is_no_other_action(site: ConsoleSite, path: str) -> None:
    assert post(site, path) is None


def test_a_stream_that_the_ledger_does_not_know_is_explained(site: ConsoleSite) -> None:
    answer = post(site, RESUME)
    assert answer is not None
    assert answer.status == 409
    assert set(json.loads(answer.body)) == {"error", "remedy"}


def test_without_a_configured_token_no_action_exists() -> None:
    site = ConsoleSite(reading=lambda _request: None, acting=None, hosts=())
    assert post(site, PAUSE) is None
    assert post(site, RESUME) is None


def test_a_long_reason_is_cut(site: ConsoleSite) -> None:
    reason = result(post(site, PAUSE, json.dumps({"reason": "x" * 9000}).encode()))["reason"]
    assert len(reason) < 600


def test_what_is_done_is_recorded_with_the_client_s_address_and_what_is_refused_is_not(
    site: ConsoleSite, record: MemoryActionLog
) -> None:
    refused = post(site, PAUSE, icehaul_token="another")
    assert refused is not None
    assert refused.status == 403
    assert record.latest(10) == []
    result(post(site, PAUSE, b'{"reason": "the disk is moved"}'))
    result(post(site, RESUME, b'{"accept_findings": true}'))
    entries = [(e.action.command, e.phase.value, e.action.streams, e.action.operator) for e in record.latest(10)]
    who = "the console, from 192.0.2.7"
    assert entries == [
        (command, phase, ("stream_000",), who) for command in ("pause", "resume") for phase in ("begun", "done")
    ]
    assert [e.action.reason for e in record.latest(10)] == ["the disk is moved"] * 2 + [""] * 2
    assert record.latest(1)[0].action.arguments == {"accept_findings": "True"}
