"""The HTTP endpoints, over real sockets."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from consumer.adapters.telemetry.metrics import PrometheusMetrics
from consumer.domain.errors import ConfigurationError, LedgerUnavailableError
from consumer.entrypoints.http import HttpEndpoints, Liveness, Startup
from consumer.entrypoints.poll_loop import check_poll_loop, silence_of
from consumer.entrypoints.readiness import Probe, Readiness


@contextmanager
def serving(
    *,
    silence: float = 0.0,
    limit: float = 60,
    probes: dict[str, Probe] | None = None,
    timeout: float = 2.0,
    conditions: dict[str, Callable[[], bool]] | None = None,
) -> Iterator[int]:
    metrics = PrometheusMetrics(["trades"])
    metrics.lease("trades")
    endpoints = HttpEndpoints(
        host="127.0.0.1",
        port=0,
        render_metrics=metrics.render,
        liveness=Liveness(lambda: silence, limit=limit),
        readiness=Readiness(probes or {}, timeout=timeout),
        startup=Startup(conditions or {}),
    )
    with endpoints:
        yield endpoints.port


def ask(port: int, path: str, method: str = "GET") -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read(), dict(response.getheaders())
    finally:
        connection.close()


def test_metrics_are_served_in_prometheus_format() -> None:
    with serving() as port:
        status, body, headers = ask(port, "/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=")
    assert b'icehaul_lease_epoch_changes_total{stream="trades"} 1.0' in body
    assert b"icehaul_process_resident_memory_bytes" in body


@pytest.mark.parametrize(("silence", "status"), [(59.0, 200), (61.0, 503)])
def test_a_loop_that_is_silent_for_too_long_is_not_alive(silence: float, status: int) -> None:
    with serving(silence=silence) as port:
        answer, body, _ = ask(port, "/livez")
    assert answer == status
    assert json.loads(body)["silence_seconds"] == silence


def test_started_is_who_has_met_every_condition_once_whatever_comes_later() -> None:
    warm, assigned = threading.Event(), threading.Event()
    with serving(conditions={"engine": warm.is_set, "assignment": assigned.is_set}) as port:
        status, body, _ = ask(port, "/startupz")
        assert (status, json.loads(body)) == (503, {"status": "starting", "waiting_for": ["assignment", "engine"]})
        warm.set()
        status, body, _ = ask(port, "/startupz")
        assert (status, json.loads(body)["waiting_for"]) == (503, ["assignment"])
        warm.clear()
        assigned.set()
        status, body, _ = ask(port, "/startupz")
        assert (status, json.loads(body)) == (200, {"status": "started", "waiting_for": []})


def test_ready_is_who_reaches_every_dependency() -> None:
    with serving(probes={"ledger": lambda: None, "broker": lambda: None}) as port:
        status, body, _ = ask(port, "/readyz?verbose")
    assert status == 200
    assert json.loads(body) == {"status": "ready", "checks": {"ledger": "ok", "broker": "ok"}}


@dataclass
class Loop:
    started: bool
    silence: float


@pytest.mark.parametrize(
    ("loop", "alive", "ready"),
    [
        (Loop(started=False, silence=100), 200, 503),
        (Loop(started=True, silence=29), 200, 200),
        (Loop(started=True, silence=31), 503, 503),
    ],
    ids=["starting", "turning", "standing still"],
)
def test_a_poll_loop_that_stands_still_is_neither_alive_nor_ready_and_one_that_starts_is_alive(
    loop: Loop, alive: int, ready: int
) -> None:
    with serving(silence=silence_of(loop), limit=30, probes={"poll_loop": lambda: check_poll_loop(loop)}) as port:
        assert ask(port, "/livez")[0] == alive
        status, body, _ = ask(port, "/readyz")
    assert status == ready
    assert (json.loads(body)["checks"]["poll_loop"] == "ok") is (ready == 200)


def test_a_failing_dependency_is_named_with_its_reason_and_without_secrets() -> None:
    def fail() -> None:
        raise LedgerUnavailableError("no answer from postgresql://me:hunter2@db/x", remedy="start it")

    with serving(probes={"ledger": fail, "broker": lambda: None}) as port:
        status, body, _ = ask(port, "/readyz")
    assert status == 503
    checks = json.loads(body)["checks"]
    assert checks["broker"] == "ok"
    assert checks["ledger"].startswith("LedgerUnavailableError: no answer")
    assert "hunter2" not in body.decode()


def test_probes_run_side_by_side_and_one_that_hangs_is_started_once_only() -> None:
    gate = threading.Event()
    calls: list[int] = []

    def hang() -> None:
        calls.append(1)
        gate.wait(30)

    with serving(probes={"slow": hang, "slower": lambda: (gate.wait(30), None)[1]}, timeout=0.3) as port:
        started = time.monotonic()
        answers = [ask(port, "/readyz") for _ in range(2)]
        assert time.monotonic() - started < 2
        assert [status for status, _, _ in answers] == [503, 503]
        assert json.loads(answers[0][1])["checks"]["slow"] == "no answer within 0.3 s"
        assert calls == [1]
        gate.set()
        assert ask(port, "/readyz")[0] == 200


def test_unknown_paths_and_methods_are_refused() -> None:
    with serving() as port:
        assert ask(port, "/")[0] == 404
        assert ask(port, "/metrics/../etc/passwd")[0] == 404
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"):
            status, _, headers = ask(port, "/metrics", method)
            assert status == 405
            assert headers["Allow"] == "GET, HEAD"


def test_head_answers_without_a_body() -> None:
    with serving() as port:
        status, body, headers = ask(port, "/livez", "HEAD")
    assert status == 200
    assert body == b""
    assert int(headers["Content-Length"]) > 0


def test_a_probe_or_renderer_that_raises_unexpectedly_is_an_error_and_not_the_end_of_the_server() -> None:
    def broken(_accept: str) -> tuple[bytes, str]:
        raise ZeroDivisionError

    endpoints = HttpEndpoints(
        host="127.0.0.1",
        port=0,
        render_metrics=broken,
        liveness=Liveness(lambda: 0, limit=1),
        readiness=Readiness({}),
        startup=Startup({}),
    )
    with endpoints:
        assert ask(endpoints.port, "/metrics")[0] == 500
        assert ask(endpoints.port, "/livez")[0] == 200


def test_a_client_that_never_finishes_its_request_does_not_hold_up_the_others_or_the_end() -> None:
    with serving() as port:
        hanging = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        hanging.connect()
        assert ask(port, "/livez")[0] == 200
        started = time.monotonic()
    assert time.monotonic() - started < 2
    hanging.close()


def test_a_port_that_is_taken_is_a_clear_error() -> None:
    with serving() as port, pytest.raises(ConfigurationError, match=rf"can't listen on 127\.0\.0\.1:{port}"):
        HttpEndpoints(
            host="127.0.0.1",
            port=port,
            render_metrics=PrometheusMetrics().render,
            liveness=Liveness(lambda: 0, limit=1),
            readiness=Readiness({}),
            startup=Startup({}),
        )
